"""`faithful-aad study`: from a YAML to a folder of runs and their report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from experiments.runs.folder import RunFolder
from experiments.study.definition import read_definition
from experiments.study.definition_copy import keep, origin
from experiments.study.errors import RunsFailed
from experiments.study.jobs import run_jobs
from experiments.study.plan import RunPlan, plan_runs
from experiments.study.progress import StudyProgress
from experiments.study.slurm import ONE_CORE_A_RUN, SlurmSettings, require_idle, submit
from experiments.study.state import is_tested
from experiments.study.steps import LOG_FILE, open_jobs
from lightning_modules.errors import ConfigurationError
from lightning_modules.wording import counted


def study(
    definition: str,
    output: str | None = None,
    launcher: Literal["local", "slurm"] = "local",
    jobs: int = 1,
    slurm: SlurmSettings = ONE_CORE_A_RUN,
    overrides: list[str] | None = None,
) -> None:
    """Train and test variants over seeds, each run a process and a folder of its own, and report on them.

    The options of all steps are checked before the first one. Finished runs are skipped and interrupted ones go on
    from their last checkpoint, so the same command finishes a study that was stopped.

    Args:
        definition: The study's YAML.
        output: The study's folder, whose name is the study's; `runs/NAME` of the YAML by default.
        launcher: Where the runs work: on this machine, or as jobs of a Slurm cluster, which this command only submits.
        jobs: How many runs are at work at a time on this machine; GPUs are dealt round.
        slurm: What each run asks of the cluster.
        overrides: Options added to every training; reference detectors take those about data.

    Raises:
        ConfigurationError: If the YAML or an option of a run is wrong, the folder holds runs made with other options,
            or jobs of a cluster are at work in it.
        RunsFailed: If a run failed.
    """
    if jobs < 1:
        raise ConfigurationError(f"--jobs {jobs} is not a positive number of runs at a time")
    path = Path(definition)
    folder = RunFolder(output or Path("runs") / path.stem).path
    plans = plan_runs(read_definition(path, origin(path, folder)), folder, overrides or [])
    require_idle(folder)
    todo = open_jobs(plans)
    if todo:
        from experiments.study.checks import check_steps  # noqa: PLC0415  loads what a finished study does without

        check_steps(todo, path)
    keep(path, folder)
    if not todo:
        print(f"{counted(len(plans), 'run')} in {folder}: all finished")
        conclude(plans, folder)
        return
    n_steps, n_tested = sum(map(len, todo)), sum(map(is_tested, plans))
    print(f"{counted(len(plans), 'run')} in {folder}: {n_tested} finished, {counted(n_steps, 'step')} to do")
    if launcher == "slurm":
        array, last = submit(todo, folder, slurm, partial(conclude, plans, folder))
        trainings = counted(len(todo), "training")
        print(f"submitted job {array} for {trainings}, and job {last}, which reports when all have ended")
        return
    with StudyProgress(n_steps) as progress:
        run_jobs(todo, jobs, progress.show)
    conclude(plans, folder)


def conclude(plans: Sequence[RunPlan], folder: Path) -> None:
    """Report on the runs of a study that have results.

    Raises:
        RunsFailed: If others have none.
    """
    failed = [plan for plan in plans if not is_tested(plan)]
    if len(failed) < len(plans):
        from experiments.report import report  # noqa: PLC0415  loads what a study under way does without

        report([str(folder)], str(folder / "report.html"))
    if failed:
        names = "; ".join(f"{plan.label} ({_log(plan)})" for plan in failed)
        raise RunsFailed(
            f"{len(failed)} of {counted(len(plans), 'run')} failed: {names}; the same command tries them again"
        )


def _log(plan: RunPlan) -> Path:
    """Where to read why a run has no results: in its own log, or in that of the training it should have tested."""
    own = plan.folder / LOG_FILE
    return own if own.is_file() or plan.fitted_in is None else plan.fitted_in / LOG_FILE
