"""Recordings beside normal ones: what is unusual in them, in which words, and how often normal ones are called so."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.predictions.calibration import Calibration
from experiments.predictions.decisions import AlarmSettings, Decider
from experiments.predictions.drift import compare, drift_warnings
from experiments.predictions.scores import ScoredRecording

EDGES = np.array([0.0, 100.0, 200.0, 400.0, 800.0, 1_600.0, 3_200.0])
N_BANDS = 6


def sounding(levels, scores=None, name="new.wav", window=10.0):
    """A recording of windows that follow each other, given the levels of their bands (N, F)."""
    levels = np.asarray(levels, dtype=np.float32)
    scores = np.ones(len(levels)) if scores is None else np.asarray(scores, dtype=float)
    return ScoredRecording(
        name, window * np.arange(len(levels)), {"score": scores}, np.ones((len(levels), N_BANDS)), levels
    )


def normal_levels(draws, n_windows=1):
    """Levels of a recording with an offset and a tilt of its own, and of its windows."""
    own = draws.standard_normal() + 0.3 * draws.standard_normal(N_BANDS)
    return own + 0.5 * draws.standard_normal((n_windows, N_BANDS))


def decider(n, draws, n_windows=1):
    normal = [
        sounding(normal_levels(draws, n_windows), draws.uniform(1, 2, n_windows), f"{number}.wav")
        for number in range(n)
    ]
    return Decider(Calibration.of_recordings(normal, 0, 0), AlarmSettings(), window_seconds=10.0, hop_seconds=10.0)


def warned(recordings, of):
    return drift_warnings([(recording, compare(recording, of)) for recording in recordings], of, EDGES)


@pytest.mark.parametrize("n_windows", [1, 6])
def test_normal_recordings_are_unlike_normal_ones_as_rarely_as_promised(n_windows):
    """120 random halves of 158 normal clips calibrate, and 4 of 150 other recordings are compared with each."""
    draws = np.random.default_rng(0)
    everything = decider(158, draws)
    pool = [sounding(normal_levels(draws, n_windows)) for _ in range(150)]
    unlike, warnings = [], []
    for _ in range(120):
        half = np.isin(np.arange(158), draws.permutation(158)[:79])
        of = replace(everything, calibration=everything.calibration.subset(half))
        new = [pool[row] for row in draws.permutation(len(pool))[:4]]
        comparisons = [compare(recording, of) for recording in new]
        unlike += [bool(comparison.drift) for comparison in comparisons]
        warnings.append(bool(drift_warnings(list(zip(new, comparisons, strict=True)), of, EDGES)))
    assert np.mean(unlike) <= 0.05 + 0.03
    assert np.mean(warnings) <= 0.05 + 0.06
    assert n_windows > 1 or np.mean(unlike) >= 0.02, "clips as long as normal ones are no more unlike than others"


def test_a_gain_changes_the_level_alone():
    draws = np.random.default_rng(1)
    of = decider(79, draws)
    quiet = normal_levels(draws, 8)
    before, after = compare(sounding(quiet), of), compare(sounding(quiet + 9), of)
    assert before.drift == []
    assert after.drift == ["level"]
    assert after.level - before.level == pytest.approx(9, abs=1e-4)
    assert after.p_value == pytest.approx(2 * 8 / 5 / 80)
    unlike, level = warned([sounding(quiet + 9)], of)
    assert unlike.startswith("Unlike anything trained on (p = 0.05): 1 of 1 recording in level or spectrum.")
    normal = 10 * np.log10((10 ** (of.calibration.typical_spectrum / 10)).mean(axis=1))
    louder = after.level - normal.mean()
    spread = f"from {normal.min() - normal.mean():+.1f} to {normal.max() - normal.mean():+.1f} dB"
    assert level.startswith(f"Level of 1 recording, most in new.wav: {louder:.1f} dB louder than the 79 normal ones on")
    assert level.endswith(spread)


def test_missing_bands_are_named_in_hertz():
    draws = np.random.default_rng(2)
    of = decider(79, draws)
    levels = normal_levels(draws, 8)
    levels[:, 4:] -= 30
    sentences = warned([sounding(levels + 1, name="dull.wav"), sounding(levels, name="other.wav")], of)
    (spectrum,) = [sentence for sentence in sentences if sentence.startswith("Spectrum of 2 recordings, most in")]
    assert "from 800 to 3,200 Hz beside the other bands" in spectrum
    assert -32 < float(spectrum.split(": ")[1].split(" dB")[0]) < -28


def test_what_is_broken_for_seconds_is_no_drift():
    """An event of 3 s lies in up to two of twenty windows; from eleven on it is most of the recording."""
    draws = np.random.default_rng(3)
    of = decider(79, draws)
    for n_broken, expected in ((2, False), (10, False), (11, True)):
        levels, scores = normal_levels(draws, 20), draws.uniform(1, 2, 20)
        levels[5 : 5 + n_broken] += 20
        scores[5 : 5 + n_broken] += 20
        recording = sounding(levels, scores)
        assert bool(compare(recording, of).drift) is expected
        assert any("no longer holds" in sentence for sentence in warned([recording], of)) is expected


def test_scores_that_are_high_most_of_the_time_end_the_calibration():
    draws = np.random.default_rng(4)
    of = decider(79, draws)
    clips = [sounding(normal_levels(draws), [5.0 + number], f"{number}.wav") for number in range(10)]
    (sentence,) = warned(clips, of)
    # 10 / 6 of 1 / 80.
    assert sentence.startswith("The calibration no longer holds (p = 0.021): most of the time the score is higher than")
    assert "9.5 dB² at the median, where 79 normal ones range from 1." in sentence
    assert warned(clips[:9], of) == [], "90 s may be one event"
    normal = [sounding(normal_levels(draws), [1.5]) for _ in range(5)]
    assert warned(clips[5:] + normal, of) == [], "half is not most"


def test_windows_of_recordings_are_compared_in_stretches_of_the_calibration():
    """Normal recordings have 4 windows, of which one is high: that is normal, though no median of 4 is high."""
    draws = np.random.default_rng(5)
    of = decider(79, draws, n_windows=4)
    recording = sounding(normal_levels(draws, 40), np.tile([1.2, 9.0, 1.4, 1.3], 10))
    assert not [sentence for sentence in warned([recording], of) if "no longer holds" in sentence]


@pytest.mark.parametrize(
    ("n", "n_windows", "is_compared"), [(8, 1, False), (9, 1, True), (18, 50, False), (19, 50, True)]
)
def test_says_how_many_normal_clips_a_comparison_needs(n, n_windows, is_compared):
    draws = np.random.default_rng(6)
    recording = sounding(normal_levels(draws, n_windows) + 50)
    sentences = warned([recording], of := decider(n, draws))
    assert bool(compare(recording, of).drift) is is_compared
    missing = f"{n} normal clips or recordings are too few, 9 are needed, and 19 for longer recordings"
    assert any(missing in sentence for sentence in sentences) is not is_compared


def test_a_calibration_of_an_earlier_version_still_decides(tmp_path):
    of = decider(20, np.random.default_rng(7))
    of.calibration.save(path := tmp_path / "calibration.npz")
    with np.load(path) as arrays:
        earlier = {name: arrays[name] for name in arrays.files if not name.startswith("typical_")}
    np.savez(path, **earlier)
    read = Calibration.load(path)
    assert read.score.tolist() == of.calibration.score.tolist()
    loaded = Decider(read.subset(np.arange(20) < 19), AlarmSettings(), 10.0, 10.0)
    recording = sounding(normal_levels(np.random.default_rng(8)))
    assert loaded.decide(recording).p_values.shape == (1,)
    assert compare(recording, loaded).drift == []
    (sentence,) = warned([recording], loaded)
    assert "an earlier version has saved the calibration; give normal recordings with --calibrate" in sentence
