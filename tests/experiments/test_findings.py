"""What a report says first: its sentences, its warnings, and when it says nothing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folders import RunMaker
from study_folders import write_study

from datamodules.provenance import Provenance
from experiments.report.evidence import compute_evidence
from experiments.report.findings import sentences, warnings
from experiments.report.loading import load_comparison
from experiments.report.tables import detection_tables, explanation_tables, measure_table
from lightning_modules import ConfigurationError


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "small")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The comparison of a study and its evidence, not to be changed."""
    return load(write_study(tmp_path_factory.mktemp("findings") / "small"))


def load(*folders):
    """A comparison and its evidence."""
    comparison = load_comparison([Path(folder) for folder in folders])
    return comparison, compute_evidence(comparison)


def warned(run_maker, tmp_path, **maker):
    """The warnings of one run in one text."""
    return " ".join(warnings(*load(run_maker(**maker).write(tmp_path / "run"))))


def test_three_sentences(ae_and_mae):
    assert sentences(*load(*ae_and_mae)) == [
        "AE (runs/ae) and MAE (runs/mae) were tested on the same 7 clips: 4 normal and 3 anomalous (2 broken and 1 "
        "stuck); 3 have annotated intervals.",
        "The AUC is 0.750 [0.250, 1.000] for AE and 1.000 [1.000, 1.000] for MAE.",
        "F1 at the 98th percentile: with MAE instead of AE not significantly different for 2.",
    ]


def test_explainers_above_chance_are_counted_without_the_control(small):
    *_, explained = sentences(*small)
    assert (
        "above chance for 3 of 3 explainers with AE and 3 of 3 explainers with MAE; with MAE instead of AE not "
        "significantly different for 3" in explained
    )


def verdicts(evidence, *chosen):
    """The evidence with these verdicts of paired tests of F1, by explainer."""
    paired = evidence.paired.copy()
    for explainer, verdict in chosen:
        paired.loc[(paired["explainer"] == explainer) & (paired["measure"] == "f1"), "verdict"] = verdict
    return replace(evidence, paired=paired)


def test_verdicts_of_two_models_are_counted(small):
    comparison, evidence = small
    found = sentences(comparison, verdicts(evidence, ("error_map", "higher"), ("saliency", "lower")))[-1]
    assert "MAE instead of AE higher for 1, lower for 1 and not significantly different for 1" in found


def test_the_claim_needs_real_recordings_and_three_seeds(study):
    comparison, evidence = load(study)
    evidence = verdicts(evidence, ("error_map", "higher"))
    assert "claim, higher for all of its explainers, holds for 1 of 2)" in sentences(comparison, evidence)[-1]
    constructed = Provenance("by simulation", "")
    for run in study.glob("runs/*/*/test"):
        (run / "provenance.json").write_text(json.dumps(vars(constructed)))
    assert "claim" not in sentences(load_comparison([study]), evidence)[-1]
    for run in study.glob("runs/*/*/test/provenance.json"):
        run.unlink()
    shutil.rmtree(study / "runs/AE/seed_2")
    assert "claim" not in sentences(load_comparison([study]), evidence)[-1]


def test_no_more_than_four_models_are_named(tmp_path):
    folders = []
    for i in range(5):
        anomalous = {"stuck/a.wav": 5.0, "broken/b.wav": 5.0 - i, "broken/c.wav": 5.0}
        folders.append(RunMaker(anomalous=anomalous, examples=False).write(tmp_path / f"run{i}"))
    tested, detected, *_ = sentences(*load(*folders))
    assert tested.startswith("5 models (5 runs) were tested on the same 7 clips")
    # The lowest anomaly of the fifth, at 1, ties with the lowest of the normal clips at 1 to 4: 8.5 of 12 pairs.
    assert detected == "The AUC is between 0.708 for AE (run4) and 1.000 for AE (run0)."


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        # Quieter in 4 + 4 + 1 of 12 pairs, as much as the AE and the MAE reach; ties count half.
        ((-30.0, -30.0, -29.0, -27.0, -32.0, -31.0, -28.0), "; AE does not exceed that of the level alone, 0.750 [0."),
        ((-30.0, -30.0, -30.0, -30.0, -31.0, -30.0, -29.0), None),
    ],
)
def test_the_level_is_told_only_where_it_is_not_exceeded(run_maker, tmp_path, levels, said):
    detected = sentences(*load(run_maker(levels=levels).write(tmp_path / "run")))[1]
    assert ("level" in detected) == (said is not None)
    assert said is None or said in detected


