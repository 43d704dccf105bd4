"""The loop of `watch`: from sound to windows, scores, alarms and events, each written when it is known."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.audio import ChannelTally, open_audio, require_channel, signal_blocks
from datamodules.errors import DataError
from datamodules.layouts import scan_files
from datamodules.live import LiveSound
from datamodules.recordings.windows import LEFT_OUT_S
from experiments.commands.watch.models import WatchedModel
from experiments.commands.watch.source import Source, noted_signals
from experiments.predictions.calibration import CALIBRATION_FILE, Calibration
from experiments.predictions.decisions import AlarmSettings, Decider
from experiments.predictions.live import LiveDecider, NumberedEvent
from experiments.predictions.scores import WindowScores
from lightning_modules.base import require_number
from lightning_modules.errors import ConfigurationError
from lightning_modules.wording import counted

_DECIMALS = {"start": 3, "end": 3, "peak": 3, "low_hz": 0, "high_hz": 0}
"""Of times in s and of frequencies, as in the tables of `predict`."""


@dataclass(frozen=True)
class ScoredWindow:
    """A window: its first frame, its scores and its error map (F, T)."""

    first: int
    scores: dict[str, float]
    error: Tensor


@dataclass(frozen=True)
class Progress:
    """Frames of a sound before which no window to come begins; None when it has ended."""

    n_passed: int | None


@dataclass
class Delays:
    """How long after their last sample lines were written, in s."""

    n: int = 0
    total: float = 0.0
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a line."""
        self.n, self.total, self.longest = self.n + 1, self.total + seconds, max(self.longest, seconds)

    def __str__(self) -> str:
        return f"{self.total / max(self.n, 1):.2f} s on average, {self.longest:.2f} s at most"


