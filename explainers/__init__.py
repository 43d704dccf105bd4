"""Attribution maps of the reconstruction error, one class a method, and the callback that computes them."""

from explainers.base import Explainer
from explainers.callback import AttributionMaps
from explainers.error_map import ErrorMap
from explainers.grad_cam import GradCAM
from explainers.gradients import GradientSHAPMap, IntegratedGradientsMap, SaliencyMap, SmoothGrad
from explainers.registry import EXPLAINERS, build_explainers

__all__ = [
    "EXPLAINERS",
    "AttributionMaps",
    "ErrorMap",
    "Explainer",
    "GradCAM",
    "GradientSHAPMap",
    "IntegratedGradientsMap",
    "SaliencyMap",
    "SmoothGrad",
    "build_explainers",
]
