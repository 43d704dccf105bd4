"""What every explainer shares: the scalar it explains, frozen parameters, and passes that fit in memory."""

from __future__ import annotations

import itertools
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from lightning_modules.errors import ConfigurationError
from lightning_modules.modes import frozen_eval
from lightning_modules.passes import rows_per_pass, side_by_side
from lightning_modules.scores import squared_error

MEBIBYTE = 2**20

MEMORY_BUDGET = 2048
"""MiB by default: a pass of 13 planer clips takes 140, and a CPU has one under way on each core."""

T = TypeVar("T")


@dataclass(eq=False)
class Explainer(ABC):
    """An attribution method for the reconstruction error of spectrograms (paper section 3.3).

    The explained scalar is a clip's mean squared error in dB². Its target is the input itself, so gradients flow
    through the input and through the reconstruction.

    Args:
        module: Maps spectrograms (B, F, T) in dB to reconstructions of the same shape.
        memory_budget: MiB that the activations of the passes under way at a time may take. At least one clip is
            passed at a time, whatever the budget. Where there is less memory than that, passes are halved until they
            fit.
    """

    label: ClassVar[str]
    """What tables and figures call the method."""

    unit: ClassVar[str] = "dB²"
    """Unit of a map, given a score in dB² of a spectrogram in dB."""

    module: nn.Module
    memory_budget: int = field(default=MEMORY_BUDGET, kw_only=True)
    _rows_within_budget: dict[tuple[int, ...], int] = field(default_factory=dict, init=False, repr=False)

    def obstacle(self) -> str:
        """What keeps this method from explaining its module, as in "needs a convolution"; "" where nothing does.

        `AttributionMaps` leaves out an explainer that has an obstacle, and says so.
        """
        return ""

    def attribute(self, x: Tensor, reconstruction: Tensor | None = None) -> Tensor:
        """Attribute each clip's anomaly score to the cells of its spectrogram.

        The module's parameters are frozen and it is in eval mode meanwhile; both are as before afterwards. Works
        inside `torch.no_grad` and `torch.inference_mode`.

        Args:
            x: Spectrograms (B, F, T), dB.
            reconstruction: The module's output for x (B, F, T), if it is at hand; saves methods that only need
                that a forward pass.

        Returns:
            Attribution maps (B, F, T), detached.

        Raises:
            ValueError: If x is not a batch of spectrograms.
            ConfigurationError: If there is an `obstacle`, or the maps are no tensor of the shape of x, or not finite.
        """
        if x.ndim != 3 or len(x) == 0:
            raise ValueError(f"x {tuple(x.shape)} is not a batch of spectrograms (B, F, T)")
        if obstacle := self.obstacle():
            raise ConfigurationError(f"{type(self).__name__} {obstacle}")
        with frozen_eval(self.module):
            # Tensors made in inference mode can't take part in autograd; their clones can.
            x = x.detach().clone()
            maps = self.retry_on_oom(x, lambda: self._attribute(x, reconstruction))
        if not isinstance(maps, Tensor):
            raise ConfigurationError(f"{type(self).__name__} returns {type(maps).__name__}; maps must be a tensor")
        maps = maps.detach()
        if maps.shape != x.shape:
            raise ConfigurationError(
                f"{type(self).__name__} returns maps of shape {tuple(maps.shape)} for clips of shape {tuple(x.shape)}; "
                "they must have the same"
            )
        if not maps.isfinite().all():
            raise ConfigurationError(f"{type(self).__name__} returns maps with NaN or infinite values")
        return maps

    def retry_on_oom(self, x: Tensor, compute: Callable[[], T]) -> T:
        """Compute in passes of at most :meth:`rows_per_pass`, halved and started again where memory is short.

        Args:
            x: Spectrograms (B, F, T) like those that are passed.
            compute: Asks for the rows of a pass each time it is called.

        Raises:
            RuntimeError: If there is no memory for a single row, or whatever else `compute` raises.
        """
        while True:
            try:
                return compute()
            except (RuntimeError, MemoryError) as error:
                rows = self.rows_per_pass(x)
                if rows == 1 or not memory_is_short(error):
                    raise
            # Started again out here, where the error no longer keeps the tensors of the failed pass.
            self._rows_within_budget[tuple(x.shape[1:])] = rows // 2

    @abstractmethod
    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        """Attribute x (B, F, T), an ordinary tensor, with gradients enabled."""

    def score(self, x: Tensor) -> Tensor:
        """The explained scalar of each clip, dB²: (B, F, T) to (B,)."""
        return squared_error(x, self.module(x)).mean(dim=(1, 2))

    def gradients(self, points: Iterable[Tensor]) -> Iterator[Tensor]:
        """Gradient of the score at points of clips, see :meth:`in_passes`.

        Args:
            points: Spectrograms (N, F, T) for each clip, dB; N may differ.

        Yields:
            Gradients (N, F, T) for each clip, dB.
        """

        def differentiate(rows: Tensor) -> Tensor:
            rows = rows.detach().requires_grad_()
            return torch.autograd.grad(self.score(rows).sum(), rows)[0]

        return self.in_passes(differentiate, points)

    def in_passes(self, compute: Callable[[Tensor], Tensor], points: Iterable[Tensor]) -> Iterator[Tensor]:
        """Compute something for spectrograms of clips, in passes that fit in memory.

        On a CPU a pass has rows of one clip only, and as many passes run side by side as there are cores, each on a
        single thread: what comes out is the same to the bit, whatever the batch of the clip and the number of cores.
        On a GPU passes are as large as the memory budget allows, across clips.

        Args:
            compute: Maps rows (N, F, T) to a tensor (N, ...), row by row; called from several threads.
            points: Spectrograms (N, F, T) for each clip, dB; N may differ. They are read as they are needed.

        Yields:
            Results (N, ...) for each clip.
        """
        points = iter(points)
        first = next(points, None)
        if first is None:
            return
        most = self.rows_per_pass(first)
        rows = rows_per_pass(first.device, most)
        sizes: deque[tuple[int, list[int]]] = deque()  # passes and rows per clip of each group of clips

        def passes() -> Iterator[Tensor]:
            for group in _groups(itertools.chain([first], points), 1 if first.device.type == "cpu" else rows):
                of_group = torch.cat(group).tensor_split(-(-sum(map(len, group)) // rows))
                sizes.append((len(of_group), [len(of_clip) for of_clip in group]))
                yield from of_group

        results = side_by_side(compute, passes(), first.device, most // rows)
        for result in results:
            n_passes, n_rows = sizes.popleft()
            of_group = torch.cat([result, *itertools.islice(results, n_passes - 1)])
            yield from of_group.split(n_rows)

    def rows_per_pass(self, x: Tensor) -> int:
        """How many spectrograms like those in x fit one forward and backward pass within the budget."""
        shape = tuple(x.shape[1:])
        if shape not in self._rows_within_budget:
            rows = self.memory_budget * MEBIBYTE // max(1, _saved_bytes(self, x[:1]))
            self._rows_within_budget[shape] = max(1, rows)
        return self._rows_within_budget[shape]


@runtime_checkable
class HasConvergenceDelta(Protocol):
    """An explainer that knows how far its maps are from summing to what they should.

    Attributes:
        convergence_delta: After `attribute`, (B,), dB²: the sum of each map less what it would be without error.
    """

    convergence_delta: Tensor


def require_positive(**settings: Any) -> None:
    """Raise a ConfigurationError that names the first setting that is not a positive whole number."""
    for name, value in settings.items():
        if not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name}={value} is not a positive whole number")


def _groups(points: Iterable[Tensor], rows: int) -> Iterator[list[Tensor]]:
    """Successive tensors in groups of at least `rows` rows, but for the last."""
    group: list[Tensor] = []
    for each in points:
        group.append(each)
        if sum(map(len, group)) >= rows:
            yield group
            group = []
    if group:
        yield group


def memory_is_short(error: Exception) -> bool:
    """Whether an error means that a device, or the machine, has no memory left."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)


def _saved_bytes(explainer: Explainer, row: Tensor) -> int:
    """Bytes that one clip's forward pass keeps for its backward pass, the module's own weights aside."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in explainer.module.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        explainer.score(row.clone().requires_grad_())
    return sum(kept.values())


@contextmanager
def reproducible(clip: Tensor, seed: int) -> Iterator[None]:
    """Random draws that depend on the clip and the seed alone, not on its batch, its process or earlier draws.

    Captum draws from the global generators of torch and numpy; both continue afterwards as if nothing happened.
    """
    clip_seed = (zlib.crc32(clip.cpu().numpy().tobytes()) + seed) % 2**32
    devices = [clip.device] if clip.is_cuda else []
    numpy_state = np.random.get_state()
    with torch.random.fork_rng(devices=devices):
        # `torch.manual_seed` seeds every kind of device there might be, which takes longer than a random map.
        torch.default_generator.manual_seed(clip_seed)
        if clip.is_cuda:
            torch.cuda.default_generators[clip.device.index].manual_seed(clip_seed)
        np.random.seed(clip_seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
