"""The page of a prediction, to look at and to listen to: timelines, and a player for each explained event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.files import written_as_a_whole
from experiments.predictions.outcome import Moment, Outcome
from experiments.predictions.tables import recording_clocks
from experiments.report.html import Remark, Untitled, render_page
from experiments.report.moments import (
    Place,
    Shown,
    describe,
    encode_sounds,
    read_spectrograms,
    recording_length,
    show_moment,
)
from experiments.report.player import (
    Panel,
    Player,
    Segment,
    Sound,
    Span,
    colour_limits,
    data_uri,
    explanation_image,
    hertz_text,
    hertz_ticks,
    player_script,
    spectrogram_image,
    time_ticks,
)
from experiments.report.table import MISSING, Cell, Table
from experiments.report.timeline import Timeline, draw_timeline, span_text
from explainers.registry import explainer_label
from lightning_modules.files import write_atomically
from lightning_modules.wording import counted

PAGE_FILE = "page.html"
SOUNDS_FOLDER = "page_sounds"
"""Beside a page that would be too large with its sounds."""

MOST_BYTES = 20_000_000
"""Of images and sounds in a page; beyond, the sounds are beside it."""

_MOST_TIMELINES = 20
_MOST_ROWS = 200
_REMARKS = 6
"""Sentences on top of the page; further ones are folded."""


def write_prediction_page(folder: Path, outcome: Outcome, data: Any) -> Path:
    """Write the page of a prediction and, if it would be larger than 20 MB, its sounds beside it.

    Args:
        folder: The folder of the stage.
        outcome: What was found.
        data: The DataModule, which has the recordings.

    Returns:
        The page.
    """
    clocks = recording_clocks(outcome.recordings, data)
    shown = [show_moment(moment, example, outcome, data, clocks) for moment, example in outcome.explained]
    places = list(dict.fromkeys(place for each in shown for place in (each.context, each.normal) if place is not None))
    spectrograms = dict(zip(places, read_spectrograms(places, data), strict=True))
    limits = colour_limits(list(spectrograms.values())) if places else (0.0, 1.0)
    images = {place: spectrogram_image(spectrogram, limits) for place, spectrogram in spectrograms.items()}
    files, remarks = encode_sounds(places, data)
    names = {place: f"sound-{number}" for number, place in enumerate(places) if place in files}
    timelines = _timelines(outcome, data, shown)
    players = [_player(each, images, names, outcome, data) for each in shown]
    embedded = {place: data_uri(contents, "audio/mpeg") for place, contents in files.items()}
    panels = [panel for player in players for panel in player.panels]
    n_bytes = sum(len(uri) for panel in panels for uri in [panel.source, *panel.maps.values()])
    n_bytes += sum(map(len, embedded.values()))
    if n_bytes > MOST_BYTES:
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
            "Timelines": [_timeline_key(outcome), *timelines],
            _heading(outcome): [*_key(players, limits, outcome), *players, *sounds],
            "All events": _event_table(outcome),
        },
        [player_script()] if players else [],
    )
    write_atomically(folder / PAGE_FILE, page.encode())
    return folder / PAGE_FILE


def _title(outcome: Outcome) -> str:
    recordings = counted(len(outcome.recordings), "recording")
    return (
        f"{counted(len(outcome.events), 'event')} in {recordings}" if _decided(outcome) else f"Scores of {recordings}"
    )


def _decided(outcome: Outcome) -> bool:
    """Whether alarms were decided about any recording."""
    return bool(outcome.deciders.by_condition)


def _heading(outcome: Outcome) -> str:
    return "Events" if outcome.events else "Highest scores"


def _key(players: Sequence[Player], limits: tuple[float, float], outcome: Outcome) -> list[str]:
    """What the players show, if there are any."""
    if not players:
        return []
    low, high = (f"{limit:.0f}".replace("-", "−") for limit in limits)
    texts = ["Highest score first.", f"Brighter is louder, on one scale of {low} to {high} dB."]
    if outcome.events:
        texts.append("The yellow bar marks the event.")
    if any(player.explainers for player in players):
        texts.append(
            "Cyan is what raises the score in the window that was explained, between the dotted lines; the slider "
            "fades from the recording to the explanation."
        )
    texts.append(
        "A click on a spectrogram plays from there. Keys on a spectrogram: space plays and pauses, arrows move, escape "
        "stops."
    )
    return [" ".join(texts)]


def _timeline_key(outcome: Outcome) -> str:
    """What the timelines show."""
    line, times = "The line is the score of each window, at its middle", "Times are in s, or in minutes and seconds."
    if not _decided(outcome):
        return f"{line}. {times}"
    return f"{line}; dashed is the alarm threshold. Events are shaded, flagged seconds marked at the bottom. {times}"


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


def _timelines(outcome: Outcome, data: Any, shown: Sequence[Shown]) -> list[Timeline]:
    """The recordings with explained moments, then those with the highest scores."""
    score = outcome.score
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
        decider = outcome.deciders.of(recording.name)
        events = [(event.start, event.end) for event in outcome.events if event.name == recording.name]
        of_recording = [each.moment for each in shown if each.moment.name == recording.name]
        n_seconds = len(recording.band_errors)
        highest = f"highest score {recording.scores[score].max():.3g}"
        sentence = highest if decider is None else f"{counted(len(events), 'event')}, {highest}"
        timelines.append(
            draw_timeline(
                f"recording-{number}",
                recording.name,
                sentence,
                recording.starts,
                recording.scores[score],
                data.n_frames / data.frames_per_second,
                None if decider is None else decider.threshold,
                np.zeros(n_seconds, bool) if decision is None else decision.flagged_seconds,
                events,
                [(moment.peak, str(moment.number), _target(moment), _name(moment)) for moment in of_recording],
            )
        )
    return timelines


def _player(
    shown: Shown, images: Mapping[Place, str], names: Mapping[Place, str], outcome: Outcome, data: Any
) -> Player:
    moment, example, context, normal = shown.moment, shown.example, shown.context, shown.normal
    rate, window = data.frames_per_second, data.n_frames / data.frames_per_second

    def panel(place: Place, caption: str, **more: Any) -> Panel:
        seconds = place.end - place.start
        times = time_ticks(place.start, seconds, recording_length(place, data), most=round(5 * seconds / window))
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
        part = span_text(normal.start, normal.end, recording_length(normal, data))
        panels.append(panel(normal, f"{kind}: {normal.name}, {part}"))
        heard.append((kind, normal, *normal[2:]))
    segments = [Segment(label, names[place], *part) for label, place, *part in heard if place in names]
    when = "" if shown.clock is None else f" · {shown.clock:%Y-%m-%d %H:%M:%S}"
    labels = {name: explainer_label(name) for name in sorted(maps, key=lambda name: name != "error_map")}
    text = describe(shown, outcome, data)
    return Player(_target(moment), _name(moment) + when, moment.name, text, panels, segments, labels)


def _target(moment: Moment) -> str:
    return f"{'window' if moment.event is None else 'event'}-{moment.number}"


def _name(moment: Moment) -> str:
    return f"{'Window' if moment.event is None else 'Event'} {moment.number}"


def _event_table(outcome: Outcome) -> list[Untitled]:
    if not outcome.events:
        return []
    score, longest = outcome.score, {each.name: len(each.band_errors) for each in outcome.recordings}
    rows = [
        (
            Cell(str(number)),
            Cell(event.name),
            Cell(span_text(event.start, event.end, longest[event.name])),
            Cell(MISSING if np.isnan(event.low_hz) else f"{hertz_text(event.low_hz)} – {hertz_text(event.high_hz)}"),
            Cell(f"{event.scores[score]:.3g}", numbers=(("", event.scores[score]),)),
            Cell(f"{event.p_value:.2g}", numbers=(("", event.p_value),)),
        )
        for number, event in enumerate(outcome.events[:_MOST_ROWS], start=1)
    ]
    more = len(outcome.events) - len(rows)
    note = f"{more:,} more are in events.csv, with what each is like." if more > 0 else "More columns: events.csv."
    header = ("Event", "Recording", "Time", "Bands", "Score", "p")
    return [Untitled(Table("Events", note, header, (tuple(rows),), names=4))]
