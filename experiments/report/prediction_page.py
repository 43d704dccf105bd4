"""The page of a prediction, to look at and to listen to: timelines, and a player for each explained event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from datamodules.audio import read_excerpts
from datamodules.errors import DataError
from datamodules.files import TENSOR_SUFFIX, written_as_a_whole
from experiments.report.html import Remark, Untitled, render_page
from experiments.report.player import (
    Panel,
    Player,
    Segment,
    Sound,
    Span,
    colour_limits,
    common_gain,
    data_uri,
    explanation_image,
    hertz_text,
    hertz_ticks,
    mp3,
    player_script,
    spectrogram_image,
    time_ticks,
)
from experiments.report.table import MISSING, Cell, Table
from experiments.report.timeline import Timeline, draw_timeline, span_text
from experiments.runs.outcome import Moment, Outcome
from experiments.runs.prediction_tables import recording_clocks
from explainers.examples import Example
from explainers.registry import explainer_label
from lightning_modules.files import write_atomically
from lightning_modules.wording import counted

PAGE_FILE = "page.html"
SOUNDS_FOLDER = "page_sounds"
"""Beside a page that would be too large with its sounds."""

_MOST_BYTES = 20_000_000
_MOST_TIMELINES = 20
_MOST_ROWS = 200
_REMARKS = 6
"""Sentences on top of the page; further ones are folded."""

_CONTEXT_S = 3.0
"""Before and after what is shown of an event."""

_LONGEST_S = 30.0
"""What is shown of an event around its peak, if it is longer."""

_DIRECTION = 1 / 3
"""Share of the error, from which on a difference from normal has one direction."""


class _Place(NamedTuple):
    """A stretch of a recording: of those to predict (0) or to calibrate with (1), its name, start and end in s."""

    dataset: int
    name: str
    start: float
    end: float


@dataclass(frozen=True)
class _Shown:
    """A moment with what a player shows of it."""

    moment: Moment
    example: Example | None
    context: _Place
    normal: _Place | None
    heard: tuple[float, float]


def write_prediction_page(folder: Path, outcome: Outcome, data: Any) -> Path:
    """Write the page of a prediction and, if it would be larger than 20 MB, its sounds beside it.

    Args:
        folder: The folder of the stage.
        outcome: What was found.
        data: The DataModule, which has the recordings.

    Returns:
        The page.
    """
    shown = [_shown(moment, example, outcome, data) for moment, example in outcome.explained]
    places = list(dict.fromkeys(place for each in shown for place in (each.context, each.normal) if place is not None))
    spectrograms = dict(zip(places, _spectrograms(places, data), strict=True))
    limits = colour_limits(list(spectrograms.values())) if places else (0.0, 1.0)
    images = {place: spectrogram_image(spectrogram, limits) for place, spectrogram in spectrograms.items()}
    files, remarks = _sounds(places, data)
    names = {place: f"sound-{number}" for number, place in enumerate(places) if place in files}
    timelines = _timelines(outcome, data, shown)
    players = [_player(each, images, names, outcome, data) for each in shown]
    embedded = {place: data_uri(contents, "audio/mpeg") for place, contents in files.items()}
    n_bytes = sum(map(len, [*images.values(), *embedded.values()]))
    n_bytes += sum(len(uri) for player in players for panel in player.panels for uri in panel.maps.values())
    if n_bytes > _MOST_BYTES:
        with written_as_a_whole(folder / SOUNDS_FOLDER) as built:
            built.mkdir()
            for place, contents in files.items():
                (built / f"{names[place]}.mp3").write_bytes(contents)
        embedded = {place: f"{SOUNDS_FOLDER}/{names[place]}.mp3" for place in files}
        remarks.append(f"The sounds are in the folder {SOUNDS_FOLDER} beside this page, which has to stay there.")
    recordings = {timeline.title: timeline.name for timeline in timelines}
    sounds = [
        Sound(names[place], source, place.start, "" if place.dataset else recordings.get(place.name, ""))
        for place, source in embedded.items()
    ]
    page = render_page(
        _title(outcome),
        [Remark("info", text) for text in [*outcome.summary, *_left_out(outcome, timelines), *remarks]],
        _REMARKS,
        {
            "Timelines": timelines,
            _heading(outcome): [*_key(players, limits), *players, *sounds],
            "All events": _event_table(outcome),
        },
        [player_script()] if players else [],
    )
    write_atomically(folder / PAGE_FILE, page.encode())
    return folder / PAGE_FILE


# ---- what is shown


def _shown(moment: Moment, example: Example | None, outcome: Outcome, data: Any) -> _Shown:
    rate, total = data.frames_per_second, data.predict_sets[0].seconds[moment.name]
    window = data.n_frames / rate
    first = moment.first_frame(round(total * rate), data.n_frames, rate) / rate
    start, end = moment.start, min(moment.end, total)
    if end - start > _LONGEST_S:
        start, end = max(start, moment.peak - _LONGEST_S / 2), min(end, moment.peak + _LONGEST_S / 2)
    context = max(0.0, min(start, first) - _CONTEXT_S), min(total, max(end, first + window) + _CONTEXT_S)
    normal = _normal_window(moment, outcome, window)
    return _Shown(moment, example, _Place(0, moment.name, *context), normal, (start, end))


def _normal_window(moment: Moment, outcome: Outcome, window: float) -> _Place | None:
    """What normal looks like: a typical window of the calibration, or else the lowest score, if possible nearby."""
    score = _score(outcome)
    typical = [
        (value, each.name, start)
        for each in outcome.normal
        for start, value in zip(each.starts.tolist(), each.scores[score].tolist(), strict=True)
    ]
    if typical:
        _, name, start = sorted(typical)[len(typical) // 2]
        return _Place(1, name, start, start + window)
    others = [
        (each.name != moment.name, value, each.name, start)
        for each in outcome.recordings
        for start, value in zip(each.starts.tolist(), each.scores[score].tolist(), strict=True)
        if each.name != moment.name or start >= moment.end or start + window <= moment.start
    ]
    if not others:
        return None
    _, _, name, start = min(others)
    return _Place(0, name, start, start + window)


def _spectrograms(places: Sequence[_Place], data: Any) -> list[NDArray[np.float32]]:
    rate = data.frames_per_second
    return [
        data.predict_sets[place.dataset].excerpts([(place.name, round(place.start * rate), round(place.end * rate))])[0]
        for place in places
    ]


def _sounds(places: Sequence[_Place], data: Any) -> tuple[dict[_Place, bytes], list[str]]:
    """An MP3 file of each place whose recording can be read, and what is to be said about them."""
    paths = {
        (number, clip.name): clip.path for number, dataset in enumerate(data.predict_sets) for clip in dataset.clips
    }
    samples: dict[_Place, tuple[NDArray[np.float32], int]] = {}
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


# ---- sentences


def _score(outcome: Outcome) -> str:
    return "score" if outcome.decider is None else outcome.decider.settings.score


def _title(outcome: Outcome) -> str:
    recordings = counted(len(outcome.recordings), "recording")
    return f"{counted(len(outcome.events), 'event')} in {recordings}" if outcome.decider else f"Scores of {recordings}"


def _heading(outcome: Outcome) -> str:
    return "Events" if outcome.events else "Highest scores"


def _key(players: Sequence[Player], limits: tuple[float, float]) -> list[str]:
    """What the players show, if there are any."""
    if not players:
        return []
    low, high = limits
    maps = " Cyan is what raises the score; the slider fades from the recording to the explanation." if any(
        player.explainers for player in players
    ) else ""  # fmt: skip
    return [
        f"Highest score first. Spectrograms are brighter where the sound is louder, all on one scale of {low:.0f} to "
        f"{high:.0f} dB. The white bar on top marks the event.{maps} A click on a spectrogram plays from there. Keys, "
        "when a spectrogram is focused: space plays and pauses, arrows move; escape stops."
    ]


def _left_out(outcome: Outcome, timelines: Sequence[Timeline]) -> list[str]:
    """What the page does not show."""
    texts = []
    n_events, n_shown = len(outcome.events), len(outcome.explained)
    if n_shown < n_events:
        texts.append(
            f"The {n_shown:,} highest of {n_events:,} events are explained; --attributions.examples {n_events} "
            "explains all of them."
        )
    if len(timelines) < len(outcome.recordings):
        texts.append(
            f"{len(timelines)} of {len(outcome.recordings):,} recordings are shown; all of them are in predictions.csv."
        )
    return texts


def _sentence(shown: _Shown, outcome: Outcome, data: Any) -> str:
    """What is heard, for someone who does not know the model."""
    moment, event = shown.moment, shown.moment.event
    span = span_text(moment.start, moment.end, _length(shown.context, data))
    if event is None:
        text = f"{span}: score {moment.score:.3g}"
        if outcome.decider is not None and (below := outcome.decider.threshold - moment.score) >= 0:
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


def _difference(shown: _Shown, data: Any) -> str:
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


# ---- parts of the page


def _timelines(outcome: Outcome, data: Any, shown: Sequence[_Shown]) -> list[Timeline]:
    """The recordings with explained moments, then those with the highest scores."""
    score = _score(outcome)
    with_moments = {each.moment.name for each in shown}
    order = sorted(
        range(len(outcome.recordings)),
        key=lambda i: (
            outcome.recordings[i].name not in with_moments,
            -outcome.recordings[i].scores[score].max(),
        ),
    )
    timelines = []
    for number, index in enumerate(order[:_MOST_TIMELINES]):
        recording, decision = outcome.recordings[index], outcome.decisions[index]
        events = [(event.start, event.end) for event in outcome.events if event.name == recording.name]
        of_recording = [each.moment for each in shown if each.moment.name == recording.name]
        n_seconds = len(recording.band_errors)
        highest = f"highest score {recording.scores[score].max():.3g}"
        sentence = highest if outcome.decider is None else f"{counted(len(events), 'event')}, {highest}"
        timelines.append(
            draw_timeline(
                f"recording-{number}",
                recording.name,
                sentence,
                recording.starts,
                recording.scores[score],
                data.n_frames / data.frames_per_second,
                None if outcome.decider is None else outcome.decider.threshold,
                np.zeros(n_seconds, bool) if decision is None else decision.flagged_seconds,
                events,
                [(moment.peak, str(moment.number), _target(moment), _name(moment)) for moment in of_recording],
            )
        )
    return timelines


def _player(
    shown: _Shown, images: Mapping[_Place, str], names: Mapping[_Place, str], outcome: Outcome, data: Any
) -> Player:
    moment, example, context, normal = shown.moment, shown.example, shown.context, shown.normal
    rate, window = data.frames_per_second, data.n_frames / data.frames_per_second

    def panel(place: _Place, caption: str, **more: Any) -> Panel:
        seconds = place.end - place.start
        times = time_ticks(place.start, seconds, _length(place, data), most=round(5 * seconds / window))
        hertz, sound = hertz_ticks(data.frontend), names.get(place, "")
        return Panel(caption, images[place], place.start, seconds, hertz, times, sound, **more)

    def span(start: float, end: float) -> Span:
        seconds = context.end - context.start
        return Span(100 * (start - context.start) / seconds, 100 * (end - start) / seconds)

    maps = {} if example is None else {name: explanation_image(each) for name, each in example.attributions.items()}
    first = 0.0 if example is None else example.first_frame / rate
    explained = span(first, first + window) if maps else None
    marked = [span(*shown.heard)] if moment.event is not None else []
    panels = [panel(context, _name(moment), maps=maps, explained=explained, marked=marked)]
    heard = [(f"{_name(moment).split()[0]} alone", context, *shown.heard), ("In context", context, *context[2:])]
    if normal is not None:
        kind = "Normal sound" if normal.dataset else "Lowest score"
        part = span_text(normal.start, normal.end, _length(normal, data))
        panels.append(panel(normal, f"{kind}: {normal.name}, {part}"))
        heard.append((kind, normal, *normal[2:]))
    segments = [Segment(label, names[place], *part) for label, place, *part in heard if place in names]
    clock = recording_clocks(outcome.recordings, data)[moment.name]
    when = "" if clock is None else f" · {clock + timedelta(seconds=moment.start):%Y-%m-%d %H:%M:%S}"
    labels = {name: explainer_label(name) for name in sorted(maps, key=lambda name: name != "error_map")}
    sentence = _sentence(shown, outcome, data)
    return Player(_target(moment), _name(moment) + when, moment.name, sentence, panels, segments, labels)


def _length(place: _Place, data: Any) -> float:
    """Length of a place's recording in s."""
    length: float = data.predict_sets[place.dataset].seconds[place.name]
    return length


