"""The example clips of a report to listen to: one sound, and what the explainers of each model say about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

import soundfile

from datamodules.audio import read_excerpts
from datamodules.errors import DataError
from datamodules.files import AUDIO_SUFFIXES
from datamodules.frontend import FrontEndSettings
from experiments.report.figures.panels import intervals
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
    hertz_ticks,
    mp3,
    spectrogram_image,
    time_ticks,
)
from experiments.runs.config import channel_of, data_options
from experiments.runs.results import Run
from explainers.examples import Example
from explainers.registry import explainer_label

_KEY = (
    "Cyan is what raises a model's score; a yellow bar marks annotated seconds. Every map has its own scale, since "
    "only shapes compare."
)


def clip_player(name: str, of_models: Mapping[str, Example], runs: Mapping[str, Run]) -> list[Player | Sound]:
    """A player of a clip with a spectrogram for each model, and its sound.

    Args:
        name: Id on the page.
        of_models: The clip with its maps, by the model's label.
        runs: The run of each model, which knows where the clip is and how spectrograms are made.

    Returns:
        Nothing where the recording can't be read any more.
    """
    label, example = next(iter(of_models.items()))
    config, rate = runs[label].config, runs[label].frames_per_second
    frontend = _front_end(runs[label], example)
    seconds = example.spectrogram.shape[1] / rate
    path = Path(str(data_options(config).get("root", ""))).expanduser() / example.name
    if path.suffix.lower() not in AUDIO_SUFFIXES or not path.is_file():
        return []
    channel = channel_of(config)
    try:
        (samples,), sample_rate = read_excerpts(path, [(0.0, seconds)], "mix" if channel == "mix" else int(channel))
        contents = mp3(samples, sample_rate, frontend.sample_rate, common_gain([samples]))
    except (DataError, soundfile.SoundFileError):
        return []
    spans = intervals(example.annotation, rate)
    source = spectrogram_image(example.spectrogram, colour_limits([example.spectrogram]))
    marked = [Span(100 * start / seconds, 100 * (end - start) / seconds) for start, end in spans]
    sound = Sound(f"{name}-sound", data_uri(contents, "audio/mpeg"), 0.0)
    panels = [
        Panel(
            model, source, 0.0, seconds, hertz_ticks(frontend), time_ticks(0.0, seconds, seconds), sound.name,
            {explainer: explanation_image(each) for explainer, each in shown.attributions.items()},
            Span(0.0, 100.0), marked,
        )
        for model, shown in of_models.items()
    ]  # fmt: skip
    segments = [Segment("Clip", sound.name, 0.0, seconds)]
    segments += [Segment(f"Annotated: {start:.1f}–{end:.1f} s", sound.name, start, end) for start, end in spans]
    return [Player(name, "To listen to", example.name, _KEY, panels, segments, _labels(of_models.values())), sound]


def _labels(examples: Iterable[Example]) -> dict[str, str]:
    """Label of each explainer of any model, the error map first."""
    names = dict.fromkeys(name for example in examples for name in example.attributions)
    return {name: explainer_label(name) for name in sorted(names, key=lambda name: name != "error_map")}


def _front_end(run: Run, example: Example) -> FrontEndSettings:
    """The settings that a run's configuration gives, and those of the planer recordings for what it leaves out."""
    given = data_options(run.config).get("frontend") or {}
    known = {each.name: given[each.name] for each in fields(FrontEndSettings) if each.name in given}
    return FrontEndSettings(**{**known, "n_mels": len(example.spectrogram)})
