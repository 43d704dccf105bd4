"""Small data sets, made once a session, in the layouts that the loaders read."""

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from datamodules.errors import DataError

ANOMALIES = {
    # name: (type, frames as the authors write them)
    "MPD_19-12-04_0848_00006_1": ("Uneven_thick_wood", "[(40,80)]"),
    "MPD_19-12-04_0848_00006_2": ("Uneven_thick_wood", "-"),
    "MPD_19-12-04_1115_00153_4": ("Uneven_thick_wood", "[(240, 399)]"),
    "MPD_19-12-04_1118_00156_3": ("Uneven_thick_wood", "[(80,120), (280,320), (360,400)]"),
    "MPD_19-12-05_0949_00008_4": ("broken_board", "[(200,399)]"),
    "MPD_19-12-05_0949_00008_5": ("broken_board", "[(160,320)]"),
    "MPD_19-12-04_1037_00115_6": ("broken_board", "-"),
    "MPD_19-12-04_1037_00115_5": ("broken_board", "-"),
}
PUBLISHED_HEADER = [
    "Recording wav File",
    "Spectrogram File Name",
    "Spectrogram Number",
    "Spectrogram Time Range",
    "Board (Anomaly) Type",
    "Time Anomaly Labels\n[(t1,t2), ...,etc]",
    "Labels in Spectrogram",
]


@pytest.fixture(scope="session")
def data_error() -> Callable[..., AbstractContextManager[None]]:
    """Expect a one-line DataError that holds all of some texts."""

    @contextmanager
    def expect(*texts: str) -> Iterator[None]:
        with pytest.raises(DataError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        assert all(text in message for text in texts), message

    return expect


@pytest.fixture(scope="session")
def write_noise() -> Callable[..., Path]:
    """Write seeded noise as a recording; the suffix says which format."""

    def write(path: Path, seconds: float = 1.0, sample_rate: int = 20_000, channels: int = 1, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (round(seconds * sample_rate), channels)
        noise = np.random.default_rng(seed).normal(scale=3_000, size=size).astype(np.int16)
        soundfile.write(path, noise, sample_rate)
        return path

    return write


@pytest.fixture(scope="session")
def write_spectrogram() -> Callable[..., Path]:
    """Write a seeded (n_mels, n_frames) tensor as the planer set does."""

    def write(path: Path, n_frames: int = 401, n_mels: int = 80, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = torch.Generator().manual_seed(seed)
        torch.save(torch.randn(n_mels, n_frames, generator=generator), path)
        return path

    return write


@pytest.fixture(scope="session")
def write_published_csv() -> Callable[..., Path]:
    """Write annotations as the planer authors published them, with CRLF and a line break in the header."""

    def write(path: Path, rows: dict[str, tuple[str, str]]) -> Path:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(PUBLISHED_HEADER)
            for name, (kind, frames) in rows.items():
                writer.writerow([f"{name[:-2]}.wav", f"{name}.pt", name[-1], "0-10 seconds", kind, "-", frames])
        return path

    return write


@pytest.fixture(scope="session")
def planer_root(
    tmp_path_factory: pytest.TempPathFactory,
    write_spectrogram: Callable[..., Path],
    write_published_csv: Callable[..., Path],
) -> Path:
    """20 training, 10 normal and 8 anomalous spectrograms in the published layout, annotated."""
    root = tmp_path_factory.mktemp("planer")
    for number in range(20):
        board = ("2x3", "2x4", "2x6", "machine_start_stop")[number % 4]
        write_spectrogram(root / f"training/{board}/MPD_19-11-25_0900_{number:05}_1.pt", seed=number)
    for number in range(10):
        write_spectrogram(root / f"evaluation/normal/MPD_19-12-03_1000_{number:05}_2.pt", seed=100 + number)
    for number, (name, (kind, _)) in enumerate(ANOMALIES.items()):
        write_spectrogram(root / f"evaluation/anomalies/{kind}/{name}.pt", seed=200 + number)
    write_published_csv(root / "annotations.csv", ANOMALIES)
    return root
