"""Methods that follow the score's gradient: to the input, or to the activations of a layer (Grad-CAM)."""

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explainers.base import Explainer, reproducible, require_positive
from lightning_modules.errors import ConfigurationError


class SaliencyMap(Explainer):
    """Absolute gradient of the score (Simonyan et al., 2013)."""

    label = "Saliency"
    unit = "dB"

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        return torch.cat(list(self.gradients(x.split(1)))).abs()


@dataclass(eq=False)
class SmoothGrad(Explainer):
    """Mean absolute gradient over noisy copies of the clip (Smilkov et al., 2017).

    Args:
        module: See `Explainer`.
        n_samples: Noisy copies of a clip.
        noise_std: Standard deviation of the Gaussian noise, dB.
        seed: Another seed, other noise; a clip's noise does not depend on its batch.
        memory_budget: See `Explainer`.

    Raises:
        ConfigurationError: If a number of samples is not positive.
    """

    label = "SmoothGrad"
    unit = "dB"

    n_samples: int = 25
    noise_std: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(n_samples=self.n_samples)

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        return torch.stack([gradients.abs().mean(0) for gradients in self.gradients(self._noisy_copies(x))])

    def _noisy_copies(self, x: Tensor) -> Iterator[Tensor]:
        for clip in x:
            with reproducible(clip, self.seed):
                yield _noisy_copies(clip, self.n_samples, self.noise_std)


@dataclass(eq=False)
class IntegratedGradientsMap(Explainer):
    """Gradients integrated along the straight path from a baseline, times the way (Sundararajan et al., 2017).

    Args:
        module: See `Explainer`.
        n_steps: Points of the Gauss-Legendre quadrature.
        baseline: Level of the baseline's cells, dB.
        memory_budget: See `Explainer`.

    Raises:
        ConfigurationError: If the number of points is not positive.

    Attributes:
        convergence_delta: After `attribute`, (B,), dB²: the sum of each map less the score's difference between
            clip and baseline; 0 if the quadrature were exact.
    """

    label = "Integrated gradients"

    n_steps: int = 50
    baseline: float = 0.0
    convergence_delta: Tensor = field(default_factory=lambda: torch.empty(0), init=False)

    def __post_init__(self) -> None:
        require_positive(n_steps=self.n_steps)

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        # The quadrature's points are on [-1, 1], the path's on [0, 1].
        positions, lengths = np.polynomial.legendre.leggauss(self.n_steps)
        shares, weights = (x.new_tensor(each / 2)[:, None, None] for each in (1 + positions, lengths))
        ways = x - self.baseline
        paths = (self.baseline + shares * way for way in ways)
        maps = torch.stack(
            [way * (weights * gradients).sum(0) for way, gradients in zip(ways, self.gradients(paths), strict=True)]
        )
        baseline = torch.full_like(x[:1], self.baseline)
        with torch.no_grad():
            of_baseline, *of_clips = self.in_passes(self.score, [baseline, *x.split(1)])
        self.convergence_delta = maps.sum(dim=(1, 2)) - (torch.cat(of_clips) - of_baseline)
        return maps


@dataclass(eq=False)
class GradientSHAPMap(Explainer):
    """Expected gradients at random points between a baseline and noisy copies of the clip (Lundberg & Lee, 2017).

    Args:
        module: See `Explainer`.
        n_samples: Random points per clip.
        noise_std: Standard deviation of the Gaussian noise, dB.
        baseline: Level of the baseline's cells, dB.
        seed: Another seed, other points; a clip's points do not depend on its batch.
        memory_budget: See `Explainer`.

    Raises:
        ConfigurationError: If a number of samples is not positive.
    """

    label = "GradSHAP"

    n_samples: int = 25
    noise_std: float = 0.09
    baseline: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(n_samples=self.n_samples)

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        draws, same_draws = itertools.tee(self._draws(x))
        points = (self.baseline + shares * ways for ways, shares in draws)
        return torch.stack(
            [
                (ways * gradients).mean(0)
                for (ways, _), gradients in zip(same_draws, self.gradients(points), strict=True)
            ]
        )

    def _draws(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The ways from the baseline to noisy copies of each clip (N, F, T), and shares of them (N, 1, 1)."""
        for clip in x:
            with reproducible(clip, self.seed):
                ways = _noisy_copies(clip, self.n_samples, self.noise_std) - self.baseline
                shares = clip.new_tensor(np.random.uniform(size=self.n_samples))
            yield ways, shares[:, None, None]


def _noisy_copies(clip: Tensor, n_samples: int, noise_std: float) -> Tensor:
    """Copies (N, F, T) of a clip (F, T) with Gaussian noise, as Captum's NoiseTunnel draws it."""
    return clip + noise_std * torch.randn(n_samples, *clip.shape, device=clip.device)


@dataclass(eq=False)
class GradCAM(Explainer):
    """Activations of a layer weighed by their mean gradients, signed, resized bilinearly (Selvaraju et al., 2017).

    Args:
        module: See `Explainer`.
        layer: Dotted name of a layer with (B, C, F', T') activations; the module's `cam_layer` by default.
        memory_budget: See `Explainer`.

    Raises:
        ConfigurationError: If the module has no such layer.
    """

    label = "Grad-CAM"

    layer: str | None = None

    def __post_init__(self) -> None:
        if self.layer is not None and self.layer not in dict(self.module.named_modules()):
            raise ConfigurationError(
                f"layer={self.layer!r} is not in {self._network}; set it to one of {self._convolutions}"
            )

    def obstacle(self) -> str:
        """That the module has no convolution, or names none of them as `cam_layer`."""
        if self._layer is not None:
            return ""
        if not self._convolutions:
            return f"needs a convolution, and {self._network} has none"
        return f"needs a layer, and {self._network} has no cam_layer; set its layer to one of {self._convolutions}"

    @property
    def _layer(self) -> nn.Module | None:
        if self.layer is None:
            return getattr(self.module, "cam_layer", None)
        return self.module.get_submodule(self.layer)

    @property
    def _network(self) -> str:
        return type(getattr(self.module, "backbone", self.module)).__name__

    @property
    def _convolutions(self) -> str:
        return ", ".join(name for name, child in self.module.named_modules() if isinstance(child, nn.Conv2d))

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        activations: dict[int, Tensor] = {}  # by thread, as passes run side by side

        def keep(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            activations[threading.get_ident()] = output
            return output.clone()  # for the next layer, which may work in place

        def weigh(rows: Tensor) -> Tensor:
            score = self.score(rows.detach().requires_grad_()).sum()
            activation = activations.pop(threading.get_ident())
            (gradient,) = torch.autograd.grad(score, activation)
            return (gradient.mean((2, 3), keepdim=True) * activation.detach()).sum(1, keepdim=True)

        assert self._layer is not None, "attribute has checked that there is no obstacle"
        hook = self._layer.register_forward_hook(keep)
        try:
            maps = torch.cat(list(self.in_passes(weigh, x.split(1))))
        finally:
            hook.remove()
        return F.interpolate(maps, x.shape[1:], mode="bilinear").squeeze(1)
