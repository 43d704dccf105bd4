"""The dense autoencoder of the DCASE 2020 Task 2 baseline, as a network of whole spectrograms."""

from __future__ import annotations

from itertools import pairwise
from typing import NoReturn

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.errors import ConfigurationError

CONTEXT = 5
"""Frames that the baseline reconstructs together."""

_WIDTHS = (128, 128, 128, 128, 8, 128, 128, 128, 128)


class DenseAutoencoder(nn.Module):
    """Dense autoencoder of the DCASE 2020 Task 2 baseline (Koizumi et al., 2020).

    Every window of 5 neighbouring frames goes through 128-128-128-128-8-128-128-128-128 units with batch norm and
    ReLU. A frame lies in up to five windows; its reconstruction is the mean of theirs.

    Where it departs from the baseline: the baseline scores a clip by the mean error of its windows, this by the
    error of their mean, as every backbone here has one reconstruction of a clip. That error is never the larger one,
    and the two frames at either end, which fewer windows see, weigh as much as the others. It trains with this
    project's recipe, on batches of whole clips instead of windows of all clips shuffled together, and its batch norms
    have PyTorch's momentum and epsilon instead of Keras'.

    Args:
        n_mels: Mel bands F of the input.
        n_frames: Frames T of the input, at least 5.

    Raises:
        ConfigurationError: If there are fewer frames than a window has.

    Example:
        >>> import torch
        >>> DenseAutoencoder(n_mels=32, n_frames=48)(torch.zeros(2, 32, 48)).shape
        torch.Size([2, 32, 48])
    """

    def __init__(self, n_mels: int = 80, n_frames: int = 400) -> None:
        super().__init__()
        if n_frames < CONTEXT:
            raise ConfigurationError(f"n_frames={n_frames}: the dense backbone needs at least {CONTEXT} frames")
        window = CONTEXT * n_mels
        self.layers = nn.Sequential(
            *(layer for pair in pairwise((window, *_WIDTHS)) for layer in _dense(*pair)), nn.Linear(_WIDTHS[-1], window)
        )

    @property
    def cam_layer(self) -> NoReturn:
        """Nothing that Grad-CAM could explain.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(
            "grad_cam needs a convolution, and backbone=dense has none; "
            "name the other explainers with --attributions.explainers"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct spectrograms (B, F, T) in dB; the result has the same shape."""
        windows = x.unfold(2, CONTEXT, 1).permute(0, 2, 3, 1)  # (B, T - 4, 5, F)
        return overlap_average(self.layers(windows.flatten(0, 1).flatten(1)).view(windows.shape))


def overlap_average(windows: Tensor) -> Tensor:
    """Put overlapping windows together, each frame the mean of the windows it lies in.

    Args:
        windows: Windows that begin at neighbouring frames, (B, N, C, F), each of C frames.

    Returns:
        Spectrograms (B, F, N + C - 1).

    Example:
        >>> import torch
        >>> overlap_average(torch.tensor([[[[1.0], [2.0]], [[4.0], [8.0]]]]))
        tensor([[[1., 3., 8.]]])
    """
    context = windows.shape[2]
    # The frames at one place of their window, moved to where they lie in the clip.
    placed = [F.pad(windows[:, :, i], (0, 0, i, context - 1 - i)) for i in range(context)]
    ones = windows.new_ones(1, windows.shape[1], 1)
    counts = [F.pad(ones, (0, 0, i, context - 1 - i)) for i in range(context)]
    return (sum(placed[1:], placed[0]) / sum(counts[1:], counts[0])).transpose(1, 2)


def _dense(n_in: int, n_out: int) -> tuple[nn.Module, ...]:
    return nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU()
