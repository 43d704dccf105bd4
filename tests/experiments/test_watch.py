"""`watch` on pipes and growing files: what `predict` finds in the whole recording, at once and in constant memory."""

import csv
import io
import json
import os
import re
import signal
import sys
import threading
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from experiments.cli.main import main
from experiments.predictions.calibration import Calibration
from experiments.predictions.decisions import AlarmSettings, Decider
from experiments.predictions.live import LiveDecider
from experiments.predictions.scores import ScoredRecording

RATE = 8_000
OPTIONS = ["--data", "AudioFolderDataModule", "--data.n_frames", "40", "--data.frontend.sample_rate", str(RATE)]
OPTIONS += ["--data.frontend.n_mels", "16", "--data.reference_level", "null", "--wandb.mode", "disabled"]
OPTIONS += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.max_epochs", "2"]
OPTIONS += ["--trainer.enable_model_summary", "false", "--data.val_fraction", "0.5", "--attributions.explainers", "[]"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """40 normal seconds to train and to validate on; a recording in stereo of 20.7 s with a tone in three places."""
    root = tmp_path_factory.mktemp("recordings")
    noise = np.random.default_rng(0)
    (root / "data/train").mkdir(parents=True)
    for number in range(40):
        soundfile.write(root / f"data/train/{number:02}.wav", 0.05 * noise.standard_normal(RATE), RATE)
    rate = 2 * RATE
    recording = 0.07 * noise.standard_normal(round(20.7 * rate))
    for start, end in ((6, 8), (13, 16), (19, 21)):
        tone = np.sin(2 * np.pi * 1_000 * np.arange((end - start) * rate) / rate)
        recording[start * rate : end * rate] += 0.2 * tone[: len(recording) - start * rate]
    (root / "new").mkdir()
    soundfile.write(root / "new/saw.wav", np.stack([recording, 0.9 * recording], axis=1), rate)
    return root


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mae"
    fit = ["fit", "--model", "MaskedAutoencoder", "--model.backbone", "dense", "--model.score_masks", "2"]
    assert main([*fit, "--run", str(folder), "--data.root", str(root / "data"), *OPTIONS]) == 0
    return folder


@pytest.fixture
def watch(capsys, monkeypatch):
    """Pipe chunks of bytes into watch; its status, the JSON lines and what else was printed."""

    def watch(*options, chunks=()):
        capsys.readouterr()
        read, write = os.pipe()

        def send():
            with os.fdopen(write, "wb", buffering=0) as pipe:
                for chunk in chunks:
                    pipe.write(chunk)

        sender = threading.Thread(target=send)
        sender.start()
        with os.fdopen(read) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            status = main(["watch", *map(str, options)])
            sender.join()
        out, err = capsys.readouterr()
        return status, [json.loads(line) for line in out.splitlines()], err

    return watch


def of_type(lines, name):
    return [line for line in lines if line["type"] == name]


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def in_pieces(data, sizes):
    """Cut bytes into pieces of these sizes in turn."""
    begin, number = 0, 0
    while begin < len(data):
        yield data[begin : begin + sizes[number % len(sizes)]]
        begin, number = begin + sizes[number % len(sizes)], number + 1


def assert_equal(lines, folder):
    """Windows, but for alarms, and events are those of `predict`."""
    for name, columns in {
        "window": ["start", "end", "score", "masked_score", "p_value"],
        "event": ["event", "start", "end", "peak", "score", "p_value", "margin", "low_hz", "high_hz", "like"],
    }.items():
        rows, found = table(folder / f"{name}s.csv"), of_type(lines, name)
        assert len(found) == len(rows) > 1
        for column in columns:
            expected = [float(row[column] or "nan") for row in rows]
            values = [np.nan if line[column] is None else line[column] for line in found]
            exact = column in ("event", "start", "end", "peak", "low_hz", "high_hz", "like")
            assert values == pytest.approx(expected, rel=0 if exact else 1e-4, abs=1e-9, nan_ok=True), column


@pytest.mark.parametrize(
    "alarms",
    [["--alpha", "0.05"], ["--alpha", "0.1", "--persistence", "2/3", "--alarm_score", "masked_score"]],
    ids=["score", "masked"],
)
def test_finds_what_predict_finds(run, root, watch, alarms):
    new = root / "new/saw.wav"
    alarms = [*alarms, "--hop", "0.38"]
    assert main(["predict", "--run", str(run), "--data.predict_path", str(new), *alarms]) == 0
    samples = soundfile.read(new, dtype="int16")[0].tobytes() + b"\0\0\0"  # an incomplete frame
    options = ["--run", run, "--rate", 2 * RATE, "--channels", 2, *alarms]
    status, lines, told = watch(*options, chunks=in_pieces(samples, [1, 4_001, 50_000]))
    assert status == 0
    assert_equal(lines, run / "predict")
    if "--persistence" not in alarms:
        expected = [row["alarm"] == "1" for row in table(run / "predict/windows.csv")]
        assert [line["alarm"] for line in of_type(lines, "window")] == expected
    assert re.search(r"20\.7 s of sound, \d\d windows, \d events\. Windows were written [\d.]+ s on average", told)

    # The last event ends with the sound, within a second.
    assert of_type(lines, "event")[-1]["end"] == 20.725
    # The first event is written before the second begins.
    kinds = [line["type"] for line in lines]
    assert lines[kinds.index("event") - 1]["end"] < of_type(lines, "event")[1]["start"]


def test_follows_a_file_while_it_grows(run, root, watch, tmp_path):
    contents, growing, complete = (root / "new/saw.wav").read_bytes(), tmp_path / "growing.wav", tmp_path / "whole.wav"
    # The chunk after the samples, as long as 3.75 s of them, is no sound.
    complete.write_bytes(contents + b"LIST" + (240_000).to_bytes(4, "little") + bytes(240_000))
    options = ["--run", run, "--hop", "0.5", "--stop_after"]
    _, expected, _ = watch(*options, "0", "--file", complete)
    assert of_type(expected, "window")[-1]["end"] == pytest.approx(20.7, abs=0.03)

    header = contents[:40] + (0).to_bytes(4, "little")  # an unknown size, as from a recorder
    pieces = [header[:20], header[20:] + contents[44:301_001], contents[301_001:]]

    def record():
        with growing.open("ab", buffering=0) as file:
            for piece in pieces:
                file.write(piece)
                time.sleep(0.05)

    growing.touch()
    recorder = threading.Thread(target=record)
    recorder.start()
    status, lines, told = watch(*options, "1", "--file", growing)
    recorder.join()
    assert (status, "growing.wav: s16le, 16,000 Hz, 2 channels" in told) == (0, True)
    assert len(lines) == len(expected)
    # How much is read at a time decides whether an event is written before or after the next window.
    for kind in ("window", "event"):
        for line, other in zip(of_type(lines, kind), of_type(expected, kind), strict=True):
            assert line | {"time": ""} == other | {"time": ""}


def test_a_reader_that_goes_away(run, root, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["watch", "--run", str(run), "--file", str(root / "new/saw.wav")]) == 1


def test_a_signal_while_an_event_lasts_and_the_pipe_is_silent(run, capfd, monkeypatch):
    samples = 0.3 * np.sin(2 * np.pi * 1_000 * np.arange(4 * RATE) / RATE)
    (heard, speak), (read, write) = os.pipe(), os.pipe()
    os.write(speak, (32_767 * samples).astype("<i2").tobytes())
    lines = []

    def listen():
        with os.fdopen(read) as output:
            for line in output:
                if not lines:
                    os.kill(os.getpid(), signal.SIGTERM)
                lines.append(json.loads(line))

    listener = threading.Thread(target=listen)
    listener.start()
    with os.fdopen(heard) as stdin, os.fdopen(write, "w") as stdout:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["watch", "--run", str(run), "--hop", "0.5"]) == 143
    listener.join()
    os.close(speak)
    (event,) = of_type(lines, "event")
    assert lines[0]["end"] == 1.0
    assert (event["start"], event["end"]) == (0.0, np.ceil(of_type(lines, "window")[-1]["end"] - 0.5))
    assert "stopped by SIGTERM; everything up to then is written" in capfd.readouterr().err