def test_a_single_run_says_nothing_about_seeds(run_maker, tmp_path):
    comparison, evidence = load(run_maker(evidence=True).write(tmp_path / "run"))
    assert "One training run of AE: nothing is known of how results vary" in " ".join(warnings(comparison, evidence))
    assert "±" not in measure_table(comparison, evidence, "f1").note


def test_baselines_without_random_numbers_need_no_seeds(run_maker, tmp_path):
    folders = {name: run_maker(f1=None, examples=False).write(tmp_path / name)
               for name in ("OneClassSVM", "IsolationForest", "NearestNeighbours")}  # fmt: skip
    for name, folder in folders.items():
        config = folder / "fit" / "config.yaml"
        config.write_text(config.read_text().replace("lightning_modules.Autoencoder", f"lightning_modules.{name}"))
    (said,) = [warning for warning in warnings(*load(*folders.values())) if "One training run" in warning]
    assert said.startswith("One training run of Isolation forest: ")


def test_several_seeds_have_no_such_warning(small):
    comparison, evidence = small
    assert "One training run" not in " ".join(warnings(comparison, evidence))
    assert "±" in measure_table(comparison, evidence, "f1").note


@pytest.mark.parametrize(
    ("maker", "said"),
    [
        ({"f1": None, "examples": False, "anomalous": {}}, "The test set has no anomalous clips, so AUC"),
        ({"normal": ()}, "The test set has no normal clips, so AUC"),
        ({"normal": (6.0, 7.0, 8.0, 9.0)}, "The AUC of AE is 0.000, far below 0.5: normal clips score higher"),
        (
            {"normal": (6.0, 7.0, 8.0, 9.0), "evidence": True},
            "The AUC of the masked score of AE is 0.000, far below 0.5",
        ),
        ({"normal": (1.0, float("nan"), 3.0, 4.0)}, "1 clip of AE with a score that is not a number, such as normal/1"),
        ({"normal": (5.0,) * 4, "anomalous": dict.fromkeys(("a/a", "a/b", "a/c"), 5.0)}, "the same score with AE"),
        ({"evidence": True, "every_frame": 1.0}, "Taking all frames reaches an F1 of 1.000"),
        (
            {},
            "No chance level of F1, frame-based faithfulness and segment-based faithfulness: run faithful-aad test --",
        ),
        ({"f1": None}, "--data.annotations"),
        (
            {"anomalous": {"stuck/a.wav": 5.0, "broken/b.wav": 6.0, "broken/c.wav": 7.0}},
            "Intervals without a width, such as [1.000, 1.000], show no certainty",
        ),
    ],
)
def test_odd_results_are_warned_of(run_maker, tmp_path, maker, said):
    assert said in warned(run_maker, tmp_path, **maker)


def test_ordinary_results_are_not_warned_of(run_maker, tmp_path):
    # An AUC of 5/12 is not far below 0.5.
    low = run_maker(normal=(1.0, 4.0, 4.5, 4.75), evidence=True).write(tmp_path / "low")
    # Nor is that of a sixth whose interval reaches 0.5: few clips.
    few = run_maker(anomalous={"a/a": 2.5, "a/b": 2.0}, normal=(1.0, 3.0, 4.0), f1=None).write(tmp_path / "few")
    # 84 of 200 anomalies above all 200 normal clips: 0.42, with an interval below 0.5 (its deviation is 0.035).
    anomalous = {f"stuck/{i}": 2.0 * (i < 84) for i in range(200)}
    many = run_maker(anomalous=anomalous, normal=(1.0,) * 200, f1=None, examples=False).write(tmp_path / "many")
    for run in (low, few, many):
        assert "far below" not in " ".join(warnings(*load(run)))
    (only,) = [warning for warning in warnings(*load(low)) if "One training run" not in warning]
    assert only.startswith("Intervals without a width")  # of saliency, which is 0.1 on every clip


def test_an_unfinished_test_is_warned_of_instead_of_what_it_lacks(run_maker, tmp_path):
    run = run_maker(f1=None).write(tmp_path / "run")
    (run / "test" / "finished").unlink()
    said = " ".join(warnings(*load(run)))
    assert f"AE ({run}): test unfinished: results may be missing. Run faithful-aad test again." in said
    assert "No test clip was explained" not in said


