"""The steps of a study's runs: what is still to do, and the process of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from experiments.runs.folder import RunFolder
from experiments.study.plan import RunPlan
from experiments.study.state import is_fitted, is_tested

LOG_FILE = "log.txt"
"""What the steps of a run wrote, in the run's folder."""


@dataclass(frozen=True)
class Step:
    """One command of a run; `name` is `fit`, `test` or `detect`."""

    plan: RunPlan
    command: list[str]

    @property
    def name(self) -> str:
        """The command's first word."""
        return self.command[0]

    @property
    def log(self) -> Path:
        """Where everything goes that the step writes."""
        return self.plan.folder / LOG_FILE

    @property
    def mark(self) -> Path:
        """The file that is there once the step has ended well."""
        return RunFolder(self.plan.folder).mark("fit" if self.name == "fit" else "test")


@dataclass(frozen=True)
class Failure:
    """A step that ended with an error.

    Attributes:
        step: The step.
        reason: The last line that it wrote.
    """

    step: Step
    reason: str


def open_jobs(plans: Sequence[RunPlan]) -> list[list[Step]]:
    """What is still to do: runs that test one training in one job, finished steps left out.

    Raises:
        ConfigurationError: If a run's folder was made with other options.
    """
    jobs = []
    for _, group in groupby(plans, key=lambda plan: plan.fitted_in or plan.folder):
        runs = list(group)
        first = runs[0]
        steps = [] if is_fitted(first) or all(map(is_tested, runs)) else [Step(first, first.fit)]
        tested = (plan for plan in runs if plan.fitted_in is not None and (steps or not is_tested(plan)))
        jobs.append(steps + [Step(plan, plan.test) for plan in tested])
    return [job for job in jobs if job]
