"""A run's trained autoencoder and the way of a clip to it, in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.audio import read_audio
from datamodules.base import SpectrogramDataModule
from datamodules.errors import DataError
from datamodules.files import TENSOR_SUFFIX
from datamodules.frontend import FrontEndSettings
from datamodules.spectrograms import load_spectrogram
from experiments.predictions.detector import TrainedDetector, detector_class, load_detector
from experiments.runs.config import data_options, read_config
from experiments.runs.folder import RunFolder
from lightning_modules.autoencoders import ReconstructionModule
from lightning_modules.errors import ConfigurationError
from lightning_modules.imports import import_class
from lightning_modules.scores import squared_error


@dataclass(frozen=True)
class Pipeline(TrainedDetector):
    """The way of a clip through PyTorch, from the file to its scores.

    Attributes:
        module: The trained autoencoder, in eval mode.
        takes_audio: Whether clips are waveforms rather than spectrograms.
    """

    module: ReconstructionModule
    takes_audio: bool

    @classmethod
    def of_run(cls, run: RunFolder, takes_audio: bool) -> Pipeline:
        """Read the best checkpoint of a run.

        Raises:
            ConfigurationError: If there is none, or it is of another model than an autoencoder.
        """
        found = detector_class(run)
        if not issubclass(found, ReconstructionModule):
            raise ConfigurationError(
                f"--run {run.path} is of {found.__name__}, and only autoencoders can be exported; name one of an "
                "Autoencoder or a MaskedAutoencoder"
            )
        return cls(**vars(load_detector(run)), takes_audio=takes_audio)

    def read(self, path: Path) -> Tensor:
        """A clip as `score` takes it: a waveform (samples,) at the front end's rate, or a spectrogram (F, T) in dB.

        Raises:
            DataError: If it can't be read, is too short, or is a spectrogram where a waveform is needed.
        """
        n_frames = self.n_frames
        if not self.takes_audio:
            spectrogram = load_spectrogram(path, self.front_end, self.channel)[0]
            clip, found = spectrogram[:, :n_frames], spectrogram.shape[1]
        elif path.suffix.lower() == TENSOR_SUFFIX:
            raise DataError(
                f"{path} is a spectrogram, which a file that takes audio can't be compared on; give recordings with "
                "--clips, or --input spectrogram"
            )
        else:
            clip = self.front_end.resample(*read_audio(path, self.channel))
            settings = self.front_end.settings
            found = 1 + (len(clip) - settings.window_length % 2) // settings.hop_length
        if found < n_frames:
            raise DataError(
                f"{path} has {found} frames, fewer than the {n_frames} of the clips that the run was trained on"
            )
        return clip

    @torch.inference_mode()
    def score(self, clip: Tensor) -> dict[str, NDArray[np.float32]]:
        """Scores (1,) and error map (1, F, T) of a clip, in this order."""
        spectrogram = self.front_end(clip, self.front_end.settings.sample_rate) if self.takes_audio else clip
        x = spectrogram[None, :, : self.n_frames] - self.reference_level
        outputs = self.module.evaluate_with_masked_score(x)
        results = {"score": outputs["score"]}
        if "masked_score" in outputs:
            results["masked_score"] = outputs["masked_score"]
        results["error_map"] = squared_error(x, outputs["reconstruction"])
        return {name: values.numpy() for name, values in results.items()}


def data_module(run: RunFolder) -> SpectrogramDataModule:
    """The data set that a run was trained on."""
    config = read_config(run.require_fit_config())
    options = data_options(config)
    if options.get("frontend"):
        options["frontend"] = FrontEndSettings(**options["frontend"])
    found: Any = import_class(str((config.get("data") or {}).get("class_path", "")))
    data: SpectrogramDataModule = found(**options)
    return data
