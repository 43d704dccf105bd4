"""A study on a Slurm cluster: an array with one job per training, and a job that reports when all have ended."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.study.plan import RunPlan, make_jobs
from experiments.study.process import ClusterJob
from lightning_modules.errors import ConfigurationError, first_line

if TYPE_CHECKING:
    import submitit

FOLDER = "slurm"
"""Folder of a study for what submitit writes: scripts, and the output of jobs."""
_SUBMITTED = "jobs.txt"
_MAX_REQUEUES = 100  # after the time limit; a training that finishes no epoch within it would never end
_REPORT_MINUTES = 30


@dataclass(frozen=True)
class SlurmSettings:
    """What each training of a study requests from a Slurm cluster.

    Args:
        partition: Partition; the cluster's default if None.
        time: Minutes after which a job is put back into the queue, to resume after its last epoch.
        gpus: GPUs of each run.
        cpus: CPU cores of each run.
        memory: GB of memory of each run; the cluster's default if None.
        array_parallelism: How many jobs run at a time.
        setup: Shell commands before the run, for example ["module load cuda"].
        options: Further options of sbatch, for example {"account": "sound", "constraint": "a100"}.
    """

    partition: str | None = None
    time: int = 1440
    gpus: int = 0
    cpus: int = 1
    memory: float | None = None
    array_parallelism: int = 256
    setup: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in {"time": 1, "gpus": 0, "cpus": 1, "array_parallelism": 1}.items():
            if getattr(self, name) < least:
                raise ConfigurationError(f"--slurm.{name} {getattr(self, name)} is too small; give at least {least}")


ONE_CORE_PER_RUN = SlurmSettings()


def submit(
    plans: Sequence[RunPlan], folder: Path, settings: SlurmSettings, conclude: Callable[[], None]
) -> tuple[str, str]:
    """Put a study into the queue.

    Args:
        plans: The runs to make.
        folder: The study's folder, on a disk that the nodes share.
        settings: What each job requests.
        conclude: Called by a job of its own when all others have ended, well or not.

    Returns:
        The numbers of the array and of the last job.

    Raises:
        ConfigurationError: If there is no cluster, or it rejects the jobs.
    """
    executor = _executor(folder)
    for plan in plans:
        plan.record()
    executor.update_parameters(
        job_name=folder.resolve().name,
        partition=settings.partition,
        time=settings.time,
        gpus_per_node=settings.gpus or None,
        cpus_per_task=settings.cpus,
        # Since Slurm 22.05 srun does not inherit the number from sbatch.
        srun_args=[f"--cpus-per-task={settings.cpus}"],
        mem=None if settings.memory is None else f"{round(settings.memory * 1024)}M",
        array_parallelism=settings.array_parallelism,
        # Without it, the current folder comes first, where a folder `metrics` would hide that of this package.
        setup=["export PYTHONSAFEPATH=1", *settings.setup],
        additional_parameters={"requeue": True, **settings.options},
        stderr_to_stdout=True,
    )
    array = str(_submit(executor, list(map(ClusterJob, make_jobs(plans))))[0].job_id).partition("_")[0]
    executor.update_parameters(
        job_name=f"{folder.resolve().name}-report",
        time=_REPORT_MINUTES,
        gpus_per_node=None,
        dependency=f"afterany:{array}",
    )
    report = str(_submit(executor, [conclude])[0].job_id)
    (folder / FOLDER / _SUBMITTED).write_text(f"{array}\n{report}\n", encoding="utf-8")
    return array, report


def require_idle(folder: Path) -> None:
    """Raise a ConfigurationError that names the jobs of a study that are still in the queue or running."""
    submitted = folder / FOLDER / _SUBMITTED
    if not submitted.is_file():
        return
    numbers = submitted.read_text(encoding="utf-8").split()
    try:
        queued = [number for number in numbers if _is_queued(number)]
    except FileNotFoundError:
        return  # no cluster here
    if queued:
        raise ConfigurationError(
            f"jobs {' and '.join(queued)} of {folder} are queued or running; wait for them, or call "
            f"scancel {' '.join(queued)} first"
        )


def _is_queued(number: str) -> bool:
    """Whether a job is waiting or running; Slurm forgets those that have ended after some minutes."""
    listed = subprocess.run(["squeue", "--noheader", "--jobs", number], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and bool(listed.stdout.strip())


def _executor(folder: Path) -> submitit.SlurmExecutor:
    try:
        import submitit  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError("--launcher slurm needs submitit; call pip install faithful-aad[cluster]") from error
    try:
        return submitit.SlurmExecutor(folder / FOLDER, max_num_timeout=_MAX_REQUEUES)
    except RuntimeError as error:
        raise ConfigurationError("--launcher slurm finds no srun; call it on a machine of the cluster") from error


def _submit(executor: submitit.SlurmExecutor, work: Sequence[Callable[[], None]]) -> list[submitit.Job[None]]:
    import submitit.core.utils  # noqa: PLC0415

    try:
        # sbatch's complaints are in the error too.
        with redirect_stderr(StringIO()), executor.batch():
            jobs = [executor.submit(call) for call in work]
    except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(f"Slurm rejects the jobs: {first_line(error)}") from error
    return jobs
