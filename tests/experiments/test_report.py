"""The report: its numbers by hand, what it prints and writes, and what it rejects."""

from pathlib import Path

import pytest

from experiments.report.command import report
from experiments.report.evidence import compute_evidence
from experiments.report.loading import load_comparison
from experiments.report.page import build_page
from experiments.report.table import only_columns
from experiments.report.tables import all_tables, anomaly_type_table, detection_table, detection_tables, overview_table
from experiments.report.terminal import print_report, print_summary
from lightning_modules import ConfigurationError


def texts(table):
    """A table's rows, the best cells starred."""
    return [[cell.text + "*" * cell.best for cell in row] for group in table.groups for row in group]


def compare(folders):
    """A comparison and its evidence."""
    comparison = load_comparison([Path(folder) for folder in folders])
    return comparison, compute_evidence(comparison)


def print_all(comparison, evidence):
    print_report(comparison, evidence, [table for part in all_tables(comparison, evidence).values() for table in part])


def rejected(capsys, folders, output, *expected):
    with pytest.raises(ConfigurationError) as caught:
        report(folders, str(output))
    message = str(caught.value)
    assert "\n" not in message
    assert all(text in message for text in expected), message
    assert capsys.readouterr().out == ""


def test_detection_table(ae_and_mae):
    # AE: the anomalies at 5, 3.5, 2.5 beat 4, 3 and 2 of the normal clips at 1, 2, 3, 4: 9 of 12 pairs. No false
    # alarm up to the largest normal score, so one third is found up to a rate of 0.1: an area of 1/30 of at most
    # 0.1, 0.005 at chance: (1 + (1/30 - 0.005) / 0.095) / 2.
    table = detection_table(*compare(ae_and_mae))
    ours = only_columns(table, ("Model", "Runs", "AUC", "pAUC"))
    assert texts(ours)[:4] == [
        ["AE", "runs/ae", "0.750", "0.649"],
        ["MAE", "runs/mae", "1.000*", "1.000*"],
        ["Skip-CAE-Transformer, AE", "published", "0.916", "0.786"],
        ["Skip-CAE-Transformer, MAE 4 × 4, 30 %", "published", "0.902", "–"],
    ]
    assert "Published: on the 3,130 normal and 105 anomalous clips of the real planer." in table.legend
    assert "4 normal and 3 anomalous" in table.note


def test_overview_table(ae_and_mae):
    table = overview_table(*compare(ae_and_mae))
    frame, segment = "Frame-based faithfulness", "Segment-based faithfulness"
    assert table.header == (
        "Explainer", "Model", "F1", "F1 verdict", frame, f"{frame} verdict", segment, f"{segment} verdict"
    )  # fmt: skip
    untested = [cell.text for row in table.rows for cell in row[3::2] if "published" not in row[0].text]
    assert set(untested) == {"untested"}
    # The paper's are of its Figures 4 and 5.
    assert texts(only_columns(table, ("Explainer", "Model", "F1", frame, segment))) == [
        ["Error map", "AE", "0.400", "0.200", "0.300"],
        ["Error map", "MAE", "0.450*", "0.225*", "0.325*"],
        ["Error map, published", "AE", "0.523", "0.043", "0.196"],
        ["Error map, published", "MAE", "0.581", "0.050", "0.226"],
        ["Saliency", "AE", "0.100", "0.050", "0.150"],
        ["Saliency", "MAE", "0.150*", "0.075*", "0.175*"],
        ["Saliency, published", "AE", "0.340", "0.023", "0.126"],
        ["Saliency, published", "MAE", "0.629", "0.033", "0.212"],
    ]
    assert "Means over 3 clips;" in table.note


def test_anomaly_type_table(ae_and_mae):
    table = anomaly_type_table(*compare(ae_and_mae))
    assert table.header == ("Explainer", "Model", "broken (2)", "stuck (1)")
    assert texts(table)[:2] == [["Error map", "AE", "0.350", "0.500"], ["Error map", "MAE", "0.400*", "0.550*"]]


def test_equal_numbers_are_both_plain(run_maker, tmp_path):
    folders = [run_maker(objective).write(tmp_path / objective) for objective in ("AE", "MAE")]
    assert not any(text.endswith("*") for row in texts(overview_table(*compare(folders))) for text in row)


def test_a_model_without_explanations_is_in_the_detection_table_only(run_maker, tmp_path):
    full = run_maker().write(tmp_path / "full")
    bare = run_maker("MAE", f1=None).write(tmp_path / "bare")
    found = compare([bare, full])
    assert {row[1] for row in texts(overview_table(*found))} == {"AE"}
    assert [row[0] for row in texts(detection_table(*found))[:2]] == ["AE", "MAE"]


