"""`faithful-aad detect`: a reference detector on the clips that a model is trained and tested on."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer, seed_everything
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules import SpectrogramDataModule
from datamodules.progress import progress_console
from datamodules.provenance import write_provenance
from experiments.cli.errors import configuration_errors
from experiments.cli.options import ExperimentParser, check_numbers
from experiments.detectors import DETECTORS, Detector
from experiments.detectors.arguments import parse
from experiments.report import load_comparison, print_comparison
from experiments.runs.config import objective_name
from experiments.runs.folder import CONFIG_FILE, RunFolder
from experiments.runs.scalars import RunCSVLogger
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically
from lightning_modules.wording import counted
from metrics.callbacks import DetectionAUC

_STAGE = "test"


class DetectorModule(LightningModule):
    """Lets a fitted detector be tested by Lightning, like a model."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Score a batch of test clips."""
        return {"score": torch.from_numpy(self.detector.score(batch["spectrogram"].numpy()))}


def run_detect(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad detect`.

    Raises:
        ConfigurationError: If a setting is wrong or the run's folder holds something else.
        DataError: If the data cannot be used.
    """
    parser, settings = parse(name, arguments)
    check_numbers(settings)
    run = RunFolder(settings.run)
    _require_own_folder(run, settings.detector.name)
    seed_everything(settings.seed_everything, verbose=False)
    detector = build_detector(settings.detector.as_dict(), settings.seed_everything)
    data = build_data(parser, settings)
    data.setup()

    clips = _training_clips(data)
    label = objective_name({"detector": {"name": settings.detector.name}})
    with Console(stderr=True).status(f"Fitting {label} on {counted(len(clips), 'clip')}"):
        detector.fit(clips)
    config = settings.clone()
    config.pop("run")
    config.pop("config")
    _write_results(run, detector, data, parser.dump(config, skip_unset=False, skip_validation=True))
    print_comparison(load_comparison([run.path]))
    print(run.path / _STAGE)


def _require_own_folder(run: RunFolder, detector: str) -> None:
    """Refuse to mix a detector's results with a model's or another detector's."""
    if (run.path / "fit").exists():
        raise ConfigurationError(f"{run.path} holds the training of a model; give another --run")
    if (run.path / _STAGE / CONFIG_FILE).is_file() and run.detector != detector:
        raise ConfigurationError(f"{run.path} holds results of {run.detector or 'a model'}; give another --run")


def build_detector(settings: dict[str, Any], seed: int) -> Detector:
    """The detector that the settings name, seeded if it draws anything."""
    detector = DETECTORS[settings.pop("name")]
    if "seed" in inspect.signature(detector).parameters:
        settings["seed"] = seed
    return detector(**settings)


def build_data(parser: ExperimentParser, settings: Namespace) -> SpectrogramDataModule:
    """The DataModule that the settings describe; whatever it refuses is a mistake in them."""
    with configuration_errors():
        data: SpectrogramDataModule = parser.instantiate(settings).data
    return data


def _training_clips(data: SpectrogramDataModule) -> np.ndarray:
    """The clips that a model would be trained on, in the order of their indices: (N, F, T) in dB."""
    dataset: Any = data.train_dataloader().dataset
    clips = np.empty((len(dataset), *dataset[0]["spectrogram"].shape), dtype=np.float32)
    batches = DataLoader(dataset, batch_size=data.batch_size, num_workers=data.num_workers)
    for batch in track(batches, "Loading clips", console=progress_console(), transient=True):
        clips[batch["index"].numpy()] = batch["spectrogram"].numpy()
    return clips


def _write_results(run: RunFolder, detector: Detector, data: SpectrogramDataModule, config: str) -> None:
    """Score the test clips and put the results into the run's folder, all of them or none."""
    try:
        run.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--run {run.path} can't be written ({error.strerror}); name another") from error
    with tempfile.TemporaryDirectory(dir=run.path, prefix=f".{_STAGE}-") as folder:
        stage = Path(folder) / _STAGE
        write_atomically(stage / CONFIG_FILE, config.encode())
        if data.provenance is not None:
            write_provenance(stage, data.provenance)
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            logger=RunCSVLogger(folder, name=_STAGE, version=""),
            callbacks=[DetectionAUC()],
            enable_checkpointing=False,
            enable_model_summary=False,
        )
        trainer.test(DetectorModule(detector), data, verbose=False)
        RunFolder(folder).mark_finished(_STAGE)
        run.clear(_STAGE)
        stage.rename(run.path / _STAGE)
