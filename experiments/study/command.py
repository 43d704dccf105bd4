"""`faithful-aad study`: from a YAML to a folder of runs and their report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from experiments.configs import config_file
from experiments.runs.folder import RunFolder
from experiments.study.definition import copy_definition, read_definition
from experiments.study.local import StudyProgress, run_jobs
from experiments.study.plan import RunPlan, make_jobs, open_plans, plan_runs
from experiments.study.slurm import ONE_CORE_PER_RUN, SlurmSettings, require_idle, submit
from lightning_modules.errors import ConfigurationError, TrainingError
from lightning_modules.wording import counted


def study(
    definition: str,
    output: str | None = None,
    launcher: Literal["local", "slurm"] = "local",
    jobs: int = 1,
    slurm: SlurmSettings = ONE_CORE_PER_RUN,
    overrides: list[str] | None = None,
) -> None:
    """Train and test variants over seeds, each run in a process and a folder of its own, and report on them.

    The options of all steps are checked before the first one. Finished runs are skipped and interrupted ones resume
    from their last checkpoint, so the same command finishes a study that was stopped.

    Args:
        definition: The study's YAML, or the name of one of the package's.
        output: The study's folder, whose name is the study's; `runs/NAME` of the YAML by default.
        launcher: Where the runs are trained and tested: on this machine, or as jobs of a Slurm cluster.
        jobs: Number of runs at the same time on this machine; they take turns on its GPUs.
        slurm: What each run requests from the cluster.
        overrides: Options added to every training.

    Raises:
        ConfigurationError: If the YAML or an option of a run is wrong, the folder contains runs made with other
            options, or jobs of a cluster are running in it.
        TrainingError: If a run failed.
    """
    if jobs < 1:
        raise ConfigurationError(f"--jobs {jobs} is not a positive number of runs at a time")
    path = config_file(definition, "study", "the study")
    folder = RunFolder(output or Path("runs") / path.stem).path
    plans = plan_runs(read_definition(path), folder, overrides or [])
    require_idle(folder)
    todo = open_plans(plans)
    if todo:
        from experiments.study.checks import check_plans  # noqa: PLC0415  imports what a finished study does not need

        check_plans(todo, path)
    copy_definition(path, folder)
    runs = f"{counted(len(plans), 'run')} in {folder}"
    if not todo:
        print(f"{runs}: all finished")
        conclude(plans, folder)
        return
    steps = make_jobs(todo)
    n_steps = sum(map(len, steps))
    print(f"{runs}: {len(plans) - len(todo)} finished, {counted(n_steps, 'step')} to do")
    if launcher == "slurm":
        array, last = submit(todo, folder, slurm, partial(conclude, plans, folder))
        print(
            f"submitted job {array} for {counted(len(steps), 'training')}, and job {last}, which reports when all have "
            "ended"
        )
        return
    for plan in todo:
        plan.record()
    with StudyProgress(n_steps) as progress:
        run_jobs(steps, jobs, progress)
    conclude(plans, folder)


def conclude(plans: Sequence[RunPlan], folder: Path) -> None:
    """Report on the runs of a study that have results; raises a TrainingError if others have none."""
    failed = [plan for plan in plans if not plan.is_tested()]
    if len(failed) < len(plans):
        from experiments.report.command import report  # noqa: PLC0415  imports what a running study does not need

        report([str(folder)], str(folder / "report.html"))
    if failed:
        # The log of a run that was not tested is that of the training it tests.
        logs = [plan.log if plan.log.is_file() else plan.fitted_in / plan.log.name for plan in failed]
        names = "; ".join(f"{plan.label} ({log})" for plan, log in zip(failed, logs, strict=True))
        raise TrainingError(
            f"{len(failed)} of {counted(len(plans), 'run')} failed: {names}; the same command tries them again"
        )
