"""Finding files in folders, and writing folders and recordings as a whole."""

from __future__ import annotations

import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile
from numpy.typing import NDArray

from datamodules.errors import DataError
from lightning_modules.wording import counted

# Without formats that do not state a sample rate (RAW) or mostly hold something else (MAT).
_SUFFIXES = {
    "WAV": (".wav", ".wave", ".bwf"),
    "RF64": (".rf64",),
    "W64": (".w64",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "AIFF": (".aiff", ".aif", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
    "VOC": (".voc",),
    "NIST": (".sph", ".nist"),
    "SVX": (".8svx", ".iff"),
    "IRCAM": (".sf",),
    "AVR": (".avr",),
    "PAF": (".paf",),
    "PVF": (".pvf",),
    "WVE": (".wve",),
}
AUDIO_SUFFIXES = tuple(suffix for name in soundfile.available_formats() for suffix in _SUFFIXES.get(name, ()))
"""Suffixes of the recordings that this libsndfile reads."""

TENSOR_SUFFIX = ".pt"

_UNRELATED_SUFFIXES = (
    ".bib", ".bmp", ".cfg", ".conf", ".css", ".csv", ".db", ".doc", ".docx", ".gif", ".htm", ".html", ".ini", ".ipynb",
    ".jpeg", ".jpg", ".js", ".json", ".jsonl", ".lnk", ".lock", ".log", ".m", ".md", ".md5", ".ods", ".odt", ".pdf",
    ".pkf", ".png", ".ppt", ".pptx", ".py", ".reapeaks", ".rst", ".rtf", ".sfk", ".sh", ".sha1", ".sha256", ".svg",
    ".tex", ".textgrid", ".tif", ".tiff", ".toml", ".tsv", ".txt", ".url", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
)  # fmt: skip
"""Suffixes of files that lie beside clips and are not meant to be clips; other files that are left out are reported."""


def walk(folder: Path) -> Iterator[Path]:
    """All files in a folder at any depth, linked folders included, without hidden files and those that macOS adds.

    A folder that several links lead to, or a circle of links, is walked once: under its own name if it lies in the
    folder itself, else under the first link. Raises a DataError for a folder that cannot be read.
    """

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from None

    seen: set[Path] = set()
    links = [folder]
    for start in links:  # grows during the loop
        for parent, folders, files in os.walk(start, onerror=fail):
            real = Path(parent).resolve()
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not _is_hidden(name))
            links += [link for name in folders if (link := Path(parent, name)).is_symlink()]
            yield from (Path(parent, name) for name in sorted(files) if not _is_hidden(name))


def find_files(folder: Path, suffixes: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Files with some suffixes in a folder at any depth, and the others except texts, tables, images and the like.

    A broken link is listed as well, so that reading it fails instead of continuing with fewer clips.
    """
    found, others = [], []
    for path in sorted(walk(folder)):
        if path.suffix.lower() in suffixes and (path.is_file() or not path.exists()):
            found.append(path)
        elif not _is_unrelated(path):
            others.append(path)
    return found, others


def left_out_text(files: Sequence[Path]) -> str:
    """A warning about files that cannot be read as clips, empty if there are none."""
    if not files:
        return ""
    count = Counter(path.suffix.lower() or "without a suffix" for path in files)
    kinds = ", ".join(f"{number:,} {suffix}" for suffix, number in count.most_common())
    return (
        f"left out {counted(len(files), 'file')} that cannot be read ({kinds}), such as {files[0]}; convert recordings "
        "to WAV or FLAC"
    )


def require_new_folder(folder: Path, content: str) -> None:
    """Raise a DataError if a folder for some content exists and is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} already exists; choose a new or empty folder for {content}")


@contextmanager
def written_as_a_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside a file or folder, which becomes it if the block ends well; an OSError is a DataError.

    Raises:
        KeyboardInterrupt: After Ctrl-C or SIGTERM; the message says how many files were lost.
    """
    parent = path.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{path.name}-") as scratch:
            built = Path(scratch) / "built"
            try:
                yield built
            except KeyboardInterrupt as stop:
                n_files = sum(path.is_file() for path in built.rglob("*"))
                raise KeyboardInterrupt(
                    f" after {counted(n_files, 'file')}, which are deleted; the same command begins {path} again"
                ) from stop
            built.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None


def write_recording(path: Path, samples: NDArray[Any], sample_rate: int, subtype: str = "PCM_16") -> None:
    """Write samples (N,) in libsndfile's sample format ``subtype``; the suffix gives the format.

    Raises:
        OSError: The file can't be written, for a reason that libsndfile itself does not give.
    """
    contents = io.BytesIO()
    soundfile.write(contents, samples, sample_rate, subtype, format=path.suffix.removeprefix("."))
    path.write_bytes(contents.getbuffer())


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_unrelated(path: Path) -> bool:
    if not path.suffix:  # README, LICENSE and the like
        return path.name.isupper() or path.name == "Makefile"
    return path.suffix.lower() in _UNRELATED_SUFFIXES
