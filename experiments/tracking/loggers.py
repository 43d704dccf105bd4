"""How a run is tracked: CSV files always, Weights & Biases unless it is disabled."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import wandb
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from experiments.runs.checkpoints import read_checkpoint
from experiments.runs.csv_logger import RunCSVLogger
from experiments.runs.folder import CONFIG_FILE, TRACKING_FOLDER, RunFolder, read_scalars
from experiments.tracking.description import describe, model_artifact, shared_id
from experiments.tracking.metrics import (
    DETECTION_COLUMNS,
    EXPLANATION_COLUMNS,
    PERCENTILE_AXIS,
    STEPS_AXIS,
    compared,
    curves,
    detection_rows,
    direction,
    explanation_rows,
    length_points,
    of_explainers,
)
from experiments.tracking.settings import WandbSettings
from lightning_modules.errors import ConfigurationError

_STAGING = "WANDB_DATA_DIR"


def has_account() -> bool:
    """Whether W&B finds credentials on this machine, without checking that they are valid."""
    # W&B does not look for credentials while its variable WANDB_MODE is offline.
    wandb.setup(wandb.Settings(mode="online", silent=True))
    return bool(wandb.login(prompt=False, verify=False))


class RunWandbLogger(WandbLogger):
    """Lightning's logger that shows a stage's scalars where they can be compared; see `experiments.tracking.metrics`.

    The epochs of `fit` are charts. A later stage has one value of each scalar: those of the whole model and of headline
    measures are columns of the table of runs, headline measures over percentiles are curves, and all of them are rows
    of the tables ``{stage}/explanations`` and ``{stage}/detection``. A curve is one metric with one point per
    percentile and the percentile as its x-axis: W&B overlays such metrics for the runs of a group, which it does not do
    with plots that a run draws itself.

    Args:
        run: The run's folder.
        stage: `fit`, `validate`, `curve`, `test` or `predict`.
        options: Those of Lightning's logger.
    """

    def __init__(self, run: Path, stage: str, **options: Any) -> None:
        self._run, self._stage = RunFolder(run), stage
        self._continues = stage == "fit" and _is_uploaded(run, options["id"])
        # Lightning's default would append all epochs to those that have the same id.
        super().__init__(save_dir=run, resume="allow" if self._continues else None, **options)
        self._defined: set[str] = set()

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Log nothing: the configuration that the run began with has the hyperparameters."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log what runs are compared by and, of an evaluation, curves and tables."""
        shown = compared(metrics)
        if self._stage == "fit":
            self._define({name: {"summary": good} for name in shown if (good := direction(name))})
            super().log_metrics(shown, step)
            return
        single = of_explainers(shown)
        super().log_metrics({name: value for name, value in shown.items() if name not in single}, step)
        self.experiment.summary.update(single)
        for percentile, point in curves(metrics).items():
            self._define({name: {"step_metric": PERCENTILE_AXIS, "summary": "none"} for name in point})
            self.experiment.log({PERCENTILE_AXIS: percentile, **point})
        prefix = {"validate": "val"}.get(self._stage, self._stage)
        for name, columns, rows in (
            ("detection", DETECTION_COLUMNS, detection_rows(metrics)),
            ("explanations", EXPLANATION_COLUMNS, explanation_rows(metrics)),
        ):
            if rows:
                self.log_table(f"{prefix}/{name}", list(columns), rows)

    @rank_zero_only
    def log_curve(self, curve: pd.DataFrame) -> None:
        """Log quality against training length as charts and as a table.

        Args:
            curve: Rows of ``curve.csv``.
        """
        for point in length_points(curve):
            self._define({name: {"step_metric": STEPS_AXIS, "summary": "none"} for name in point})
            self.experiment.log(point)
        rows = curve.astype(object).where(curve.notna(), None)
        self.log_table("curve/table", list(curve.columns), rows.to_numpy().tolist())

    @rank_zero_only
    def log_table(self, key: str, *args: Any, **kwargs: Any) -> None:
        """Log a table; its images and recordings stay in the run's folder until they are uploaded."""
        with _staged_in(Path(self.experiment.dir).parent / "data"):
            super().log_table(key, *args, **kwargs)

    @rank_zero_only
    def replace_earlier(self, scalars: Sequence[Mapping[str, str]]) -> None:
        """Begin in place of earlier attempts at this stage: log what they logged, and delete their offline folders.

        A training of which something was uploaded is continued on W&B instead, and keeps its folders.

        Args:
            scalars: Rows of ``metrics.csv`` that this attempt continues, as text.
        """
        if self._continues:
            return
        attempts = f"{self.version}" if self._stage == "fit" else f"{shared_id(self._run.path)}-{self._stage}-*"
        folder = self._run.path / TRACKING_FOLDER
        earlier = list(folder.glob(f"offline-run-*-{attempts}"))
        uploaded = [*folder.glob(f"run-*-{attempts}"), *(one for one in earlier if any(one.glob("*.wandb.synced")))]
        if uploaded:
            ids = ", ".join(sorted(one.name.removeprefix("offline-").split("-", 2)[2] for one in uploaded))
            rank_zero_warn(
                f"an earlier {self._stage} of this run is on W&B too ({ids}); delete it there, or dashboards count both"
            )
        for row in scalars:
            self.log_metrics(_numbers(row), int(row["step"]))
        for folder in earlier:
            shutil.rmtree(folder, ignore_errors=True)

    @rank_zero_only
    def log_files(self, settings: WandbSettings) -> None:
        """Add the stage's configuration as a file and, after `fit`, its best checkpoint as an artifact."""
        config, best = self._run.path / self._stage / CONFIG_FILE, self._run.checkpoint("best")
        if settings.log_config and config.is_file():
            uploaded = Path(self.experiment.dir) / self._stage / CONFIG_FILE
            uploaded.parent.mkdir(exist_ok=True)
            shutil.copyfile(config, uploaded)  # or W&B would link it, and warn that it does
            self.experiment.save(str(uploaded), base_path=self.experiment.dir, policy="now")
        if settings.log_model and self._stage == "fit" and best.is_file():
            artifact = wandb.Artifact(
                model_artifact(self._run.path), "model", metadata=_checkpoint_metrics(self._run, best)
            )
            artifact.add_file(str(best.absolute()), policy="immutable")  # which does not copy it
            self.experiment.log_artifact(artifact, aliases=["best"])
        if self._continues:  # W&B has summarised this attempt only
            self.experiment.summary.update(_best(read_scalars(self._run.path / "fit" / "metrics.csv")))

    def _define(self, metrics: Mapping[str, Mapping[str, Any]]) -> None:
        """Define metrics by their full names, since W&B takes any of the patterns that match a name."""
        for name in metrics.keys() - self._defined:
            self.experiment.define_metric(name, **{"step_metric": "trainer/global_step", **metrics[name]})
            self._defined.add(name)