def _target(moment: Moment) -> str:
    return f"{'window' if moment.event is None else 'event'}-{moment.number}"


def _name(moment: Moment) -> str:
    return f"{'Window' if moment.event is None else 'Event'} {moment.number}"


def _event_table(outcome: Outcome) -> list[Untitled]:
    if not outcome.events:
        return []
    longest = {each.name: each.starts[-1] for each in outcome.recordings}
    rows = [
        (
            Cell(str(number)),
            Cell(event.name),
            Cell(span_text(event.start, event.end, longest[event.name])),
            Cell(MISSING if np.isnan(event.low_hz) else f"{hertz_text(event.low_hz)} – {hertz_text(event.high_hz)}"),
            Cell(f"{event.scores[_score(outcome)]:.3g}", numbers=(("", event.scores[_score(outcome)]),)),
            Cell(f"{event.p_value:.2g}", numbers=(("", event.p_value),)),
        )
        for number, event in enumerate(outcome.events[:_MOST_ROWS], start=1)
    ]
    more = len(outcome.events) - len(rows)
    note = f"{more:,} more are in events.csv, with what each is like." if more > 0 else "More columns: events.csv."
    header = ("Event", "Recording", "Time", "Bands", "Score", "p")
    return [Untitled(Table("Events", note, header, (tuple(rows),), names=4))]