def test_memory_does_not_grow():
    n_bands, hop = 4, 2
    normal = [ScoredRecording(f"{n}.wav", np.zeros(1), {"score": np.array([1.0])}, np.ones((1, 4))) for n in range(20)]
    decider = Decider(Calibration.of_recordings(normal, 0, 0), AlarmSettings(persistence="2/3"), 4.0, float(hop))
    live = LiveDecider(decider, 1.0, np.arange(n_bands + 1.0))

    def hear(parts):
        """An event of 400 s in each part of 600 s."""
        n_events = 0
        for first in range(600 * parts.start, 600 * parts.stop, hop):
            loud = 3.0 if first % 600 < 400 else 0.5
            live.add(first, {"score": loud}, torch.full((n_bands, 4), loud))
            n_events += len([*live.take(first)])
        return n_events

    assert hear(range(1)) == 1
    tracemalloc.start()
    hear(range(1, 2))
    before = tracemalloc.get_traced_memory()[0]
    assert hear(range(2, 4)) == 2
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 4_000  # the spectra of two events; the seconds of one would be 6,400


def wav(samples, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("options", "sound", "message"),
    [
        ([], wav(np.zeros(RATE)), "standard input begins with the header of a WAV file; send samples alone"),
        (["--format", "f32le"], np.full(RATE, np.nan, "<f4").tobytes(), "standard input holds NaN or infinite samples"),
        ([], bytes(RATE), "standard input ended after 0.50 s, which is shorter than a window of 1 s"),
        ([], b"", "standard input ended after 0.00 s"),
        (["--channels", "0"], b"", "channels is 0; it must be from 1"),
        (["--rate", "3"], b"", "rate is 3; it must be from 1000"),
        (["--hop", "2"], b"", "hop=2.0 is not valid; it must be above 0 and at most the 1 s of a window"),
        (["--alpha", "0.01"], b"", "--alpha 0.01 needs 99 normal clips"),
        (["--stop_after", "1"], b"", "--stop_after is for --file"),
        (["--file", "a.wav", "--rate", "8000"], b"", "--rate, --channels and --format are for standard input"),
        (["--file", "missing.wav"], b"", "missing.wav is not a file"),
        (["--block", "2"], b"", "--block is for the recordings of --calibrate"),
        (["--model", "model.onnx"], b"", "give --run or --model"),
    ],
)
def test_mistakes_are_told_in_a_line(run, watch, options, sound, message):
    status, lines, told = watch("--run", run, *options, chunks=[sound])
    assert (status, lines) == (2, [])
    assert message in told.splitlines()[-1]