class EpochTimer(Callback):
    """Logs the seconds of each training epoch, validation included, to Weights & Biases.

    Not to ``metrics.csv``, which is the same for a training that was interrupted.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the time since then."""
        seconds = time.perf_counter() - self._start
        for logger in wandb_loggers(trainer.loggers):
            logger.log_metrics({"train/epoch_seconds": seconds}, trainer.global_step - 1)


def wandb_loggers(loggers: Iterable[Logger]) -> list[RunWandbLogger]:
    """The loggers of Weights & Biases that were built here."""
    return [logger for logger in loggers if isinstance(logger, RunWandbLogger)]


def build_loggers(
    run: Path, stage: str, settings: WandbSettings, config: Mapping[str, Any], n_train: int | None = None
) -> list[Logger]:
    """The loggers of one stage of a run.

    Args:
        run: The run's folder.
        stage: `fit`, `validate`, `curve`, `test` or `predict`; CSV files go into the folder of this name, and the stage
            is a run of its own on Weights & Biases.
        settings: How Weights & Biases is used.
        config: The stage's whole configuration, interpolations resolved.
        n_train: Number of training clips, None where they are not read.

    Raises:
        ConfigurationError: If the mode is `online` without an account or does not exist, or the file with the run's id
            is damaged.
    """
    mode = settings.current_mode()
    loggers: list[Logger] = [RunCSVLogger(run, name=stage, version="")]
    if mode == "disabled":
        return loggers
    if mode == "online" and not has_account():
        raise ConfigurationError("--wandb.mode online needs an account: call `wandb login` first, or use offline")
    own = {key: getattr(settings, key) for key in ("name", "group", "job_type", "tags")}
    # On the only process that has a run there.
    described = rank_zero_only(describe)(run, stage, config, n_train=n_train, **own) or {"id": None}
    logger = RunWandbLogger(
        run,
        stage,
        project=settings.project,
        # Not Lightning's `offline`, which sets WANDB_MODE for everything that this process does next.
        mode=mode,
        # Wraps the standard streams, which leaves progress bars as they are.
        settings=wandb.Settings(silent=True, console="wrap"),
        **described,
    )
    # Lightning passes on a setting that W&B no longer has, about which W&B warns in every run.
    logger._wandb_init.pop("anonymous", None)
    loggers.append(logger)
    return loggers


def _is_uploaded(run: Path, identity: str | None) -> bool:
    """Whether something of a run is on W&B: it was online, or an offline folder of it was uploaded."""
    return any(
        any(run.glob(f"{TRACKING_FOLDER}/{folder}"))
        for folder in (f"run-*-{identity}", f"offline-run-*-{identity}/run-{identity}.wandb.synced")
    )


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    """The scalars of a row of ``metrics.csv``."""
    return {name: float(value) for name, value in row.items() if value and name != "step"}


def _best(rows: Iterable[Mapping[str, str]]) -> dict[str, dict[str, float]]:
    """The best value of each scalar that has one, as W&B's summary keeps it."""
    best: dict[str, dict[str, float]] = {}
    for row in rows:
        for name, value in compared(_numbers(row)).items():
            if good := direction(name):
                choose = min if good == "min" else max
                best[name] = {good: choose([value, *best.get(name, {}).values()])}
    return best


def _checkpoint_metrics(run: RunFolder, path: Path) -> dict[str, Any]:
    """Epoch, step and scalars of a checkpoint."""
    checkpoint = read_checkpoint(path)
    metrics: dict[str, Any] = {"epoch": checkpoint["epoch"], "step": checkpoint["global_step"]}
    for row in read_scalars(run.path / "fit" / "metrics.csv"):
        if row.get("epoch") == str(checkpoint["epoch"]):
            metrics |= compared(_numbers(row))
    return metrics


@contextmanager
def _staged_in(folder: Path) -> Iterator[None]:
    """Let W&B store what it has not uploaded yet in a folder, unless its variable WANDB_DATA_DIR names one."""
    if _STAGING in os.environ:
        yield
        return
    os.environ[_STAGING] = str(folder.absolute())
    try:
        yield
    finally:
        del os.environ[_STAGING]
