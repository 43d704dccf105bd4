"""The process of a step, started alike on this machine and on a node of a cluster.

On a node this module stays loaded next to the training: it imports nothing of the project.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAILED_FILE = "failed.txt"
"""In a run's folder, why its last step failed; absent otherwise."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Slurm signals every process of a job. The job itself answers the user's signals, and its steps run on until they are
# killed. Nothing here answers SIGTERM, which comes shortly before or after those and would end the `scontrol requeue`
# with which submitit puts the job back into the queue.
_ANSWERED = (signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True, eq=False)
class Step:
    """One command of a run.

    Attributes:
        title: What the step is called in the progress display and in errors.
        command: Command line of `faithful-aad`, beginning with `fit` or `test`.
        mark: The file that marks the step as finished.
        log: What the step prints is appended to this file.
    """

    title: str
    command: list[str]
    mark: Path
    log: Path

    @property
    def failed(self) -> Path:
        """The file that says why the step failed, until it is started again."""
        return self.log.with_name(FAILED_FILE)

    def start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a process that does not outlive this one, or the thread that starts it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.failed.unlink(missing_ok=True)
        with self.log.open("ab") as output:
            return subprocess.Popen(
                # Not with -m, which puts the current folder first: a folder `metrics` in it would hide ours.
                [sys.executable, __file__, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
            )

    def end(self, status: int) -> str:
        """Record why the process failed: the signal that killed it, the last line that it printed, or its exit status.

        Returns:
            What was recorded; "" if it did not fail.
        """
        if status == 0:
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        failure = next((line.strip() for line in reversed(lines) if line.strip()), f"ended with status {status}")
        if status < 0:
            failure = f"killed by {signal.Signals(-status).name}"
        temporary = self.failed.with_suffix(".tmp")
        temporary.write_text(failure, encoding="utf-8")
        temporary.replace(self.failed)
        return failure


@dataclass(frozen=True)
class ClusterJob:
    """Steps that a job of a cluster runs one after another; after a preemption, those that are not finished.

    submitit calls `checkpoint` and puts the job back into the queue when it is preempted or its time is over. There is
    no state to save: every epoch of a training has been saved, and the same commands resume from there.
    """

    steps: list[Step]

    def __call__(self) -> None:
        """Run the steps.

        Raises:
            ChildProcessError: If one fails; later steps are skipped.
        """
        for step in self.steps:
            if not step.mark.exists():
                failure = step.end(_start_on_node(step).wait())
                if failure:
                    raise ChildProcessError(f"{step.title} failed: {failure} ({step.log})")

    def checkpoint(self) -> Any:
        """Submit the same job again."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415  optional, and installed wherever this is called

        return DelayedSubmission(self)


def _start_on_node(step: Step) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    # Lightning would take the step for one of several processes that `srun` has started.
    environment.pop("SLURM_NTASKS", None)
    environment.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, *_ANSWERED))  # inherited by the step
    try:
        return step.start(environment)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ANSWERED)


if __name__ == "__main__":
    if sys.platform == "linux":
        # A study that was killed can't stop its steps, and when started again would run the same ones at the same time.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    own = Path(__file__).resolve()
    # The folder of a file that is started comes first; that of the package may be missing in a checkout.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != own.parent]
    if str(own.parents[2]) not in sys.path:
        sys.path.append(str(own.parents[2]))
    from experiments.cli.main import main

    sys.exit(main())
