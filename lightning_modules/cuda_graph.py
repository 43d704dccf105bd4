"""Training passes as a CUDA graph: hundreds of small kernels that the CPU launches at once."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from lightning_modules.errors import first_line


class TrainingGraph:
    """A network's forward and backward passes in training mode, captured for batches of one shape.

    On a GPU the small kernels of a step take less time than their launches.

    Weights, buffers and dropout are those of the network, whose own `forward` stays what it was.

    Args:
        network: Maps spectrograms (B, F, T) to reconstructions of the same shape, on a CUDA device.
        x: A batch (B, F, T) on that device.

    Raises:
        RuntimeError: If an operation of the network can't be captured.
    """

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        self.shape = x.shape
        before = [buffer.clone() for buffer in network.buffers()]
        with torch.random.fork_rng(devices=[x.device]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")
            # A module of its own, since its `forward` is replaced.
            self._graphed: Any = torch.cuda.make_graphed_callables(nn.Sequential(network), (x.clone(),))
        with torch.no_grad():  # the passes of the warm-up counted in the running means
            for buffer, value in zip(network.buffers(), before, strict=True):
                buffer.copy_(value)

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output for x (B, F, T), valid until the next call."""
        output: Tensor = self._graphed(x)
        return output


def capture_training(network: nn.Module, x: Tensor, trainer: Trainer) -> TrainingGraph | None:
    """Capture a network where that is possible and changes no result, else return None.

    Not where gradients are accumulated, since those of a graph are overwritten by its next pass; nor in mixed
    precision, in several processes, or with hooks, which a graph would not call.

    Args:
        network: See `TrainingGraph`.
        x: See `TrainingGraph`.
        trainer: What trains it.
    """
    plain = (
        x.is_cuda
        and network.training
        and trainer.world_size == 1
        and trainer.accumulate_grad_batches == 1
        and trainer.precision in ("32-true", "64-true")
        and not any(child._forward_hooks or child._forward_pre_hooks for child in network.modules())
        and not any(child._backward_hooks or child._backward_pre_hooks for child in network.modules())
    )
    if not plain:
        return None
    try:
        return TrainingGraph(network, x)
    except RuntimeError as error:
        warnings.warn(f"training without a CUDA graph: {first_line(error)}", stacklevel=2)
        return None
