"""What all figures share: sizes, type, and colours of explainers and models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from itertools import cycle
from typing import NamedTuple, ParamSpec, TypeVar

import lazy_loader

matplotlib = lazy_loader.load("matplotlib")

P = ParamSpec("P")
R = TypeVar("R")
LineStyle = str | tuple[int, tuple[float, ...]]

WIDTH = 5.6
"""Inches of a figure next to another on a page."""

COLUMN_WIDTH = 3.5
"""Inches of a figure in one column of a two-column paper."""

TEXT_WIDTH = 7.16
"""Inches of a figure across both columns of a two-column paper."""

INK = "#1f2933"
MUTED = "#7b8794"
ANNOTATION = "#f2d9a6"
"""Fill of annotated intervals."""

_SETTINGS = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.5,
    "figure.facecolor": "white",
    "svg.hashsalt": "faithful-aad",  # the same figure is the same file
    "pdf.fonttype": 42,  # TrueType, which publishers ask for and which stays searchable
}

# Okabe & Ito's palette for colour-blind readers; markers tell explainers apart in print.
_EXPLAINERS = {
    "error_map": ("#d55e00", "o"),
    "saliency": ("#0072b2", "s"),
    "smoothgrad": ("#56b4e9", "^"),
    "integrated_gradients": ("#009e73", "D"),
    "gradient_shap": ("#e69f00", "v"),
    "grad_cam": ("#cc79a7", "P"),
    "masked_error_map": ("#7a2e00", "p"),
    "random": ("#8d99a6", "x"),
}
_OTHER_EXPLAINER = (INK, "X")

_DASHED: LineStyle = (0, (4, 1.6))
_LINE_STYLES: dict[str, LineStyle] = {"AE": _DASHED, "MAE": "-"}
_OTHER_LINES: tuple[LineStyle, ...] = ((0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (2, 2)), (0, (3, 1, 1, 1, 1, 1)))

# Tol's high-contrast pair, which also differs in grey; none of them is an explainer's colour.
_OBJECTIVE_COLOURS = {"AE": "#bb5566", "MAE": "#004488"}
_OTHER_COLOURS = ("#997700", "#117733", "#882255", "#33bbee", "#ee7733", "#44aa99", "#663399", "#777777")


class ModelStyle(NamedTuple):
    """A model's colour and, to tell objectives apart in print, its dash pattern wherever several are compared."""

    colour: str
    line: LineStyle


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw with this module's settings, without changing Matplotlib's own."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return wrapper


def readable(name: str) -> str:
    """An identifier as words.

    Example:
        >>> readable("broken_board")
        'broken board'
    """
    return name.replace("_", " ")


def verbatim(text: str) -> str:
    r"""Text from outside escaped for Matplotlib, which takes what is between dollars for a formula.

    Example:
        >>> print(verbatim("5$ and 6$"))
        5\$ and 6\$
    """
    return text.replace("$", r"\$")


def explainer_colour(name: str) -> str:
    """The explainer's colour, the same in every figure."""
    return _EXPLAINERS.get(name, _OTHER_EXPLAINER)[0]


def explainer_marker(name: str) -> str:
    """The explainer's marker, the same in every figure."""
    return _EXPLAINERS.get(name, _OTHER_EXPLAINER)[1]


def model_styles(models: Mapping[str, str]) -> dict[str, ModelStyle]:
    """Choose a style for each of several models.

    The first model of an objective has the objective's colour, so that AE and MAE look the same in every figure;
    further ones have colours of their own and share the objective's dashes.

    Args:
        models: Objective by the model's label.

    Example:
        >>> styles = model_styles({"AE": "AE", "MAE 30 %": "MAE", "MAE 50 %": "MAE"})
        >>> [style.colour for style in styles.values()]
        ['#bb5566', '#004488', '#997700']
    """
    styles, free, taken = {}, cycle(_OTHER_COLOURS), set()
    lines = dict(zip(dict.fromkeys(o for o in models.values() if o not in _LINE_STYLES), cycle(_OTHER_LINES)))
    lines |= _LINE_STYLES
    for label, objective in models.items():
        own = objective in _OBJECTIVE_COLOURS and objective not in taken
        taken.add(objective)
        colour = _OBJECTIVE_COLOURS[objective] if own else next(free)
        styles[label] = ModelStyle(colour, lines[objective])
    return styles
