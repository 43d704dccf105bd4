"""Methods that follow the score's gradient: to the input, or to the activations of a layer (Grad-CAM)."""

from dataclasses import dataclass, field

import lazy_loader
import torch
from torch import Tensor, nn

from explainers.base import Explainer, map_clips, reproducible, require_positive
from lightning_modules.errors import ConfigurationError

captum = lazy_loader.load("captum")


class SaliencyMap(Explainer):
    """Absolute gradient of the score (Simonyan et al., 2013)."""

    label = "Saliency"
    unit = "dB"

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        saliency = captum.attr.Saliency(self.score)
        return torch.cat([saliency.attribute(rows.requires_grad_()) for rows in x.split(self.rows_per_pass(x))])


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
        tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(self.score))
        rows = min(self.n_samples, self.rows_per_pass(x))
        maps = []
        for clip in x.split(1):
            with reproducible(clip, self.seed):
                maps.append(
                    tunnel.attribute(
                        clip,
                        nt_type="smoothgrad",
                        nt_samples=self.n_samples,
                        nt_samples_batch_size=rows,
                        stdevs=float(self.noise_std),
                        abs=True,
                    )
                )
        return torch.cat(maps)


@dataclass(eq=False)
class IntegratedGradientsMap(Explainer):
    """Gradients integrated along the straight path from a baseline, times the way (Sundararajan et al., 2017).

    Args:
        module: See `Explainer`.
        n_steps: Points of the Gauss-Legendre quadrature.
        baseline: Level of the baseline's cells, dB.
        steps_per_pass: Points of a clip evaluated at once, halved until they fit in the memory budget. Passes are
            never shared between clips, so a map does not depend on its batch; a CPU explains a clip on each core.
            Another number rounds differently, which flips single kinks of the network: a few of a clip's 32,000 cells
            move by 1e-4 to 3e-4 of the map's largest value, as they do on another processor.
        memory_budget: See `Explainer`.

    Raises:
        ConfigurationError: If a number of points is not positive.

    Attributes:
        convergence_delta: After `attribute`, (B,), dB²: the sum of each map less the score's difference between
            clip and baseline; 0 if the quadrature were exact.
    """

    label = "Integrated gradients"

    n_steps: int = 50
    baseline: float = 0.0
    steps_per_pass: int = 25
    convergence_delta: Tensor = field(default_factory=lambda: torch.empty(0), init=False)

    def __post_init__(self) -> None:
        require_positive(n_steps=self.n_steps, steps_per_pass=self.steps_per_pass)

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        integrated_gradients = captum.attr.IntegratedGradients(self.score)
        most, rows = self.rows_per_pass(x), self.steps_per_pass
        while rows > most:
            rows //= 2

        def attribute_clip(clip: Tensor) -> tuple[Tensor, Tensor]:
            return integrated_gradients.attribute(
                clip,
                baselines=float(self.baseline),
                n_steps=self.n_steps,
                method="gausslegendre",
                internal_batch_size=rows,
                return_convergence_delta=True,
            )

        maps, deltas = zip(*map_clips(attribute_clip, x.split(1), most // rows), strict=True)
        self.convergence_delta = torch.cat(deltas).detach()
        return torch.cat(maps)


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
        rows = self.rows_per_pass(x)
        return torch.cat([self._attribute_clip(clip, rows) for clip in x.split(1)])

    def _attribute_clip(self, clip: Tensor, rows: int) -> Tensor:
        """Average over samples in chunks: Captum's GradientShap has no batching of its own."""
        gradient_shap = captum.attr.GradientShap(self.score)
        baselines = torch.full_like(clip, self.baseline)
        total = torch.zeros_like(clip)
        with reproducible(clip, self.seed):
            for start in range(0, self.n_samples, rows):
                n_samples = min(rows, self.n_samples - start)
                total += n_samples * gradient_shap.attribute(
                    clip, baselines, n_samples=n_samples, stdevs=float(self.noise_std)
                )
        return total / self.n_samples


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
        grad_cam = captum.attr.LayerGradCam(self.score, self._layer)
        maps = [
            grad_cam.attribute(rows.requires_grad_(), relu_attributions=False)
            for rows in x.split(self.rows_per_pass(x))
        ]
        return captum.attr.LayerAttribution.interpolate(torch.cat(maps), tuple(x.shape[1:]), "bilinear").squeeze(1)
