"""What a report says of the limits of its numbers, and of folders it cannot read."""

import csv

import pytest
from study_folders import write_study

from experiments.report.cautions import cautions, missing_in_words
from experiments.report.comparison import load_comparison
from experiments.report.evidence import chance_tests
from experiments.report.pairing import paired_tests, pairs
from experiments.report.summary import findings, preface, summarise
from experiments.report.tables import detection_tables, explanation_tables, measure_table
from lightning_modules import ConfigurationError


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "small")


def raise_chance(study, variant, change):
    """Change the chance level of segment-based faithfulness in all runs of a variant."""
    for path in study.glob(f"runs/{variant}/*/test/faithfulness.csv"):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            row["segment_chance"] = float(row["segment_chance"]) + change
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def test_cautions_come_before_any_claim(study):
    comparison = load_comparison([study])
    assert summarise(comparison) == [*preface(comparison), *findings(comparison)]
    assert preface(comparison)[1] == cautions(comparison)[0]
    assert cautions(comparison)[0].startswith("± is the standard deviation between training runs")


def test_a_single_run_is_told_to_say_nothing_of_training(run_maker, tmp_path):
    comparison = load_comparison([run_maker(evidence=True).write(tmp_path / "run")])
    (said,) = cautions(comparison)
    assert "one training run says nothing of how far results vary from training to training" in said
    assert not any("±" in sentence for sentence in summarise(comparison))
    assert "±" not in measure_table(comparison, "f1").note


def test_values_over_chance_are_paired_by_clip(study):
    before = paired_tests(*_compared(study), "segment", over_chance=True)["error_map"].difference
    raise_chance(study, "MAE", 0.25)
    after = paired_tests(*_compared(study), "segment", over_chance=True)["error_map"].difference
    assert after == pytest.approx(before - 0.25)


def _compared(study):
    comparison = load_comparison([study])
    return comparison, *pairs(comparison)[0]


def test_excess_over_random_frames_is_an_interval_of_the_difference(study):
    comparison = load_comparison([study])
    for test in chance_tests(comparison, "f1").values():
        for name, (low, high) in test.excess.items():
            assert low - 1e-9 <= test.value.mean - test.references[name] <= high + 1e-9
    assert {tuple(test.excess) for test in chance_tests(comparison, "frame").values()} == {("random_frames",)}


def test_an_interval_without_a_width_is_no_certainty(run_maker, tmp_path):
    sure = {"stuck/a.wav": 5.0, "broken/b.wav": 6.0, "broken/c.wav": 7.0}
    comparison = load_comparison([run_maker(anomalous=sure).write(tmp_path / "sure")])
    assert "as [1.000, 1.000], is no certainty" in detection_tables(comparison)[0].note
    assert "is no certainty" in " ".join(findings(comparison))


def test_the_caption_says_what_bold_and_corrected_mean(study):
    comparison = load_comparison([study])
    assert "Bold: the best mean" in explanation_tables(comparison)[0].note
    # Both models detect equally well, so nothing is bold.
    assert "Bold" not in detection_tables(comparison)[0].note
    assert "values above 1 are possible" in measure_table(comparison, "segment").note
    assert "above 1" not in measure_table(comparison, "f1").note


def test_missing_columns_have_a_reason(run_maker, tmp_path, study):
    assert missing_in_words(load_comparison([study])) == []
    plain = missing_in_words(load_comparison([run_maker().write(tmp_path / "plain")]))
    assert "The columns of chance and p are missing for F1" in plain[0]
    assert "with --faithfulness.shifts above 0" in plain[0]
    bare = missing_in_words(load_comparison([run_maker(f1=None).write(tmp_path / "bare")]))
    assert "--data.annotations" in bare[0]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("small/runs/AE/seed_0/test", "small/runs/AE/seed_0"),
        ("small/runs", "small"),
        ("small/runs/AE", "small"),
        (".", "small"),
    ],
)
def test_the_right_folder_is_named(study, wrong, right):
    with pytest.raises(ConfigurationError) as refused:
        load_comparison([study.parent / wrong])
    message = str(refused.value)
    assert message.startswith(f"{study.parent / wrong} is ")
    assert f"{study.parent / right}" in message.partition(" is ")[2].replace(",", " ").split()
    assert "\n" not in message
