"""Loggers of a run: CSV always, Weights & Biases unless it is switched off."""

import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from experiments.runs.csv_log import RunCSVLogger
from experiments.tracking.metrics import PERCENTILE_AXIS, Definition, curves, define, define_curve
from experiments.tracking.settings import WandbSettings, has_account
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically

_ID_FILE = "wandb-id"
_GLOBAL_STEP = "trainer/global_step"  # Lightning's x-axis
_STAGING = "WANDB_DATA_DIR"


class RunWandbLogger(WandbLogger):
    """Lightning's logger that also tells W&B what the scalars mean, and logs them as curves over percentiles.

    A curve is one metric with a point a percentile and the percentile as its x-axis. That is what W&B overlays over
    the runs of a group; a plot that a run draws itself stays that run's own.

    Args:
        with_curves: Whether curves are logged; the epochs of a training would draw them over each other.
        options: Those of Lightning's logger.
    """

    def __init__(self, with_curves: bool, **options: Any) -> None:
        super().__init__(**options)
        self._with_curves = with_curves
        self._defined: set[str] = set()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log scalars, and the curves that they are points of."""
        self._define(metrics, define, _GLOBAL_STEP)
        super().log_metrics(metrics, step)
        if self._with_curves:
            for percentile, point in curves(metrics).items():
                self._define(point, define_curve, PERCENTILE_AXIS)
                self.experiment.log({PERCENTILE_AXIS: percentile, **point})

    @rank_zero_only
    def log_table(self, key: str, *args: Any, **kwargs: Any) -> None:
        """Log a table, whose images and recordings W&B would otherwise keep outside of the run's folder."""
        with _staged_in(Path(str(self.save_dir)) / "wandb" / "data"):
            super().log_table(key, *args, **kwargs)

    def _define(self, names: Iterable[str], definition: Callable[[str], Definition], axis: str) -> None:
        """Define metrics by their full names, since of two patterns that fit a name W&B takes either."""
        for name in set(names) - self._defined:
            meant = definition(name)
            self.experiment.define_metric(name, step_metric=axis, summary=meant.operation, hidden=meant.hidden or None)
            self._defined.add(name)


def build_loggers(run: Path, stage: str, settings: WandbSettings) -> list[Logger]:
    """The loggers of one stage of a run.

    Args:
        run: The run's folder.
        stage: `fit`, `validate`, `test` or `predict`; CSV files go into the folder of this name.
        settings: How Weights & Biases is used. All stages of a run are one run there.

    Raises:
        ConfigurationError: If `online` is asked for without an account, or the file that keeps the run's id is damaged.
    """
    loggers: list[Logger] = [RunCSVLogger(run, name=stage, version="")]
    if settings.mode == "disabled":
        return loggers
    if settings.mode == "online" and not has_account():
        raise ConfigurationError("--wandb.mode online needs an account: call `wandb login` first, or use offline")
    logger = RunWandbLogger(
        with_curves=stage != "fit",
        name=settings.name or run.name,
        project=settings.project,
        id=rank_zero_only(_run_id)(run),  # the only process that has a run there
        save_dir=run,
        # Not Lightning's `offline`, which sets WANDB_MODE for whatever this process does next.
        mode=settings.mode,
        group=settings.group,
        job_type=settings.job_type,
        tags=settings.tags,
        # Offline too: `wandb sync` then adds a later stage to the run instead of replacing it.
        resume="allow",
        settings=wandb.Settings(silent=True, console="off"),
    )
    # Lightning passes on a setting that W&B no longer has, about which W&B warns in every run.
    logger._wandb_init.pop("anonymous", None)
    loggers.append(logger)
    return loggers


def _run_id(run: Path) -> str:
    """The run's identity on Weights & Biases, the same in all its stages; a sweep's agent gives it.

    Raises:
        ConfigurationError: If the file that keeps it holds something else.
    """
    path = run / _ID_FILE
    identity = path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""
    if not identity:
        given = os.environ.get("WANDB_RUN_ID", "").strip() if "WANDB_SWEEP_ID" in os.environ else ""
        identity = given or secrets.token_hex(4)
        write_atomically(path, identity.encode())
    if not re.fullmatch(r"[\w.-]{1,128}", identity, re.ASCII):
        raise ConfigurationError(f"{path} is not the name of a run on W&B; delete it to begin a new run there")
    return identity


@contextmanager
def _staged_in(folder: Path) -> Iterator[None]:
    """Let W&B keep what it has not uploaded yet in a folder, unless its variable WANDB_DATA_DIR names one."""
    if _STAGING in os.environ:
        yield
        return
    os.environ[_STAGING] = str(folder.absolute())
    try:
        yield
    finally:
        del os.environ[_STAGING]
