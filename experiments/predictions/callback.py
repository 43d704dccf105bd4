"""The callback of `predict`: collects the scores of windows, and decides when all are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from experiments.predictions.calibration import CALIBRATION_FILE, Calibration, blocks
from experiments.predictions.conditions import ALL, UNKNOWN, Conditions, Deciders
from experiments.predictions.decisions import AlarmSettings
from experiments.predictions.events import Event, find_events
from experiments.predictions.outcome import Moment, Outcome, highest_moments
from experiments.predictions.scores import ScoredRecording, WindowScores
from experiments.predictions.tables import write_tables
from explainers import AttributionMaps
from explainers.examples import FOLDER as EXAMPLES_FOLDER
from explainers.examples import Example
from lightning_modules.base import require_number
from lightning_modules.callbacks import EvaluationHooks, run_folder
from lightning_modules.errors import ConfigurationError


class Predictions(EvaluationHooks):
    """Writes the tables of a `predict` run, in dB² and seconds.

    ``predictions.csv`` has a row per recording, sorted by decreasing score; ``windows.csv`` one per window, and
    ``timeline.csv`` one per second. With a calibration they have p-values and alarms, and there are ``events.csv`` and
    label tracks for Audacity in ``labels/``.

    Args:
        alpha: Highest probability that a normal stretch, as long as those of the calibration, raises an alarm; 0.05, or
            what the calibration allows, when None. Also --alpha.
        false_alarms_per_day: The highest expected number of such stretches per day, in place of alpha. Also
            --false_alarms_per_day.
        persistence: k/n, where a window above the threshold counts if k of n consecutive ones are above it. Also
            --persistence.
        alarm_score: Score that decides about alarms. Also --alarm_score.
        block: Seconds of the blocks into which calibration recordings are cut; each recording is one stretch when None.
            Also --block.
        condition: Keeps calibrations apart: ``folder``, by the folder that a recording lies in, or a CSV file with the
            columns name and one other, FILE:COLUMN if it has more. Also --condition.
        frames_per_second: Frame rate of the spectrograms.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    stages = ("predict",)

    def __init__(
        self,
        alpha: float | None = None,
        false_alarms_per_day: float | None = None,
        persistence: str = "1/1",
        alarm_score: Literal["score", "masked_score"] = "score",
        block: float | None = None,
        condition: str | None = None,
        frames_per_second: float = 40.0,
    ) -> None:
        super().__init__()
        self.settings = AlarmSettings(alpha, false_alarms_per_day, persistence, alarm_score)
        if block is not None:
            require_number("block", block, lambda seconds: seconds > 0, "above 0")
        self.block = block
        self.condition = condition
        self.frames_per_second = frames_per_second
        self.calibration: Calibration | None = None
        """Scores of normal clips by the weights in use; those of calibration recordings take their place."""
        self.outcome: Outcome | None = None
        """What was found, on the process that has written it."""
        self._weights = (0, 0)
        self._conditions: Conditions | None = None
        self._scores, self._normal = WindowScores(frames_per_second), WindowScores(frames_per_second)

    def prepare(self, data: Any, checkpoint: Mapping[str, Any], saved: Path) -> None:
        """Read the calibration of the weights, and check the settings against it, before anything is scored.

        Args:
            data: The DataModule.
            checkpoint: What `fit` saved with the weights.
            saved: The calibration that `fit` saved, which is ignored if it is missing or of other weights.

        Raises:
            ConfigurationError: The calibration is damaged, or can't promise the alarms that are asked for.
        """
        self._weights = (checkpoint["epoch"], checkpoint["global_step"])
        if self.condition is not None:
            self._conditions = Conditions.read(self.condition)
        if data.calibration_path is not None:
            names = [clip.name for clip in data.calibration_clips]
            windows = {name: names.count(name) for name in dict.fromkeys(names)}
            cut = [(name, block) for name, n in windows.items() for block in blocks(n, self._windows_per_block(data))]
            names, sizes = [name for name, _ in cut], [after - first for _, (first, after) in cut]
        elif saved.is_file() and (calibration := Calibration.load(saved)).is_of(checkpoint):
            self.calibration = calibration
            names, sizes = calibration.names.tolist(), calibration.windows.tolist()
            if np.isnan(getattr(calibration, self.settings.score)).any():
                raise ConfigurationError(self._not_computed)
        else:
            return
        calibrated = np.array(self._conditions_of(names, data.calibration_clips))
        wanted = set(self._conditions_of([clip.name for clip in data.predict_clips], data.predict_clips)) - {UNKNOWN}
        for condition in sorted(wanted & set(calibrated.tolist())):
            of_condition = np.array(sizes)[calibrated == condition]
            named = "" if condition == ALL else f" in the condition {condition}"
            self.settings.alpha_of(len(of_condition), of_condition.min() * data.hop_seconds, named)
        if not wanted & set(calibrated.tolist()):
            found = ", ".join(sorted(set(calibrated.tolist()) - {UNKNOWN})) or "none"
            raise ConfigurationError(
                f"--condition {self.condition}: no recording has a condition of the normal clips that calibrate, which "
                f"have {found}; recordings have {', '.join(sorted(wanted)) or 'none'}. Give both the same names"
            )

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop an earlier prediction."""
        self._scores, self._normal = WindowScores(self.frames_per_second), WindowScores(self.frames_per_second)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collect a batch, which is of calibration recordings in the second loader."""
        if self.settings.score not in outputs:
            raise ConfigurationError(self._not_computed)
        (self._normal if dataloader_idx else self._scores).add(outputs, batch)

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the tables on the first process."""
        recordings, normal = self._scores.gather(), self._normal.gather()
        folder = run_folder(trainer)
        if not trainer.is_global_zero or not recordings:
            return
        data: Any = getattr(trainer, "datamodule", None)
        if normal:
            self.calibration = Calibration.of_recordings(normal, *self._weights, self._windows_per_block(data))
            self.calibration.save(folder / CALIBRATION_FILE)
        conditions = self._conditions_of([each.name for each in recordings], () if data is None else data.predict_clips)
        deciders = Deciders({}, dict(zip((each.name for each in recordings), conditions, strict=True)))
        if self.calibration is not None:
            calibrated = self._conditions_of(self.calibration.names.tolist(), data.calibration_clips)
            window = data.n_frames / self.frames_per_second
            deciders = deciders.calibrated(self.calibration, calibrated, self.settings, window, data.hop_seconds)
        events: list[Event] = []
        decisions = []
        for recording in recordings:
            decider = deciders.of(recording.name)
            decision = None if decider is None else decider.decide(recording)
            decisions.append(decision)
            if decider is not None and decision is not None:
                events += find_events(decider, recording, decision, data.frontend.band_edges())
        summary = write_tables(folder, recordings, decisions, events, deciders, data, self.frames_per_second)
        explained = [] if data is None else self._explained(trainer, pl_module, recordings, events, folder)
        self.outcome = Outcome(recordings, decisions, events, deciders, self.settings.score, normal, explained, summary)

    def _explained(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        recordings: list[ScoredRecording],
        events: list[Event],
        folder: Path,
    ) -> list[tuple[Moment, Example | None]]:
        """Explain the events or, where there are none, the windows with the highest scores, and keep the maps."""
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        maps = next((each for each in callbacks if isinstance(each, AttributionMaps)), None)
        if maps is None:
            return []
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        rate, n_frames = self.frames_per_second, data.n_frames
        n, score = maps.n_windows(len(events)), self.settings.score
        moments = highest_moments(recordings, events, score, n_frames / rate, n)
        recorded = {name: round(seconds * rate) for name, seconds in data.predict_sets[0].seconds.items()}
        places = [(each.name, each.first_frame(recorded[each.name], n_frames, rate)) for each in moments]
        batches = data.explained_windows(places) if moments else []
        explained = []
        for moment, example in zip(moments, maps.explain(trainer, pl_module, batches), strict=True):
            numbered = None if example is None else replace(example, index=moment.number)
            if numbered is not None:
                numbered.save(folder / EXAMPLES_FOLDER)
            explained.append((moment, numbered))
        return explained

    def _conditions_of(self, names: Sequence[str], clips: Iterable[Any]) -> list[str]:
        """Condition of each recording by name, with the files of those that are clips."""
        if self._conditions is None:
            return [ALL] * len(names)
        paths = {clip.name: clip.path for clip in clips}
        return [self._conditions.of(name, paths.get(name)) for name in names]

    @property
    def _not_computed(self) -> str:
        return f"--alarm_score {self.settings.score} is not computed by this model; give --alarm_score score"

    def _windows_per_block(self, data: Any) -> int | None:
        if self.block is None:
            return None
        return max(1, round(self.block / data.hop_seconds))
