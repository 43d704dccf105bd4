"""The explainers by name, as configurations spell them."""

import inspect
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import nn

from explainers.base import Explainer
from explainers.gradients import GradCAM, GradientSHAPMap, IntegratedGradientsMap, SaliencyMap, SmoothGrad
from explainers.maps import ErrorMap, MaskedErrorMap, RandomMap
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
    """Check that explainers and their settings exist, and that no explainer is named twice.

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


def explainer_label(name: str) -> str:
    """What tables and figures call an explainer, its name as words where it is not in `EXPLAINERS`.

    Example:
        >>> explainer_label("gradient_shap"), explainer_label("my_map")
        ('GradSHAP', 'My map')
    """
    return EXPLAINERS[name].label if name in EXPLAINERS else name.replace("_", " ").capitalize()


def explainer_unit(name: str) -> str:
    """Unit of an explainer's maps, dB² where it is not in `EXPLAINERS`.

    Example:
        >>> explainer_unit("saliency"), explainer_unit("error_map")
        ('dB', 'dB²')
    """
    return EXPLAINERS[name].unit if name in EXPLAINERS else Explainer.unit
