"""From a figure to bytes and files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments.report.figures.style import MUTED, styled
from lightning_modules.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150

Format = Literal["png", "svg", "webp", "pdf"]

_OPTIONS: dict[Format, dict[str, Any]] = {
    "png": {"metadata": {"Software": None}},
    "svg": {"metadata": {"Date": None}},
    # For pages with many of them: maps are noise to the encoder.
    "webp": {"dpi": 130, "pil_kwargs": {"quality": 60, "method": 4}},
    "pdf": {"metadata": {"CreationDate": None}},
}


@styled
def render(figure: Figure, format: Format) -> bytes:
    """The figure as an image file's contents; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, **{"dpi": DPI, **_OPTIONS[format]})
    return buffer.getvalue()


@styled
def save(figure: Figure, path: Path, mark: str = "") -> Path:
    """Write the figure as PNG or, if the path says so, as vector PDF with its fonts inside, complete or not at all.

    Args:
        figure: The figure.
        path: The file; its folder is made if needed.
        mark: What readers have to know wherever the figure is shown, for its upper right corner.
    """
    if mark:
        figure.text(0.995, 0.995, mark, ha="right", va="top", fontsize=6, color=MUTED)
    write_atomically(path, render(figure, "pdf" if path.suffix == ".pdf" else "png"))
    return path