def test_constructed_test_sets_are_marked(run_maker, tmp_path):
    run = run_maker().write(tmp_path / "run")
    mark = Provenance("by splicing", "Pieces of clips were mixed.")
    (run / "test" / "provenance.json").write_text(json.dumps(vars(mark)))
    comparison, evidence = load(run)
    assert sentences(comparison, evidence)[0].endswith("annotated intervals. Test set constructed by splicing.")
    assert "Test set constructed by splicing. Pieces of clips were mixed." in warnings(comparison, evidence)


def test_unfinished_runs_of_a_study_are_named(study):
    (study / "runs/MAE/seed_1/test/finished").unlink()
    assert f"{study}/runs/MAE/seed_1 is not tested yet and left out." in warnings(*load(study))


def test_a_control_above_chance_is_warned_of(small, run_maker, tmp_path):
    assert "The random map, a control, is above chance in F1 of AE, F1 of MAE" in " ".join(warnings(*small))
    assert "control" not in warned(run_maker, tmp_path, evidence=True)


def test_a_control_that_differs_between_models_points_to_the_columns_over_chance(tmp_path):
    clips = {f"stuck/{i}": 5.0 for i in range(8)}
    generator = np.random.default_rng(0)
    f1 = {name: generator.uniform(0.2, 0.4, (8, 3)) for name in ("error_map", "random")}
    folders = []
    for objective, gain in (("AE", 0.0), ("MAE", 0.2)):
        values = {name: (of_clips + gain).tolist() for name, of_clips in f1.items()}
        folders.append(RunMaker(objective, clips, values, evidence=True, examples=False).write(tmp_path / objective))
    comparison, evidence = load(*folders)
    (said,) = [warning for warning in warnings(comparison, evidence) if "The random map's F1 differs" in warning]
    assert said == ("The random map's F1 differs between MAE and AE (+0.200, p 0.008): read the columns over chance.")
    # Chance is half of each value, so that half of the gain is left.
    assert "with MAE instead of AE, over chance, higher for 1" in sentences(comparison, evidence)[-1]
    row = evidence.paired.query("explainer == 'error_map' and measure == 'f1' and over_chance").iloc[0]
    assert row["difference"] == pytest.approx(0.1)


def test_values_over_chance_are_paired_by_clip(study):
    row = "explainer == 'error_map' and measure == 'faithfulness_segment' and over_chance"
    before = load(study)[1].paired.query(row).iloc[0]["difference"]
    for path in study.glob("runs/MAE/*/test/explanations.csv"):
        rows = pd.read_csv(path)
        rows.loc[rows["measure"] == "faithfulness_segment", "chance"] += 0.25
        rows.to_csv(path, index=False)
    assert load(study)[1].paired.query(row).iloc[0]["difference"] == pytest.approx(before - 0.25)


def test_warns_of_too_few_clips_for_any_difference(small):
    comparison, evidence = small
    for n_clips, warned in ((3, True), (5, True), (6, False)):
        of_so_many = replace(evidence, paired=evidence.paired.assign(n_clips=n_clips))
        warning = f"{n_clips} clips: too few for any difference to be significant."
        assert (warning in warnings(comparison, of_so_many)) == warned


def test_notes_say_what_bold_and_corrected_mean(small):
    comparison, evidence = small
    assert "Bold: the best mean" in explanation_tables(comparison, evidence)[0].legend
    # Both models detect equally well, so nothing is bold.
    assert "Bold" not in detection_tables(comparison, evidence)[0].legend
    assert "values above 1 are possible" in measure_table(comparison, evidence, "faithfulness_segment").legend
    assert "above 1" not in measure_table(comparison, evidence, "f1").legend


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("small/runs/AE/seed_0/test", "small/runs/AE/seed_0"),
        ("small/runs", "small"),
        ("small/runs/AE", "small"),
        (".", "small"),
    ],
)
def test_rejects_a_wrong_folder_and_names_the_right_one(study, wrong, right):
    with pytest.raises(ConfigurationError) as rejected:
        load_comparison([study.parent / wrong])
    message = str(rejected.value)
    assert message.startswith(f"{study.parent / wrong} is ")
    assert f"{study.parent / right}" in message.partition(" is ")[2].replace(",", " ").split()
    assert "\n" not in message
