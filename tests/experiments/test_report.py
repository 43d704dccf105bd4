"""The report: its numbers by hand, what it prints and writes, and what it refuses."""

from pathlib import Path

import pytest

from experiments.report import print_comparison, report
from experiments.report.comparison import load_comparison
from experiments.report.page import build_page
from experiments.report.summary import summarise
from experiments.report.tables import anomaly_type_table, detection_table, only_columns, overview_table
from lightning_modules import ConfigurationError


def texts(table):
    """A table's rows, the best cells starred."""
    return [[cell.text + "*" * cell.best for cell in row] for group in table.groups for row in group]


def compare(folders):
    return load_comparison([Path(folder) for folder in folders])


def refused(capsys, folders, output, *expected):
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
    table = detection_table(compare(ae_and_mae))
    ours = only_columns(table, ("Model", "Runs", "AUC", "pAUC", "Published AUC"))
    assert texts(ours)[:2] == [
        ["AE", "runs/ae", "0.750", "0.649", "0.916"],
        ["MAE", "runs/mae", "1.000*", "1.000*", "0.902"],
    ]
    assert ["CAE (Duman)", "published", "–", "–", "0.772"] in texts(ours)
    assert "4 normal and 3 anomalous" in table.note


def test_overview_table(ae_and_mae):
    table = overview_table(compare(ae_and_mae))
    assert table.header == ("Explainer", "Model", "F1", "Frame", "Segment")
    assert texts(table) == [
        ["Error map", "AE", "0.400", "0.200", "0.300"],
        ["", "MAE", "0.450*", "0.225*", "0.325*"],
        ["Saliency", "AE", "0.100", "0.050", "0.150"],
        ["", "MAE", "0.150*", "0.075*", "0.175*"],
    ]
    assert "3 annotated clips" in table.note


def test_anomaly_type_table(ae_and_mae):
    table = anomaly_type_table(compare(ae_and_mae))
    assert table.header == ("Explainer", "Model", "broken (2)", "stuck (1)")
    assert texts(table)[:2] == [["Error map", "AE", "0.350", "0.500"], ["", "MAE", "0.400*", "0.550*"]]


def test_equal_numbers_are_both_plain(run_maker, tmp_path):
    folders = [run_maker(objective).write(tmp_path / objective) for objective in ("AE", "MAE")]
    assert not any(text.endswith("*") for row in texts(overview_table(compare(folders))) for text in row)


def test_a_model_without_explanations_is_in_the_detection_table_only(run_maker, tmp_path):
    full = run_maker().write(tmp_path / "full")
    bare = run_maker("MAE", f1=None).write(tmp_path / "bare")
    comparison = compare([bare, full])
    assert [row[1] for row in texts(overview_table(comparison))] == ["AE", "AE"]
    assert [row[0] for row in texts(detection_table(comparison))[:2]] == ["AE", "MAE"]


def test_summary_states_the_numbers(ae_and_mae):
    sentences = " ".join(summarise(compare(ae_and_mae)))
    for fact in (
        "AE (runs/ae) and MAE (runs/mae) were tested on the same 7 clips: 4 normal and 3 anomalous",
        "(2 broken and 1 stuck)",
        "The AUC is 0.750 [0.250, 1.000] for AE and 1.000 [1.000, 1.000] for MAE",
        "0.500 for AE (Error map at the 99th percentile) and 0.550 for MAE",
        "F1 is higher for 2 of 2 explainers, significantly for none",
        "3 clips are too few for any difference to be significant",
        "these runs hold no chance level",
        "one training run",
    ):
        assert fact in sentences


def test_runs_of_one_objective_are_told_apart_by_their_folders(run_maker, tmp_path):
    folders = [run_maker().write(tmp_path / name) for name in ("seed0", "seed1")]
    assert list(compare(folders).groups) == ["AE (seed0)", "AE (seed1)"]
    same_name = [run_maker().write(tmp_path / name / "run") for name in ("x", "y")]
    assert list(compare(same_name).groups) == [f"AE ({folder})" for folder in same_name]


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
    print_comparison(compare(folders))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:3] == ["Error", "map", "AE"] for line in lines)
    assert "…" not in "".join(lines)


def test_page_of_a_test_set_of_one_class_has_no_roc(run_maker, tmp_path):
    folder = run_maker(f1=None, examples=False, anomalous={}).write(tmp_path / "run")
    comparison = compare([folder])
    assert texts(detection_table(comparison))[0][2:4] == ["–", "–"]
    assert "no ROC" in build_page(comparison)


def test_types_are_text_whatever_they_hold(run_maker, tmp_path, capsys):
    nasty = {"<script>alert(1)/a.wav": 5.0, "[bold]$$title & co/b.wav": 6.0, "'\"/c.wav": 7.0}
    print_comparison(compare([run_maker(anomalous=nasty).write(tmp_path / "run <b>")]))
    assert "[bold]$$title & co" in capsys.readouterr().out


def test_refusals_name_what_is_wrong_and_write_nothing(run_maker, ae_and_mae, capsys):
    output = Path("page.html")
    refused(capsys, [], output, "at least one run")
    refused(capsys, ["runs/none"], output, "runs/none is not a folder")
    refused(capsys, ["runs/ae", "runs/../runs/ae"], output, "twice")
    Path("runs/fresh/fit").mkdir(parents=True)
    Path("runs/fresh/fit/config.yaml").write_text("model: {class_path: lightning_modules.Autoencoder}\n")
    refused(capsys, ["runs/ae", "runs/fresh"], output, "runs/fresh/test/clips.csv", "test --run runs/fresh")
    refused(capsys, ae_and_mae, Path("runs"), "runs is a folder")
    run_maker(anomalous={"stuck/z.wav": 5.0}, f1=None).write(Path("runs/other"))
    refused(capsys, ["runs/ae", "runs/other"], output, "runs/other", "tested on different clips (4 are in one only)")
    assert not output.exists()


def test_runs_explained_on_different_clips_are_refused(run_maker, ae_and_mae, capsys):
    for name in ("f1.csv", "faithfulness.csv"):
        path = Path("runs/mae/test") / name
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line for line in lines if "broken/c.wav" not in line))
        refused(capsys, ae_and_mae, "page.html", "explained on different clips")


def test_an_earlier_page_survives_a_refusal(ae_and_mae, capsys):
    Path("page.html").write_text("earlier")
    (Path("runs/mae/test") / "clips.csv").unlink()
    refused(capsys, ae_and_mae, "page.html", "clips.csv")
    assert Path("page.html").read_text() == "earlier"
