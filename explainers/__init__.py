"""Attribution maps of the reconstruction error, one class a method, and the callback that computes them."""

from explainers.base import Explainer
from explainers.callback import AttributionMaps
from explainers.error_map import ErrorMap
from explainers.grad_cam import GradCAM
from explainers.gradients import GradientSHAPMap, IntegratedGradientsMap, SaliencyMap, SmoothGrad
from explainers.masked_error_map import MaskedErrorMap
from explainers.random_map import RandomMap
from explainers.registry import EXPLAINERS, build_explainers
from explainers.sanity import SanityChecks

__all__ = [
    "EXPLAINERS",
    "AttributionMaps",
    "ErrorMap",
    "Explainer",
    "GradCAM",
    "GradientSHAPMap",
    "IntegratedGradientsMap",
    "MaskedErrorMap",
    "RandomMap",
    "SaliencyMap",
    "SanityChecks",
    "SmoothGrad",
    "build_explainers",
]
