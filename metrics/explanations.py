"""Measures of explanations over the clips of a run, one metric per family of `metrics.measures`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from metrics.clip_metric import ClipMetric, check_frame_rate, check_percentiles
from metrics.functional.peaks import select_peaks
from metrics.functional.replacement import check_batch_size, curve_area, deletion_insertion, peak_faithfulness
from metrics.measures import DEFAULT_PERCENTILES, Measure, measures_of

DEFAULT_DELETION_PERCENTILES: tuple[int, ...] = tuple(range(0, 101, 10))


class ExplanationMetric(ClipMetric):
    """Values of K measures at P percentiles, mean over clips.

    Args:
        percentiles: Percentiles of the frame curve that make a frame a peak, whole numbers from 0 to 100.
        kwargs: Options of ``torchmetrics.Metric``.

    Raises:
        ValueError: If there is no percentile, one is given twice or one is out of range.
    """

    measures: tuple[Measure, ...]

    def __init__(self, percentiles: Iterable[int], **kwargs: Any) -> None:
        percentiles = check_percentiles(percentiles)
        super().__init__(row_shape=(len(self.measures), len(percentiles)), **kwargs)
        self.percentiles = percentiles

    def reduce(self, values: Tensor) -> dict[str, Tensor]:
        """Mean over clips by the measure's key: (N, K, P) to (P,) each; NaN without clips."""
        return {measure.key: mean for measure, mean in zip(self.measures, values.mean(0), strict=True)}


class SegmentFScore(ExplanationMetric):
    """Agreement of peaks with the annotation: F1, precision and recall of seconds, and what else the list contains.

    Each value is in [0, 1], higher is better. Beware of the chance level: on clips that are a third anomalous, random
    frames reach an F1 near 0.5 at low percentiles (``metrics.functional.chance_levels``).

    Args:
        percentiles: Percentiles of the frame curve that make a frame a peak, whole numbers from 0 to 100.
        frames_per_second: Frame rate of the spectrograms; segments are seconds.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> metric = SegmentFScore(percentiles=[50, 75], frames_per_second=1)
        >>> curves = torch.tensor([[0.0, 3.0, 1.0, 2.0, 4.0]])
        >>> metric.update(curves, torch.tensor([[False, False, False, True, True]]))
        >>> metric.compute()["f1"].tolist()
        [0.8, 0.5]
    """

    higher_is_better = True
    measures = measures_of("annotation")

    def __init__(
        self, percentiles: Iterable[int] = DEFAULT_PERCENTILES, frames_per_second: float = 40.0, **kwargs: Any
    ) -> None:
        super().__init__(percentiles, **kwargs)
        self.frames_per_second = check_frame_rate(frames_per_second)

    def update(self, curves: Tensor, annotation: Tensor, index: Tensor | None = None) -> None:
        """Add annotated clips.

        Args:
            curves: Frame curves, (B, T).
            annotation: Annotated frames, bool, (B, T).
            index: Indices of the clips, (B,); counted from 0 if None.

        Raises:
            ValueError: If curves contain NaN or the numbers of frames differ.
        """
        peaks, annotation = select_peaks(curves.cpu(), self.percentiles), annotation.cpu().unsqueeze(1)
        functions = (measure.compute for measure in self.measures if measure.compute)
        self.add(torch.stack([compute(peaks, annotation, self.frames_per_second) for compute in functions], 1), index)


