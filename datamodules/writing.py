"""Recordings as files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile


@contextmanager
def new_recording(path: Path, sample_rate: int, subtype: str) -> Iterator[soundfile.SoundFile]:
    """A recording of one channel to write samples into, which becomes a file when the block ends well.

    It is kept in memory until then, since libsndfile does not say why a file can't be written.

    Args:
        path: The file; its suffix says the format, and its folder exists.
        sample_rate: Hz.
        subtype: How libsndfile calls the format of the samples, for example PCM_16.

    Raises:
        OSError: The file can't be written.
    """
    contents = io.BytesIO()
    audio_format = path.suffix.removeprefix(".")
    with soundfile.SoundFile(contents, "w", sample_rate, 1, subtype=subtype, format=audio_format) as file:
        yield file
    path.write_bytes(contents.getbuffer())
