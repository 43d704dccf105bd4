"""A study on a Slurm cluster: arrays with one job per training, and a job that reports when all have ended."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.study.plan import RunPlan, make_jobs
from experiments.study.process import ClusterJob
from experiments.study.resources import SlurmSettings
from lightning_modules.errors import ConfigurationError, first_line
from lightning_modules.files import write_atomically
from lightning_modules.wording import counted, join

if TYPE_CHECKING:
    import submitit

FOLDER = "slurm"
"""Folder of a study for what submitit writes: scripts, and the output of jobs."""
_SUBMITTED = "jobs.json"
_MAX_REQUEUES = 100  # after the time limit; a training that finishes no epoch within it would never end
_ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
    *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
)

ENDING = "COMPLETING"
"""State of a job whose processes have been told to end, by `scancel` or by their own end."""


@dataclass(frozen=True)
class _Submission:
    """Jobs that are submitted together since they request the same.

    Attributes:
        title: What they are.
        parameters: The parameters of submitit.
        work: What each job calls.
        folders: The runs of each job, relative to the study's folder.
    """

    title: str
    parameters: dict[str, Any]
    work: Sequence[Callable[[], None]]
    folders: Sequence[Sequence[str]]

    def after(self, numbers: Iterable[str]) -> _Submission:
        """The same jobs, once other jobs have ended, well or not."""
        parameters = self.parameters | {"dependency": f"afterany:{':'.join(numbers)}"}
        return _Submission(self.title, parameters, self.work, self.folders)


def scripts(plans: Sequence[RunPlan], folder: Path, common: SlurmSettings, conclude: Callable[[], None]) -> str:
    """The scripts that `submit` would give to sbatch, each after a comment; ARRAY1, … stand for the jobs' numbers."""
    *arrays, report = _submissions(plans, folder, common, conclude)
    texts = []
    for submission in (*arrays, report.after(f"ARRAY{i + 1}" for i in range(len(arrays)))):
        executor = _executor(folder, submission)
        if len(submission.work) > 1:  # as submitit itself does for an array
            executor.parameters["map_count"] = len(submission.work)
        script = executor._make_submission_file_text(executor._submitit_command_str, "")
        texts.append(f"# {submission.title}\n{script}")
    return "\n".join(texts)


def submit(
    plans: Sequence[RunPlan], folder: Path, common: SlurmSettings, conclude: Callable[[], None]
) -> tuple[list[str], str]:
    """Put a study into the queue.

    Args:
        plans: The runs to make.
        folder: The study's folder, on a disk that the nodes share.
        common: What all jobs request; the report's leaves out what only trainings need.
        conclude: Called by a job of its own when all others have ended, well or not.

    Returns:
        The numbers of the arrays and of the last job.

    Raises:
        ConfigurationError: If there is no cluster, or it rejects a job; those already submitted are cancelled.
    """
    *arrays, report = _submissions(plans, folder, common, conclude)
    executors = [_executor(folder, array) for array in arrays]
    for plan in plans:
        plan.record()
    jobs: dict[str, Sequence[str]] = {}
    numbers: list[str] = []

    def put(submission: _Submission, executor: submitit.SlurmExecutor) -> str:
        """Submit jobs, and record them at once: they may run when this process is killed."""
        submitted = _submit(executor, submission)
        jobs.update(zip(submitted, submission.folders, strict=True))
        write_atomically(folder / FOLDER / _SUBMITTED, json.dumps(jobs, indent=1).encode())
        return submitted[0].partition("_")[0]

    try:
        for array, executor in zip(arrays, executors, strict=True):
            numbers.append(put(array, executor))
        last = report.after(numbers)
        return numbers, put(last, _executor(folder, last))
    except ConfigurationError:
        if numbers:
            subprocess.run(["scancel", *numbers], check=False)
        raise


def submitted_jobs(folder: Path) -> dict[str, list[str]]:
    """The runs of each job that was submitted last for a study, by number; the job that reports has none."""
    path = folder / FOLDER / _SUBMITTED
    if not path.is_file():
        return {}
    try:
        jobs: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{path} is damaged ({error}); delete it if none of the jobs runs") from error
    return jobs


