"""`faithful-aad study`: from a YAML to a folder of runs and their report."""

from __future__ import annotations

import shutil
from pathlib import Path

from experiments.run_folder import RunFolder
from experiments.study.definition import read_definition
from experiments.study.errors import RunsFailed
from experiments.study.jobs import open_jobs, run_jobs
from experiments.study.plan import plan_runs
from experiments.study.progress import StudyProgress
from experiments.study.state import is_tested
from lightning_modules.errors import ConfigurationError


def study(definition: str, output: str | None = None, jobs: int = 1, overrides: list[str] | None = None) -> None:
    """Train and test variants over seeds, each run a process and a folder of its own, and report on them.

    Finished runs are skipped and interrupted ones go on from their last checkpoint, so the same command finishes a
    study that was stopped.

    Args:
        definition: The study's YAML.
        output: The study's folder, whose name is the study's; `runs/NAME` of the YAML by default.
        jobs: How many runs are at work at a time; GPUs are dealt round.
        overrides: Options added to every training; reference detectors take those about data.

    Raises:
        ConfigurationError: If the YAML is wrong or the folder holds runs made with other options.
        RunsFailed: If a run failed.
    """
    if jobs < 1:
        raise ConfigurationError(f"--jobs {jobs} is not a positive number of runs at a time")
    path = Path(definition)
    variants = read_definition(path)
    folder = RunFolder(output or Path("runs") / path.stem).path
    plans = plan_runs(variants, folder, overrides or [])
    todo = open_jobs(plans)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / "study.yaml")
    n_steps = sum(map(len, todo))
    print(f"{len(plans)} runs in {folder}: {sum(map(is_tested, plans))} are finished, {n_steps} steps are to do")
    with StudyProgress(n_steps) as progress:
        failures = run_jobs(todo, jobs, progress.show)
    if any(map(is_tested, plans)):
        from experiments.report import report  # noqa: PLC0415  loads what a study under way does without

        report([str(folder)], str(folder / "report.html"))
    if failures:
        names = "; ".join(f"{failure.step.plan.label} ({failure.log})" for failure in failures)
        raise RunsFailed(f"{len(failures)} of {len(plans)} runs failed: {names}; the same command tries them again")
