"""What is shown and heard of the explained moments of a prediction, and the sentence about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from datamodules.audio import read_excerpts
from datamodules.errors import DataError
from datamodules.files import TENSOR_SUFFIX
from experiments.predictions.outcome import Moment, Outcome
from experiments.report.player import common_gain, hertz_text, mp3
from experiments.report.timeline import span_text
from explainers.examples import Example

_CONTEXT_S = 3.0
"""Before and after what is shown of an event."""

_LONGEST_S = 30.0
"""What is shown of an event around its peak, if it is longer."""

_DIRECTION = 1 / 3
"""Share of the error, from which on a difference from normal has one direction."""


class Place(NamedTuple):
    """A stretch of a recording: of those to predict (0) or to calibrate with (1), its name, start and end in s."""

    dataset: int
    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Shown:
    """A moment with what a player shows of it, what is heard of it alone, and what the clock said."""

    moment: Moment
    example: Example | None
    context: Place
    normal: Place | None
    heard: tuple[float, float]
    clock: datetime | None


def show_moment(
    moment: Moment, example: Example | None, outcome: Outcome, data: Any, clocks: Mapping[str, datetime | None]
) -> Shown:
    """Choose what to show of a moment.

    Args:
        moment: The moment.
        example: The window around its peak with its maps; None from a detector without a reconstruction.
        outcome: What the prediction has found.
        data: The DataModule, which has the recordings.
        clocks: When each recording began, by its name; None where that is unknown.
    """
    rate, total = data.frames_per_second, data.predict_sets[0].seconds[moment.name]
    window = data.n_frames / rate
    first = moment.first_frame(round(total * rate), data.n_frames, rate) / rate
    start, end = moment.start, min(moment.end, total)
    if end - start > _LONGEST_S:
        start, end = max(start, moment.peak - _LONGEST_S / 2), min(end, moment.peak + _LONGEST_S / 2)
    context = max(0.0, min(start, first) - _CONTEXT_S), min(total, max(end, first + window) + _CONTEXT_S)
    normal = _normal_window(moment, outcome, window)
    began = clocks[moment.name]
    clock = None if began is None else began + timedelta(seconds=moment.start)
    return Shown(moment, example, Place(0, moment.name, *context), normal, (start, end), clock)


def _normal_window(moment: Moment, outcome: Outcome, window: float) -> Place | None:
    """What normal looks like: a typical window of its calibration, or else the lowest score, if possible nearby."""
    score, decider = outcome.score, outcome.deciders.of(moment.name)
    of_condition = set() if decider is None else set(decider.calibration.names.tolist())
    typical = [
        (value, each.name, start)
        for each in outcome.normal
        if each.name in of_condition
        for start, value in zip(each.starts.tolist(), each.scores[score].tolist(), strict=True)
    ]
    if typical:
        _, name, start = sorted(typical)[len(typical) // 2]
        return Place(1, name, start, start + window)
    others = [
        (each.name != moment.name, value, each.name, start)
        for each in outcome.recordings
        for start, value in zip(each.starts.tolist(), each.scores[score].tolist(), strict=True)
        if each.name != moment.name or start >= moment.end or start + window <= moment.start
    ]
    if not others:
        return None
    _, _, name, start = min(others)
    return Place(0, name, start, start + window)


def read_spectrograms(places: Sequence[Place], data: Any) -> list[NDArray[np.float32]]:
    """Spectrogram (F, t) of each place in dB."""
    rate = data.frames_per_second
    return [
        data.predict_sets[place.dataset].excerpts([(place.name, round(place.start * rate), round(place.end * rate))])[0]
        for place in places
    ]


def encode_sounds(places: Sequence[Place], data: Any) -> tuple[dict[Place, bytes], list[str]]:
    """An MP3 file of each place whose recording can be read, and what is to be said about them."""
    paths = {(number, clip.name): clip.path for number, each in enumerate(data.predict_sets) for clip in each.clips}
    samples: dict[Place, tuple[NDArray[np.float32], int]] = {}
    silent: list[str] = []
    for key in dict.fromkeys(place[:2] for place in places):
        of_recording = [place for place in places if place[:2] == key]
        if paths[key].suffix.lower() == TENSOR_SUFFIX:
            silent.append(f"{key[1]} is a spectrogram, which has no sound.")
            continue
        try:
            excerpts, rate = read_excerpts(paths[key], [place[2:] for place in of_recording], data.channel)
        except DataError as error:
            silent.append(f"No sound: {error}.")
            continue
        samples |= {place: (excerpt, rate) for place, excerpt in zip(of_recording, excerpts, strict=True)}
    gain = common_gain([excerpt for excerpt, _ in samples.values()])
    heard = data.frontend.sample_rate
    try:
        files = {place: mp3(excerpt, rate, heard, gain) for place, (excerpt, rate) in samples.items()}
    except soundfile.SoundFileError as error:
        return {}, [f"No sound: this libsndfile writes no MP3 ({error}); update the package soundfile."]
    if files:
        decibel = 20 * np.log10(gain)
        silent.append(f"All sounds are {'amplified' if gain >= 1 else 'attenuated'} by {abs(decibel):.0f} dB.")
    return files, silent


def describe(shown: Shown, outcome: Outcome, data: Any) -> str:
    """What is heard, for someone who does not know the model."""
    moment, event = shown.moment, shown.moment.event
    span = span_text(moment.start, moment.end, recording_length(shown.context, data))
    if event is None:
        text = f"{span}: score {moment.score:.3g}"
        decider = outcome.deciders.of(moment.name)
        if decider is not None and (below := decider.threshold - moment.score) >= 0:
            text += f", {below:.2g} below the alarm threshold"
        return f"{text}."
    where = "" if np.isnan(event.low_hz) else f" {_band(event.low_hz, event.high_hz)}"
    start, end = shown.heard
    part = "" if end - start >= moment.end - moment.start - 1 else f" Shown are {end - start:.0f} s around its peak."
    return f"{span}: {_difference(shown, data)}{where}, p = {event.p_value:.2g}.{part}"


def _band(low: float, high: float) -> str:
    lower, upper = hertz_text(low), hertz_text(high)
    if lower.split()[1] == upper.split()[1]:
        lower = lower.split()[0]
    return f"between {lower} and {upper}"


def _difference(shown: Shown, data: Any) -> str:
    """Whether an event is louder or quieter than the model's reconstruction, in the bands that carry its error."""
    event, example = shown.moment.event, shown.example
    if event is None or example is None or np.isnan(event.low_hz):
        return "different from normal"
    rate, edges = data.frames_per_second, data.frontend.band_edges()
    bands = slice(*np.searchsorted(edges, [event.low_hz - 1e-6, event.high_hz - 1e-6]).tolist())
    first, after = (round(time * rate) - example.first_frame for time in shown.heard)
    frames = slice(max(0, first), max(0, after))
    residual = (example.spectrogram - example.reconstruction)[bands, frames]
    total = float((residual**2).sum())
    direction = float((residual * np.abs(residual)).sum()) / total if total else 0.0
    if abs(direction) < _DIRECTION:
        return "different from normal"
    return "louder than normal" if direction > 0 else "quieter than normal"


def recording_length(place: Place, data: Any) -> float:
    """Length of a place's recording in s."""
    length: float = data.predict_sets[place.dataset].seconds[place.name]
    return length
