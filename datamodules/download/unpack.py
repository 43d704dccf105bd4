"""Unpacking a ZIP archive that is not trusted: every member is looked at before the first byte is written."""

from __future__ import annotations

import re
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from rich.progress import Progress

from datamodules.download.disk import require_space
from datamodules.errors import DataError, quoted

_MAX_RATIO = 100
"""Bytes that a byte of the archive may unpack to: ten times as much as any recording or spectrogram compresses."""

_BLOCK_BYTES = 2**20
_ENCRYPTED = 0x1
_LONGEST_QUOTE = 200
_UNSAFE_CHARACTERS = re.compile(r"[\x00-\x1f:]")


def unpack(archive: Path, folder: Path, max_bytes: int, max_files: int, progress: Progress) -> None:
    """Unpack an archive into an empty folder.

    Only plain files and folders come out, below the folder, each once. Their dates and permissions are not kept.

    Args:
        archive: A ZIP file.
        folder: Where its members go; exists.
        max_bytes: The most that they may add up to.
        max_files: The most members it may have.
        progress: Where to show the bytes.

    Raises:
        DataError: It is no ZIP file, is damaged, or has a member that is not safe; or the disk is too small.
    """
    with _one_line_errors(archive), ZipFile(archive) as opened:
        members = _checked(archive, opened.infolist(), max_files)
        total = sum(info.file_size for info in members.values())
        _check_size(archive, total, max_bytes, folder)
        task = progress.add_task(f"Unpacking {archive.name}", total=total)
        for parent in {path.parent for path in members}:
            (folder / parent).mkdir(parents=True, exist_ok=True)
        for path, info in members.items():
            # ZipFile reads no more than a member declares, so the sum above holds whatever the data are.
            with opened.open(info) as source, (folder / path).open("xb") as file:
                while block := source.read(_BLOCK_BYTES):
                    file.write(block)
                    progress.advance(task, len(block))


@contextmanager
def _one_line_errors(archive: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except NotImplementedError:
        raise DataError(f"{archive} is compressed in a way that Python cannot read; pack it again as a ZIP") from None
    except (BadZipFile, zlib.error, LZMAError, EOFError, struct.error, ValueError, RuntimeError) as error:
        raise DataError(f"{archive} is no ZIP archive, or a damaged one: {str(error)[:_LONGEST_QUOTE]}") from None
    except OSError as error:  # from the disk, or from an offset that leads nowhere
        raise DataError(f"{archive} cannot be unpacked: {error.strerror or error}") from None


def _checked(archive: Path, infos: list[ZipInfo], max_files: int) -> dict[PurePosixPath, ZipInfo]:
    """The files among the members by their path, each safe to write."""
    if len(infos) > max_files:
        raise DataError(f"{archive} has {len(infos):,} members, more than the {max_files:,} that are unpacked")
    files: dict[PurePosixPath, ZipInfo] = {}
    seen: set[str] = set()
    for info in infos:
        path = _safe_path(archive, info)
        if info.is_dir():
            continue
        key = str(path).casefold()  # for disks that do not tell cases apart
        if key in seen:
            raise DataError(f"{archive} holds {quoted(info.filename)} twice; it is not unpacked")
        seen.add(key)
        files[path] = info
    for parent in {path.parent for path in files}:
        for folder in (parent, *parent.parents):
            if str(folder).casefold() in seen:
                raise DataError(f"{archive} holds {quoted(str(folder))} as a file and as a folder; it is not unpacked")
    return files


def _safe_path(archive: Path, info: ZipInfo) -> PurePosixPath:
    name = info.filename.replace("\\", "/")  # as some Windows tools write it
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or _UNSAFE_CHARACTERS.search(name):
        raise DataError(f"{archive} holds {quoted(info.filename)}, which leads out of the folder; it is not unpacked")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{archive} holds {quoted(info.filename)}, a link or device; it is not unpacked")
    if info.flag_bits & _ENCRYPTED:
        raise DataError(f"{archive} is encrypted ({quoted(info.filename)}); it is not unpacked")
    return path


def _check_size(archive: Path, total: int, max_bytes: int, folder: Path) -> None:
    if total > max_bytes:
        raise DataError(f"{archive} unpacks to {total:,} bytes, more than the {max_bytes:,} that are unpacked")
    if total > _MAX_RATIO * archive.stat().st_size:
        raise DataError(f"{archive} unpacks to {total:,} bytes, over {_MAX_RATIO} times its size; it is not unpacked")
    require_space(folder, total, f"what {archive.name} holds")
