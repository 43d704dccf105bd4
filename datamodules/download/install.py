"""Unpacking a data set and putting it in place: complete and under its name, or not at all."""

from __future__ import annotations

import math
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from lzma import LZMAError
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from rich.progress import Progress

from datamodules.annotations import ANNOTATION_FILE, annotate, read_annotations
from datamodules.download.catalogue import ClipCounts, DataSet, RemoteFile
from datamodules.download.fetch import CheckedFile, NoSpaceError, Patience, check_file, fetch, require_space
from datamodules.errors import DataError
from datamodules.layouts import Layout
from lightning_modules.files import write_atomically

_LONGEST_QUOTE = 200


@dataclass(frozen=True)
class Source:
    """Sources of a data set other than the catalogue's: an address of the archive, local copies."""

    mirror: str | None = None
    archive: Path | None = None
    annotations: Path | None = None


@dataclass(frozen=True)
class Installed:
    """A folder or file in place, what was compared with the published one if it is new, and its clips."""

    path: Path
    checked: str | None
    counts: ClipCounts | None = None


def install(
    data_set: DataSet, root: Path, progress: Progress, source: Source | None = None, patience: Patience | None = None
) -> Installed:
    """Download a data set, or take a local archive, and put it where its DataModule reads it.

    A set that is already there is left alone. Otherwise everything happens in ``FOLDER.download`` beside the set's
    folder, and the folder gets its name when all is checked. After a failure, downloaded files stay there for the next
    call.

    Raises:
        DataError: It cannot be downloaded, is not the published set, or the folder holds something else.
    """
    source = source or Source()
    folder = root / data_set.folder
    published = _from(data_set.archive, source.mirror)
    if source.archive is not None and not source.archive.is_file():
        raise DataError(f"archive={source.archive} is not a file; name the archive as it was downloaded")
    in_place = root / ANNOTATION_FILE
    if _is_taken(folder):
        _, counts = _published_layout(data_set, root, folder, "; remove it or choose a new folder")
        if data_set.annotations is not None and not in_place.exists():
            with existing_folder(root):
                added = _annotations(data_set.annotations, root, source.annotations, progress, patience)
                if added != in_place:
                    write_atomically(in_place, added.read_bytes())
        return Installed(folder, None, counts)
    target = folder.resolve()  # keeps a link
    with existing_folder(target.with_name(f"{target.name}.download")) as work:
        annotations = None
        if data_set.annotations is not None:  # before the archive of a gigabyte, since its errors should come first
            given = source.annotations or (in_place if in_place.is_file() else None)
            annotations = _annotations(data_set.annotations, work, given, progress, patience)
        if source.archive is None:
            advice = "another address can be given as mirror, a local copy as archive"
            archive = _fetch(published, work, advice, progress, patience)
        else:
            archive = CheckedFile(source.archive, check_file(source.archive, published, progress))
        counts = _build(data_set, archive.path, annotations, target, work, progress)
        shutil.rmtree(work)
    return Installed(folder, archive.checked, counts)


def install_file(
    file: RemoteFile, folder: Path, progress: Progress, mirror: str | None = None, patience: Patience | None = None
) -> Installed:
    """Download a single file into a folder, unless it is there; raises a DataError if another has its name."""
    path = folder / file.name
    if path.exists():
        try:
            check_file(path, file, progress)
        except DataError as error:
            raise DataError(f"{error}; remove it or choose another folder") from None
        return Installed(path, None)
    file = _from(file, mirror)
    with existing_folder(folder):
        fetched = fetch(file, folder, progress, patience)
    return Installed(fetched.path, fetched.checked)


