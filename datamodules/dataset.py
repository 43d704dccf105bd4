"""Clips of one split as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.annotations import frame_mask
from datamodules.cache import CacheEntry
from datamodules.layouts import Clip


class SpectrogramDataset(Dataset[dict[str, Any]]):
    """The clips of one split, each cut to its first ``n_frames`` frames.

    Items have the keys of :class:`~datamodules.batch.ClipBatch`, which torch's default collation makes of
    them. A clip whose annotated intervals all lie behind the cut counts as not annotated.

    Args:
        clips: The clips, in the order of their indices.
        entries: Their spectrograms in the cache, each at least ``n_frames`` long.
        n_frames: Number of frames T.
        frames_per_second: Frame rate of the spectrograms.
        reference_level: Level that becomes 0, dB.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        entries: Sequence[CacheEntry],
        n_frames: int,
        frames_per_second: float,
        reference_level: float = 0.0,
    ) -> None:
        self.clips = tuple(clips)
        self._entries = tuple(entries)
        self._n_frames = n_frames
        self._frames_per_second = frames_per_second
        self._reference_level = reference_level
        self._device: torch.device | None = None

    @property
    def size_bytes(self) -> int:
        """Memory that all spectrograms take, bytes."""
        cells = self._entries[0].open().shape[0] * self._n_frames if self._entries else 0
        return len(self) * cells * np.dtype(np.float32).itemsize

    @property
    def seconds(self) -> dict[str, float]:
        """Length of each whole clip by its name, s."""
        lengths = (entry.n_frames / self._frames_per_second for entry in self._entries)
        return {clip.name: length for clip, length in zip(self.clips, lengths, strict=True)}

    @property
    def is_resident(self) -> bool:
        """Whether items lie on a device already."""
        return self._device is not None

    def keep_on(self, device: torch.device) -> None:
        """Move all spectrograms to a device with the first item, and have every item's there from then on."""
        if device != self._device:
            self._device = device
            self.__dict__.pop("_resident", None)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        clip = self.clips[index]
        annotation = frame_mask(clip.intervals, self._n_frames, self._frames_per_second)
        return {
            "spectrogram": self._spectrogram(index) if self._device is None else self._resident[index],
            "label": clip.label,
            "index": index,
            "annotation": annotation,
            "annotated": bool(annotation.any()),
            "name": clip.name,
            "anomaly_type": clip.anomaly_type,
        }

    def mean_level(self) -> float:
        """Mean of all cells of all clips, dB; reads every clip."""
        return float(np.mean([self._spectrogram(index).mean().item() for index in range(len(self))]))

    @cached_property
    def _resident(self) -> Tensor:
        """All spectrograms (N, F, T) on the device."""
        first = self._spectrogram(0)
        cells = torch.empty((len(self), *first.shape), device=self._device)
        for index in range(len(self)):
            cells[index] = self._spectrogram(index)
        return cells

    def _spectrogram(self, index: int) -> Tensor:
        frames = self._entries[index].open()[:, : self._n_frames]
        return torch.from_numpy(frames - np.float32(self._reference_level))
