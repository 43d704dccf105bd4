"""What is printed beside results: warnings in a line, without advice of libraries that does not fit here."""

import logging
import warnings
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_OWN = tuple(str(_ROOT / package) for package in ("datamodules", "explainers", "experiments", "lightning_modules"))

_format_warning = warnings.formatwarning


def _format_own(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Leave the line of code out of our own warnings, which are written for users."""
    if filename.startswith(_OWN):
        return f"warning: {message}\n"
    return _format_warning(message, category, filename, lineno, line)


def quieten() -> None:
    """Drop advice that does not fit here, and tell what does in a line."""
    warnings.formatwarning = _format_own
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter is intended.*")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # Metrics are gathered before they are logged.
    warnings.filterwarnings("ignore", "It is recommended to use `self.log.*sync_dist=True.*")
    warnings.filterwarnings("ignore", "Using `DistributedSampler` with the dataloaders.*")
    warnings.filterwarnings("ignore", "The `srun` command is available.*")
    warnings.filterwarnings("ignore", ".*The dirpath has changed from.*")
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty.*")
    # Of callbacks of a training that later stages do without, and of epochs without a validation.
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided.*")
    warnings.filterwarnings("ignore", ".*ModelCheckpoint.monitor='val/loss'.. could not find.*")
    warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
