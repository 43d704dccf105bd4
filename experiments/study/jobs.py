"""A study's processes: so many at a time, each with its share of the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from experiments.study.process import reason, start
from experiments.study.state import record
from experiments.study.steps import Failure, Step

_POLL_S = 0.2
_PATIENCE_S = 10  # for a process that was asked to stop


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

    def advance(self) -> Step | Failure | None:
        """Start the next step where none runs; say which step ended, and how."""
        if self._process is None:
            self._start(self.steps[0])
            return None
        status = self._process.poll()
        if status is None:
            return None
        self._process = None
        step = self.steps.popleft()
        if status == 0:
            return step
        self.steps.clear()
        return Failure(step, reason(step.log, status))

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
        self.began = time.monotonic()
        self._process = start(step.command, step.log, environment(self.slot, self.slots))


def run_jobs(
    jobs: Sequence[list[Step]],
    slots: int,
    show: Callable[[Sequence[Execution], Step | Failure | None], None],
) -> None:
    """Run the jobs, `slots` at a time; one that fails does not stop the others.

    Args:
        jobs: Steps to run one after the other, by job.
        slots: How many processes run at a time.
        show: Is told what runs, several times a second, and every step that has ended.
    """
    waiting, running = deque(jobs), dict[int, Execution]()
    try:
        while waiting or running:
            for slot in range(slots):
                if slot not in running and waiting:
                    running[slot] = Execution(deque(waiting.popleft()), slot, slots)
            for slot, execution in list(running.items()):
                ended = execution.advance()
                show(list(running.values()), ended)
                if not execution.steps:
                    del running[slot]
            time.sleep(_POLL_S)
    finally:
        for execution in running.values():
            execution.stop()


def environment(slot: int, slots: int) -> dict[str, str]:
    """This process's environment with the slot's GPU and its share of the cores."""
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // slots)))
    gpus = environment.get("CUDA_VISIBLE_DEVICES")
    devices = gpus.split(",") if gpus else [str(i) for i in range(torch.cuda.device_count())]
    if devices:
        environment["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
    return environment
