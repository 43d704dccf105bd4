"""The order of the training clips."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochShuffle(Sampler[int]):
    """A new order in every epoch, given by the seed and the epoch's number alone.

    So a training that was interrupted goes on with the order it would have had. Lightning calls `set_epoch`.

    Args:
        size: Number of clips.
        seed: Seed of the run, not negative.
        epoch: The epoch to begin with.

    Example:
        >>> order = EpochShuffle(size=5, seed=0)
        >>> first = list(order)
        >>> order.set_epoch(1)
        >>> sorted(first), list(order) == first
        ([0, 1, 2, 3, 4], False)
    """

    def __init__(self, size: int, seed: int, epoch: int = 0) -> None:
        self.size = size
        self.seed = seed
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next pass has."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng((self.seed, self.epoch)).permutation(self.size).tolist())

    def __len__(self) -> int:
        return self.size
