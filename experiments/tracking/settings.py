"""How a run is tracked on Weights & Biases."""

import os
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

import wandb

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
        job_type: What the run is within its group, for example AE or MAE; dashboards compare job types.
        tags: Tags of the run.
    """

    mode: Mode = field(default_factory=_default_mode)
    project: str = "faithful-aad"
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)


def has_account() -> bool:
    """Whether W&B finds credentials on this machine; whether they are valid shows when they are used."""
    # W&B looks for none in a process that its variable WANDB_MODE has set offline.
    wandb.setup(wandb.Settings(mode="online", silent=True))
    return bool(wandb.login(prompt=False, verify=False))
