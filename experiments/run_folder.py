"""Where the parts of a run lie: every run owns one folder, every stage a folder in it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lightning_modules.errors import ConfigurationError

CONFIG_FILE = "config.yaml"


class RunFolder:
    """Paths inside the folder of a run.

    Args:
        path: The run's folder; need not exist yet.

    Raises:
        ConfigurationError: If no folder can be there.
    """

    def __init__(self, path: str | Path) -> None:
        if not str(path).strip():
            raise ConfigurationError("--run is empty; name the folder of the run")
        self.path = Path(path)
        for place in (self.path, *self.path.parents):
            if place.exists() and not place.is_dir():
                raise ConfigurationError(f"--run {path} can't be a folder: {place} is a file; name another")

    @property
    def fit_config(self) -> Path:
        """The configuration that the run was trained with."""
        return self.path / "fit" / CONFIG_FILE

    def require_fit_config(self) -> Path:
        """The configuration that the run was trained with.

        Raises:
            ConfigurationError: If nothing was trained here.
        """
        if not self.fit_config.is_file():
            raise ConfigurationError(
                f"--run {self.path} holds no training ({self.fit_config} is missing); "
                f"run faithful-aad fit --run {self.path} first, or name a configuration with --config"
            )
        return self.fit_config

    def require_no_fit(self) -> None:
        """Refuse to train where something was trained before.

        Raises:
            ConfigurationError: If the run's folder holds a training already.
        """
        if (self.path / "fit").exists():
            raise ConfigurationError(f"{self.path} holds a training already; give another --run, or delete it first")

    def checkpoint(self, chosen: str | None) -> Path:
        """The checkpoint file to use.

        Args:
            chosen: A path, or `best` or `last` for the run's own; the best by default.
        """
        if chosen in (None, "best", "last"):
            return self.path / "fit" / "checkpoints" / f"{chosen or 'best'}.ckpt"
        return Path(str(chosen))

    def clear(self, stage: str) -> None:
        """Delete what an earlier run of a stage left, so that no old result passes for a new one."""
        shutil.rmtree(self.path / stage, ignore_errors=True)


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """Read a checkpoint of `fit`, without running anything it may hold.

    Raises:
        ConfigurationError: If it is missing or something else.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} does not exist; run faithful-aad fit first, or name a checkpoint with --ckpt_path"
        ) from None
    except Exception as error:  # unpickling raises whatever it likes
        raise ConfigurationError(f"{path} is not a checkpoint of `fit` ({type(error).__name__})") from error
    if not isinstance(checkpoint, dict) or "hyper_parameters" not in checkpoint:
        raise ConfigurationError(f"{path} is not a checkpoint of `fit`: it holds no hyperparameters")
    return checkpoint
