"""What a DataModule yields."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from torch import Tensor


class ClipBatch(TypedDict):
    """A batch of B clips with F mel bands and T frames.

    Attributes:
        spectrogram: (B, F, T) float32 log-mel power in dB.
        label: (B,) int64, 0 normal and 1 anomalous.
        index: (B,) int64, unique in the split.
        annotation: (B, T) bool, whether a frame lies in an annotated interval.
        annotated: (B,) bool, whether the clip has annotated frames.
        name: Path of each clip relative to the data root, unique in the split.
        anomaly_type: Type of each clip's anomaly, empty for a normal clip.
        level: (B,) float32, in test batches only: root mean square of each recording in dB of full scale, or the mean
            of a spectrogram file in dB.
    """

    spectrogram: Tensor
    label: Tensor
    index: Tensor
    annotation: Tensor
    annotated: Tensor
    name: list[str]
    anomaly_type: list[str]
    level: NotRequired[Tensor]
