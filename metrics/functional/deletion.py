"""Deletion and insertion curves: the error while a clip's frames give way to their reconstruction, and come back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metrics.functional.peaks import select_peaks
from metrics.functional.replacement import replacement_errors


def deletion_insertion(
    module: nn.Module,
    x: Tensor,
    curves: Tensor,
    percentiles: Sequence[float],
    reconstruction: Tensor | None = None,
    batch_size: int = 64,
) -> tuple[Tensor, Tensor]:
    """Relative error of clips whose highest frames are taken away, and of clips that hold nothing else.

    After RISE (Petsiuk et al., BMVC 2018), for a reconstruction error: what takes a frame's place is its
    reconstruction, in all frequencies, as in ``metrics.functional.faithfulness``. At percentile p, deletion
    replaces the frames at or above the curve's p-th percentile, and insertion replaces all others. The value is
    MSE(x̃, f(x̃)) / MSE(x, f(x)); where a clip has no error to begin with it is NaN.

    Each distinct mask of a clip costs a forward pass: P percentiles at most 2P, and 2P − 1 with 0 among them,
    where insertion has all frames back.

    Args:
        module: f, maps (N, F, T) to (N, F, T).
        x: Spectrograms in dB, (B, F, T).
        curves: Frame curves, (B, T).
        percentiles: Percentiles in [0, 100].
        reconstruction: f(x) where it is already known, (B, F, T).
        batch_size: Most spectrograms to run at once.

    Returns:
        Deletion and insertion, each float32 (B, P), at least 0. A curve that finds the error's origin has low
        deletion and high insertion values.

    Raises:
        ValueError: If shapes do not fit, curves hold NaN or a percentile is out of range.

    Example:
        A module that returns half of its input has as error a quarter of the energy, 1² + 3² here. Without the
        highest frame it is 1² + 1.5², with nothing else 0.5² + 3².

        >>> class Half(nn.Module):
        ...     def forward(self, x):
        ...         return x / 2
        >>> x = torch.tensor([[[1.0, 3.0]]])
        >>> deletion_insertion(Half(), x, curves=x[:, 0], percentiles=[100, 0])
        (tensor([[0.3250, 0.2500]]), tensor([[0.9250, 1.0000]]))
    """
    highest = select_peaks(curves, list(percentiles))
    masks = torch.cat([highest, ~highest], dim=1)
    before, after = replacement_errors(module, x, masks, reconstruction, batch_size)
    deletion, insertion = torch.where(before > 0, after / before, torch.nan).chunk(2, dim=1)
    return deletion, insertion


def curve_area(values: Tensor, percentiles: Sequence[float]) -> Tensor:
    """Area under a deletion or insertion curve over the share of frames, divided by the width covered.

    Trapezoidal over 1 − p / 100, so a constant curve's area is its value.

    Args:
        values: Values at each percentile, (..., P).
        percentiles: Two or more different percentiles, in any order.

    Returns:
        Areas, (...).

    Example:
        >>> curve_area(torch.tensor([1.0, 0.5, 0.5]), [100, 50, 0])
        tensor(0.6250)
    """
    share = 1 - torch.tensor(percentiles, dtype=values.dtype, device=values.device) / 100
    share, order = share.sort()
    return torch.trapezoid(values[..., order], share, dim=-1) / (share[-1] - share[0])
