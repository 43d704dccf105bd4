"""From a figure to bytes and files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure

from experiments.figures.style import styled
from experiments.files import write_atomically

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


def save_png(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG, complete or not at all, into a folder that is made if need be."""
    write_atomically(path, render(figure, "png"))
    return path


def save_pdf(figure: Figure, path: Path) -> Path:
    """Write the figure as vector PDF with its fonts inside, complete or not at all."""
    write_atomically(path, render(figure, "pdf"))
    return path
