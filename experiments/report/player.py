"""A player: spectrograms to look at with explanations laid over them, and their sound to listen to."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import resources
from typing import Any

import matplotlib
import numpy as np
import scipy
import soundfile
from numpy.typing import NDArray
from PIL import Image

from datamodules.frontend import FrontEndSettings

_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates that MPEG audio knows, Hz."""

_MP3_COMPRESSION = 0.7
"""A constant bit rate, so that browsers find a time exactly; 57 kbit/s at 16 kHz."""

_HIGHEST_PEAK = 0.9
"""Of full scale, up to which sounds are amplified."""

_HIGHEST_GAIN = 1000.0
"""60 dB: what is fainter is silence."""

_CLIPPED = 0.5
"""Percent of the cells at an end of a colour scale that are beyond it."""

_LEVELS = 64
"""Shades of an image: more are not seen, and take more bytes."""

_LARGEST_RATIO_TERM = 1000
"""Limits the filter between rates that are nearly coprime; the pitch changes by a thousandth at most."""

_HZ_TICKS = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)


@dataclass(frozen=True)
class Tick:
    """A label on an axis.

    Attributes:
        text: The label.
        percent: Its place, in percent of the axis.
    """

    text: str
    percent: float


@dataclass(frozen=True)
class Span:
    """A part of an axis in percent of it."""

    start: float
    width: float


@dataclass(frozen=True)
class Sound:
    """An excerpt of a recording.

    Attributes:
        name: Id on the page.
        source: Data URI of an MP3 file, or the path of one relative to the page.
        start: Time in the recording at which it begins, s.
        recording: Id of the timeline whose cursor runs along; "" without one.
    """

    name: str
    source: str
    start: float
    recording: str = ""


@dataclass(frozen=True)
class Segment:
    """A button that plays a part of a sound.

    Attributes:
        label: Its text.
        sound: Id of the sound.
        start: Where the part begins, in s of the recording.
        end: Where it ends.
    """

    label: str
    sound: str
    start: float
    end: float


@dataclass(frozen=True)
class Panel:
    """A spectrogram with its axes.

    Attributes:
        caption: What it shows.
        source: Data URI of the image.
        start: Its first second, in s of the recording.
        seconds: Its length in s.
        hertz: Ticks of frequency.
        times: Ticks of time.
        sound: Id of the sound that is heard with it; "" without one.
        maps: Data URI of each explanation, by the explainer's name.
        explained: Where the explanations lie; None without one.
        marked: What is marked, such as the event.
    """

    caption: str
    source: str
    start: float
    seconds: float
    hertz: Sequence[Tick]
    times: Sequence[Tick]
    sound: str = ""
    maps: Mapping[str, str] = field(default_factory=dict)
    explained: Span | None = None
    marked: Sequence[Span] = ()


@dataclass(frozen=True)
class Player:
    """Spectrograms side by side, with what switches their explanations and plays their sound.

    Attributes:
        name: Id on the page.
        title: Heading.
        path: The recording.
        sentence: What is seen and heard.
        panels: The spectrograms.
        segments: The buttons that play.
        explainers: Label of each explainer by its name, the one shown first in front.
    """

    name: str
    title: str
    path: str
    sentence: str
    panels: Sequence[Panel]
    segments: Sequence[Segment]
    explainers: Mapping[str, str]


def player_script() -> str:
    """The program of a page with players."""
    return resources.files("experiments.report").joinpath("templates/player.js").read_text(encoding="utf-8")


def colour_limits(spectrograms: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    """Levels in dB between which all spectrograms are coloured, so that they compare."""
    cells = np.concatenate([spectrogram.ravel() for spectrogram in spectrograms])
    low, high = np.percentile(cells, [_CLIPPED, 100 - _CLIPPED])
    return float(low), float(high)


def spectrogram_image(spectrogram: NDArray[np.float32], limits: tuple[float, float]) -> str:
    """A spectrogram (F, T) as data URI of a PNG with a pixel per cell, brighter where louder."""
    low, high = limits
    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, _LEVELS), bytes=True)[:, :3]
    return _png((spectrogram - low) / max(high - low, 1e-6), colours)


