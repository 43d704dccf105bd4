"""The order of the training clips."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import DistributedSampler


class EpochShuffle(DistributedSampler[Any]):
    """A new order in every epoch, given by the seed and the epoch's number alone, dealt to the processes in turn.

    So a training that was interrupted goes on with the order it would have had, and what the processes draw in one
    step is what one process would with their batches joined. Where the clips can't be shared out evenly, the first of
    the epoch come again at its end. Lightning calls `set_epoch`.

    Args:
        size: Number of clips.
        seed: Seed of the run, not negative.
        epoch: The epoch to begin with.
        num_replicas: Number of processes.
        rank: Number of this process.

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
