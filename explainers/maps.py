"""Maps that need no gradients: the error map, the masked error map, and a random map as a control."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from explainers.base import Explainer, reproducible, require_positive
from lightning_modules.errors import ConfigurationError
from lightning_modules.masking import complementary_masks, patch_size_of
from lightning_modules.scores import masked_prediction, squared_error


class ErrorMap(Explainer):
    """Squared error of each cell, dB² (An & Cho, 2015; paper section 3.3, "pixel-wise error map").

    Example:
        >>> ErrorMap(torch.nn.ReLU()).attribute(torch.tensor([[[1.0, -2.0]]]))
        tensor([[[0., 4.]]])
    """

    label = "Error map"

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        if reconstruction is None:
            with torch.no_grad():
                reconstruction = torch.cat([self.module(rows) for rows in x.split(self.rows_per_pass(x))])
        return squared_error(x, reconstruction)


@dataclass(eq=False)
class MaskedErrorMap(Explainer):
    """Squared error of each cell predicted from its context only, dB²; not in the paper.

    Complementary masks hide every patch once, and a cell's prediction comes from the pass that hid it, so an
    anomaly can't be copied to the output. This is the task that a masked autoencoder was trained for; a plain
    autoencoder, which never saw a hidden patch, serves as a control. Costs one forward pass per mask.

    The map's mean is the module's masked score where the module's `score_masks` equals `n_masks`.

    Args:
        module: See `Explainer`.
        n_masks: Complementary masks, at least 2; each hides about 1 / n_masks of the patches.
        patch_size: Side of a patch, in bands and frames; by default that of the module's training, else 4. Patches
            at the upper edges are cut where it does not divide the spectrogram.
        memory_budget: See `Explainer`.

    Raises:
        ConfigurationError: If a number is out of its range; from `attribute`, if the masks can't share the patches.
    """

    label = "Masked error map"

    n_masks: int = 3
    patch_size: int | None = None

    def __post_init__(self) -> None:
        require_positive(n_masks=self.n_masks)
        if self.patch_size is not None:
            require_positive(patch_size=self.patch_size)
        if self.n_masks == 1:
            raise ConfigurationError("n_masks=1 would hide whole clips; give at least 2")

    def obstacle(self) -> str:
        """That the module's spectrograms have too few patches, where it says how large they are."""
        n_mels, n_frames = (getattr(self.module, "hparams", {}).get(name) for name in ("n_mels", "n_frames"))
        try:
            if n_mels and n_frames:
                self._masks(n_mels, n_frames)
        except ConfigurationError as error:
            return f"can't mask the spectrograms: {error}"
        return ""

    def _masks(self, n_mels: int, n_frames: int, device: torch.device | None = None) -> Tensor:
        patch_size = patch_size_of(self.module) if self.patch_size is None else self.patch_size
        return complementary_masks(n_mels, n_frames, patch_size, self.n_masks, device)

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        masks = self._masks(x.shape[1], x.shape[2], x.device)
        rows = self.rows_per_pass(x)
        with torch.no_grad():
            return squared_error(x, masked_prediction(self.module, x, masks, rows))


@dataclass(eq=False)
class RandomMap(Explainer):
    """Independent standard normal noise in each cell, which knows neither the model nor what the clip contains.

    Args:
        module: See `Explainer`; only its place among the explainers needs it.
        seed: Another seed, another map of the same clip. By default the run's, torch's, so that the controls of runs
            with different seeds are independent.
        memory_budget: See `Explainer`.
    """

    label = "Random map"

    seed: int = field(default_factory=torch.initial_seed)

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        return torch.cat([self._draw(clip) for clip in x.split(1)])

    def _draw(self, clip: Tensor) -> Tensor:
        with reproducible(clip, self.seed):
            # Drawn on the CPU, so that every device gets the same map.
            return torch.randn(clip.shape).to(clip)
