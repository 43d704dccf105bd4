"""The recordings that are spliced, as the choice of pieces sees them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from datamodules.audio import cancelled, inspect, read_audio
from datamodules.errors import DataError
from datamodules.files import left_out_text
from datamodules.frontend import LogMelFrontEnd
from datamodules.layouts import Clip, Layout, scan_audio_folder, scan_dcase
from datamodules.progress import progress_console
from datamodules.splicing.background import FRONT_END, Array, background


@dataclass(frozen=True, eq=False)
class Recording:
    """A clip with what is compared of it.

    Attributes:
        clip: The clip.
        spectrogram: (F, T) in dB, of the bands and frames of ``FRONT_END``.
        background: (F,) in dB.
        samples: Length of the recording.
        sample_rate: Its rate in Hz.
    """

    clip: Clip
    spectrogram: Array
    background: Array
    samples: int
    sample_rate: int


def scan(source: Path, machine: str | None, section: str | None) -> Layout:
    """List the clips of one machine of DCASE data, or of an audio folder where no machine is named.

    Raises:
        DataError: As the layouts raise it, in the words of the splice command.
    """
    try:
        layout = scan_audio_folder(source) if machine is None else scan_dcase(source, machine, section)
        layout.test  # noqa: B018  raises where there is nothing to splice
    except DataError as error:
        hint = "; name a --machine if this is DCASE data" if machine is None and source.is_dir() else ""
        said = re.sub(r"--data\.(?=machine|section)", "--", str(error).replace("--data.root ", ""))
        raise DataError(said + hint) from None
    if layout.left_out:
        warnings.warn(left_out_text(layout.left_out), stacklevel=2)
    return layout


def read_recordings(clips: Sequence[Clip], description: str) -> list[Recording]:
    """Compute the spectrograms of clips; the description stands beside the progress bar.

    Raises:
        DataError: A clip cannot be read or is too short.
    """
    front_end = LogMelFrontEnd(FRONT_END)
    recordings, infos = [], {}
    for clip in track(clips, description, console=progress_console(), transient=True):
        waveform, sample_rate = read_audio(clip.path)
        if len(waveform) < FRONT_END.window * sample_rate:
            raise DataError(f"{clip.path} lasts less than {FRONT_END.window} s; move it out of the data set")
        spectrogram = front_end(waveform, sample_rate).numpy()
        recordings.append(Recording(clip, spectrogram, background(spectrogram), len(waveform), sample_rate))
        infos[clip.path] = inspect(clip.path)
    if text := cancelled(infos):
        warnings.warn(text.partition("; --")[0] + "; splice recordings of one channel", stacklevel=2)
    return recordings


def common_rate(recordings: Sequence[Recording]) -> int:
    """Sample rate in Hz of recordings that are to be spliced.

    Raises:
        DataError: Two have different rates.
    """
    first = recordings[0]
    for other in recordings:
        if other.sample_rate != first.sample_rate:
            raise DataError(
                f"{other.clip.path} has a sample rate of {other.sample_rate} Hz and {first.clip.path} one of "
                f"{first.sample_rate} Hz; convert them to one rate before they are spliced"
            )
    return first.sample_rate
