"""What every detector shares: the outputs of its steps, and checkpoints that say what they belong to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from numbers import Integral, Real
from typing import Any, ClassVar, TypedDict

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_modules.backbones import describe_backbone
from lightning_modules.errors import ConfigurationError

# Keys of a checkpoint: the class's name, the DataModule's settings of the spectrograms, and the package's version.
_OBJECTIVE, SIGNAL_SETTINGS, _VERSION = "objective", "signal_settings", "package_version"


class StepOutputs(TypedDict, total=False):
    """What a validation, test or prediction step hands to the callbacks, each of which may add to it.

    Only `score` is always there.

    Attributes:
        score: Anomaly scores (B,), higher is more anomalous; of a reconstruction its mean squared error, dB².
        reconstruction: Reconstructions (B, F, T), dB, of modules that `reconstructs`.
        masked_score: Mean squared error of masked predictions (B,), dB², in test and prediction.
        attributions: Attribution maps (B, F, T) by explainer, NaN for clips that are not explained.
        explained: Which clips are explained, (B,) bool.
    """

    score: Tensor
    reconstruction: Tensor
    masked_score: Tensor
    attributions: dict[str, Tensor]
    explained: Tensor


def require_number(
    option: str, value: Any, holds: Callable[[float], bool], expected: str, *, whole: bool = False
) -> None:
    """Raise a ConfigurationError unless an option is a finite, perhaps a whole, number for which a condition holds."""
    is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and holds(value)):
        kind = "" if is_number else "a whole number, " if whole else "a number, "
        raise ConfigurationError(f"{option}={value!r} is not valid; it must be {kind}{expected}")


def is_finite(values: Iterable[Any]) -> bool:
    """Whether no tensor among some values contains NaN or infinity; reads one number from their device."""
    tensors = [value.detach() for value in values if isinstance(value, Tensor) and value.is_floating_point()]
    return not tensors or bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


class AnomalyDetector(LightningModule):
    """Base of everything that scores clips; its checkpoints are only loaded where they belong."""

    reconstructs: ClassVar[bool] = False
    """Whether the outputs of steps have a `reconstruction`, which explainers and their measures need."""

    monitor: ClassVar[str | None] = None
    """The metric whose minimum marks the best epoch; None where the last one is the best."""

    architecture_hparams: ClassVar[tuple[str, ...]] = ("n_mels", "n_frames")
    """Hyperparameters that have to be those of a checkpoint."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note what the weights belong to: the class, since the networks of several are the same, and the data."""
        checkpoint[_OBJECTIVE] = type(self).__name__
        checkpoint[_VERSION] = package_version()
        signal = self._signal_settings()
        if signal is not None:
            checkpoint[SIGNAL_SETTINGS] = dict(signal)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Reject a checkpoint that does not fit in one line instead of a list of tensor shapes."""
        check_checkpoint(checkpoint, self, "the checkpoint", self._signal_settings())

    def spectrograms(self, batch: Mapping[str, Any]) -> Tensor:
        """The spectrograms (B, F, T) of a batch.

        Raises:
            ConfigurationError: If they have another size than the module was built for.
        """
        x: Tensor = batch["spectrogram"]
        n_mels, n_frames = self.hparams.get("n_mels", x.shape[1]), self.hparams.get("n_frames", x.shape[2])
        if tuple(x.shape[1:]) != (n_mels, n_frames):
            raise ConfigurationError(
                f"the clips of a batch have {x.shape[1]} mel bands × {x.shape[2]} frames, but {type(self).__name__} is "
                f"built for {n_mels} × {n_frames}; the data module has to yield data.frontend.n_mels × data.n_frames"
            )
        return x

    def _signal_settings(self) -> Mapping[str, Any] | None:
        """The settings of the spectrograms, None without a DataModule that has them."""
        trainer = self._trainer
        return None if trainer is None else getattr(trainer.datamodule, "signal_settings", None)  # type: ignore[attr-defined]


def check_checkpoint(
    checkpoint: Mapping[str, Any], module: AnomalyDetector, source: str, signal: Mapping[str, Any] | None = None
) -> None:
    """Reject weights of another class, of a network of other dimensions, or trained on other spectrograms.

    Warns where the checkpoint is of another version of the package, or doesn't say what it was trained on.

    Args:
        checkpoint: What was saved.
        module: The module that is to take the weights.
        source: What the message calls the checkpoint, a path where there is one.
        signal: The DataModule's settings of the spectrograms, by the names of its options; None if they are unknown.

    Raises:
        ConfigurationError: If the class, the network's architecture or a setting of the spectrograms differs.
    """
    objective = type(module).__name__
    trained = str(checkpoint.get(_OBJECTIVE, objective))
    if trained != objective:
        article = "an" if trained.startswith(tuple("AEIOU")) else "a"
        raise ConfigurationError(f"{source} is of {article} {trained}, but the configuration says {objective}")
    saved = _architecture(checkpoint.get("hyper_parameters", {}), module.architecture_hparams)
    _require_same(source, saved, _architecture(module.hparams, module.architecture_hparams))
    if signal is not None and SIGNAL_SETTINGS in checkpoint:
        trained_on = {f"data.{key}": checkpoint[SIGNAL_SETTINGS].get(key, "unknown") for key in signal}
        _require_same(source, trained_on, {f"data.{key}": value for key, value in signal.items()})
    elif signal is not None:
        rank_zero_warn(
            f"{source} doesn't say which front end and reference level it was trained with; give those of the training"
        )
    if checkpoint.get(_VERSION, package_version()) != package_version():
        rank_zero_warn(f"{source} is of version {checkpoint[_VERSION]} of faithful-aad, this is {package_version()}")


def _architecture(hparams: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    known = {name: hparams[name] for name in names if name in hparams}
    return {name: describe_backbone(value) if name == "backbone" else value for name, value in known.items()}


def _require_same(source: str, saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    differing = [key for key in saved if saved[key] != current[key]]
    if differing:
        was = ", ".join(f"{key}={saved[key]}" for key in differing)
        now = ", ".join(f"{key}={current[key]}" for key in differing)
        raise ConfigurationError(f"{source} was trained with {was}, but the configuration says {now}")


def package_version() -> str:
    """The package's version, "unknown" of a checkout that is not installed."""
    try:
        return version("faithful-aad")
    except PackageNotFoundError:
        return "unknown"