class FaithfulnessScore(ExplanationMetric):
    """Frame-based and segment-based faithfulness of peaks (``metrics.functional.faithfulness``).

    Frame-based replaces the peak frames; segment-based every whole segment that contains a peak, cut to the annotated
    frames. Each value is in [0, 1], higher is better.

    The segment-based value needs an annotation. As in the evaluation protocol, where any clip is annotated both means
    are over the annotated clips, so that they compare; where none is, the frame-based mean is over all clips and the
    segment-based one NaN.

    Args:
        percentiles: Percentiles of the frame curve that make a frame a peak, whole numbers from 0 to 100.
        frames_per_second: Frame rate of the spectrograms; segments are seconds.
        batch_size: Most spectrograms per pass; on a CPU passes are smaller and run side by side.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> class Half(nn.Module):
        ...     def forward(self, x):
        ...         return x / 2
        >>> metric = FaithfulnessScore(percentiles=[100], frames_per_second=2)
        >>> x = torch.tensor([[[1.0, 3.0]]])
        >>> metric.update(Half(), x, curves=x[:, 0], annotation=torch.tensor([[True, True]]))
        >>> {key: round(value.item(), 4) for key, value in metric.compute().items()}
        {'faithfulness_frame': 0.675, 'faithfulness_segment': 0.75}
    """

    higher_is_better = True
    measures = measures_of("faithfulness")

    def __init__(
        self,
        percentiles: Iterable[int] = DEFAULT_PERCENTILES,
        frames_per_second: float = 40.0,
        batch_size: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(percentiles, **kwargs)
        self.frames_per_second = check_frame_rate(frames_per_second)
        self.batch_size = check_batch_size(batch_size)

    def update(
        self,
        module: nn.Module,
        x: Tensor,
        curves: Tensor,
        annotation: Tensor,
        index: Tensor | None = None,
        reconstruction: Tensor | None = None,
    ) -> None:
        """Add clips; both measures and all percentiles share the passes of equal masks.

        Args:
            module: The model, maps (N, F, T) to (N, F, T).
            x: Spectrograms in dB, (B, F, T).
            curves: Frame curves, (B, T).
            annotation: Annotated frames, bool, (B, T), none for clips without an annotation.
            index: Indices of the clips, (B,); counted from 0 if None.
            reconstruction: The model's output for ``x`` where it is already known, (B, F, T).

        Raises:
            ValueError: If curves contain NaN or the numbers of frames differ.
        """
        peaks = select_peaks(curves, self.percentiles).unsqueeze(1)
        values = peak_faithfulness(
            module, x, peaks, annotation, self.frames_per_second, reconstruction, self.batch_size
        )
        self.add(values.squeeze(1), index)

    def per_clip(self) -> tuple[Tensor, Tensor]:
        """Rows of the clips that count: the annotated ones where there are any, otherwise all.

        Returns:
            Indices in increasing order, int64 (N,), and values, float64 (N, 2, P), the segment-based ones NaN where no
            clip is annotated.
        """
        index, values = super().per_clip()
        annotated = ~values[:, 1, 0].isnan()
        return (index[annotated], values[annotated]) if annotated.any() else (index, values)


class DeletionInsertionScore(ExplanationMetric):
    """Areas under the deletion and insertion curves (``metrics.functional.deletion_insertion``), mean over clips.

    Both areas are relative errors, at least 0: of deletion lower is better, of insertion higher.

    Args:
        percentiles: Percentiles of the frame curve, whole numbers from 0 to 100, at least two.
        batch_size: Most spectrograms per pass; on a CPU passes are smaller and run side by side.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> class Half(nn.Module):
        ...     def forward(self, x):
        ...         return x / 2
        >>> metric = DeletionInsertionScore(percentiles=[100, 0])
        >>> x = torch.tensor([[[1.0, 3.0]]])
        >>> metric.update(Half(), x, curves=x[:, 0])
        >>> {key: round(value.item(), 4) for key, value in metric.compute().items()}
        {'deletion': 0.2875, 'insertion': 0.9625}
    """

    higher_is_better = None  # deletion: lower, insertion: higher
    measures = measures_of("deletion")

    def __init__(
        self, percentiles: Iterable[int] = DEFAULT_DELETION_PERCENTILES, batch_size: int = 64, **kwargs: Any
    ) -> None:
        super().__init__(percentiles, **kwargs)
        if len(self.percentiles) < 2:
            raise ValueError(f"percentiles: {list(self.percentiles)} span no area, name at least two")
        self.batch_size = check_batch_size(batch_size)

    def update(
        self,
        module: nn.Module,
        x: Tensor,
        curves: Tensor,
        index: Tensor | None = None,
        reconstruction: Tensor | None = None,
    ) -> None:
        """Add clips.

        Args:
            module: The model, maps (N, F, T) to (N, F, T).
            x: Spectrograms in dB, (B, F, T).
            curves: Frame curves, (B, T).
            index: Indices of the clips, (B,); counted from 0 if None.
            reconstruction: The model's output for ``x`` where it is already known, (B, F, T).

        Raises:
            ValueError: If curves contain NaN or the numbers of frames differ.
        """
        pair = deletion_insertion(module, x, curves, self.percentiles, reconstruction, self.batch_size)
        self.add(torch.stack(pair, dim=1), index)

    def reduce(self, values: Tensor) -> dict[str, Tensor]:
        """Mean area over clips by the measure's key: (N, 2, P) to scalars; NaN without clips."""
        areas = curve_area(values, self.percentiles).nanmean(0)
        return {measure.key: area for measure, area in zip(self.measures, areas, strict=True)}