@dataclass
class Watch:
    """Watches one sound.

    Attributes:
        model: What scores.
        hop: Seconds from window to window; None for windows that do not overlap.
        settings: What raises an alarm.
        windows: Delays of the lines of windows after their last sample was read.
        events: Delays of the lines of events after their last window, in seconds of sound.

    Raises:
        ConfigurationError: The hop is longer than a window.
    """

    model: WatchedModel
    hop: float | None
    settings: AlarmSettings
    windows: Delays = field(default_factory=Delays)
    events: Delays = field(default_factory=Delays)

    def __post_init__(self) -> None:
        self._rate = self.model.front_end.settings.frames_per_second
        self._window_s = self.model.n_frames / self._rate
        if self.hop is not None:
            most = self._window_s + LEFT_OUT_S
            expected = f"above 0 and at most the {self._window_s:g} s of a window"
            require_number("hop", self.hop, lambda hop: 0 < hop <= most, expected)
        self._hop_s = self._window_s if self.hop is None else self.hop
        self._calibration = self.model.calibration

    def calibrate(self, path: Path, block: float | None) -> None:
        """Score normal recordings, as `predict` does, or read what it has saved, in place of the model's calibration.

        Raises:
            ConfigurationError: The block is not valid, or the saved scores are of other weights.
            DataError: A recording can't be used.
        """
        if block is not None:
            require_number("block", block, lambda seconds: seconds > 0, "above 0")
        if path.suffix == Path(CALIBRATION_FILE).suffix and path.is_file():
            if block is not None:
                raise ConfigurationError(f"--block is for recordings; {path} has the stretches it was saved with")
            saved, own = Calibration.load(path), self.model.calibration
            # What an exported file has does not say of which weights it is.
            if own is not None and own.step >= 0 and (saved.epoch, saved.step) != (own.epoch, own.step):
                raise ConfigurationError(
                    f"{path} has scores of other weights (epoch {saved.epoch}, step {saved.step}) than "
                    f"{self.model.name} (epoch {own.epoch}, step {own.step}); give one of this model"
                )
            self._calibration = saved
            return
        _tell(f"Scoring the normal recordings in {path} first; sound that comes meanwhile has to wait")
        scores, index = WindowScores(self._rate), 0
        for clip in scan_files(path).test:
            with open_audio(clip.path) as file:
                require_channel(clip.path, file.channels, self.model.channel)
                tally = ChannelTally(file.channels)
                samples = signal_blocks(clip.path, file, self.model.channel, tally)
                for each in self._score(map(torch.from_numpy, samples), file.samplerate):
                    if isinstance(each, ScoredWindow):
                        scores.add_window(clip.name, index, each.first, each.scores, each.error)
                        index += 1
        recordings = scores.gather()
        if not recordings:
            raise DataError(f"--calibrate {path}: no recording is as long as a window of {self._window_s:g} s")
        per_block = None if block is None else max(1, round(block / self._hop_s))
        self._calibration = Calibration.of_recordings(recordings, -1, -1, per_block)

    def run(self, source: Source) -> None:
        """Watch until the sound ends, or a signal stops it; the last windows and events are written in both cases."""
        decider = self._decider()
        with noted_signals() as stopped:
            sound = source.open(self.model.channel, stopped)
            if sound is None:
                return
            _tell(f"{sound.name}: {sound.raw}, windows of {self._window_s:g} s every {self._hop_s:g} s")
            if self.model.caution:
                _tell(f"caution: {self.model.caution}")
            self._watch(sound, decider)
            if not self.windows.n and not stopped:
                raise DataError(
                    f"{sound.name} ended after {sound.seconds:.2f} s, which is shorter than a window of "
                    f"{self._window_s:g} s; nothing was scored"
                )
            _tell(
                f"{sound.seconds:,.1f} s of sound, {counted(self.windows.n, 'window')}, "
                f"{counted(self.events.n, 'event')}. Windows were written {self.windows} after their last sample was "
                f"read" + (f"; events {self.events} of sound after their end" if self.events.n else "")
            )

    def _decider(self) -> Decider | None:
        if self._calibration is None:
            _tell(
                "No alarms: the scores of normal clips by this model are unknown. Give a folder of normal recordings "
                "with --calibrate"
            )
            return None
        decider = Decider(self._calibration, self.settings, self._window_s, self._hop_s)
        if not math.isfinite(getattr(self._calibration, self.settings.score).sum()):
            raise ConfigurationError(
                f"--alarm_score {self.settings.score} is not computed by this model; give --alarm_score score"
            )
        _tell(f"Promise: {decider.promise}")
        return decider

    def _watch(self, sound: LiveSound, decider: Decider | None) -> None:
        edges = self.model.front_end.settings.band_edges()
        live = None if decider is None else LiveDecider(decider, self._rate, edges)
        for each in self._score(sound.blocks(), sound.raw.sample_rate):
            if isinstance(each, ScoredWindow):
                p_value, alarm = (None, None) if live is None else live.add(each.first, each.scores, each.error)
                start = each.first / self._rate
                times = {"start": start, "end": start + self._window_s, "time": _clock(sound, start)}
                _write({"type": "window"} | times | each.scores | {"p_value": p_value, "alarm": alarm})
                self.windows.add(time.time() - sound.read_at)
            elif decider is not None and live is not None:
                for found in live.take(each.n_passed):
                    margin = found.event.scores[self.settings.score] - decider.threshold
                    _write(_event_line(found, _clock(sound, found.event.start), margin))
                    self.events.add(max(0.0, sound.seconds - found.event.end))

    def _score(self, blocks: Iterable[Tensor], sample_rate: int) -> Iterator[ScoredWindow | Progress]:
        """Score the windows of a sound, each when its last sample is there, and tell how far the sound has come."""
        cutter = self.model.cutter(self._hop_s)
        whole = _from_window_on(blocks, self.model.front_end.settings.window * sample_rate)
        try:
            for part in () if whole is None else self.model.stream(whole, sample_rate):
                if not part.isfinite().all():
                    raise DataError("the samples are too large for the front end; check their format")
                for first, window in cutter.add(part):
                    yield self._scored(first, window)
                yield Progress(cutter.n_passed)
        except DataError:
            yield Progress(None)  # what was found before is written
            raise
        for first, window in cutter.end():
            yield self._scored(first, window)
        yield Progress(None)

    def _scored(self, first: int, window: Tensor) -> ScoredWindow:
        return ScoredWindow(first, *self.model.score(window))


def _from_window_on(blocks: Iterable[Tensor], n_samples: float) -> Iterable[Tensor] | None:
    """The blocks of a sound, the first of which is long enough for the front end; None if all together are not."""
    iterator, first = iter(blocks), torch.empty(0)
    while len(first) <= n_samples:
        block = next(iterator, None)
        if block is None:
            return None
        first = torch.cat([first, block])
    return chain([first], iterator)


def _clock(sound: LiveSound, start: float) -> str:
    """Clock time at which a second of a sound that is recorded now was heard."""
    heard = sound.read_at - (sound.seconds - start)
    return datetime.fromtimestamp(heard).astimezone().isoformat(timespec="milliseconds")


def _event_line(found: NumberedEvent, clock: str, margin: float) -> dict[str, Any]:
    event = found.event
    times = {"start": event.start, "end": event.end, "time": clock, "peak": event.peak}
    decided = {"p_value": event.p_value, "margin": margin, "low_hz": event.low_hz, "high_hz": event.high_hz}
    alike = {"like": found.like, "likeness": found.likeness}
    return {"type": "event", "event": found.number} | times | dict(event.scores) | decided | alike


def _write(line: dict[str, Any]) -> None:
    """Write a JSON line at once; what is NaN becomes null."""
    line |= {key: round(line[key], decimals) for key, decimals in _DECIMALS.items() if key in line}
    line = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in line.items()}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
