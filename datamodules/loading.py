"""How the clips of a split become batches."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader

from datamodules.dataset import SpectrogramDataset
from datamodules.shuffle import EpochShuffle

Loader = DataLoader[dict[str, Any]]

_SHARE_OF_FREE_MEMORY = 1 / 4
"""The rest is for the network, its gradients and its activations."""


def load(
    dataset: SpectrogramDataset,
    batch_size: int,
    num_workers: int = 0,
    pin_memory: bool = False,
    sampler: EpochShuffle | None = None,
) -> Loader:
    """Batches of clips, in their order unless a sampler gives another.

    Clips that are on a device already are taken from there by this process: workers can't share them, and there is
    nothing to pin.

    Args:
        dataset: The clips of a split.
        batch_size: Clips in a batch B.
        num_workers: Processes that load batches; 0 loads in this one.
        pin_memory: Whether batches are put into pinned memory.
        sampler: The order of the clips.

    Returns:
        Batches of :class:`~datamodules.batch.ClipBatch`, the last one smaller where B does not divide the clips.
    """
    workers = 0 if dataset.is_resident else num_workers
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        pin_memory=pin_memory and not dataset.is_resident,
        persistent_workers=workers > 0,
    )


def keep_if_wanted(dataset: SpectrogramDataset, device: torch.device, resident: bool | None) -> None:
    """Keep clips on a device.

    Args:
        dataset: The clips.
        device: The device.
        resident: Whether to; when ``None``, on a CUDA device of whose free memory they take at most a quarter.
    """
    if resident is None:
        resident = device.type == "cuda" and (
            dataset.size_bytes <= _SHARE_OF_FREE_MEMORY * torch.cuda.mem_get_info(device)[0]
        )
    if resident:
        dataset.keep_on(device)
