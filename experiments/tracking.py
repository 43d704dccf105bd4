"""Loggers of a run: CSV always, Weights & Biases unless it is switched off."""

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

import wandb
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from lightning_modules.errors import ConfigurationError

_ID_FILE = "wandb-id"

Mode = Literal["offline", "online", "disabled"]


def _default_mode() -> Mode:
    """What W&B's own variable WANDB_MODE asks for; without it nothing leaves the machine."""
    mode = os.environ.get("WANDB_MODE", "offline")
    return cast(Mode, mode) if mode in get_args(Mode) else "offline"


@dataclass
class WandbSettings:
    """How a run is tracked on Weights & Biases.

    Attributes:
        mode: `offline` needs no account (`wandb sync` uploads later), `disabled` keeps the CSV files only.
        project: The project that the run is filed under.
        name: The run's name; its folder's name by default.
        group: What the run is grouped with, for example a study.
        tags: Tags of the run.
    """

    mode: Mode = field(default_factory=_default_mode)
    project: str = "faithful-aad"
    name: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)


def build_loggers(run: Path, stage: str, settings: WandbSettings) -> list[Logger]:
    """The loggers of one stage of a run.

    Args:
        run: The run's folder.
        stage: `fit`, `validate`, `test` or `predict`; CSV files go into the folder of this name.
        settings: How Weights & Biases is used. All stages of a run are one run there.

    Raises:
        ConfigurationError: If `online` is asked for without an account.
    """
    loggers: list[Logger] = [CSVLogger(run, name=stage, version="")]
    if settings.mode == "disabled":
        return loggers
    if settings.mode == "online" and wandb.api.api_key is None:
        raise ConfigurationError("--wandb.mode online needs an account: call `wandb login` first, or use offline")
    logger = WandbLogger(
        name=settings.name or run.name,
        project=settings.project,
        id=_run_id(run),
        save_dir=run,
        offline=settings.mode == "offline",
        group=settings.group,
        tags=settings.tags,
        resume=None if settings.mode == "offline" else "allow",
        settings=wandb.Settings(silent=True, console="off"),
    )
    # Lightning passes on a setting that W&B no longer has, about which W&B warns in every run.
    logger._wandb_init.pop("anonymous", None)
    loggers.append(logger)
    return loggers


def _run_id(run: Path) -> str:
    """The run's identity on Weights & Biases, the same in all its stages."""
    path = run / _ID_FILE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(secrets.token_hex(4))
        temporary.replace(path)
    return path.read_text()
