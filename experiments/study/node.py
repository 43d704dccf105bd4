"""What a job of a cluster does on its node; the module is light, because the trainings beside it are not."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from submitit.helpers import Checkpointable

from experiments.study.process import reason, start

# Slurm signals every process of a job. The job itself answers the user's signals, and its steps work on until they are
# killed. Nothing here answers SIGTERM, which comes shortly before or after those and would end the `scontrol requeue`
# with which submitit puts the job back into the queue.
_ANSWERED = (signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class NodeStep:
    """A step of a run.

    Attributes:
        title: What the step is called in errors.
        command: Command line of `faithful-aad`.
        mark: The file that is there once the step has ended well.
        log: Takes what the step writes.
    """

    title: str
    command: list[str]
    mark: Path
    log: Path


class NodeJob(Checkpointable):
    """Steps that run one after the other; after a preemption, those that are not done.

    submitit puts the job back into the queue when it is preempted or its time is over. There is nothing to save for
    that: every epoch of a training has been, and the same commands go on from there.

    Args:
        steps: The steps.
    """

    def __init__(self, steps: Sequence[NodeStep]) -> None:
        self.steps = list(steps)

    def __call__(self) -> None:
        """Run the steps.

        Raises:
            ChildProcessError: If one fails; those after it are left out.
        """
        for step in self.steps:
            if not step.mark.exists():
                _run(step)


def _run(step: NodeStep) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, *_ANSWERED))  # what starts now never sees them
    try:
        process = start(step.command, step.log, _environment())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ANSWERED)
    status = process.wait()
    if status != 0:
        raise ChildProcessError(f"{step.title} failed: {reason(step.log, status)} ({step.log})")


def _environment() -> dict[str, str]:
    """This job's environment for a step, which is an ordinary command and starts processes by itself."""
    environment = dict(os.environ)
    # Lightning would take the step for one of several processes that `srun` has started.
    environment.pop("SLURM_NTASKS", None)
    environment.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    return environment
