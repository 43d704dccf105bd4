"""Putting a data set in place: complete and under its name, or not at all."""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import Progress

from datamodules.annotations import ANNOTATION_FILE, annotate, read_annotations
from datamodules.download.catalogue import ClipCounts, DataSet, RemoteFile
from datamodules.download.checksum import check_file
from datamodules.download.disk import NoSpaceError, made_folder
from datamodules.download.fetch import CheckedFile, Patience, fetch
from datamodules.download.unpack import unpack
from datamodules.errors import DataError
from datamodules.layouts import Layout


@dataclass(frozen=True)
class Source:
    """Where a data set comes from, if not from the catalogue's addresses.

    Attributes:
        mirror: Another address of the archive.
        archive: The archive on this machine.
        annotations: A CSV of annotations on this machine.
    """

    mirror: str | None = None
    archive: Path | None = None
    annotations: Path | None = None


@dataclass(frozen=True)
class Installed:
    """What is in place.

    Attributes:
        path: Folder of a data set, or a file.
        checked: What of it was compared with the published file, in words; ``None`` if it was there before.
        counts: Clips of a data set.
    """

    path: Path
    checked: str | None
    counts: ClipCounts | None = None


def install(
    data_set: DataSet,
    root: Path,
    progress: Progress,
    source: Source | None = None,
    patience: Patience | None = None,
) -> Installed:
    """Download a data set, or take a local archive, and put it where its DataModule reads it.

    A set that is there already is left alone. Otherwise everything happens in ``FOLDER.download`` beside the set's
    folder, which gets its name when all is checked. What has been downloaded stays there after a failure, for the
    next call.

    Args:
        data_set: What to install.
        root: The data root.
        progress: Where to show how far it is.
        source: Where it comes from.
        patience: When to give a server up.

    Returns:
        Where it lies, and what is known of it.

    Raises:
        DataError: It cannot be had, is not the published set, or the folder holds something else.
    """
    source = source or Source()
    folder = root / data_set.folder
    published = _from(data_set.archive, source.mirror)
    if source.archive is not None and not source.archive.is_file():
        raise DataError(f"--archive {source.archive} is not a file; name the archive as it was downloaded")
    if _is_taken(folder):
        counts = _counts_in_place(data_set, root)
        if data_set.annotations is not None and not (root / ANNOTATION_FILE).exists():
            _add_annotations(data_set.annotations, root, progress, source, patience)
        return Installed(folder, None, counts)
    target = folder.resolve()  # a link stays one
    with made_folder(target.with_name(f"{target.name}.download")) as work:
        # The small file first: what is wrong with it should not come up after a gigabyte.
        annotations = _annotations(data_set, root, work, progress, source, patience)
        archive = _archive(published, work, progress, source.archive, patience)
        counts = _build(data_set, archive.path, annotations, target, work, progress)
        shutil.rmtree(work)
    return Installed(folder, archive.checked, counts)


def install_file(
    file: RemoteFile, folder: Path, progress: Progress, mirror: str | None = None, patience: Patience | None = None
) -> Installed:
    """Download a single file into a folder, unless it is there already.

    Raises:
        DataError: It cannot be had, or another file of its name is there.
    """
    path = folder / file.name
    if path.exists():
        try:
            check_file(path, file, progress)
        except DataError as error:
            raise DataError(f"{error}; remove it or choose another folder") from None
        return Installed(path, None)
    file = _from(file, mirror)
    with made_folder(folder):
        fetched = fetch(file, folder, progress, patience)
    return Installed(fetched.path, fetched.checked)


def _from(file: RemoteFile, mirror: str | None) -> RemoteFile:
    if mirror is None:
        return file
    if not mirror.startswith(("https://", "http://")):
        raise DataError(f"--mirror {mirror} is no address of a file; it should begin with https://")
    return replace(file, url=mirror)


