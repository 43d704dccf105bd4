"""The explainers by name, as configurations spell them."""

import inspect
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import nn

from explainers.base import Explainer
from explainers.error_map import ErrorMap
from explainers.grad_cam import GradCAM
from explainers.gradients import GradientSHAPMap, IntegratedGradientsMap, SaliencyMap, SmoothGrad
from explainers.masked_error_map import MaskedErrorMap
from explainers.random_map import RandomMap
from lightning_modules.errors import ConfigurationError

EXPLAINERS: dict[str, type[Explainer]] = {
    "error_map": ErrorMap,
    "saliency": SaliencyMap,
    "smoothgrad": SmoothGrad,
    "integrated_gradients": IntegratedGradientsMap,
    "gradient_shap": GradientSHAPMap,
    "grad_cam": GradCAM,
    "masked_error_map": MaskedErrorMap,
    "random": RandomMap,
}


def check_settings(names: Collection[str], settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse explainers, and settings of explainers, that do not exist, and explainers that are named twice.

    Args:
        names: Explainers that are wanted.
        settings: Keyword arguments by explainer.

    Raises:
        ConfigurationError: The message says which explainers, or which settings, there are.
    """
    for name in (*names, *settings):
        if name not in EXPLAINERS:
            raise ConfigurationError(f"explainer {name!r} does not exist; choose from {', '.join(EXPLAINERS)}")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ConfigurationError(f"explainer {twice[0]!r} is named twice; name each once")
    for name, chosen in settings.items():
        known = list(inspect.signature(EXPLAINERS[name]).parameters)[1:]
        unknown = [key for key in chosen if key not in known]
        if unknown:
            raise ConfigurationError(f"explainer {name!r} has no setting {unknown[0]!r}; it has {', '.join(known)}")


def build_explainers(
    names: Iterable[str], module: nn.Module, settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, Explainer]:
    """Build the named explainers for a module, each with its settings, defaults elsewhere."""
    return {name: EXPLAINERS[name](module, **settings.get(name, {})) for name in names}
