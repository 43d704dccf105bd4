"""Masked error map: where a clip can't be predicted from its surroundings."""

import torch
from torch import Tensor, nn

from explainers.base import MEMORY_BUDGET, Explainer
from lightning_modules.base import squared_error
from lightning_modules.masked_prediction import complementary_masks, masked_prediction, patch_size_of


class MaskedErrorMap(Explainer):
    """Squared error of each cell predicted from its context only, dB²; not in the paper.

    Complementary masks hide every patch once, and a cell's prediction comes from the pass that hid it, so an
    anomaly can't be copied to the output. This is the task that a masked autoencoder was trained for; a plain
    autoencoder, which never saw a hidden patch, serves as a control. Costs a forward pass a mask.

    The map's mean is the module's masked score where the module's `score_masks` equals `n_masks`.

    Args:
        module: See `Explainer`.
        n_masks: Complementary masks, at least 2; each hides about 1 / n_masks of the patches.
        patch_size: Side of a patch, in bands and frames; by default that of the module's training, else 4. Patches
            at the upper edges are cut where it does not divide the spectrogram.
        memory_budget: See `Explainer`.

    Raises:
        ConfigurationError: From `attribute`, if the masks can't share the patches.
    """

    def __init__(
        self, module: nn.Module, n_masks: int = 3, patch_size: int | None = None, memory_budget: int = MEMORY_BUDGET
    ) -> None:
        super().__init__(module, memory_budget)
        self.n_masks = n_masks
        self.patch_size = patch_size_of(module) if patch_size is None else patch_size

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        masks = complementary_masks(x.shape[1], x.shape[2], self.patch_size, self.n_masks, x.device)
        rows = self.rows_per_pass(x)
        with torch.no_grad():
            return squared_error(x, masked_prediction(self.module, x, masks, rows))