def test_a_test_ends_on_one_screen(run_maker, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    names = ("error_map", "saliency", "smoothgrad", "integrated_gradients", "gradient_shap", "grad_cam", "random")
    f1 = {name: [[0.2, 0.5, 0.9], [0.4, 0.5, 0.3], [0.6, 0.2, 0.3]] for name in names}
    print_summary(run_maker("MAE", f1=f1, evidence=True).write(Path("mae")))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    # F1 0.4 with a chance level of half of it; frames half of F1, segments a tenth more.
    assert "Error map 0.400 0.200 above * 0.200 0.300" in [" ".join(line.split()) for line in lines]
    assert "*: not above random frames or all frames, see the table of the measure." in lines
    assert lines[0].startswith("MAE (mae) was tested on 7 clips: 4 normal and 3 anomalous")
    assert any(line.startswith("The AUC is 0.750") for line in lines)
    assert lines[-1] == "Results: mae/test. Tables, figures and a page: faithful-aad report mae"


def test_runs_of_one_objective_are_told_apart_by_their_folders(run_maker, tmp_path):
    folders = [run_maker().write(tmp_path / name) for name in ("seed0", "seed1")]
    assert list(compare(folders)[0].models) == ["AE (seed0)", "AE (seed1)"]
    same_name = [run_maker().write(tmp_path / name / "run") for name in ("x", "y")]
    assert list(compare(same_name)[0].models) == [f"AE ({folder})" for folder in same_name]


def test_command_prints_tables_and_the_path_last(ae_and_mae, capsys):
    report(ae_and_mae, "out/report.html")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "out/report.html"
    assert "MAE runs/mae 1.000 1.000" in [" ".join(line.split()) for line in lines]
    assert sorted(path.name for path in Path("out").iterdir()) == ["report.html", "report_figures", "report_tables"]


def test_tables_and_figures_go_where_they_are_asked_to(ae_and_mae):
    report(ae_and_mae, "page.html", tables="elsewhere", figures="drawn")
    names = {path.name for path in Path("elsewhere").iterdir()}
    assert {"detection.csv", "detection.tex", "f1.csv", "paired.tex"} <= names
    assert "figure_4_f1.pdf" in {path.name for path in Path("drawn").iterdir()}
    assert not list(Path().glob("page_*"))


def test_terminal_tables_fit_80_columns(run_maker, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    folders = [run_maker(objective, evidence=True).write(Path(objective)) for objective in ("AE", "MAE")]
    print_all(*compare(folders))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:3] == ["Error", "map", "AE"] for line in lines)
    assert "…" not in "".join(lines)
    printed = " ".join(lines)
    assert "Chance: mean over circular shifts" in printed
    assert not any(f"{hidden}:" in printed for hidden in ("Corrected", "Over chance", "p"))


def test_page_of_a_test_set_of_one_class_has_no_roc(run_maker, tmp_path):
    folder = run_maker(f1=None, examples=False, anomalous={}).write(tmp_path / "run")
    found = compare([folder])
    assert texts(detection_table(*found))[0][2:4] == ["–", "–"]
    assert "0 anomalous test clips, so the AUC is undefined." in detection_table(*found).note
    assert "no ROC" in build_page(*found, all_tables(*found))


def test_types_are_text_whatever_they_hold(run_maker, tmp_path, capsys):
    nasty = {"<script>alert(1)/a.wav": 5.0, "[bold]$$title & co/b.wav": 6.0, "'\"/c.wav": 7.0}
    print_all(*compare([run_maker(anomalous=nasty).write(tmp_path / "run <b>")]))
    assert "[bold]$$title & co" in capsys.readouterr().out


def test_errors_name_what_is_wrong_and_write_nothing(run_maker, ae_and_mae, capsys):
    output = Path("page.html")
    rejected(capsys, [], output, "at least one run")
    rejected(capsys, ["runs/none"], output, "runs/none is not a folder")
    rejected(capsys, ["runs/ae", "runs/../runs/ae"], output, "twice")
    Path("runs/fresh/fit").mkdir(parents=True)
    Path("runs/fresh/fit/config.yaml").write_text("model: {class_path: lightning_modules.Autoencoder}\n")
    rejected(capsys, ["runs/ae", "runs/fresh"], output, "runs/fresh/test/clips.csv", "test --run runs/fresh")
    rejected(capsys, ae_and_mae, Path("runs"), "runs is a folder")
    rejected(capsys, ae_and_mae, Path("page.pdf"), "--output page.pdf has to end in .html")
    run_maker(anomalous={"stuck/z.wav": 5.0}, f1=None).write(Path("runs/other"))
    rejected(capsys, ["runs/ae", "runs/other"], output, "runs/other", "tested on different clips (4 are in one only)")
    assert not output.exists()


