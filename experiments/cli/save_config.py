"""What a stage writes about itself before it begins."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from datamodules.provenance import write_provenance
from experiments.runs.folder import CAUTION_FILE, CONFIG_FILE
from lightning_modules.files import write_atomically


class SaveRunConfig(SaveConfigCallback):
    """Writes the stage's whole configuration into its folder, complete or not at all, and how its data came about.

    Attributes:
        caution: What is to be known of the network that the stage uses, written beside it; "" for nothing.
    """

    caution: str = ""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write ``config.yaml``, and what there is to write of data and network; called on global rank zero."""
        folder = Path(str(trainer.loggers[0].log_dir))
        # Without the folder's own path, which would win over a `--run` that stands before `--config`.
        config = self.config.clone()
        config.pop("run")
        text = self.parser.dump(config, skip_unset=False, skip_validation=True)
        write_atomically(folder / CONFIG_FILE, text.encode())
        provenance = trainer.datamodule.provenance  # type: ignore[attr-defined]
        if provenance is not None and stage != "predict":  # which is about other recordings
            write_provenance(folder, provenance)
        if self.caution:
            write_atomically(folder / CAUTION_FILE, f"{self.caution}\n".encode())
