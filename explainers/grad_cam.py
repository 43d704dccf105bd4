"""Grad-CAM: which activations of the encoder's last convolution raise the score."""

import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn

from explainers.base import MEMORY_BUDGET, Explainer
from lightning_modules.errors import ConfigurationError


class GradCAM(Explainer):
    """Activations of a layer weighed by their mean gradients, signed, resized bilinearly (Selvaraju et al., 2017).

    Args:
        module: See `Explainer`.
        layer: Dotted name of a layer with (B, C, F', T') activations; without one, the module's `cam_layer`.
        memory_budget: See `Explainer`.

    Raises:
        ConfigurationError: If the module has no such layer.
    """

    def __init__(self, module: nn.Module, layer: str | None = None, memory_budget: int = MEMORY_BUDGET) -> None:
        super().__init__(module, memory_budget)
        try:
            self.layer = module.cam_layer if layer is None else module.get_submodule(layer)
        except AttributeError as error:
            names = [name for name, child in module.named_modules() if isinstance(child, nn.Conv2d)]
            raise ConfigurationError(
                f"grad_cam: layer={layer!r} is not in {type(module).__name__}; its convolutions are {', '.join(names)}"
            ) from error

    def _attribute(self, x: Tensor, reconstruction: Tensor | None) -> Tensor:
        grad_cam = LayerGradCam(self.score, self.layer)
        maps = [
            grad_cam.attribute(rows.requires_grad_(), relu_attributions=False)
            for rows in x.split(self.rows_per_pass(x))
        ]
        return LayerAttribution.interpolate(torch.cat(maps), tuple(x.shape[1:]), "bilinear").squeeze(1)
