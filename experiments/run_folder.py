"""Where the parts of a run lie: every run owns one folder, every stage a folder in it."""

from __future__ import annotations

from pathlib import Path

from lightning_modules.errors import ConfigurationError

CONFIG_FILE = "config.yaml"


class RunFolder:
    """Paths inside the folder of a run.

    Args:
        path: The run's folder; need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def fit_config(self) -> Path:
        """The configuration that the run was trained with."""
        return self.path / "fit" / CONFIG_FILE

    @property
    def best_checkpoint(self) -> Path:
        """The weights with the lowest validation loss."""
        return self.path / "fit" / "checkpoints" / "best.ckpt"

    def require_no_fit(self) -> None:
        """Refuse to train where something was trained before.

        Raises:
            ConfigurationError: If the run's folder holds a training already.
        """
        if (self.path / "fit").exists():
            raise ConfigurationError(f"{self.path} holds a training already; give another --run, or delete it first")

    def require_checkpoint(self) -> Path:
        """The best checkpoint of the run.

        Raises:
            ConfigurationError: If there is none.
        """
        if not self.best_checkpoint.is_file():
            raise ConfigurationError(
                f"{self.best_checkpoint} does not exist; run faithful-aad fit --run {self.path} first, "
                f"or name a checkpoint with --ckpt_path"
            )
        return self.best_checkpoint