def explanation_image(attribution: NDArray[np.float32]) -> str:
    """What raises the score in an attribution map (F, T) as data URI of a PNG that is opaque where that is most."""
    limit = float(np.percentile(np.abs(attribution), 100 - _CLIPPED)) or 1.0
    colours = np.tile(np.array([90, 240, 255], np.uint8), (_LEVELS, 1))
    return _png(attribution / limit, colours, transparency=bytes(np.linspace(0, 255, _LEVELS).astype(np.uint8)))


def _png(shares: NDArray[Any], colours: NDArray[np.uint8], **options: Any) -> str:
    """Data URI of cells from 0 to 1, the lowest band at the bottom."""
    indices = (shares[::-1].clip(0, 1) * (_LEVELS - 1)).round().astype(np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette(colours.tobytes())
    contents = io.BytesIO()
    picture.save(contents, "PNG", optimize=True, **options)
    return data_uri(contents.getvalue(), "image/png")


def data_uri(contents: bytes, media_type: str) -> str:
    """A file's contents as its address."""
    return f"data:{media_type};base64,{base64.b64encode(contents).decode()}"


def common_gain(sounds: Sequence[NDArray[np.float32]]) -> float:
    """By how much all sounds are amplified, so that the loudest is near full scale and they still compare."""
    peak = max((float(np.abs(sound).max(initial=0)) for sound in sounds), default=0.0)
    return min(_HIGHEST_PEAK / peak, _HIGHEST_GAIN) if peak > 0 else 1.0


def mp3(samples: NDArray[np.float32], sample_rate: int, heard_rate: int, gain: float) -> bytes:
    """Compress a sound without what is above the frequencies that a model hears; every browser plays MP3.

    Args:
        samples: (samples,), full scale at 1.
        sample_rate: Their rate in Hz.
        heard_rate: Sample rate of the front end in Hz.
        gain: What samples are multiplied by.

    Raises:
        soundfile.SoundFileError: This libsndfile can't write MP3.
    """
    rate = next((rate for rate in _MP3_RATES if rate >= min(sample_rate, heard_rate)), _MP3_RATES[-1])
    if rate != sample_rate:
        ratio = Fraction(rate, sample_rate).limit_denominator(_LARGEST_RATIO_TERM)
        samples = scipy.signal.resample_poly(samples, ratio.numerator, ratio.denominator)
    contents = io.BytesIO()
    soundfile.write(
        contents,
        (gain * samples).clip(-1, 1),
        rate,
        format="MP3",
        bitrate_mode="CONSTANT",
        compression_level=_MP3_COMPRESSION,
    )
    return contents.getvalue()


def hertz_ticks(settings: FrontEndSettings) -> list[Tick]:
    """Ticks of the frequency axis, whose bands are equally high."""
    edges = settings.band_edges()
    shown = [hertz for hertz in _HZ_TICKS if edges[0] <= hertz <= edges[-1]]
    places = np.interp(shown, edges, np.linspace(0, 100, len(edges)))
    ticks: list[Tick] = []
    for hertz, place in zip(shown, places.tolist(), strict=True):
        if not ticks or place - ticks[-1].percent > 8:  # or labels overlap
            ticks.append(Tick(hertz_text(hertz), place))
    return ticks


def time_ticks(start: float, seconds: float, longest: float, most: int = 6) -> list[Tick]:
    """Ticks at round times of a time axis, in s, of a recording whose length says how times are written."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    step = next((step for step in steps if seconds / step <= most), steps[-1])
    first = math.ceil(start / step - 1e-9)
    times = [number * step for number in range(first, math.floor((start + seconds) / step + 1e-9) + 1)]
    return [Tick(time_text(time, longest), 100 * (time - start) / seconds) for time in times]


def hertz_text(hertz: float) -> str:
    """A frequency with two digits.

    Example:
        >>> hertz_text(754.2), hertz_text(4347), hertz_text(12_600)
        ('750 Hz', '4.3 kHz', '13 kHz')
    """
    rounded = float(f"{hertz:.2g}")
    return f"{rounded:g} Hz" if rounded < 1000 else f"{rounded / 1000:g} kHz"


def time_text(seconds: float, longest: float) -> str:
    """A time in a recording: in s or, where there are times of two minutes or more, as minutes and seconds.

    Example:
        >>> time_text(12.44, 60), time_text(75, 600), time_text(4000.0, 7200)
        ('12.4', '1:15', '1:06:40')
    """
    if longest < 120:
        return f"{seconds:.1f}".removesuffix(".0")
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