def job_states(jobs: Iterable[str]) -> dict[str, str]:
    """The states of jobs by number, such as RUNNING; none of those that Slurm has forgotten.

    The queue keeps jobs for some minutes after their end; older ones are in the accounting, where a cluster has one.

    Raises:
        ConfigurationError: If the cluster does not answer.
    """
    arrays = ",".join(dict.fromkeys(number.partition("_")[0] for number in jobs))
    if not arrays:
        return {}
    queue = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T", f"--jobs={arrays}"]
    accounting = ["sacct", "--noheader", "--allocations", "--parsable2", "--delimiter= ", "--format=JobID,State"]
    try:
        listed = subprocess.run(queue, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return {}  # no cluster here
    if listed.returncode and "Invalid job id" not in listed.stderr:  # which says that a single job is forgotten
        raise ConfigurationError(f"squeue does not list the jobs {arrays}: {' '.join(listed.stderr.split())}")
    states = _read_states(listed.stdout)
    if not states.keys() >= set(jobs):
        try:
            ended = subprocess.run([*accounting, f"--jobs={arrays}"], capture_output=True, text=True, check=False)
            states = _read_states(ended.stdout) | states
        except FileNotFoundError:
            pass
    return states


def _read_states(lines: str) -> dict[str, str]:
    words = [line.split() for line in lines.splitlines()]
    return {line[0]: line[1] for line in words if len(line) > 1}


def is_active(state: str) -> bool:
    """Whether a job in this state waits or runs, or goes back into the queue."""
    return state not in _ENDED


def require_idle(folder: Path) -> None:
    """Raise a ConfigurationError that names the jobs of a study that are still in the queue, running or ending."""
    states = {number: state for number, state in job_states(submitted_jobs(folder)).items() if is_active(state)}
    working = [number for number, state in states.items() if state != ENDING]
    jobs = list(dict.fromkeys(number.partition("_")[0] for number in working or states))
    if not jobs:
        return
    noun, verb, them = ("job", "is", "it") if len(jobs) == 1 else ("jobs", "are", "them")
    what = f"queued or running; wait for {them}, or call scancel {' '.join(jobs)} first"
    if not working:
        what = "ending; give the same command again in a minute"
    raise ConfigurationError(f"{noun} {join(jobs)} of {folder} {verb} {what}")


def _submissions(
    plans: Sequence[RunPlan], folder: Path, common: SlurmSettings, conclude: Callable[[], None]
) -> Iterator[_Submission]:
    """An array for all runs that request the same, in the order of the runs, and the job that reports."""
    name = folder.resolve().name
    requests: list[dict[str, Any]] = []
    for plan in plans:
        if plan.slurm.parameters(name) not in requests:
            requests.append(plan.slurm.parameters(name))
    for request in requests:
        runs = [plan for plan in plans if plan.slurm.parameters(name) == request]
        groups = [list(group) for _, group in itertools.groupby(runs, key=lambda plan: plan.fitted_in)]
        variants = join(list(dict.fromkeys(plan.variant for plan in runs)))
        yield _Submission(
            f"{counted(len(groups), 'job')} of {variants}",
            request,
            list(map(ClusterJob, make_jobs(runs))),
            [[str(plan.folder.relative_to(folder)) for plan in group] for group in groups],
        )
    report = common.for_report().parameters(f"{name}-report")
    yield _Submission("the job that reports", report, [conclude], [[]])


def _executor(folder: Path, submission: _Submission) -> submitit.SlurmExecutor:
    try:
        import submitit  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError("--launcher slurm needs submitit; call pip install faithful-aad[cluster]") from error
    try:
        executor = submitit.SlurmExecutor(folder / FOLDER, max_num_timeout=_MAX_REQUEUES)
    except RuntimeError as error:
        raise ConfigurationError("--launcher slurm finds no srun; call it on a machine of the cluster") from error
    executor.update_parameters(**submission.parameters)
    return executor


def _submit(executor: submitit.SlurmExecutor, submission: _Submission) -> list[str]:
    """Submit jobs; returns their numbers."""
    import submitit.core.utils  # noqa: PLC0415

    try:
        # sbatch's complaints are in the error too.
        with redirect_stderr(StringIO()), executor.batch():
            jobs = [executor.submit(call) for call in submission.work]
    except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(f"Slurm rejects {submission.title}: {first_line(error)}") from error
    return [str(job.job_id) for job in jobs]
