"""A study's processes: so many at a time, each with its share of the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import IO

import torch

from experiments.study.plan import RunPlan
from experiments.study.state import is_fitted, is_tested, record

_POLL_S = 0.2
_PATIENCE_S = 10  # for a process that was asked to stop


@dataclass(frozen=True)
class Step:
    """One command of a run; `name` is `fit`, `test` or `detect`."""

    plan: RunPlan
    command: list[str]

    @property
    def name(self) -> str:
        """The command's first word."""
        return self.command[0]


@dataclass(frozen=True)
class Failure:
    """A step that ended with an error.

    Attributes:
        step: The step.
        reason: The last line that it wrote.
        log: Everything that it wrote.
    """

    step: Step
    reason: str
    log: Path


@dataclass
class Execution:
    """Steps that run one after the other in one place; the ones after a failure are left out.

    Attributes:
        steps: What is still to do, the running step first.
        slot: Number of the place, from 0.
        began: When the running step began, s.
    """

    steps: deque[Step]
    slot: int
    slots: int
    began: float = 0.0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _log: IO[bytes] | None = field(default=None, repr=False)

    def advance(self) -> Step | Failure | None:
        """Start the next step where none runs; say which step ended, and how."""
        if self._process is None:
            self._start(self.steps[0])
            return None
        status = self._process.poll()
        if status is None:
            return None
        self._process = None
        assert self._log is not None
        self._log.close()
        step = self.steps.popleft()
        if status == 0:
            return step
        self.steps.clear()
        log = _log_file(step)
        return Failure(step, _last_line(log) or f"ended with status {status}", log)

    def stop(self) -> None:
        """End the running process; what it did stays in its folder."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self, step: Step) -> None:
        record(step.plan)
        self._log = _log_file(step).open("ab")
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "experiments.study.step", *step.command],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment(self.slot, self.slots),
        )


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


def run_jobs(
    jobs: Sequence[list[Step]],
    slots: int,
    show: Callable[[Sequence[Execution], Step | Failure | None], None],
) -> list[Failure]:
    """Run the jobs, `slots` at a time; one that fails does not stop the others.

    Args:
        jobs: Steps to run one after the other, by job.
        slots: How many processes run at a time.
        show: Is told what runs, several times a second, and every step that has ended.

    Returns:
        The steps that failed.
    """
    waiting, running = deque(jobs), dict[int, Execution]()
    failures = []
    try:
        while waiting or running:
            for slot in range(slots):
                if slot not in running and waiting:
                    running[slot] = Execution(deque(waiting.popleft()), slot, slots)
            for slot, execution in list(running.items()):
                ended = execution.advance()
                show(list(running.values()), ended)
                if isinstance(ended, Failure):
                    failures.append(ended)
                if not execution.steps:
                    del running[slot]
            time.sleep(_POLL_S)
    finally:
        for execution in running.values():
            execution.stop()
    return failures


def environment(slot: int, slots: int) -> dict[str, str]:
    """This process's environment with the slot's GPU and its share of the cores."""
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // slots)))
    gpus = environment.get("CUDA_VISIBLE_DEVICES")
    devices = gpus.split(",") if gpus else [str(i) for i in range(torch.cuda.device_count())]
    if devices:
        environment["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
    return environment


def _log_file(step: Step) -> Path:
    return step.plan.folder / "log.txt"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
