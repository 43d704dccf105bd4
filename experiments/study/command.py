"""`faithful-aad study`: from a YAML to a folder of runs and their report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from experiments.cli.commands import PROGRAM
from experiments.configs import config_file
from experiments.runs.folder import RunFolder
from experiments.study.definition import check_overrides, copy_definition, read_common_slurm, read_definition
from experiments.study.local import StudyProgress, run_jobs, sharing_text
from experiments.study.plan import RunPlan, make_jobs, open_plans, plan_runs
from experiments.study.resources import NO_REQUEST, SlurmSettings
from experiments.study.selection import deletions, discard, select
from experiments.study.slurm import require_idle, scripts, submit
from experiments.study.status import print_status
from lightning_modules.errors import WOULD_FAIL_AGAIN, ConfigurationError, TrainingError
from lightning_modules.wording import counted, join


def study(
    definition: str,
    output: str | None = None,
    launcher: Literal["local", "slurm"] = "local",
    jobs: int = 1,
    slurm: SlurmSettings = NO_REQUEST,
    only: str | list[str] | None = None,
    redo: str | list[str] | None = None,
    status: bool = False,
    dry_run: bool = False,
    overrides: list[str] | None = None,
) -> None:
    """Train and test variants over seeds, each run in a process and a folder of its own, and report on them.

    The options of all steps are checked before the first one. Finished runs are skipped and interrupted ones resume
    from their last checkpoint, so the same command finishes a study that was stopped. Trainings that ended at
    `trainer.max_epochs` go on where that is raised. With `curve` in the YAML, checkpoints of each training are
    evaluated too.

    Args:
        definition: The study's YAML, or the name of one of the package's.
        output: The study's folder, whose name is the study's; `runs/NAME` of the YAML by default.
        launcher: Where the runs are trained and tested: on this machine, or as jobs of a Slurm cluster.
        jobs: Number of runs at the same time on this machine; they take turns on its GPUs.
        slurm: What each run requests from the cluster. These options win over the `slurm` section at the top of the
            YAML, and a variant's own section wins over them.
        only: Name of a variant, or a list such as "[AE, MAE]"; runs of others are left as they are.
        redo: Label of a run, as --status lists it, or its folder, or a list of them: its training and results are
            deleted, and made again.
        status: Whether to list the state of each run and start nothing.
        dry_run: Whether to check all options, print the commands or, for a cluster, the scripts, and start nothing.
        overrides: Options added to every training.

    Raises:
        ConfigurationError: If the YAML or an option of a run is wrong, the folder contains runs made with other
            options, or jobs of a cluster are running in it.
        TrainingError: If a run failed.
    """
    if jobs < 1:
        raise ConfigurationError(f"--jobs {jobs} is not a positive number of runs at a time")
    path = config_file(definition, "study", "the study")
    place = RunFolder(output or Path("runs") / path.stem, "--output")
    folder = place.path
    variants = read_definition(path, slurm)
    check_overrides(overrides or [], variants)
    whole = plan_runs(variants, folder, overrides or [])
    plans = select(whole, _listed(only)) if only else whole
    if status:
        print_status(plans, folder)
        return
    if not dry_run:
        require_idle(folder)
    marked = discard(plans, _listed(redo))
    todo = open_plans(marked)
    if todo:
        from experiments.study.checks import check_plans  # noqa: PLC0415  imports what a finished study does not need

        check_plans(todo, path)
    report_on = partial(conclude, plans, folder)
    common = read_common_slurm(path, slurm)
    if dry_run:
        for deletion in deletions(todo):
            print(f"# {deletion}")
        by_cluster = launcher == "slurm" and todo
        print(scripts(todo, folder, common, report_on) if by_cluster else _commands(todo, folder))
        return
    left_out = join(list(dict.fromkeys(plan.variant for plan in whole if plan not in plans)))
    runs = f"{counted(len(plans), 'run')} in {folder}" + (f", without {left_out}" if left_out else "")
    with place.alone("study"):
        copy_definition(path, folder)
        todo = open_plans(marked)  # again: another process may have finished some until it released the lock
        for plan in marked:
            if plan not in todo:
                plan.forget_failure()
        if not todo:
            print(f"{runs}: all finished")
            report_on()
            return
        steps = make_jobs(todo)
        n_steps = sum(map(len, steps))
        print(f"{runs}: {len(plans) - len(todo)} finished, {counted(n_steps, 'step')} to do")
        for deletion in deletions(todo):
            print(deletion)
        if launcher == "slurm":
            arrays, last = submit(todo, folder, common, report_on)
            print(
                f"submitted job {' and '.join(arrays)} for {counted(len(steps), 'training')}, and job {last}, which "
                "reports when all have ended"
            )
            return
        for plan in todo:
            plan.record()
        print(sharing_text(jobs))
        with StudyProgress(n_steps) as progress:
            run_jobs(steps, jobs, progress)
        report_on()


def _commands(todo: Sequence[RunPlan], folder: Path) -> str:
    """The steps of some runs and the report as a shell script."""
    steps = [step.command for job in make_jobs(todo) for step in job]
    report_on = ["report", str(folder), "--output", str(folder / "report.html")]
    return "\n".join(shlex.join([PROGRAM, *command]) for command in (*steps, report_on))


def _listed(names: str | list[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else names or []


def conclude(plans: Sequence[RunPlan], folder: Path) -> None:
    """Report on the runs of a study that have results; raises a TrainingError if others lack some."""
    failed = [plan for plan in plans if not plan.is_complete()]
    if any(plan.is_tested() for plan in plans):
        from experiments.report.command import report  # noqa: PLC0415  imports what a running study does not need

        report([str(folder)], str(folder / "report.html"))
    if failed:
        # The log of a run that was not tested is that of the training it tests.
        logs = [plan.log if plan.log.is_file() else plan.fitted_in / plan.log.name for plan in failed]
        names = "; ".join(f"{plan.label} ({log})" for plan, log in zip(failed, logs, strict=True))
        raise TrainingError(f"{len(failed)} of {counted(len(plans), 'run')} failed: {names}; {_advice(failed)}")


def _advice(failed: Sequence[RunPlan]) -> str:
    """What to do about runs without results, of which the same command would only repeat a training that diverged."""
    diverged = [plan.label for plan in failed if WOULD_FAIL_AGAIN in plan.failure()]
    if not diverged:
        return "the same command tries them again"
    other = "change their options and discard them with --redo, or give the study another --output"
    if len(diverged) == len(failed):
        return f"their training diverged, and the same options would fail again: {other}"
    return (
        "the same command tries them again, except those whose training diverged and would with the same options again "
        f"({', '.join(diverged)}): {other}"
    )
