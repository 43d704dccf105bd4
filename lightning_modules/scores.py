"""What anomaly scores and error maps are made of: the squared error, and the prediction of what masks hide."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """The error map (B, F, T) in dB²; its mean over a clip is its anomaly score (paper section 3.2).

    Args:
        x: Spectrograms (B, F, T), dB.
        reconstruction: What a module makes of them (B, F, T), dB.
    """
    return (reconstruction - x).square()


def masked_prediction(module: nn.Module, x: Tensor, masks: Tensor, batch_size: int) -> Tensor:
    """Predict every cell from the cells that its mask leaves visible, in K forward passes per clip.

    Hidden cells are set to 0 dB, as in masked training.

    Args:
        module: Maps spectrograms (N, F, T) in dB to reconstructions of the same shape.
        x: Spectrograms (B, F, T), dB.
        masks: Complementary masks (K, F, T), bool, that hide every cell once.
        batch_size: Most spectrograms that the module runs at once.

    Returns:
        Predictions (B, F, T), dB, each cell from the pass that hid it.
    """
    predictions = torch.zeros_like(x)
    n_masks = len(masks)
    for passes in torch.arange(len(x) * n_masks, device=x.device).split(batch_size):
        clips, hidden = passes // n_masks, masks[passes % n_masks]
        reconstruction = module(x[clips].masked_fill(hidden, 0.0)).to(x.dtype)
        predictions.index_add_(0, clips, reconstruction.masked_fill(~hidden, 0.0))
    return predictions
