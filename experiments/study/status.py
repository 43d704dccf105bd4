"""The state of a study's runs, read from their folders and the queue of a Slurm cluster; nothing is started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from experiments.runs.folder import RunFolder
from experiments.study.plan import RunPlan
from experiments.study.slurm import ENDING, is_active, job_states, submitted_jobs
from lightning_modules.wording import counted

_WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT")


def print_status(plans: Sequence[RunPlan], folder: Path) -> None:
    """Print the state of each run of a study, and how many runs are in which.

    Raises:
        ConfigurationError: If a run's record is damaged, or a cluster with jobs of the study does not answer.
    """
    submitted = submitted_jobs(folder)
    states = job_states(submitted)
    job_of = {folder / run: number for number, runs in submitted.items() for run in runs}
    found = []
    for plan in plans:
        number = job_of.get(plan.folder, "")
        found.append(run_state(plan, number, states.get(number, "")))
    width = max(len(plan.label) for plan in plans)
    for plan, (state, detail) in zip(plans, found, strict=True):
        print(f"{plan.label:<{width}}  {state}{detail}")
    counts = ", ".join(f"{number} {state}" for state, number in Counter(state for state, _ in found).items())
    print(f"{counted(len(plans), 'run')} in {folder}: {counts}")
    for number, runs in submitted.items():
        if not runs and number in states:
            print(f"report: Slurm job {number}, {states[number]}")


def run_state(plan: RunPlan, number: str = "", job: str = "") -> tuple[str, str]:
    """The state of a run, in one or two words, and what else is to know.

    Args:
        plan: The run.
        number: The number of its last Slurm job, "" if it has none.
        job: The state of that job, "" if Slurm has forgotten it.
    """
    training, run = RunFolder(plan.fitted_in), RunFolder(plan.folder)
    change = plan.change()
    if change:
        return "changed", f": was made with other options ({change})"
    if plan.is_complete():
        return "tested", ""
    epochs = _epochs(training)
    fitted = plan.is_fitted()
    of_job = f" (Slurm job {number})" if job and is_active(job) else ""
    if of_job and job in (*_WAITING, ENDING):
        return "ending" if job == ENDING else "queued", f"{of_job}{'' if fitted else epochs}"
    if run.is_running("test") or training.is_running("curve") or (of_job and fitted):
        return "testing", of_job
    if of_job or training.is_running("fit"):
        return "training", f"{epochs}{of_job}"
    return _resting(plan, "" if of_job else job, number, epochs)


def _resting(plan: RunPlan, job: str, number: str, epochs: str) -> tuple[str, str]:
    """The state of a run that nothing is working on."""
    failure = plan.failure()
    if failure:
        return "failed", f": {failure}"
    if job == "CANCELLED":
        return "cancelled", f"{'' if plan.is_fitted() else epochs} (Slurm job {number})"
    if job and job != "COMPLETED":
        return "failed", f": Slurm job {number} ended as {job}"
    if plan.is_fitted():
        return ("tested", ", its curve is missing") if plan.is_tested() else ("fitted", "")
    if plan.goes_on():
        return "to go on", epochs
    return ("interrupted", epochs) if epochs else ("waiting", "")


def _epochs(training: RunFolder) -> str:
    """How far a training has come, "" if it has not begun."""
    if not training.fit_config.is_file():
        return ""
    done, bound = training.epochs()
    return f", epoch {done}/{bound}" if bound else f", epoch {done}"
