"""Damaged and hostile files: each is read, or rejected in one line, and nothing in them is executed.

``pytest tests/datamodules/test_fuzzing.py --mutations 2000`` tries more of them than the suite does.
"""

import faulthandler
import functools
import os
import shutil
import signal
import time
import warnings
from collections import Counter

import pytest
import torch
from file_mutations import MUTATIONS, mutation
from guarded_worker import guarded
from rich.progress import Progress

from datamodules.annotations import annotate, frame_mask, read_annotations
from datamodules.cache import SpectrogramCache
from datamodules.description.measure import measure
from datamodules.download.install import unpack
from datamodules.errors import DataError
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.layouts import UNNAMED_ANOMALY, Clip
from datamodules.spectrograms import load_spectrogram

SECONDS = 5
LONGEST_MESSAGE = 600
FRONTEND = LogMelFrontEnd(FrontEndSettings())


def load_clip(path):
    spectrogram, _ = load_spectrogram(path, FRONTEND)
    assert (spectrogram.dtype, spectrogram.ndim, spectrogram.shape[0]) == (torch.float32, 2, 80)
    assert spectrogram.isfinite().all()
    assert measure(path).seconds > 0


def load_annotations(path):
    name = "clip.wav" if path.suffix == ".csv" else f"{path.stem}.wav"
    clip = Clip(path.with_name(name), name, label=1, anomaly_type=UNNAMED_ANOMALY)
    rows = read_annotations(path)
    (annotated,) = annotate([clip], rows, {name: 10.0}, path)
    assert all(0 <= start <= end <= 10 for start, end in annotated.intervals)
    assert all(frame_mask([interval], 400, 40).any() for interval in annotated.intervals)
    lines = written_rows(path)
    assert lines is None or len(rows) == max(lines, path.suffix == ".txt"), f"{len(rows)} rows of {lines} lines"


def written_rows(path):
    """Lines that hold a row, counted without the package's reader; None where quotation marks may hold line ends."""
    content = path.read_bytes()
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    text = content.decode(next((marks[mark] for mark in marks if content.startswith(mark)), "utf-8"))
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if path.suffix == ".txt":
        return sum(bool(line.strip()) and line[0] != "\\" for line in lines)
    lines = lines[1:] if lines[0].startswith("sep=") else lines
    return None if '"' in text else sum(bool(line.translate(dict.fromkeys(b",;\t|")).strip()) for line in lines) - 1


@functools.cache
def spectrogram_cache(folder):
    return SpectrogramCache(folder, FrontEndSettings())


def load_cached(path):
    """A damaged entry of the cache is replaced, so that there is always a spectrogram."""
    clip = path.parents[1] / "clip.pt"
    if not clip.exists():
        torch.save(torch.zeros(80, 21), clip)
    cache = spectrogram_cache(path.parents[1] / "cache")
    (entry,) = cache.fill([clip])
    shutil.copy(path, entry.path)
    (entry,) = cache.fill([clip])
    assert entry.n_frames == 21
    spectrogram = torch.from_numpy(entry.open()[:, :20].copy())
    assert (spectrogram.dtype, spectrogram.shape) == (torch.float32, (80, 20))


def load_archive(path):
    inner = path.parent / "outer" / "inner"
    inner.mkdir(parents=True)
    with Progress(disable=True) as progress:
        unpack(path, inner, progress)
    assert list(inner.parent.iterdir()) == [inner]
    assert sum(file.stat().st_size for file in inner.rglob("*") if file.is_file()) <= 4_000_000
    assert not any(file.is_symlink() for file in inner.rglob("*"))


LOADERS = {
    "wav": load_clip,
    "audio": load_clip,
    "pt": load_clip,
    "csv": load_annotations,
    "txt": load_annotations,
    "npy": load_cached,
    "zip": load_archive,
}


@pytest.fixture
def outcome_of(tmp_path):
    """What comes of a mutated file: "loaded", "rejected", or what is wrong."""

    def load(kind, number):
        folder = tmp_path / str(number)
        folder.mkdir()
        marker = folder / "marker"
        path = folder / f"file.{kind}"
        path.write_bytes(mutation(kind, number, marker))
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                # As datamodules.spectrograms does, which pytest takes back.
                for message in ("Detected pickle protocol", "TypedStorage is deprecated"):
                    warnings.filterwarnings("ignore", message=message)
                LOADERS[kind](path)
            outcome = "loaded"
        except DataError as error:
            outcome = "rejected" if _is_one_line(str(error), path) else f"message {str(error)[:1_000]!r}"
        except BaseException as error:
            outcome = f"raised {type(error).__name__}: {error}"[:500]
        if warned:
            outcome = f"warned: {warned[0].message}"[:500]
        if any(not found.is_relative_to(folder / "outer" / "inner") for found in tmp_path.rglob("marker")):
            outcome = "ran what the file says"
        shutil.rmtree(folder)
        return outcome

    return load


def _is_one_line(message, path):
    return len(message.splitlines()) == 1 and len(message) < LONGEST_MESSAGE and str(path.parent) in message


@pytest.mark.parametrize("kind", MUTATIONS)
def test_mutated_files_are_loaded_or_rejected_in_one_line(kind, outcome_of, pytestconfig, record_property):
    count = pytestconfig.getoption("--mutations") // len(MUTATIONS)
    outcomes = dict(guarded(lambda number: outcome_of(kind, number), range(count), SECONDS))
    counts = Counter(outcomes.values())
    record_property("outcomes", dict(counts))
    assert len(outcomes) == count
    assert {number: outcome for number, outcome in outcomes.items() if outcome not in ("loaded", "rejected")} == {}
    # Neither would be the case if mutations were too mild or too wild to reach what lies behind the first check.
    assert counts["loaded"] >= 0.05 * count
    assert kind == "npy" or counts["rejected"] >= 0.3 * count


def test_guard_reports_crashes_hangs_and_memory():
    def job(number):
        if number == 1:
            faulthandler.disable()  # pytest's, which would print the stack
            os.kill(os.getpid(), signal.SIGSEGV)
        if number == 2:
            time.sleep(10)
        try:
            return "done" if number != 3 else f"took {len(bytearray(8 << 30))}"
        except MemoryError:
            return "no memory"

    assert [outcome for _, outcome in guarded(job, range(5), seconds=0.5)] == [
        "done", "crashed with status -11", "hung", "no memory", "done",
    ]  # fmt: skip
