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

    On a GPU the small kernels of a step take less time than their launches. Weights, buffers and dropout are those of
    the network, whose own `forward` stays what it was.

    Args:
        network: Maps spectrograms (B, F, T) to reconstructions of the same shape, on a CUDA device.
        x: A batch (B, F, T) on that device.

    Raises:
        RuntimeError: If an operation of the network can't be captured.
    """

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        self._network, self._shape, self._weights = network, x.shape, _weights(network)
        self._awaits_backward = False
        before = [buffer.clone() for buffer in network.buffers()]
        with torch.random.fork_rng(devices=[x.device]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")
            # A module of its own, since its `forward` is replaced.
            self._graphed: Any = torch.cuda.make_graphed_callables(nn.Sequential(network), (x.clone(),))
        with torch.no_grad():  # the passes of the warm-up counted in the running means
            for buffer, value in zip(network.buffers(), before, strict=True):
                buffer.copy_(value)

    @property
    def is_current(self) -> bool:
        """Whether the network still has the weights of the capture, and trains the same ones."""
        return self._weights == _weights(self._network)

    def fits(self, x: Tensor) -> bool:
        """Whether a pass of x (B, F, T) is one of those captured, and would not overwrite another.

        A graph has one set of activations: a second pass before the backward pass of the first would change its
        gradients. Gradients of the input were not captured, nor other precisions.
        """
        return (
            x.shape == self._shape
            and torch.is_grad_enabled()
            and not x.requires_grad
            and not torch.is_autocast_enabled("cuda")
            and not self._awaits_backward
        )

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output (B, F, T) for an x that fits, valid until the next call."""
        output: Tensor = self._graphed(x)
        self._awaits_backward = True
        output.register_hook(self._release)
        return output

    def _release(self, grad: Tensor) -> None:
        self._awaits_backward = False


def _weights(network: nn.Module) -> list[tuple[int, bool]]:
    """Where the weights are, and which are trained."""
    return [(parameter.data_ptr(), parameter.requires_grad) for parameter in network.parameters()]


def capture_training(
    network: nn.Module, x: Tensor, trainer: Trainer, graph: TrainingGraph | None = None
) -> TrainingGraph | None:
    """Capture a network where that is possible and changes no result, else return None; called once per epoch.

    Not where gradients are accumulated, since those of a graph are overwritten by its next pass; nor in mixed
    precision, in several processes, or with hooks, which a graph would not call.

    Args:
        network: See `TrainingGraph`.
        x: See `TrainingGraph`.
        trainer: What trains it.
        graph: That of the epoch before, returned again unless a callback has frozen or replaced weights.
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
    if graph is not None and graph.is_current:
        return graph
    try:
        return TrainingGraph(network, x)
    except RuntimeError as error:
        warnings.warn(f"training without a CUDA graph: {first_line(error)}", stacklevel=2)
        return None
