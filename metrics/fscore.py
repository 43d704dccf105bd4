"""Agreement of frame curves with the annotation, over the clips of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from metrics.clip_metric import DEFAULT_PERCENTILES, ClipMetric, check_frame_rate, check_percentiles
from metrics.functional.peaks import select_peaks
from metrics.functional.segments import segment_scores


class SegmentFScore(ClipMetric):
    """Segment-based F1, precision and recall of peaks against annotations, mean over clips.

    Each value is in [0, 1], higher is better. Beware of the chance level: on clips that are a third
    anomalous, random frames reach an F1 near a half at low percentiles (``metrics.functional.chance_levels``).

    Args:
        percentiles: Percentiles of the curve that make a frame a peak, whole numbers from 0 to 100.
        frames_per_second: Frame rate of the spectrograms; segments are seconds.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> import torch
        >>> metric = SegmentFScore(percentiles=[50, 75], frames_per_second=1)
        >>> curves = torch.tensor([[0.0, 3.0, 1.0, 2.0, 4.0]])
        >>> metric.update(curves, torch.tensor([[False, False, False, True, True]]))
        >>> {name: value.tolist() for name, value in metric.compute().items()}
        {'f1': [0.8, 0.5], 'precision': [0.6666666666666666, 0.5], 'recall': [1.0, 0.5]}
    """

    is_differentiable = False
    higher_is_better = True
    kinds = ("f1", "precision", "recall")

    def __init__(
        self,
        percentiles: Iterable[int] = DEFAULT_PERCENTILES,
        frames_per_second: float = 40.0,
        **kwargs: Any,
    ) -> None:
        percentiles = check_percentiles(percentiles)
        super().__init__(row_shape=(len(self.kinds), len(percentiles)), **kwargs)
        self.percentiles = percentiles
        self.frames_per_second = check_frame_rate(frames_per_second)

    def update(self, curves: Tensor, annotation: Tensor, index: Tensor | None = None) -> None:
        """Add annotated clips.

        Args:
            curves: Frame curves, (B, T).
            annotation: Annotated frames, bool, (B, T).
            index: Indices of the clips, (B,); counted from 0 if None.

        Raises:
            ValueError: If curves hold NaN or the numbers of frames differ.
        """
        peaks = select_peaks(curves.cpu(), self.percentiles)
        scores = segment_scores(peaks, annotation.cpu().unsqueeze(1), self.frames_per_second)
        self._add(scores.movedim(0, 1), index)

    def reduce(self, values: Tensor) -> dict[str, Tensor]:
        """Mean over clips: (N, 3, P) to {"f1", "precision", "recall"}, each (P,); NaN without clips."""
        return dict(zip(self.kinds, values.mean(0), strict=True))
