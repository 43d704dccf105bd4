"""Faithfulness of frame curves, over the clips of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from metrics.clip_metric import DEFAULT_PERCENTILES, ClipMetric, check_frame_rate, check_percentiles
from metrics.functional.peaks import select_peaks
from metrics.functional.replacement import peak_faithfulness


class FaithfulnessScore(ClipMetric):
    """Frame-based and segment-based faithfulness of peaks, mean over clips.

    Frame-based replaces the peak frames; segment-based every whole segment that holds a peak, cut to the
    annotated frames (see ``metrics.functional.faithfulness``). Each value is in [0, 1], higher is better.

    The segment-based value needs an annotation. As in the evaluation protocol, where any clip is annotated
    both means are over the annotated clips, so that they compare; where none is, the frame-based mean is
    over all clips and the segment-based one NaN.

    Args:
        percentiles: Percentiles of the curve that make a frame a peak, whole numbers from 0 to 100.
        frames_per_second: Frame rate of the spectrograms; segments are seconds.
        batch_size: Most spectrograms that the module runs at once.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> import torch
        >>> class Half(nn.Module):
        ...     def forward(self, x):
        ...         return x / 2
        >>> metric = FaithfulnessScore(percentiles=[100], frames_per_second=2)
        >>> x = torch.tensor([[[1.0, 3.0]]])
        >>> metric.update(Half(), x, curves=x[:, 0], annotation=torch.tensor([[True, True]]))
        >>> {name: round(value.item(), 4) for name, value in metric.compute().items()}
        {'frame': 0.675, 'segment': 0.75}
    """

    is_differentiable = False
    higher_is_better = True
    kinds = ("frame", "segment")

    def __init__(
        self,
        percentiles: Iterable[int] = DEFAULT_PERCENTILES,
        frames_per_second: float = 40.0,
        batch_size: int = 64,
        **kwargs: Any,
    ) -> None:
        percentiles = check_percentiles(percentiles)
        super().__init__(row_shape=(len(self.kinds), len(percentiles)), **kwargs)
        self.percentiles = percentiles
        self.frames_per_second = check_frame_rate(frames_per_second)
        self.batch_size = batch_size

    def update(
        self,
        module: nn.Module,
        x: Tensor,
        curves: Tensor,
        annotation: Tensor,
        index: Tensor | None = None,
        reconstruction: Tensor | None = None,
    ) -> None:
        """Add clips. Both kinds and all percentiles share the passes of equal masks.

        Args:
            module: The model, maps (N, F, T) to (N, F, T).
            x: Spectrograms in dB, (B, F, T).
            curves: Frame curves, (B, T).
            annotation: Annotated frames, bool, (B, T), no frame for clips without an annotation.
            index: Indices of the clips, (B,); counted from 0 if None.
            reconstruction: The model's output for ``x`` where it is already known, (B, F, T).

        Raises:
            ValueError: If curves hold NaN or the numbers of frames differ.
        """
        peaks = select_peaks(curves, self.percentiles).unsqueeze(1)
        values = peak_faithfulness(
            module, x, peaks, annotation, self.frames_per_second, reconstruction, self.batch_size
        )
        self.add(values.squeeze(1), index)

    def add(self, values: Tensor, index: Tensor | None = None) -> None:
        """Add clips whose values are known, as ``metrics.functional.peak_faithfulness`` gives them.

        Args:
            values: Frame-based and segment-based faithfulness, (B, 2, P).
            index: Indices of the clips, (B,); counted from 0 if None.
        """
        self._add(values, index)

    def per_clip(self) -> tuple[Tensor, Tensor]:
        """Rows of the clips that count: the annotated ones where there are any, otherwise all.

        Returns:
            Indices in rising order, int64 (N,), and values, float64 (N, 2, P), the segment-based ones NaN
            where no clip is annotated.
        """
        index, values = super().per_clip()
        annotated = ~values[:, self.kinds.index("segment"), 0].isnan()
        return (index[annotated], values[annotated]) if annotated.any() else (index, values)

    def reduce(self, values: Tensor) -> dict[str, Tensor]:
        """Mean over clips: (N, 2, P) to {"frame", "segment"}, each (P,); NaN without clips."""
        return dict(zip(self.kinds, values.mean(0), strict=True))
