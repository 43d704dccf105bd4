"""What a stage writes about itself before it begins."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from datamodules.provenance import write_provenance
from experiments.run_folder import CONFIG_FILE


class SaveRunConfig(SaveConfigCallback):
    """Writes the stage's whole configuration into its folder, complete or not at all, and how its data came about."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write ``config.yaml`` and, of constructed data, ``provenance.json``; called on global rank zero."""
        folder = Path(str(trainer.loggers[0].log_dir))
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{CONFIG_FILE}.tmp"
        # Without the folder's own path, which would win over a `--run` that stands before `--config`.
        config = self.config.clone()
        config.pop("run")
        self.parser.save(
            config, str(temporary), skip_unset=False, overwrite=True, multifile=False, skip_validation=True
        )
        temporary.replace(folder / CONFIG_FILE)
        provenance = trainer.datamodule.provenance  # type: ignore[attr-defined]
        if provenance is not None and stage != "predict":  # which is about other recordings
            write_provenance(folder, provenance)
