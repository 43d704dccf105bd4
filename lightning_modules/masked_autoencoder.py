"""The masked objective: reconstruct what is hidden from what is seen."""

from typing import Any

from torch import Tensor

from lightning_modules.base import ReconstructionModule, squared_error
from lightning_modules.masking import PatchMasker


class MaskedAutoencoder(ReconstructionModule):
    """Masked autoencoder (MAE), trained on the error of hidden patches only (paper section 3.2.2).

    A hidden patch is set to 0 dB. Scoring, testing and explaining see the whole, unmasked clip; only the masked
    score and the masked error map hide patches again.

    Args:
        n_mels: Mel bands F of the spectrograms.
        n_frames: Frames T of the spectrograms.
        num_heads: Attention heads of the backbone.
        patch_size: Side of a patch in bands and frames; must divide `n_mels` and `n_frames`.
        mask_ratio: Fraction of the patches that is hidden.
        **settings: The remaining arguments of `ReconstructionModule`.

    Raises:
        ConfigurationError: If the patch does not divide the input.
    """

    def __init__(
        self,
        n_mels: int = 80,
        n_frames: int = 400,
        num_heads: int = 10,
        patch_size: int = 4,
        mask_ratio: float = 0.3,
        **settings: Any,
    ) -> None:
        super().__init__(n_mels=n_mels, n_frames=n_frames, num_heads=num_heads, **settings)
        self.masker = PatchMasker(n_mels, n_frames, patch_size, mask_ratio)

    def training_loss(self, x: Tensor) -> Tensor:
        """Mean squared error over the patches that fresh masks hide in a batch (B, F, T), dB²."""
        mask = self.masker.random(len(x), x.device)
        return self._hidden_error(x, mask).sum() / mask.sum()

    def validation_loss(self, x: Tensor, index: Tensor, reconstruction: Tensor) -> Tensor:
        """Mean squared error over the patches that each clip's own, unchanging mask hides, (B,), dB²."""
        mask = self.masker.fixed(index)
        return self._hidden_error(x, mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2))

    def _hidden_error(self, x: Tensor, mask: Tensor) -> Tensor:
        """Squared error of the cells that a mask hides, 0 elsewhere, (B, F, T), dB²."""
        return squared_error(x, self(x.masked_fill(mask, 0.0))) * mask
