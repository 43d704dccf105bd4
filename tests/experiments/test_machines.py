"""Models compared over several machines: their differences and summary by hand, tables, figures and files."""

import json

import pandas as pd
import pytest
from run_folders import F1, RunMaker

from experiments.cli.main import main
from experiments.report.comparison import EvaluationSet
from experiments.report.evidence import compute_evidence
from experiments.report.figures.forest import forest_plot
from experiments.report.loading import load_comparison, load_comparisons
from experiments.report.machines import SUMMARY, machine_differences, machine_sentences, machine_tables
from experiments.report.table import only_columns
from lightning_modules import ConfigurationError

GAINS = {"fan": [0.04, 0.12, 0.08], "pump": [0.2, 0.4, 0.6], "valve": [-0.06, 0.02, 0.04]}
"""What the F1 of the MAE has over that of the AE, by clip; a chance level is half of the F1."""


def write_machines(root, machines=tuple(GAINS), parts=("",), tested=("AE", "MAE")):
    """A study of one seed that varies the machine, and the part if there are any."""
    root.mkdir()
    (root / "study.yaml").touch()
    for machine in machines:
        for part in parts:
            for variant in ("AE", "MAE"):
                gain = [0.0] * 3 if variant == "AE" or part == "control" else GAINS[machine]
                f1 = [[value + more for value in of_clip] for of_clip, more in zip(F1["error_map"], gain, strict=True)]
                settings = {"root": machine} | ({"part": part} if part else {})
                run = root / "runs" / variant / ",".join(f"{key}={value}" for key, value in settings.items()) / "seed_0"
                if variant in tested:
                    scores = {f"{machine}/{name}.wav": score for name, score in (("a", 5.0), ("b", 3.5), ("c", 2.5))}
                    maker = RunMaker(variant, scores, {"error_map": f1}, evidence=True, examples=False)
                    maker.write(run)
                run.mkdir(parents=True, exist_ok=True)
                member = {"study": "machines", "variant": variant, "settings": settings, "seed": 0}
                (run / "study.json").write_text(json.dumps(member))
    return root


@pytest.fixture(scope="module")
def compare(tmp_path_factory):
    def compare(**study):
        comparisons, _ = load_comparisons([write_machines(tmp_path_factory.mktemp("study") / "s", **study)])
        compared = {key: (comparison, compute_evidence(comparison)) for key, comparison in comparisons.items()}
        return compared, machine_differences(compared)

    return compare


@pytest.fixture(scope="module")
def three(compare):
    return compare()


def test_each_machine_is_a_comparison_of_its_own(three):
    compared, rows = three
    assert list(compared) == [EvaluationSet(machine) for machine in GAINS]
    f1 = rows[rows["measure"] == "f1"].set_index("machine")
    for machine, gain in GAINS.items():
        # Half of each gain is chance.
        assert f1.loc[machine, "difference"] == pytest.approx(sum(gain) / 6)
        assert f1.loc[machine, "low"] <= f1.loc[machine, "difference"] <= f1.loc[machine, "high"]
        assert f1.loc[machine, "n_clips"] == 3
    assert set(rows.loc[rows["measure"] == "auc", "difference"]) == {0.0}, "the same scores"


def test_summary_is_paule_and_mandels_with_hartung_and_knapps_interval(three):
    _, rows = three
    f1 = rows[rows["measure"] == "f1"].set_index("machine")
    found, machines = f1.loc[SUMMARY], f1.drop(SUMMARY)
    errors = (machines["high"] - machines["low"]) / 2 / 1.959964
    weights = 1 / (errors**2 + found["spread"] ** 2)
    mean = (weights * machines["difference"]).sum() / weights.sum()
    residual = (weights * (machines["difference"] - mean) ** 2).sum()
    assert residual == pytest.approx(2, abs=1e-3), "machines vary as much as their errors and the spread say"
    assert found["difference"] == pytest.approx(mean)
    half = 4.302653 * (residual / 2 / weights.sum()) ** 0.5  # Student's t with 2 degrees of freedom
    assert (found["low"], found["high"]) == pytest.approx((mean - half, mean + half), abs=1e-5)
    assert "auc" not in set(rows.loc[rows["machine"] == SUMMARY, "measure"]), "an interval has no width"


