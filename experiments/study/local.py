"""A study on this machine: some runs at a time, each in a process with its share of the cores, and their progress."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import torch
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

from experiments.runs.folder import RunFolder
from experiments.study.process import Step
from lightning_modules.wording import counted, join

_REFRESH_S = 2.0
_PATIENCE_S = 10  # for a process that was asked to stop
_WEEK_S = 604_800


def run_jobs(jobs: Sequence[Sequence[Step]], slots: int, progress: StudyProgress) -> None:
    """Run jobs, `slots` at a time; one that fails does not stop the others.

    Args:
        jobs: Steps to run one after another, by job; those after a failure are skipped.
        slots: How many processes run at a time.
        progress: Shows every step that starts or ends; each job calls it from a thread of its own.

    Raises:
        KeyboardInterrupt: After Ctrl-C or SIGTERM; the message names the steps that were running.
    """
    processes = _Processes(slots, progress)
    pool = ThreadPoolExecutor(slots, initializer=processes.take_slot)
    try:
        pending = {pool.submit(processes.run, job) for job in jobs}
        while pending:
            done, pending = wait(pending, timeout=_REFRESH_S, return_when=FIRST_COMPLETED)
            for job in done:
                job.result()
            progress.update_epochs()
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(processes.stop()) from stop
    finally:
        processes.stop()
        pool.shutdown(cancel_futures=True)


class _Processes:
    """Runs jobs in as many threads as there are slots, and stops them."""

    def __init__(self, slots: int, progress: StudyProgress) -> None:
        self._slots, self._progress = slots, progress
        self._next_slot, self._thread = itertools.count(), threading.local()
        self._running: dict[subprocess.Popen[bytes], Step] = {}
        self._lock, self._stopped = threading.Lock(), False

    def take_slot(self) -> None:
        """Give the calling thread a slot of its own."""
        self._thread.slot = next(self._next_slot)

    def run(self, job: Sequence[Step]) -> None:
        """Run the steps of a job until one fails."""
        for step in job:
            with self._lock:
                if self._stopped:
                    return
                process = step.start(environment(self._thread.slot, self._slots))
                self._running[process] = step
            self._progress.begin(step)
            status = process.wait()
            self._running.pop(process)
            if self._stopped:
                return
            self._progress.end(step, step.end(status))
            if status:
                return

    def stop(self) -> str:
        """Start nothing more and end the running processes; what they have written stays in their folders.

        Returns:
            Which steps were running, and how far they had come.
        """
        with self._lock:
            self._stopped = True
            running = dict(self._running)
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:  # noqa: PERF203  as many as there are slots
                process.kill()
        steps = join([_reached(step) for step in running.values()]) or "no step"
        return f" during {steps}; the same command goes on from there"


def _reached(step: Step) -> str:
    """A step, and how many epochs it has finished if it trains."""
    done, total = RunFolder(step.mark.parents[1]).epochs() if step.command[0] == "fit" else (0, None)
    return step.title + (f" (epoch {done}{f'/{total}' if total else ''} done)" if done else "")


def environment(slot: int, slots: int) -> dict[str, str]:
    """This process's environment with the slot's GPU and its share of the cores."""
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // slots)))
    gpus = visible_gpus()
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    return environment


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(i) for i in range(torch.cuda.device_count())]
    # CUDA ignores what follows an invalid entry.
    return list(itertools.takewhile(lambda gpu: gpu not in ("", "-1"), named.replace(" ", "").split(",")))


def sharing_text(slots: int) -> str:
    """How runs at the same time share this machine.

    Args:
        slots: How many there are.
    """
    gpus = visible_gpus()
    threads = environment(0, slots)["OMP_NUM_THREADS"]
    at_a_time = f"{counted(slots, 'run')} at a time, {counted(int(threads), 'CPU thread')} each"
    if not gpus:
        return f"{at_a_time}, no GPU"
    if len(gpus) == 1:
        return f"{at_a_time}, on GPU {gpus[0]}" + (", which they share" if slots > 1 else "")
    return f"{at_a_time}, on GPUs in turn: " + ", ".join(gpus[slot % len(gpus)] for slot in range(slots))


class StudyProgress(Progress):
    """A bar for the study, with the time left, and one for each running step; a line for each that has ended.

    Args:
        steps: How many steps there are to run.
    """

    def __init__(self, steps: int) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(highlight=False),
            # The mean speed of the whole study so far: runs are long, and their durations similar.
            speed_estimate_period=_WEEK_S,
        )
        self._study = self.add_task("study (steps)", total=steps)
        self._running: dict[Step, TaskID] = {}
        self._changing = threading.Lock()  # steps end in other threads than the one that updates their bars

    def begin(self, step: Step) -> None:
        """Add a bar for a step."""
        with self._changing:
            self._running[step] = self.add_task(step.title, total=None)

    def end(self, step: Step, failure: str) -> None:
        """Replace the bar of a step by a line about its end."""
        with self._changing:
            self.remove_task(self._running.pop(step))
        self.advance(self._study)
        if failure:
            self.console.print(f"{step.title} failed: {failure} ({step.log})", markup=False, style="red")
        else:
            self.console.print(f"{step.title} done", markup=False)

    def update_epochs(self) -> None:
        """Read how many epochs the trainings have finished."""
        with self._changing:
            for step, bar in self._running.items():
                if step.command[0] == "fit":
                    done, total = RunFolder(step.mark.parents[1]).epochs()
                    self.update(bar, completed=done, total=total)
