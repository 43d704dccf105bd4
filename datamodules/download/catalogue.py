"""What can be downloaded: addresses, sizes, checksums and clip counts, each as published.

A size or checksum that is not known from the publisher is ``None``; the download then says what it could not check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from datamodules.annotations import ANNOTATION_FILE
from datamodules.errors import DataError
from datamodules.layouts import Layout, scan_dcase, scan_planer


@dataclass(frozen=True)
class RemoteFile:
    """A published file; size and checksum are None if not known."""

    name: str  # on disk
    url: str
    size: int | None = None  # bytes
    checksum: str | None = None  # algorithm of hashlib and hexadecimal digest, as in "md5:0123…"


class ClipCounts(NamedTuple):
    """Clips of a data set: normal ones to train on, normal and anomalous ones to test on."""

    training: int
    normal: int
    anomalous: int

    def __str__(self) -> str:
        return f"{self.training:,} training, {self.normal:,} normal and {self.anomalous:,} anomalous clips"


@dataclass(frozen=True)
class DataSet:
    """A published data set, one ZIP archive."""

    title: str  # in messages
    archive: RemoteFile
    folder: str  # below the data root that it becomes, empty for the root itself
    parts: tuple[str, ...]  # folders below the data root that the archive must contain, possibly in a common one
    scan: Callable[[Path], Layout]  # reads its layout, given the data root
    counts: ClipCounts | None = None  # None if not known
    annotations: RemoteFile | None = None


# Both addresses contain a commit instead of a branch, so that the files cannot change.
ANNOTATIONS = RemoteFile(
    name=ANNOTATION_FILE,
    url="https://raw.githubusercontent.com/Maab-Nimir/Faithful-Explanations-in-Acoustic-Anomaly-Detection/"
    "d58c9b4303f11926e6b608269e4d90ee161ed44d/labelled_anomalies/v5anomaly_spectrogram_metadata.csv",
    size=11_357,
    checksum="sha256:ae895207e1a3e7f085ed178b49c0d7950265c85411fcac6ca0e0cab681125858",
)

PLANER = DataSet(
    title="the planer set",
    archive=RemoteFile(
        name="data.zip",
        # Serves Git LFS objects to a plain GET; raw addresses give the pointer file instead, and the links of the LFS
        # batch protocol expire, so that a long download could not be resumed.
        url="https://media.githubusercontent.com/media/AnthonyDeschenes/PlaningItByEarDataset/"
        "3d2a9bb424e434f1450911499bcd42f3ca5a4c4b/data.zip",
        size=1_082_911_671,
        checksum="sha256:368bbfc88069aeccc57afc70ff802152b56f47607b1e07714a599e3af62cf78f",
    ),
    folder="",
    parts=("training", "evaluation/normal", "evaluation/anomalies"),
    scan=scan_planer,
    counts=ClipCounts(training=4_327, normal=3_130, anomalous=105),
    annotations=ANNOTATIONS,
)

# Machine: (bytes, MD5) of its archive. https://zenodo.org/records/3678171
_DCASE_2020: Mapping[str, tuple[int | None, str | None]] = {
    "fan": (1_354_774_772, "649bdfc06263ae7a838963f43b6641e6"),
    "pump": (1_031_279_015, "90e7091ef722b7238a7f1009365779cd"),
    "slider": (1_002_998_966, "da24a757719f0d94d5aa2d646bbfdc86"),
    "ToyCar": (1_816_443_231, "4dec75ca8d9f666aa9e4c1894a740501"),
    "ToyConveyor": (None, "03b6aa1bfd09a39d53af0ba39f71fa91"),
    "valve": (None, "34d2672f55bb041589ef79c10dc89934"),
}

# https://zenodo.org/records/6355122; sizes and checksums unknown, so the download uses the MD5 in Zenodo's answer.
_DCASE_2022: Mapping[str, tuple[int | None, str | None]] = dict.fromkeys(
    ("bearing", "fan", "gearbox", "slider", "ToyCar", "ToyTrain", "valve"), (None, None)
)


def dcase_2020(machine: str) -> DataSet:
    """Development data of DCASE 2020 Task 2 for one machine; raises a DataError if there is no such machine.

    Example:
        >>> dcase_2020("slider").archive.url
        'https://zenodo.org/records/3678171/files/dev_data_slider.zip?download=1'
    """
    return _dcase(2020, machine, _DCASE_2020, record=3678171, name=f"dev_data_{machine}.zip")


def dcase_2022(machine: str) -> DataSet:
    """Development data of DCASE 2022 Task 2 for one machine; raises a DataError if there is no such machine."""
    return _dcase(2022, machine, _DCASE_2022, record=6355122, name=f"dev_{machine}.zip")


def _dcase(
    year: int, machine: str, machines: Mapping[str, tuple[int | None, str | None]], record: int, name: str
) -> DataSet:
    if machine not in machines:
        raise DataError(f"machine={machine} is not in DCASE {year} Task 2; choose one of {', '.join(machines)}")
    size, md5 = machines[machine]
    return DataSet(
        title=f"DCASE {year} Task 2, {machine}",
        archive=RemoteFile(
            name=name,
            url=f"https://zenodo.org/records/{record}/files/{name}?download=1",
            size=size,
            checksum=None if md5 is None else f"md5:{md5}",
        ),
        folder=machine,
        parts=(f"{machine}/train", f"{machine}/test"),
        scan=partial(scan_dcase, machine=machine),
    )
