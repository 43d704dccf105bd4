"""The trained detector of a run, outside a Trainer: its module, and what its clips have gone through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datamodules.audio import Channel
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from experiments.predictions.calibration import CALIBRATION_FILE, Calibration
from experiments.runs.checkpoints import read_checkpoint, training_caution
from experiments.runs.config import model_class, read_config
from experiments.runs.folder import RunFolder
from lightning_modules.base import SIGNAL_SETTINGS, AnomalyDetector
from lightning_modules.errors import ConfigurationError
from lightning_modules.imports import import_class


@dataclass(frozen=True)
class TrainedDetector:
    """A trained detector and the way of a clip to it.

    Attributes:
        module: The trained module, in eval mode.
        front_end: The front end of its spectrograms.
        channel: Channel of the recordings.
        reference_level: The level that is 0 to the module, dB.
        calibration: Scores of normal clips that `fit` saved; None where there are none of these weights.
        caution: What restricts the training, "" for nothing.
    """

    module: AnomalyDetector
    front_end: LogMelFrontEnd
    channel: Channel
    reference_level: float
    calibration: Calibration | None
    caution: str

    @property
    def n_frames(self) -> int:
        """Frames of a window."""
        return int(self.module.hparams["n_frames"])


def detector_class(run: RunFolder) -> type[AnomalyDetector]:
    """The class of a run's model.

    Raises:
        ConfigurationError: If nothing was trained here, or the class can't be found.
    """
    config = read_config(run.require_fit_config())
    found = import_class(str((config.get("model") or {}).get("class_path", "")))
    if not (isinstance(found, type) and issubclass(found, AnomalyDetector)):
        raise ConfigurationError(f"{run.fit_config} names {model_class(config)}, which is no detector")
    return found


def load_detector(run: RunFolder) -> TrainedDetector:
    """Read the best checkpoint of a run.

    Raises:
        ConfigurationError: If there is none, or it doesn't say what it was trained on.
    """
    found, path = detector_class(run), run.checkpoint("best")
    checkpoint = read_checkpoint(path)
    module = found.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    signal: Mapping[str, Any] = checkpoint.get(SIGNAL_SETTINGS, {})
    if not signal:
        raise ConfigurationError(f"{path} doesn't say which front end it was trained with; train again")
    settings = {name.removeprefix("frontend."): value for name, value in signal.items() if "." in name}
    saved = run.fit_config.with_name(CALIBRATION_FILE)
    calibration = Calibration.load(saved) if saved.is_file() else None
    return TrainedDetector(
        module.eval(),
        LogMelFrontEnd(FrontEndSettings(**settings)),
        signal["channel"],
        signal["reference_level"],
        calibration if calibration is not None and calibration.is_of(checkpoint) else None,
        training_caution(path, checkpoint),
    )
