"""The error of clips whose explained frames are replaced by their reconstruction: faithfulness, deletion, insertion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_modules.modes import eval_mode
from lightning_modules.passes import rows_per_pass, side_by_side
from metrics.functional.peaks import select_peaks
from metrics.functional.segments import segment_mask


def faithfulness(
    module: nn.Module,
    x: Tensor,
    frames: Tensor,
    reconstruction: Tensor | None = None,
    batch_size: int = 64,
) -> Tensor:
    """Share of a clip's reconstruction error that disappears when frames are replaced by their reconstruction.

    1 − MSE(x̃, f(x̃)) / MSE(x, f(x)), floored at 0, where x̃ is x with the marked frames taken from f(x) in all
    frequencies. The module runs in eval mode without gradients; its modes are restored. Each distinct mask
    of a clip is run once, and an empty mask not at all: it leaves x as it is, so its value is 0. The value is
    also 0 where MSE(x, f(x)) is 0: there is no error to explain.

    Args:
        module: f, maps (N, F, T) to (N, F, T).
        x: Spectrograms in dB, (B, F, T).
        frames: Frames to replace, bool, one mask per clip (B, T) or K masks per clip (B, K, T).
        reconstruction: f(x) where it is already known, (B, F, T).
        batch_size: Most spectrograms per pass; on a CPU passes are smaller and run side by side.

    Returns:
        Faithfulness, (B,) or (B, K), in [0, 1], higher is better.

    Raises:
        ValueError: If the shapes of ``frames`` and ``x`` do not fit, or ``batch_size`` is not positive.

    Example:
        A module that returns half of its input has as error a quarter of the energy, 1² + 3² here. Replacing
        the second frame leaves 1² + 1.5².

        >>> class Half(nn.Module):
        ...     def forward(self, x):
        ...         return x / 2
        >>> faithfulness(Half(), torch.tensor([[[1.0, 3.0]]]), torch.tensor([[False, True]]))
        tensor([0.6750])
    """
    if frames.ndim not in {2, 3} or (frames.shape[0], frames.shape[-1]) != (x.shape[0], x.shape[-1]):
        raise ValueError(f"frames {tuple(frames.shape)} do not mark the clips and frames of {tuple(x.shape)}")
    check_batch_size(batch_size)
    if not frames.any():
        return x.new_zeros(frames.shape[:-1], dtype=torch.float32)
    masks = frames.reshape(x.shape[0], -1, x.shape[-1])
    before, after = replacement_errors(module, x, masks, reconstruction, batch_size)
    values = torch.where(before > 0, 1 - after / before, 0.0).clamp_min(0)
    return values.reshape(frames.shape[:-1])


def check_batch_size(batch_size: int) -> int:
    """Raise a ValueError unless the option ``batch_size`` is positive; returns it."""
    if batch_size < 1:
        raise ValueError(f"batch_size: {batch_size} is not a positive number of spectrograms")
    return batch_size


def replacement_errors(
    module: nn.Module, x: Tensor, masks: Tensor, reconstruction: Tensor | None = None, batch_size: int = 64
) -> tuple[Tensor, Tensor]:
    """Reconstruction error of clips as they are and with frames replaced by their reconstruction.

    Args:
        module: f, maps (N, F, T) to (N, F, T).
        x: Spectrograms in dB, (B, F, T).
        masks: Frames to replace, bool, K masks per clip (B, K, T). Each distinct one runs once, an empty one not.
        reconstruction: f(x) where it is already known, (B, F, T).
        batch_size: Most spectrograms per pass; on a CPU passes are smaller and run side by side.

    Returns:
        MSE(x, f(x)), (B, 1), and MSE(x̃, f(x̃)), (B, K), float32, dB².
    """
    clips, distinct, marked, inverse = _distinct(masks.to(x.device))
    with eval_mode(module), torch.no_grad():
        if reconstruction is None:
            reconstruction = torch.cat([module(chunk) for chunk in x.split(batch_size)])
        before = _error(x, reconstruction).unsqueeze(1)

        def error_without(rows: Tensor) -> Tensor:
            replaced = torch.where(distinct[rows].unsqueeze(1), reconstruction[clips[rows]], x[clips[rows]])
            return _error(replaced, module(replaced))

        passes = torch.arange(len(clips), device=x.device).split(rows_per_pass(x.device, batch_size))
        errors = torch.cat(list(side_by_side(error_without, passes, x.device)))
    after = before.repeat(1, masks.shape[1])
    after[marked] = errors[inverse]
    return before, after


def peak_faithfulness(
    module: nn.Module,
    x: Tensor,
    peaks: Tensor,
    annotation: Tensor,
    frames_per_second: float = 40.0,
    reconstruction: Tensor | None = None,
    batch_size: int = 64,
) -> Tensor:
    """Frame-based and segment-based faithfulness of several explanations' peaks, sharing the passes of equal masks.

    Frame-based replaces the peak frames; segment-based every whole segment that contains a peak, cut to the annotated
    frames. Few segments are annotated, so of the second kind few masks differ.

    Args:
        module: f, maps (N, F, T) to (N, F, T).
        x: Spectrograms in dB, (B, F, T).
        peaks: Peak frames of G explanations at P percentiles, bool, (B, G, P, T).
        annotation: Annotated frames, bool, (B, T).
        frames_per_second: Frame rate.
        reconstruction: f(x) where it is already known, (B, F, T).
        batch_size: Most spectrograms per pass; on a CPU passes are smaller and run side by side.

    Returns:
        (B, G, 2, P) in [0, 1], frame-based first; the segment-based values of clips without an annotation are NaN.

    Raises:
        ValueError: If the numbers of frames differ or a size is not positive.
    """
    segments = segment_mask(peaks, annotation[:, None, None], frames_per_second)
    masks = torch.stack([peaks, segments], dim=2)
    values = faithfulness(module, x, masks.flatten(1, 3), reconstruction, batch_size).reshape(masks.shape[:-1])
    values[~annotation.any(1).to(values.device), :, 1] = torch.nan
    return values


def deletion_insertion(
    module: nn.Module,
    x: Tensor,
    curves: Tensor,
    percentiles: Sequence[float],
    reconstruction: Tensor | None = None,
    batch_size: int = 64,
) -> tuple[Tensor, Tensor]:
    """Relative error of clips whose highest frames are replaced, and of clips that keep only these.

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
        batch_size: Most spectrograms per pass; on a CPU passes are smaller and run side by side.

    Returns:
        Deletion and insertion, each float32 (B, P), at least 0. A curve that finds the error's origin has low
        deletion and high insertion values.

    Raises:
        ValueError: If shapes do not fit, curves contain NaN or a percentile is out of range.

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


def _distinct(masks: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor]:
    """Find the non-empty masks (B, K, T) that differ, so that each runs once.

    Returns the clip (N,) and the mask (N, T) of N distinct masks, sorted by clip; then the positions in (B, K) of the
    M non-empty masks, and which of the N each of them is (M,).
    """
    clip, k = masks.any(-1).nonzero(as_tuple=True)
    rows = torch.cat([clip.unsqueeze(1), masks[clip, k].long()], dim=1)
    distinct, inverse = torch.unique(rows, dim=0, return_inverse=True)
    return distinct[:, 0], distinct[:, 1:].bool(), (clip, k), inverse


def _error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean squared error of each clip, (B, F, T) to (B,), float32 even where the module runs in less."""
    return (x.float() - reconstruction.float()).square().mean(dim=(-2, -1))
