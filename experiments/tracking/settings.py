"""The options of tracking, without W&B itself, which takes half a second to import."""

import os
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from lightning_modules.errors import ConfigurationError

Mode = Literal["offline", "online", "disabled"]


@dataclass
class WandbSettings:
    """How a run is tracked on Weights & Biases.

    Attributes:
        mode: `offline` needs no account (`wandb sync` uploads later), `disabled` keeps the CSV files only; by default
            that of the variable WANDB_MODE, or else offline.
        project: The project of the run.
        name: The run's name; by default its model and seed, such as `MAE seed 1`.
        group: The group of the run; by default its study.
        job_type: What the run does; by default the stage, such as fit or test.
        tags: Tags of the run beside its model and seed, as in [quick].
        log_model: Whether `fit` adds its best checkpoint as an artifact.
        log_config: Whether each stage adds its config.yaml as a file.
    """

    mode: Mode | None = None
    project: str = "faithful-aad"
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    log_model: bool = True
    log_config: bool = True

    def current_mode(self) -> Mode:
        """The mode of these settings or else of the environment, which may change between the stages of a run."""
        mode = self.mode or os.environ.get("WANDB_MODE") or "offline"
        mode = {"dryrun": "offline", "run": "online"}.get(mode, mode)  # as W&B still calls them
        if mode not in get_args(Mode):
            modes = ", ".join(get_args(Mode))
            raise ConfigurationError(f"WANDB_MODE={mode} in the environment does not exist; set it to one of {modes}")
        return cast(Mode, mode)
