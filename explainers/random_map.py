"""A control without information: what any measure gives for noise."""

import torch
from torch import Tensor, nn

from explainers.base import MEMORY_BUDGET, Explainer, reproducible


class RandomMap(Explainer):
    """Independent standard normal noise in each cell, which knows neither the model nor what the clip holds.

    Args:
        module: See `Explainer`; only its place among the explainers needs it.
        seed: Another seed, another map of the same clip. By default the run's, torch's, so that the controls of runs
            with different seeds are independent.
        memory_budget: See `Explainer`.
    """

    def __init__(self, module: nn.Module, seed: int | None = None, memory_budget: int = MEMORY_BUDGET) -> None:
        super().__init__(module, memory_budget)
        self.seed = torch.initial_seed() if seed is None else seed

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        return torch.cat([self._draw(clip) for clip in x.split(1)])

    def _draw(self, clip: Tensor) -> Tensor:
        with reproducible(clip, self.seed):
            # Drawn on the CPU, so that every device gets the same map.
            return torch.randn(clip.shape).to(clip)
