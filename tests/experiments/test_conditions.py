"""Calibrations that are kept apart by condition: which condition a recording has, and the promise in each."""

import math
from pathlib import Path

import numpy as np
import pytest

from datamodules.errors import DataError
from experiments.predictions.calibration import Calibration
from experiments.predictions.conditions import Conditions, Deciders
from experiments.predictions.decisions import AlarmSettings
from experiments.predictions.scores import ScoredRecording

ALPHAS = (0.05, 0.1, 0.25, 0.5)


def scored(name, score):
    return ScoredRecording(name, np.zeros(1), {"score": np.array([float(score)])}, np.full((1, 1), score, np.float32))


def deciders(scores, conditions, of_recordings):
    normal = Calibration.of_recordings([scored(f"{row}.wav", score) for row, score in enumerate(scores)], 0, 0)
    return Deciders({}, of_recordings).calibrated(normal, conditions, AlarmSettings(), 1.0, 1.0)


def test_p_values_and_thresholds_of_conditions_by_hand():
    scores, conditions = [1, 2, 3, 4, 10, 20, 30, 99], ["slow"] * 4 + ["fast"] * 3 + [""]
    of = deciders(scores, conditions, {"a.wav": "slow", "b.wav": "fast", "c.wav": "idle", "d.wav": ""})
    slow, fast = of.of("a.wav"), of.of("b.wav")
    assert slow.decide(scored("a.wav", 3.5)).p_values.tolist() == [2 / 5]
    assert fast.decide(scored("b.wav", 3.5)).p_values.tolist() == [1.0]
    assert (slow.alpha, slow.threshold) == (1 / 5, 4.0)
    assert (fast.alpha, fast.threshold) == (1 / 4, 30.0)
    assert of.of("c.wav") is None, "no normal clip of this condition"
    assert of.of("d.wav") is None, "not among the clips without a condition"
    assert list(of.by_condition) == ["fast", "slow"]


def test_p_values_of_each_condition_are_uniform_with_20_clips():
    """1,000 draws of two conditions, one of which scores higher; a share has a standard error of at most 0.016."""
    draws = np.random.default_rng(0)
    p = {"slow": [], "fast": []}
    conditions = ["slow", "fast"] * 20
    for _ in range(1_000):
        scores = draws.gamma(2.0, size=42) * np.tile([1.0, 50.0], 21)
        normal = {name: scores[first:40:2] for name, first in (("slow", 0), ("fast", 1))}
        calibration = Calibration(
            names=np.arange(40).astype(str), windows=np.ones(40, int), score=scores[:40], masked_score=scores[:40],
            second_error=scores[:40], spectrum=np.zeros(0), epoch=0, step=0,
        )  # fmt: skip
        of = Deciders({}, {"slow": "slow", "fast": "fast"}).calibrated(calibration, conditions, AlarmSettings(), 1, 1)
        for name, score in (("slow", scores[40]), ("fast", scores[41])):
            (found,) = of.of(name).decide(scored(name, score)).p_values
            assert found == pytest.approx((1 + (normal[name] >= score).sum()) / 21)
            p[name].append(found)
    for of_condition in p.values():
        for alpha in ALPHAS:
            assert np.mean(np.array(of_condition) <= alpha) == pytest.approx(math.floor(21 * alpha) / 21, abs=0.05)


@pytest.mark.parametrize(
    ("text", "option", "column"),
    [
        ("name,speed\ntrain/a.wav,fast\nb,slow\n", "", "speed"),
        ("Name;Load;Speed\ntrain/a.wav;1;fast\nb;2;slow\n", ":Speed", "speed"),
        ("﻿sep=;\nspeed;name\nfast;train\\a.wav\nslow;b.wav\n", "", "speed"),
    ],
)
def test_reads_conditions_of_names(tmp_path, text, option, column):
    (path := tmp_path / "conditions.csv").write_text(text, encoding="utf-8")
    conditions = Conditions.read(f"{path}{option}")
    found = [conditions.of(name) for name in ("train/a.wav", "a.flac", "new/b.wav", "c.wav")]
    assert found == ["fast", "fast", "slow", ""]


def test_a_file_name_in_folders_of_several_conditions_needs_its_folder(tmp_path):
    (path := tmp_path / "conditions.csv").write_text("name,speed\nx/a.wav,fast\ny/a.wav,slow\n")
    conditions = Conditions.read(str(path))
    assert [conditions.of(name) for name in ("x/a.wav", "y/a.wav", "z/a.wav")] == ["fast", "slow", ""]


def test_the_folder_of_a_recording_is_its_condition():
    conditions = Conditions.read("folder")
    assert conditions.of("train/fast/a.wav") == "fast"
    assert conditions.of("a.wav", Path("new/slow/a.wav")) == "slow"
    assert conditions.of("a.wav") == ""


@pytest.mark.parametrize(
    ("text", "option", "message"),
    [
        ("name,speed,load\na,1,2\n", "", r"has the columns speed, load; choose one: .*conditions.csv:speed"),
        ("name,speed\na,1\n", ":load", "lacks the column load"),
        ("file,speed\na,1\n", ":speed", "lacks the column name"),
        ("name\na\n", "", "lacks the column condition"),
        ("name,speed\na.wav,1\na.wav,2\n", "", r"row 3: 'a' has another speed than in an earlier row"),
        ("name,speed\na.wav,1,2\n", "", r"row 2: .* is not 2 columns"),
        (None, "", r"--condition .*conditions.csv is not a file; give folder, or a CSV file"),
    ],
)
def test_rejects_conditions_that_are_not_clear(tmp_path, text, option, message):
    path = tmp_path / "conditions.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        Conditions.read(f"{path}{option}")
