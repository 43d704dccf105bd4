"""What every explainer shares: the scalar it explains, a module held still, and passes that fit in memory."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from lightning_modules.base import squared_error
from lightning_modules.errors import ConfigurationError

MEBIBYTE = 2**20

MEMORY_BUDGET = 2048
"""MiB by default: a pass of 25 planer clips takes 275, and a CPU has one under way on each core."""

T = TypeVar("T")


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

    def __init__(self, module: nn.Module, memory_budget: int = MEMORY_BUDGET) -> None:
        self.module = module
        self.memory_budget = memory_budget
        self._rows_within_budget: dict[tuple[int, ...], int] = {}

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
            ValueError: If x is no batch of spectrograms.
        """
        if x.ndim != 3 or len(x) == 0:
            raise ValueError(f"x {tuple(x.shape)} is not a batch of spectrograms (B, F, T)")
        with held_still(self.module):
            # Tensors made in inference mode can't take part in autograd; their clones can.
            x = x.detach().clone()
            return self.within_memory(x, lambda: self._attribute(x, reconstruction).detach())

    def within_memory(self, x: Tensor, compute: Callable[[], T]) -> T:
        """Compute in passes of at most :meth:`rows_per_pass`, halved and begun again where memory is short.

        Args:
            x: Spectrograms (B, F, T) like those that are passed.
            compute: Asks for the rows of a pass each time it is called.

        Returns:
            What was computed.

        Raises:
            RuntimeError: If there is no memory for a single row, or whatever else `compute` raises.
        """
        while True:
            try:
                return compute()
            except (RuntimeError, MemoryError) as error:
                rows = self.rows_per_pass(x)
                if rows == 1 or not _memory_is_short(error):
                    raise
            # Begun again out here, where the error no longer holds on to the tensors of the failed pass.
            self._rows_within_budget[tuple(x.shape[1:])] = rows // 2

    @abstractmethod
    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        """Attribute x (B, F, T), an ordinary tensor, with gradients enabled."""

    def score(self, x: Tensor) -> Tensor:
        """The explained scalar of each clip, dB²: (B, F, T) to (B,)."""
        return squared_error(x, self.module(x)).mean(dim=(1, 2))

    def rows_per_pass(self, x: Tensor) -> int:
        """How many spectrograms like those in x fit one forward and backward pass within the budget."""
        shape = tuple(x.shape[1:])
        if shape not in self._rows_within_budget:
            rows = self.memory_budget * MEBIBYTE // max(1, _saved_bytes(self, x[:1]))
            self._rows_within_budget[shape] = max(1, rows)
        return self._rows_within_budget[shape]


def require_positive(**settings: Any) -> None:
    """Refuse settings that are not positive whole numbers.

    Raises:
        ConfigurationError: The message names the first of them.
    """
    for name, value in settings.items():
        if not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name}={value} is not a positive whole number")


@contextmanager
def held_still(module: nn.Module) -> Iterator[None]:
    """Eval mode, frozen parameters and gradients enabled; half of a backward pass is the parameters' own."""
    training = [(child, child.training) for child in module.modules()]
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        try:
            module.eval()
            for parameter in trainable:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in trainable:
                parameter.requires_grad_(True)
            for child, mode in training:
                child.training = mode


def _memory_is_short(error: Exception) -> bool:
    """Whether an error says that a device, or the machine, has no memory left."""
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