def test_rejects_runs_explained_on_different_clips(ae_and_mae, capsys):
    path = Path("runs/mae/test/explanations.csv")
    lines = path.read_text().splitlines()
    for measure in ("f1", "deletion"):
        path.write_text("\n".join(line for line in lines if not ("broken/c.wav" in line and f",{measure}" in line)))
        if measure == "f1":
            rejected(capsys, ae_and_mae, "page.html", "explained on different clips (1 are in one only)")


def test_an_earlier_page_survives_an_error(ae_and_mae, capsys):
    Path("page.html").write_text("earlier")
    (Path("runs/mae/test") / "clips.csv").unlink()
    rejected(capsys, ae_and_mae, "page.html", "clips.csv")
    assert Path("page.html").read_text() == "earlier"


def test_the_level_alone_stands_beside_the_models(run_maker, tmp_path):
    # Anomalies at -32, -31, -28 dB against -30 (twice), -29, -27: quieter in 4 + 4 + 1 of 12 pairs. The quietest two
    # are found without a false alarm: 2/3 up to a rate of 0.1, 0.005 of at most 0.1 at chance.
    levels = (-30.0, -30.0, -29.0, -27.0, -32.0, -31.0, -28.0)
    new = run_maker(levels=levels).write(tmp_path / "new")
    old = run_maker("MAE").write(tmp_path / "old")
    table = detection_table(*compare([old, new]))
    ours = only_columns(table, ("Model", "Runs", "AUC", "pAUC"))
    assert texts(ours)[2] == ["Level alone (quieter)", "–", "0.750", "0.825"]
    assert "Level alone: the score is the root mean square" in table.note


def test_other_recordings_of_the_same_names_are_not_compared(run_maker, tmp_path):
    levels = (-30.0, -30.0, -29.0, -27.0, -32.0, -31.0, -28.0)
    first = run_maker(levels=levels).write(tmp_path / "first")
    again = run_maker(levels=levels).write(tmp_path / "again")
    other = run_maker(levels=(*levels[:-1], -28.1)).write(tmp_path / "other")
    compare([first, again])
    config = other / "fit" / "config.yaml"
    config.write_text(config.read_text().replace("    frame_step:", "    channel: 0\n    frame_step:"))
    compare([first, other])  # levels of another channel differ, not the recordings
    (other / "fit" / "config.yaml").write_text((first / "fit" / "config.yaml").read_text())
    with pytest.raises(ConfigurationError, match=r"tested on different recordings: .* -28\.0 dB in one and -28\.1 dB"):
        compare([first, other])


def test_runs_without_levels_have_no_such_row(ae_and_mae):
    assert "level" not in str(detection_table(*compare(ae_and_mae))).lower()


def test_undefined_scores_leave_the_report_whole(run_maker, tmp_path, capsys):
    runs = [run_maker(f1=None, examples=False).write(tmp_path / "sound")]
    runs += [run_maker("MAE", normal=(1.0, float("nan")) * 2, f1=None, examples=False).write(tmp_path / "nan")]
    report([str(run) for run in runs], str(tmp_path / "report.html"))
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 clips of MAE with a score that is not a number, such as normal/1.wav" in printed
    assert "The AUC is 0.750 [0.250, 1.000] for AE." in printed
    assert (
        "There is no ROC: the test clips are of one class, or a score is NaN" in (tmp_path / "report.html").read_text()
    )


def test_a_type_of_one_clip_is_told(ae_and_mae):
    by_type = next(table for table in detection_tables(*compare(ae_and_mae)) if "type" in table.title)
    assert "AUC of a single clip is the share of normal clips with a lower score" in by_type.note


def test_a_test_that_was_stopped_is_told_before_any_number(run_maker, tmp_path, capsys):
    run = run_maker(f1=None).write(tmp_path / "run")
    (run / "test" / "finished").unlink()
    report([str(run)], str(tmp_path / "report.html"))
    printed = " ".join(capsys.readouterr().out.split())
    caution = "test unfinished: results may be missing."
    assert f"AE ({run}): {caution} Run faithful-aad test again." in printed
    assert f"AE: {caution}" in printed, "in the notes of tables"
    assert caution in (tmp_path / "report.html").read_text()
