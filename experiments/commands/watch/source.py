"""Where the sound of `watch` comes from, and the signals that end it."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datamodules.audio import Channel
from datamodules.errors import DataError
from datamodules.live import LiveSound, RawFormat, SampleFormat, pipe_chunks, wav_chunks, wav_format


@dataclass(frozen=True)
class Source:
    """Where the sound comes from: standard input, or a WAV file.

    Attributes:
        path: The file; None for standard input.
        rate: Sample rate of standard input in Hz.
        channels: Its channels.
        samples: Its sample format.
        patience: Seconds after which a file without new samples is complete; None to wait forever.
    """

    path: Path | None
    rate: int
    channels: int
    samples: SampleFormat
    patience: float | None

    def open(self, channel: Channel, stopped: list[int]) -> LiveSound | None:
        """Begin to read a channel, until `stopped` contains something; None if that is before a file has a header."""
        if self.path is not None:
            raw = wav_format(self.path, lambda: bool(stopped))
            patience = math.inf if self.patience is None else self.patience
            chunks = wav_chunks(self.path, lambda: bool(stopped), patience)
            return None if raw is None else LiveSound(str(self.path), raw, chunks, channel)
        name = "standard input"
        if sys.stdin.isatty():
            raise DataError("standard input is a terminal; pipe raw samples into watch, or name a WAV file with --file")
        raw = RawFormat.named(self.rate, self.channels, self.samples)
        chunks = pipe_chunks(sys.stdin.fileno(), name, lambda: bool(stopped))
        return LiveSound(name, raw, chunks, channel)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM in the list that is yielded, and let them take effect after the block.

    A line is never half-written, and what is known at the end is still written.
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: noted.append(number))
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if noted:
        try:
            signal.raise_signal(noted[0])
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt("; everything up to then is written") from stop
