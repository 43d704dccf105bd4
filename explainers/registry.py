"""The explainers by name, as configurations spell them, and those of the user's own."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from explainers.base import Explainer, memory_is_short
from explainers.gradients import GradCAM, GradientSHAPMap, IntegratedGradientsMap, SaliencyMap, SmoothGrad
from explainers.maps import ErrorMap, MaskedErrorMap, RandomMap
from lightning_modules.errors import ConfigurationError, told_by_class
from lightning_modules.imports import find_class

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


def find_explainers(names: Iterable[str]) -> dict[str, type[Explainer]]:
    """The classes of explainers, by the names that files, scalars and tables give them.

    A class that is not in `EXPLAINERS` has its own name in snake case, however it was given.

    Args:
        names: Names in `EXPLAINERS` or of plugins, or class paths; see `lightning_modules.imports.find_class`.

    Raises:
        ConfigurationError: If a class does not exist, or two have the same name.

    Example:
        >>> find_explainers(["saliency", "explainers.GradCAM"])
        {'saliency': <class 'explainers.gradients.SaliencyMap'>, 'grad_cam': <class 'explainers.gradients.GradCAM'>}
    """
    found: dict[str, type[Explainer]] = {}
    for given in names:
        try:
            explainer = find_class(str(given), Explainer, EXPLAINERS, "my_lab.explainers.MyMap")  # type: ignore[type-abstract]
        except ConfigurationError as error:
            raise ConfigurationError(f"explainer {error}") from error
        name = _name(explainer)
        if found.get(name) is explainer:
            raise ConfigurationError(f"explainer {given!r} is named twice; name each once")
        if EXPLAINERS.get(name, explainer) is not explainer or name in found:
            raise ConfigurationError(f"explainer {given!r} would be called {name}, as another one is; rename its class")
        found[name] = explainer
    return found


def check_settings(
    settings: Mapping[str, Mapping[str, Any]], chosen: Mapping[str, type[Explainer]]
) -> dict[str, dict[str, Any]]:
    """Check that explainers have the settings that they are given.

    Args:
        settings: Keyword arguments by explainer, which is named as `find_explainers` takes and returns it.
        chosen: Classes by name. Settings of others are allowed, as a later stage may use them.

    Returns:
        Keyword arguments by the names that `find_explainers` returns.

    Raises:
        ConfigurationError: The message says which settings there are.
    """
    by_name: dict[str, dict[str, Any]] = {}
    for given, values in settings.items():
        ((name, explainer),) = ({given: chosen[given]} if given in chosen else find_explainers([given])).items()
        known = list(inspect.signature(explainer).parameters)[1:]
        unknown = [key for key in values if key not in known]
        if unknown:
            raise ConfigurationError(f"explainer {given!r} has no setting {unknown[0]!r}; it has {', '.join(known)}")
        if name in by_name:
            raise ConfigurationError(f"the settings of explainer {name!r} are given twice, as {given!r} too")
        by_name[name] = dict(values)
    return by_name


def _name(explainer: type[Explainer]) -> str:
    ours = {each: name for name, each in EXPLAINERS.items()}
    words = re.sub("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", explainer.__name__)
    return ours.get(explainer, words.lower())


@contextmanager
def user_errors(explainer: Explainer) -> Iterator[None]:
    """Name an explainer of the user's own, and the line, in place of what its code raises."""
    try:
        yield
    except (ConfigurationError, OSError):
        raise
    except Exception as error:
        kind = type(explainer)
        if kind in EXPLAINERS.values() or memory_is_short(error):
            raise
        raise ConfigurationError(f"explainer {_name(kind)!r} fails: {told_by_class(error, kind)}") from error


def explainer_label(name: str) -> str:
    """What tables and figures call an explainer, its name as words where it is not in `EXPLAINERS`.

    Example:
        >>> explainer_label("gradient_shap"), explainer_label("my_map")
        ('GradSHAP', 'My map')
    """
    return EXPLAINERS[name].label if name in EXPLAINERS else name.replace("_", " ").capitalize()


def explainer_unit(name: str) -> str:
    """Unit of an explainer's maps, "" where it is not in `EXPLAINERS`.

    Example:
        >>> explainer_unit("saliency"), explainer_unit("error_map"), explainer_unit("my_map")
        ('dB', 'dB²', '')
    """
    return EXPLAINERS[name].unit if name in EXPLAINERS else ""