def _is_taken(folder: Path) -> bool:
    """Whether a folder holds anything but annotations, which may have been put there first."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is not a folder; choose another")
    return folder.is_dir() and any(path.name != ANNOTATION_FILE for path in folder.iterdir())


def _counts_in_place(data_set: DataSet, root: Path) -> ClipCounts:
    folder = root / data_set.folder
    try:
        counts = _count(data_set.scan(root))
    except DataError as error:
        raise DataError(f"{folder} holds something else than {data_set.title}; choose a new folder ({error})") from None
    if data_set.counts not in (None, counts):
        raise DataError(
            f"{folder} holds {counts}, {data_set.title} has {data_set.counts}; remove it or choose a new folder"
        )
    return counts


def _count(layout: Layout) -> ClipCounts:
    anomalous = sum(clip.label for clip in layout.test)
    return ClipCounts(len(layout.training), len(layout.test) - anomalous, anomalous)


def _add_annotations(
    file: RemoteFile, root: Path, progress: Progress, source: Source, patience: Patience | None
) -> None:
    if source.annotations is None:
        install_file(file, root, progress, patience=patience)
        return
    read_annotations(source.annotations)
    with made_folder(root):
        copy = root / f"{ANNOTATION_FILE}.part"
        shutil.copyfile(source.annotations, copy)
        copy.replace(root / ANNOTATION_FILE)


def _annotations(
    data_set: DataSet, root: Path, work: Path, progress: Progress, source: Source, patience: Patience | None
) -> Path | None:
    """The set's annotations: those given, those in the root, or else the published ones."""
    if data_set.annotations is None:
        return None
    in_place = root / ANNOTATION_FILE
    path = source.annotations or (in_place if in_place.is_file() else None)
    if path is None:
        try:
            path = fetch(data_set.annotations, work, progress, patience).path
        except DataError as error:
            raise DataError(f"{error}; --annotations FILE takes a local copy") from None
    read_annotations(path)
    return path


def _archive(
    published: RemoteFile, work: Path, progress: Progress, local: Path | None, patience: Patience | None
) -> CheckedFile:
    if local is not None:
        return CheckedFile(local, check_file(local, published, progress))
    try:
        return fetch(published, work, progress, patience)
    except NoSpaceError:
        raise
    except DataError as error:
        raise DataError(f"{error}; --mirror URL names another address, --archive FILE a local copy") from None


def _build(
    data_set: DataSet, archive: Path, annotations: Path | None, folder: Path, work: Path, progress: Progress
) -> ClipCounts:
    with tempfile.TemporaryDirectory(dir=work, prefix="unpacked-") as scratch:
        staged = Path(scratch) / "set"
        staged.mkdir()
        try:
            unpack(archive, staged, data_set.max_bytes, data_set.max_files, progress)
            root = _root_within(staged, data_set, archive)
            counts = _checked_counts(data_set, root, archive, annotations)
        except NoSpaceError:
            raise
        except DataError:
            if archive.parent == work and data_set.archive.checksum is None:
                archive.unlink()  # so that the next call does not come to the same end
            raise
        if annotations is not None:
            shutil.copyfile(annotations, root / ANNOTATION_FILE)
        folder.parent.mkdir(parents=True, exist_ok=True)
        (folder / ANNOTATION_FILE).unlink(missing_ok=True)
        (root / data_set.folder).replace(folder)
    return counts


def _root_within(staged: Path, data_set: DataSet, archive: Path) -> Path:
    """The folder that holds the set's parts: the archive itself, or the one folder around them."""
    for folder in (staged, *sorted(path for path in staged.iterdir() if path.is_dir())):
        if all((folder / part).is_dir() for part in data_set.parts):
            return folder
    parts = ", ".join(f"{part}/" for part in data_set.parts)
    raise DataError(f"{archive} is not {data_set.title}: it has not the folders {parts}")


def _checked_counts(data_set: DataSet, root: Path, archive: Path, annotations: Path | None) -> ClipCounts:
    try:
        layout = data_set.scan(root)
        counts = _count(layout)
    except DataError as error:
        raise DataError(f"{archive} is not {data_set.title}: {error}") from None
    if data_set.counts not in (None, counts):
        raise DataError(f"{archive} holds {counts}, {data_set.title} has {data_set.counts}")
    if annotations is not None:
        # Only whether every row has its clip: how long the clips are is not known without reading them all.
        seconds = dict.fromkeys((clip.name for clip in layout.test), math.inf)
        annotate(layout.test, read_annotations(annotations), seconds, annotations)
    return counts
