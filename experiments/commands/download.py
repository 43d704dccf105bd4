"""`faithful-aad download NAME`: a function for each data set, with its options."""

from __future__ import annotations

from pathlib import Path

from datamodules.download.catalogue import ANNOTATIONS, PLANER, DataSet, dcase_2020, dcase_2022
from datamodules.download.install import Source, install, install_file
from datamodules.progress import download_progress


def download_planer(
    root: str | None = None,
    mirror: str | None = None,
    archive: str | None = None,
    annotations: str | None = None,
) -> None:
    """Download the published planer spectrograms (1.1 GB) with their annotations.

    Args:
        root: Folder to write, `data/planer` by default; what `--data.root` takes.
        mirror: Another address of the archive.
        archive: The archive on this machine, instead of an address.
        annotations: CSV of annotations on this machine, instead of the authors' address.
    """
    source = Source(mirror, _path(archive), _path(annotations))
    _install(PLANER, Path(root or "data/planer"), source)


def download_annotations(root: str | None = None, mirror: str | None = None) -> None:
    """Download the authors' annotations of the planer set, `annotations.csv`.

    Args:
        root: Folder to write it into, `data/planer` by default.
        mirror: Another address of the file.
    """
    with download_progress() as progress:
        installed = install_file(ANNOTATIONS, Path(root or "data/planer"), progress, mirror)
    print(f"{installed.path} {_how(installed.checked)}")


def download_dcase2020(
    machine: str, root: str | None = None, mirror: str | None = None, archive: str | None = None
) -> None:
    """Download development data of DCASE 2020 Task 2 (1 to 2 GB per machine) from Zenodo.

    Args:
        machine: fan, pump, slider, ToyCar, ToyConveyor or valve.
        root: Folder to write, `data/dcase2020` by default; with a folder for each machine.
        mirror: Another address of the machine's archive.
        archive: The machine's archive on this machine, instead of an address.
    """
    _install(dcase_2020(machine), Path(root or "data/dcase2020"), Source(mirror, _path(archive)))


def download_dcase2022(
    machine: str, root: str | None = None, mirror: str | None = None, archive: str | None = None
) -> None:
    """Download development data of DCASE 2022 Task 2 (about 1 GB per machine) from Zenodo.

    Args:
        machine: bearing, fan, gearbox, slider, ToyCar, ToyTrain or valve.
        root: Folder to write, `data/dcase2022` by default; with a folder for each machine.
        mirror: Another address of the machine's archive.
        archive: The machine's archive on this machine, instead of an address.
    """
    _install(dcase_2022(machine), Path(root or "data/dcase2022"), Source(mirror, _path(archive)))


def _install(data_set: DataSet, root: Path, source: Source) -> None:
    with download_progress() as progress:
        installed = install(data_set, root, progress, source)
    print(f"{installed.path} {_how(installed.checked)}: {data_set.title}, {installed.counts}")


def _how(checked: str | None) -> str:
    return "was complete already" if checked is None else f"is complete (compared with the published file: {checked})"


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
