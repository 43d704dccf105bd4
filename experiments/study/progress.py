"""What a study is doing, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from experiments.runs.config import read_config
from experiments.runs.folder import RunFolder
from experiments.runs.scalars import read_scalars
from experiments.study.jobs import Execution
from experiments.study.steps import Failure, Step

_WEEK_S = 604_800
_READ_EVERY_S = 2.0


class StudyProgress:
    """A bar for the study, with the time left, and one for each running step; a line for each that has ended.

    Args:
        steps: How many steps there are to run.
    """

    def __init__(self, steps: int) -> None:
        self._console = Console(highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            # The speed of the whole study so far, since runs are long and alike.
            speed_estimate_period=_WEEK_S,
        )
        self._study = self._bars.add_task("study (steps)", total=steps)
        self._running: dict[str, TaskID] = {}
        self._read = 0.0

    def __enter__(self) -> StudyProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, running: Sequence[Execution], ended: Step | Failure | None) -> None:
        """Bring the bars up to date."""
        if ended is not None:
            self._close(ended)
        if time.monotonic() - self._read > _READ_EVERY_S:
            self._read = time.monotonic()
            for execution in running:
                if execution.steps:
                    self._update(execution.steps[0])

    def _update(self, step: Step) -> None:
        name = _title(step)
        if name not in self._running:
            self._running[name] = self._bars.add_task(name, total=None)
        if step.name == "fit" and step.plan.fitted_in is not None:
            done, total = _epochs(step.plan.fitted_in)
            self._bars.update(self._running[name], completed=done, total=total)

    def _close(self, ended: Step | Failure) -> None:
        step = ended.step if isinstance(ended, Failure) else ended
        task = self._running.pop(_title(step), None)
        if task is not None:
            self._bars.remove_task(task)
        self._bars.advance(self._study)
        if isinstance(ended, Failure):
            self._console.print(f"{_title(step)} failed: {ended.reason} ({ended.step.log})", markup=False, style="red")
        else:
            self._console.print(f"{_title(step)} done", markup=False)


def _title(step: Step) -> str:
    return f"{step.plan.label}: {step.name}"


def _epochs(run: Path) -> tuple[int, int | None]:
    """Epochs that a training has finished, and how many it has at most once that is known."""
    folder = RunFolder(run)
    if not folder.fit_config.is_file():
        return 0, None
    rows = read_scalars(run / "fit" / "metrics.csv")
    done = int(rows[-1]["epoch"]) + 1 if rows else 0
    return done, (read_config(folder.fit_config).get("trainer") or {}).get("max_epochs")