@contextmanager
def existing_folder(folder: Path) -> Iterator[Path]:
    """Make a folder with its parents; those that are still empty at the end are removed again.

    An OSError of the block becomes a DataError.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be used: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            for path in missing:
                path.rmdir()


def unpack(archive: Path, folder: Path, progress: Progress) -> None:
    """Unpack a ZIP archive into an empty folder; dates and permissions are not kept.

    :meth:`zipfile.ZipFile.extract` removes roots and ``..`` from the names of members, writes links as plain files, and
    reads no more than a member declares.

    Raises:
        DataError: It is not a ZIP file, or is damaged or encrypted, or the disk is too small.
    """
    try:
        with ZipFile(archive) as opened:
            members = opened.infolist()
            total = sum(member.file_size for member in members)
            require_space(folder, total, f"what {archive.name} holds")
            task = progress.add_task(f"Unpacking {archive.name}", total=total)
            for member in members:
                member.filename = member.filename.replace("\\", "/")  # written by some Windows programs
                opened.extract(member, folder)
                progress.advance(task, member.file_size)
    except DataError:
        raise
    except NotImplementedError:
        raise DataError(f"{archive} is compressed in a way that Python cannot read; pack it again as a ZIP") from None
    except (BadZipFile, zlib.error, LZMAError, EOFError, struct.error, ValueError, RuntimeError) as error:
        raise DataError(f"{archive} is not a ZIP archive, or is damaged: {str(error)[:_LONGEST_QUOTE]}") from None
    except OSError as error:  # from the disk, or from an offset that leads nowhere
        raise DataError(f"{archive} cannot be unpacked: {error.strerror or error}") from None


def _from(file: RemoteFile, mirror: str | None) -> RemoteFile:
    if mirror is None:
        return file
    if not mirror.startswith(("https://", "http://")):
        raise DataError(f"mirror={mirror} is not a valid address; it should begin with https://")
    return replace(file, url=mirror)


def _is_taken(folder: Path) -> bool:
    """Whether a folder holds anything but annotations, which may be put there first."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is not a folder; choose another")
    return folder.is_dir() and any(path.name != ANNOTATION_FILE for path in folder.iterdir())


def _published_layout(data_set: DataSet, root: Path, source: Path, advice: str = "") -> tuple[Layout, ClipCounts]:
    """The clips of a folder or archive (the source), which are those of the published set."""
    try:
        layout = data_set.scan(root)
        anomalous = sum(clip.label for clip in layout.test)
    except DataError as error:
        raise DataError(f"{source} is not {data_set.title}: {error}{advice}") from None
    counts = ClipCounts(len(layout.training), len(layout.test) - anomalous, anomalous)
    if data_set.counts not in (None, counts):
        raise DataError(f"{source} holds {counts}, {data_set.title} has {data_set.counts}{advice}")
    return layout, counts


def _annotations(
    published: RemoteFile, folder: Path, local: Path | None, progress: Progress, patience: Patience | None
) -> Path:
    """The local file of annotations, or else the published one, downloaded into a folder; either can be read."""
    advice = "a local copy can be given as annotations"
    path = local or _fetch(published, folder, advice, progress, patience).path
    read_annotations(path)
    return path


def _fetch(file: RemoteFile, folder: Path, advice: str, progress: Progress, patience: Patience | None) -> CheckedFile:
    try:
        return fetch(file, folder, progress, patience)
    except NoSpaceError:
        raise
    except DataError as error:
        raise DataError(f"{error}; {advice}") from None


def _build(
    data_set: DataSet, archive: Path, annotations: Path | None, folder: Path, work: Path, progress: Progress
) -> ClipCounts:
    with tempfile.TemporaryDirectory(dir=work, prefix="unpacked-") as scratch:
        staged = Path(scratch) / "set"
        staged.mkdir()
        try:
            unpack(archive, staged, progress)
            root = _root_within(staged, data_set, archive)
            layout, counts = _published_layout(data_set, root, archive)
            if annotations is not None:  # check that every row has its clip; lengths are unknown without reading all
                seconds = dict.fromkeys((clip.name for clip in layout.test), math.inf)
                annotate(layout.test, read_annotations(annotations), seconds, annotations)
        except NoSpaceError:
            raise
        except DataError:
            if archive.parent == work and data_set.archive.checksum is None:
                archive.unlink()  # the next call would fail in the same way
            raise
        if annotations is not None:
            shutil.copyfile(annotations, root / ANNOTATION_FILE)
        folder.parent.mkdir(parents=True, exist_ok=True)
        (folder / ANNOTATION_FILE).unlink(missing_ok=True)
        (root / data_set.folder).replace(folder)
    return counts


def _root_within(staged: Path, data_set: DataSet, archive: Path) -> Path:
    """The folder that holds the set's parts: the archive's root, or the one folder in it."""
    for folder in (staged, *sorted(path for path in staged.iterdir() if path.is_dir())):
        if all((folder / part).is_dir() for part in data_set.parts):
            return folder
    parts = ", ".join(f"{part}/" for part in data_set.parts)
    raise DataError(f"{archive} is not {data_set.title}: it does not contain the folders {parts}")
