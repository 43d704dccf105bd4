"""How a run is tracked: CSV files always, Weights & Biases unless it is disabled."""

import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

import wandb
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from experiments.runs.csv_logger import RunCSVLogger
from experiments.tracking.metrics import PERCENTILE_AXIS, curves, define
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically

_ID_FILE = "wandb-id"
_STAGING = "WANDB_DATA_DIR"

Mode = Literal["offline", "online", "disabled"]


def _default_mode() -> Mode:
    """The mode of W&B's own variable WANDB_MODE; without it nothing leaves the machine."""
    mode = os.environ.get("WANDB_MODE", "offline")
    return cast(Mode, mode) if mode in get_args(Mode) else "offline"


@dataclass
class WandbSettings:
    """How a run is tracked on Weights & Biases.

    Attributes:
        mode: `offline` needs no account (`wandb sync` uploads later), `disabled` keeps the CSV files only.
        project: The project of the run.
        name: The run's name; its folder's name by default.
        group: The group of the run, for example a study.
        job_type: The role of the run in its group, for example AE or MAE; dashboards compare job types.
        tags: Tags of the run.
    """

    mode: Mode = field(default_factory=_default_mode)
    project: str = "faithful-aad"
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)


def has_account() -> bool:
    """Whether W&B finds credentials on this machine, without checking that they are valid."""
    # W&B does not look for credentials while its variable WANDB_MODE is offline.
    wandb.setup(wandb.Settings(mode="online", silent=True))
    return bool(wandb.login(prompt=False, verify=False))


class RunWandbLogger(WandbLogger):
    """Lightning's logger that also defines what the scalars mean, and logs them as curves over percentiles.

    A curve is one metric with one point per percentile and the percentile as its x-axis: W&B overlays such metrics
    for the runs of a group, which it does not do with plots that a run draws itself.

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
        """Log scalars, and the curves of which they are points."""
        self._define(metrics)
        super().log_metrics(metrics, step)
        if self._with_curves:
            for percentile, point in curves(metrics).items():
                self._define(point)
                self.experiment.log({PERCENTILE_AXIS: percentile, **point})

    @rank_zero_only
    def log_table(self, key: str, *args: Any, **kwargs: Any) -> None:
        """Log a table; its images and recordings stay in the run's folder until they are uploaded."""
        with _staged_in(Path(str(self.save_dir)) / "wandb" / "data"):
            super().log_table(key, *args, **kwargs)

    def _define(self, names: Iterable[str]) -> None:
        """Define metrics by their full names, since W&B takes any of the patterns that match a name."""
        for name in set(names) - self._defined:
            self.experiment.define_metric(name, **define(name))
            self._defined.add(name)


def build_loggers(run: Path, stage: str, settings: WandbSettings) -> list[Logger]:
    """The loggers of one stage of a run.

    Args:
        run: The run's folder.
        stage: `fit`, `validate`, `test` or `predict`; CSV files go into the folder of this name.
        settings: How Weights & Biases is used. All stages of a run are one run there.

    Raises:
        ConfigurationError: If the mode is `online` without an account, or the file with the run's id is damaged.
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
        # Not Lightning's `offline`, which sets WANDB_MODE for everything that this process does next.
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
    """The run's id on Weights & Biases, the same in all its stages; a sweep's agent sets it."""
    path = run / _ID_FILE
    identity = path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""
    if not identity:
        given = os.environ.get("WANDB_RUN_ID", "").strip() if "WANDB_SWEEP_ID" in os.environ else ""
        identity = given or secrets.token_hex(4)
        write_atomically(path, identity.encode())
    if not re.fullmatch(r"[\w.-]{1,128}", identity, re.ASCII):
        raise ConfigurationError(f"{path} does not contain a valid W&B run id; delete it to begin a new run there")
    return identity


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