def test_calibrates_with_normal_recordings(run, root, watch, tmp_path):
    normal, samples = root / "data/train", bytes(8 * RATE)
    status, lines, told = watch("--run", run, "--calibrate", normal, chunks=[samples])
    assert status == 0
    assert "like the 40 normal ones that calibrate" in told
    calibration = Calibration.load(run / "fit/calibration.npz")
    assert len(calibration) == 20
    # Digital silence is louder in error than any noise.
    assert [line["p_value"] for line in of_type(lines, "window")] == pytest.approx([1 / 41] * 4)

    saved = run / "fit/calibration.npz"
    _, lines, told = watch("--run", run, "--calibrate", saved, chunks=[samples])
    assert "like the 20 normal ones that calibrate" in told
    assert [line["p_value"] for line in of_type(lines, "window")] == pytest.approx([1 / 21] * 4)

    status, _, told = watch("--run", run, "--calibrate", saved, "--block", "2", chunks=[samples])
    assert (status, "--block is for recordings" in told) == (2, True)
    replace(calibration, step=calibration.step + 1).save(tmp_path / "other.npz")
    status, _, told = watch("--run", run, "--calibrate", tmp_path / "other.npz", chunks=[samples])
    assert (status, "other.npz has scores of other weights" in told) == (2, True)
