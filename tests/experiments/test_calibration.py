"""Alarms and events from the scores of normal recordings, through the real commands and by hand."""

import csv
import os
import re
import time

import numpy as np
import pytest
import soundfile

from experiments.cli.main import main
from experiments.predictions.calibration import Calibration
from experiments.predictions.decisions import AlarmSettings, Decider
from experiments.predictions.events import find_events, most_alike
from experiments.predictions.scores import ScoredRecording
from lightning_modules.errors import ConfigurationError

OPTIONS = ["--data", "AudioFolderDataModule", "--data.n_frames", "40", "--data.frontend.sample_rate", "8000"]
OPTIONS += ["--data.frontend.n_mels", "40", "--data.reference_level", "null", "--wandb.mode", "disabled"]
OPTIONS += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
OPTIONS += ["--trainer.enable_model_summary", "false", "--data.val_fraction", "0.5", "--attributions.explainers", "[]"]
RATE = 8_000
ANOMALIES = [(12, 15), (31, 33)]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scored(scores, band_errors=None, name="a.wav", hop=1.0):
    errors = np.zeros((len(scores), 0)) if band_errors is None else np.array(band_errors, dtype=np.float32)
    return ScoredRecording(name, hop * np.arange(len(scores)), {"score": np.array(scores, dtype=float)}, errors)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """40 normal seconds to train and to validate on; a recording of 40 s, normal and with a tone in two places."""
    root = tmp_path_factory.mktemp("recordings")
    noise = np.random.default_rng(0)
    for number in range(40):
        path = root / f"data/train/{number:02}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.05 * noise.standard_normal(RATE), RATE)
    normal = 0.05 * noise.standard_normal(40 * RATE)
    loud = normal.copy()
    for start, end in ANOMALIES:
        loud[start * RATE : end * RATE] += 0.2 * np.sin(2 * np.pi * 1_000 * np.arange((end - start) * RATE) / RATE)
    for folder, samples in (("new", loud), ("normal", normal)):
        (root / folder).mkdir()
        soundfile.write(root / folder / "saw_20191204_084800.wav", samples, RATE)
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Runs of an AE, an MAE and a baseline detector, by the class."""
    folder = tmp_path_factory.mktemp("runs")
    for model, options in {
        "Autoencoder": ["--model.backbone", "dense", "--trainer.max_epochs", "3"],
        "MaskedAutoencoder": ["--model.backbone", "dense", "--trainer.max_epochs", "3"],
        "NearestNeighbours": [],
    }.items():
        fit = ["fit", "--model", model, "--run", str(folder / model), "--data.root", str(data / "data")]
        assert main([*fit, *options, *OPTIONS]) == 0
    return lambda model: folder / model


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("Autoencoder", []),
        ("MaskedAutoencoder", ["--alarm_score", "masked_score"]),
        ("NearestNeighbours", ["--persistence", "2/3"]),
    ],
)
def test_predict_finds_events_in_a_recording(run, data, capsys, tmp_path, model, options):
    folder = run(model) / "predict"
    recording = ["--data.predict_path", str(data / "new"), "--hop", "0.5"]
    assert main(["predict", "--run", str(run(model)), *recording, *options, "--alpha", "0.05"]) == 0
    shown = capsys.readouterr().out
    assert "2 events in 1 of 1 recording: events.csv" in shown
    assert "with alpha = 0.05 at most 5 % of normal windows raise an alarm on average" in shown

    events = rows(folder / "events.csv")
    for event, (start, end) in zip(events, ANOMALIES, strict=True):
        within = 2 if model == "NearestNeighbours" else 1  # whole windows, or seconds
        assert float(event["start"]) == pytest.approx(start, abs=within)
        assert float(event["end"]) == pytest.approx(end, abs=within)
        assert start <= float(event["peak"]) <= end
        assert float(event["p_value"]) == pytest.approx(1 / 21)
        assert event["time"] == f"2019-12-04 08:48:{int(float(event['start']) + 0.5)}"
        if model != "NearestNeighbours":
            assert float(event["low_hz"]) < 1_000 < float(event["high_hz"]) < 1_400
    likeness = [event["likeness"] for event in events]
    assert likeness == ["", ""] if model == "NearestNeighbours" else float(likeness[1]) > 0.9

    (prediction,) = rows(folder / "predictions.csv")
    windows, seconds = rows(folder / "windows.csv"), rows(folder / "timeline.csv")
    assert (prediction["alarm"], prediction["events"]) == ("1", "2")
    assert len(windows) == 79
    assert float(prediction["score"]) == max(float(window["score"]) for window in windows)
    assert [row["second"] for row in seconds] == [str(second) for second in range(40)]
    if model != "NearestNeighbours":
        assert {second for second, row in enumerate(seconds) if row["flagged"] == "1"} >= {12, 13, 14, 31, 32}

    assert (
        main(["annotations", "convert", str(folder / "labels"), "--to", "csv", "--output", str(tmp_path / "l.csv")])
        == 0
    )
    labels = rows(tmp_path / "l.csv")
    read = [(float(row["start"]), float(row["end"])) for row in labels]
    assert read == [(float(event["start"]), float(event["end"])) for event in events]
    if model != "NearestNeighbours":
        assert [round(float(row["low_hz"])) for row in labels] == [float(event["low_hz"]) for event in events]

    # The labels make a test set, whose clips give the labels back.
    testset = ["data", "testset", str(data / "new"), str(folder / "labels"), str(tmp_path / "set")]
    assert main([*testset, "--seconds", "1", "--hop", "0.5"]) == 0
    convert = ["annotations", "convert", str(tmp_path / "set/annotations.csv"), "--to", "audacity"]
    back = ["--manifest", str(tmp_path / "set/manifest.csv"), "--timeline", "recordings"]
    assert main([*convert, *back, "--output", str(tmp_path / "back")]) == 0
    (before,), (after,) = (folder / "labels").iterdir(), (tmp_path / "back").iterdir()
    assert (after.name, after.read_text()) == (before.name, before.read_text())


def test_an_alpha_that_too_few_clips_allow_is_rejected(run, data, capsys):
    command = ["predict", "--run", str(run("Autoencoder")), "--data.predict_path", str(data / "new")]
    assert main([*command, "--alpha", "0.01"]) == 2
    assert "--alpha 0.01 needs 99 normal clips" in (error := capsys.readouterr().err)
    assert "there are 20, which allow --alpha 0.0476" in error
    assert main([*command, "--false_alarms_per_day", "10"]) == 2
    # Of 86,400 windows that begin in a day.
    assert "--false_alarms_per_day 10 needs 8,639 normal clips" in (error := capsys.readouterr().err)
    assert "there are 20, which allow --false_alarms_per_day 4.11e+03" in error


def test_calibration_recordings_take_the_place_of_validation_clips(run, data, capsys):
    folder = run("Autoencoder")
    command = ["predict", "--run", str(folder), "--calibrate", str(data / "normal"), "--hop", "0.5"]
    assert main([*command, "--data.predict_path", str(data / "normal"), "--alpha", "0.05"]) == 2
    assert (
        "--alpha 0.05 needs 19 normal clips or recordings to calibrate with, but there are 1" in capsys.readouterr().err
    )
    assert main([*command, "--data.predict_path", str(data / "new"), "--block", "2"]) == 0
    assert "of normal stretches of 2 s raise an alarm" in capsys.readouterr().out
    calibration = Calibration.load(folder / "predict/calibration.npz")
    assert calibration.windows.tolist() == [4] * 18 + [7]
    windows = rows(folder / "predict/windows.csv")
    assert main([*command, "--data.predict_path", str(data / "normal"), "--block", "2"]) == 0
    (prediction,) = rows(folder / "predict/predictions.csv")
    assert (prediction["alarm"], prediction["seconds"]) == ("0", ""), "a recording never exceeds itself"
    normal = [float(row["score"]) for row in rows(folder / "predict/windows.csv")]
    highest = [max(normal[first:after]) for first, after in zip(range(0, 76, 4), [*range(4, 76, 4), 79], strict=True)]
    assert calibration.score == pytest.approx(highest, rel=1e-5)
    for row in windows:
        expected = (1 + sum(score >= float(row["score"]) for score in calibration.score)) / 20
        assert float(row["p_value"]) == pytest.approx(expected)


def noise_files(folder, levels, seed, seconds=2):
    """Recordings of noise of one level each."""
    noise = np.random.default_rng(seed)
    for number, level in enumerate(levels):
        path = folder / f"{number:02}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, level * noise.standard_normal(seconds * RATE), RATE)


@pytest.mark.parametrize("model", ["Autoencoder", "NearestNeighbours"])
def test_predict_says_that_recordings_are_unlike_normal_ones(run, data, capsys, tmp_path, model):
    noise_files(tmp_path / "loud", [0.1] * 4, seed=1, seconds=4)
    noise_files(tmp_path / "same", [0.05] * 4, seed=2, seconds=4)
    command = ["predict", "--run", str(run(model)), "--data.predict_path"]
    assert main([*command, str(tmp_path / "loud")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Unlike anything trained on (p < 0.001)"), "before the alarms"
    assert "4 of 4 recordings in level or spectrum" in lines[0]
    level, range_of_normal = re.search(r": ([\d.]+) dB louder .* range from (.*) dB$", lines[1]).groups()
    assert float(level) == pytest.approx(6.0, abs=0.3)
    assert range_of_normal.startswith("-0.")
    assert any(line.startswith("The calibration no longer holds (p = 0.085)") for line in lines)
    assert "(4 of them unlike normal ones, see drift in predictions.csv)" in "".join(lines)
    predictions = rows(run(model) / "predict/predictions.csv")
    assert {row["drift"] for row in predictions} == {"level"}
    assert [float(row["drift_p_value"]) for row in predictions] == [pytest.approx(2 * 4 / 3 / 21)] * 4
    louder = np.mean([float(row["relative_level"]) for row in predictions])

    assert main([*command, str(tmp_path / "same")]) == 0
    assert "Unlike" not in capsys.readouterr().out
    predictions = rows(run(model) / "predict/predictions.csv")
    assert {row["drift"] for row in predictions} == {""}
    level = np.mean([float(row["relative_level"]) for row in predictions])
    assert louder - level == pytest.approx(6.0, abs=0.2)


def test_edited_labels_are_not_replaced(run, data, capsys):
    command = ["predict", "--run", str(run("Autoencoder")), "--data.predict_path", str(data / "new")]
    assert main(command) == 0
    (track,) = (run("Autoencoder") / "predict/labels").glob("*.txt")
    track.write_text("10\t12\tsaw\n")
    os.utime(track, (time.time() + 60, time.time() + 60))
    capsys.readouterr()
    assert main(command) == 2
    assert f"{track} was edited after the prediction, which a new one would replace; move" in capsys.readouterr().err
    track.rename(data / "edited.txt")
    assert main(command) == 0
    assert track.is_file(), "a new one"
    assert not (run("Autoencoder") / "predict.earlier").exists()


@pytest.fixture(scope="module")
def conditions(tmp_path_factory):
    """Normal recordings at two speeds, one of them loud; and new ones, at a third speed as well."""
    root = tmp_path_factory.mktemp("conditions")
    for number, (speed, level) in enumerate((("slow", 0.05), ("fast", 0.2))):
        noise_files(root / "normal" / speed, [level] * (10 + number), seed=number)
        noise_files(root / "new" / speed, [level] * 2, seed=10 + number)
    noise_files(root / "new/idle", [0.05], seed=20)
    (root / "new/slow/00.wav").replace(root / "new/slow/x.wav")
    names = [
        (path.relative_to(folder), path.parent.name) for folder in root.iterdir() for path in folder.rglob("*.wav")
    ]
    table = "".join(f"{name},3,{speed}\n" for name, speed in sorted(names) if speed != "idle")
    (root / "speeds.csv").write_text(f"name,load,speed\n{table}")
    return root


@pytest.mark.parametrize("by", ["folder", "speeds.csv:speed"])
def test_calibrations_are_kept_apart_by_condition(run, conditions, capsys, by):
    folder = run("Autoencoder")
    given = by if by == "folder" else str(conditions / by)
    command = ["predict", "--run", str(folder), "--data.predict_path", str(conditions / "new"), "--condition", given]
    command += ["--calibrate", str(conditions / "normal")]
    assert main(command) == 0
    shown = capsys.readouterr().out
    third = "idle" if by == "folder" else "no condition"
    assert f"No alarms for 1 recording under conditions that the calibration lacks ({third}), such as idle/00" in shown
    assert "fast: Promise: with alpha = 0.0833" in shown
    assert "slow: Promise: with alpha = 0.0909" in shown
    calibration = Calibration.load(folder / "predict/calibration.npz")
    predictions = {row["name"]: row for row in rows(folder / "predict/predictions.csv")}
    assert set(predictions) == {"slow/x.wav", "slow/01.wav", "fast/00.wav", "fast/01.wav", "idle/00.wav"}
    for name, row in predictions.items():
        condition = name.partition("/")[0]
        normal = calibration.score[[each.startswith(condition) for each in calibration.names]]
        if condition == "idle":
            assert row["condition"] == ("idle" if by == "folder" else "")
            assert {row[column] for column in ("p_value", "alarm", "margin", "events", "drift")} == {""}
        else:
            assert row["condition"] == condition
            expected = (1 + sum(score >= float(row["score"]) for score in normal)) / (len(normal) + 1)
            assert float(row["p_value"]) == pytest.approx(expected)
            assert float(row["score"]) - float(row["margin"]) == pytest.approx(normal.max())
            assert row["alarm"] == str(int(float(row["score"]) > normal.max()))
    windows = rows(folder / "predict/windows.csv")
    assert {row["alarm"] for row in windows if row["name"] == "idle/00.wav"} == {""}
    assert {row["alarm"] for row in windows} <= {"", "0", "1"}


def test_clips_held_out_by_fit_calibrate_conditions(run, data, capsys, tmp_path):
    held_out = Calibration.load(run("Autoencoder") / "fit/calibration.npz").names.tolist()
    speeds = {name: "fast" if number < 5 else "slow" for number, name in enumerate(held_out)}
    table = "".join(f"{name},{speed}\n" for name, speed in speeds.items())
    (tmp_path / "speeds.csv").write_text(f"name,speed\n{table}saw_20191204_084800.wav,slow\n")
    command = ["predict", "--run", str(run("Autoencoder")), "--data.predict_path", str(data / "new")]
    assert main([*command, "--condition", str(tmp_path / "speeds.csv")]) == 0
    assert "slow: Promise: with alpha = 0.0625" in capsys.readouterr().out, "of 15 clips"
    assert main([*command, "--condition", str(tmp_path / "speeds.csv"), "--alpha", "0.05"]) == 2
    error = capsys.readouterr().err
    assert (
        "--alpha 0.05 needs 19 normal clips or recordings to calibrate with in the condition slow, but there are"
        in error
    )
    assert main([*command, "--condition", "folder"]) == 2
    error = capsys.readouterr().err
    assert "--condition folder: no recording has a condition of the normal clips that calibrate" in error
    assert "have train; recordings have new" in error


@pytest.mark.parametrize("calibrate", [False, True])
def test_rejects_a_score_that_the_model_lacks(run, data, capsys, calibrate):
    command = ["predict", "--run", str(run("NearestNeighbours")), "--data.predict_path", str(data / "new")]
    options = ["--calibrate", str(data / "normal"), "--block", "2"] if calibrate else []
    assert main([*command, *options, "--alarm_score", "masked_score"]) == 2
    assert "--alarm_score masked_score is not computed by this model" in capsys.readouterr().err


def test_scores_of_other_weights_calibrate_nothing(run, data, capsys):
    folder = run("Autoencoder")
    calibration = Calibration.load(path := folder / "fit/calibration.npz")
    contents = path.read_bytes()
    arrays = {name: getattr(calibration, name) for name in Calibration.__dataclass_fields__}
    np.savez(path, **{**arrays, "step": calibration.step + 1})
    assert main(["predict", "--run", str(folder), "--data.predict_path", str(data / "new")]) == 0
    assert re.search(r"No alarms: .* --calibrate", capsys.readouterr().out)
    (prediction,) = rows(folder / "predict/predictions.csv")
    assert {prediction[column] for column in ("p_value", "alarm", "margin", "events", "seconds")} == {""}
    assert not (folder / "predict/events.csv").exists()
    path.write_bytes(b"damaged")
    assert main(["predict", "--run", str(folder), "--data.predict_path", str(data / "new")]) == 2
    assert "calibration.npz is damaged" in capsys.readouterr().err
    path.write_bytes(contents)


def test_decisions_by_hand():
    normal = [scored([score], [[score, 0.0]], name=f"{score}.wav") for score in range(1, 10)]
    calibration = Calibration.of_recordings(normal, 0, 0)
    decider = Decider(calibration, AlarmSettings(alpha=0.2), window_seconds=2.0, hop_seconds=1.0)
    assert decider.threshold == 8
    errors = [[4.0, 4.0], [4.0, 3.0], [5.0, 3.0], [2.0, 20.0], [3.0, 9.0], [0.0, 0.0]]
    recording = scored([3.0, 8.0, 8.5, 9.0, 12.0, 1.0], errors)
    decision = decider.decide(recording)
    assert decision.p_values.tolist() == [0.8, 0.3, 0.2, 0.2, 0.1, 1.0]
    assert decision.flagged.tolist() == [False, False, True, True, True, False]
    # Half of 4 is exceeded: the second highest of the errors 0.5, 1, …, 4.5 of normal seconds.
    assert decision.flagged_seconds.tolist() == [False, False, False, True, True, False]
    assert decision.margin == 4
    (event,) = find_events(decider, recording, decision, np.array([100.0, 300.0, 900.0]))
    assert (event.start, event.end, event.peak, event.p_value) == (3.0, 5.0, 3.5, 0.1)
    # Seconds 3 and 4 have 2.5 and 14.5 on average, normal ones 5 and 0.
    assert event.spectrum.tolist() == [0.0, 14.5]
    assert (event.low_hz, event.high_hz) == (300.0, 900.0)
    assert most_alike([event, event]) == [pytest.approx((np.nan, np.nan), nan_ok=True), (1, pytest.approx(1.0))]


def test_event_ends_with_its_recording():
    normal = [scored([score], [[score]], name=f"{score}.wav") for score in range(1, 10)]
    decider = Decider(Calibration.of_recordings(normal, 0, 0), AlarmSettings(alpha=0.2), 1.6, hop_seconds=1.0)
    recording = scored([1.0, 1.0, 1.0, 1.0, 9.0], [[1.0]] * 5 + [[20.0]])
    (event,) = find_events(decider, recording, decider.decide(recording), np.array([100.0, 900.0]))
    assert (event.start, event.end) == (5.0, 5.6)


@pytest.mark.parametrize("persistence", ["", "0/1", "2", "3/2", "a/b", "-1/2", "1/2/3"])
def test_rejects_other_persistence(persistence):
    with pytest.raises(ConfigurationError, match=r"persistence=.* it must be k/n"):
        AlarmSettings(persistence=persistence)


def test_rejects_two_rates():
    with pytest.raises(ConfigurationError, match="give one of them"):
        AlarmSettings(alpha=0.1, false_alarms_per_day=1)
