"""From the cached spectrograms of a split to batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from datamodules.annotations import frame_mask
from datamodules.cache import CacheEntry
from datamodules.layouts import Clip

_UNCHANGING_DB = 0.01
"""Change over time below which a band is constant; that of the faintest noise is hundreds of times as large."""

_SHARE_OF_FREE_MEMORY = 1 / 4  # The rest is for the network, its gradients and its activations


class _OfSomeStages(TypedDict, total=False):
    level: Tensor
    first_frame: Tensor


class ClipBatch(_OfSomeStages):
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
        first_frame: (B,) int64, in batches to predict only: where in its recording each clip begins.
    """

    spectrogram: Tensor
    label: Tensor
    index: Tensor
    annotation: Tensor
    annotated: Tensor
    name: list[str]
    anomaly_type: list[str]


Loader = DataLoader[dict[str, Any]]
"""Yields a :class:`ClipBatch` per step, the last one smaller if the batch size does not divide the clips."""


class SpectrogramDataset(Dataset[dict[str, Any]]):
    """The clips of one split, each cut to ``n_frames`` frames, by default its first ones.

    Items have the keys of :class:`ClipBatch`, without the first dimension. A clip whose annotated intervals all lie
    after the cut counts as not annotated.

    Args:
        clips: The clips, in the order of their indices.
        entries: Their spectrograms in the cache, each at least ``n_frames`` long after its first frame.
        n_frames: Number of frames T.
        frames_per_second: Frame rate of the spectrograms.
        reference_level: Level that becomes 0, dB.
        with_level: Whether items contain the level of the whole clip.
        first_frames: First frame of each clip, where clips are windows of recordings; items then contain it.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        entries: Sequence[CacheEntry],
        n_frames: int,
        frames_per_second: float,
        reference_level: float = 0.0,
        with_level: bool = False,
        first_frames: Sequence[int] | None = None,
    ) -> None:
        self.clips = tuple(clips)
        self._entries = tuple(entries)
        self._n_frames = n_frames
        self._frames_per_second = frames_per_second
        self._reference_level = reference_level
        self._with_level = with_level
        self._first_frames = first_frames
        self._device: torch.device | None = None

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Length of each whole clip by its name, s."""
        return {name: entry.n_frames / self._frames_per_second for name, (_, entry) in self._recordings.items()}

    def windows(self, places: Sequence[tuple[str, int]]) -> SpectrogramDataset:
        """Other windows of the same clips, by the clip's name and the first frame of each, in this order."""
        return SpectrogramDataset(
            [self._recordings[name][0] for name, _ in places],
            [self._recordings[name][1] for name, _ in places],
            self._n_frames,
            self._frames_per_second,
            self._reference_level,
            first_frames=[first for _, first in places],
        )

    def excerpts(self, spans: Sequence[tuple[str, int, int]]) -> list[NDArray[np.float32]]:
        """Spectrograms (F, t) in dB of stretches of clips: their name, first frame, and the first frame after."""
        level = np.float32(self._reference_level)
        return [self._recordings[name][1].open()[:, first:after] - level for name, first, after in spans]

    @cached_property
    def _recordings(self) -> dict[str, tuple[Clip, CacheEntry]]:
        """Clips and their spectrograms by name."""
        return {clip.name: (clip, entry) for clip, entry in zip(self.clips, self._entries, strict=True)}

    @property
    def is_resident(self) -> bool:
        """Whether the spectrograms of items are on a device already."""
        return self._device is not None

    def keep_on(self, device: torch.device, wanted: bool | None = True) -> None:
        """Keep all spectrograms on a device; if ``wanted`` is None, on CUDA with room for them."""
        if wanted is None and device.type == "cuda":
            wanted = self.size_bytes <= _SHARE_OF_FREE_MEMORY * torch.cuda.mem_get_info(device)[0]
        if wanted and device != self._device:
            self._device = device
            self.__dict__.pop("_resident", None)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {key: values[0] for key, values in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Any]:
        """A :class:`ClipBatch` of some clips; a loader asks for it at once, since collating items takes longer."""
        rows = torch.tensor(indices)
        if self._device is None:
            spectrogram = torch.stack([self._spectrogram(index) for index in indices])
        else:
            spectrogram = self._resident[rows.to(self._device, non_blocking=True)]
        batch = {
            "spectrogram": spectrogram,
            "label": self._labels[rows],
            "index": rows,
            "annotation": self._annotations[rows],
            "annotated": self._annotations[rows].any(dim=1),
            "name": [self.clips[index].name for index in indices],
            "anomaly_type": [self.clips[index].anomaly_type for index in indices],
        }
        if self._with_level:
            batch["level"] = torch.tensor([self._entries[index].level_db for index in indices], dtype=torch.float32)
        if self._first_frames is not None:
            batch["first_frame"] = torch.tensor([self._first_frames[index] for index in indices])
        return batch

    @cached_property
    def _labels(self) -> Tensor:
        """Labels of all clips (N,)."""
        return torch.tensor([clip.label for clip in self.clips])

    @cached_property
    def _annotations(self) -> Tensor:
        """Annotated frames of all clips (N, T)."""
        return torch.stack([frame_mask(clip.intervals, self._n_frames, self._frames_per_second) for clip in self.clips])

    def mean_level(self) -> float:
        """Mean of all cells of all clips, dB; reads every clip."""
        return float(np.mean([self._spectrogram(index).mean().item() for index in range(len(self))]))

    @cached_property
    def unchanging(self) -> tuple[Clip, ...]:
        """Clips without sound: silence, a constant, or anything else that is the same in every frame."""
        found = []
        for index, clip in enumerate(self.clips):
            x = self._spectrogram(index)
            if (x.amax(dim=1) - x.amin(dim=1)).max() < _UNCHANGING_DB:
                found.append(clip)
        return tuple(found)

    @property
    def size_bytes(self) -> int:
        """Memory that all spectrograms take, bytes."""
        cells = self._entries[0].open().shape[0] * self._n_frames if self._entries else 0
        return len(self) * cells * np.dtype(np.float32).itemsize

    @cached_property
    def _resident(self) -> Tensor:
        """All spectrograms (N, F, T) on the device."""
        first = self._spectrogram(0)
        cells = torch.empty((len(self), *first.shape), device=self._device)
        for index in range(len(self)):
            cells[index] = self._spectrogram(index)
        return cells

    def _spectrogram(self, index: int) -> Tensor:
        first = 0 if self._first_frames is None else self._first_frames[index]
        frames = self._entries[index].open()[:, first : first + self._n_frames]
        # The cache has frame after frame, a batch band after band.
        return torch.from_numpy(np.subtract(frames, np.float32(self._reference_level), order="C"))


def whole_batch(batch: Any) -> Any:
    """What a loader does with a batch of :class:`SpectrogramDataset`: nothing."""
    return batch


class EpochShuffle(DistributedSampler[Any]):
    """A new order of ``size`` clips in every epoch, which depends only on the seed and the number of the epoch.

    A resumed training therefore continues with the order that it would have had, and the processes of a distributed
    training together draw in each step what one process with their joint batch size would. If they can't share the
    clips evenly, the first ones of an epoch are repeated at its end. Lightning calls `set_epoch`.

    Example:
        >>> order = EpochShuffle(size=5, seed=0)
        >>> first = list(order)
        >>> order.set_epoch(1)
        >>> sorted(first), list(order) == first
        ([0, 1, 2, 3, 4], False)
    """

    def __init__(self, size: int, seed: int, epoch: int = 0, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(range(size), num_replicas, rank, seed=seed)  # type: ignore[arg-type] # its length is all it needs
        self.size = size
        self.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.size)
        return iter(np.resize(order, self.total_size)[self.rank :: self.num_replicas].tolist())