def test_tables_have_a_row_per_machine_and_the_summary(three):
    compared, rows = three
    tables = {found.table.name: found.table for found in machine_tables(compared, rows)}
    assert list(tables) == [
        "machines_auc",
        "machines_f1",
        "machines_faithfulness_frame",
        "machines_faithfulness_segment",
    ]
    assert [name for name, table in tables.items() if table.is_detail] == ["machines_faithfulness_segment"]
    shown = only_columns(tables["machines_f1"], ("Explainer", "Machine", "Clips", "AE", "MAE", "Difference"))
    assert [[cell.text for cell in row] for row in shown.rows[:3]] == [
        ["Error map", "fan", "3", "0.200", "0.240", "+0.040"],
        ["Error map", "pump", "3", "0.200", "0.400", "+0.200"],
        ["Error map", "valve", "3", "0.200", "0.200", "0.000"],
    ]
    assert shown.rows[3][1].text == SUMMARY
    assert "SD between machines" in tables["machines_f1"].header
    assert "random-effects meta-analysis" in tables["machines_f1"].legend
    assert tables["machines_auc"].header[0] == "Machine"
    assert "No summary: an interval without a width" in tables["machines_auc"].note
    (sentence,) = machine_sentences(compared, rows)
    assert sentence.endswith("over 3 machines different for none of 1 explainer.")


def test_controls_have_tables_of_their_own_and_no_share_in_the_summary(compare):
    compared, rows = compare(parts=("spliced", "control"))
    assert [key.part for key in compared] == ["spliced"] * 3 + ["control"] * 3
    f1 = rows[rows["measure"] == "f1"].set_index(["part", "machine"])["difference"]
    assert f1["control"].drop(SUMMARY, errors="ignore").tolist() == [0, 0, 0]
    assert f1["spliced", SUMMARY] > 0
    names = [found.table.name for found in machine_tables(compared, rows)]
    assert names[:4] == ["machines_auc_spliced", "machines_auc_control", "machines_f1_spliced", "machines_f1_control"]


def test_two_machines_are_compared_and_not_summarised(tmp_path, capsys):
    study = write_machines(tmp_path / "study", machines=("fan", "pump"))
    (study / "runs/AE/root=valve/seed_0").mkdir(parents=True)
    (study / "runs/AE/root=valve/seed_0/study.json").write_text(
        json.dumps({"study": "machines", "variant": "AE", "settings": {"root": "valve"}, "seed": 0})
    )
    assert main(["report", str(study), "--output", str(tmp_path / "report.html")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "on fan higher for 1 of 1 explainer and on pump higher for 1 of 1 explainer" in printed
    assert "No summary over 2 machines: how much a difference varies" in printed
    assert "valve/seed_0: no run on this machine is tested yet" in printed
    page = (tmp_path / "report.html").read_text()
    assert "No summary over 2 machines" in page
    assert "report_fan.html" in page
    assert (tmp_path / "report_fan.html").is_file()
    table = pd.read_csv(tmp_path / "report_tables/machines_f1.csv")
    assert table["Machine"].tolist() == ["fan", "pump"]
    assert table["Difference"].tolist() == pytest.approx([0.04, 0.2])
    assert (tmp_path / "report_tables/pump/paired.csv").is_file()
    assert (tmp_path / "report_figures/machines_f1.pdf").is_file()


def test_runs_of_no_machine_are_not_mixed_with_others(tmp_path):
    study = write_machines(tmp_path / "study", machines=("fan", "pump"))
    alone = RunMaker().write(tmp_path / "alone")
    with pytest.raises(ConfigurationError, match="alone is of no study that varies the machine"):
        load_comparisons([study, alone])
    with pytest.raises(ConfigurationError, match="tested on different clips"):
        load_comparison([study])


def test_forest_plot_draws_intervals_and_a_diamond():
    rows = pd.DataFrame(
        [
            ("error_map", "fan", 0.1, 0.05, 0.2),
            ("error_map", "pump$", 0.3, 0.2, 0.4),
            ("error_map", "all", 0.2, 0, 0.3),
        ],
        columns=["explainer", "machine", "difference", "low", "high"],
    )
    (axes,) = forest_plot(rows, "F1", "all").axes
    lines = [line.get_xdata() for line in axes.lines]
    assert [list(x) for x in lines if len(x) == 2 and x[0] != x[1]] == [[0.05, 0.2], [0.2, 0.4]]
    (diamond,) = axes.patches
    assert sorted(diamond.get_xy()[:4, 0]) == [0, 0.2, 0.2, 0.3]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Error map   fan", r"pump\$", "all"]
