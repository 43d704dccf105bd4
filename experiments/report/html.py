"""Self-contained HTML pages: parts of a page, and the template that frames them.

A page is a mapping of section names to lists of parts. The macro of a part in ``templates/parts.html.jinja`` has the
name of its class, in lower case; a string is a paragraph and the images of a list are side by side.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import lazy_loader

from experiments.report.figures.output import Format, render
from experiments.report.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

jinja2 = lazy_loader.load("jinja2")

_MEDIA_TYPES: dict[Format, str] = {"svg": "image/svg+xml", "webp": "image/webp"}

_NARROW = 450
"""Pixels up to which a figure is readable when it is shrunk to a telephone's width."""


@dataclass(frozen=True)
class Heading:
    """A heading below a section's, with the path of a file after it."""

    text: str
    path: str = ""


@dataclass(frozen=True)
class Untitled:
    """A table below a heading that already says what it shows."""

    table: Table


@dataclass(frozen=True)
class Folded:
    """A table or preformatted text that opens on demand."""

    summary: str
    contents: Table | str


@dataclass(frozen=True)
class Remark:
    """A sentence and how serious it is.

    Attributes:
        level: "info" describes, a "warning" makes results doubtful, an "error" makes data unusable.
        text: The sentence.
    """

    level: Literal["info", "warning", "error"]
    text: str


@dataclass(frozen=True)
class Image:
    """A figure as an image inside the page.

    Attributes:
        source: Data URI of the image.
        caption: What it shows; no caption is set if empty.
        alternative: Text for readers who cannot see the image.
        width: Width in CSS pixels.
        height: Height in CSS pixels.
    """

    source: str
    caption: str
    alternative: str
    width: int
    height: int

    @property
    def is_wide(self) -> bool:
        """Whether the figure scrolls on a telephone instead of shrinking."""
        return self.width > _NARROW


def image(figure: Figure, caption: str = "", format: Format = "svg", alternative: str | None = None) -> Image:
    """Embed a Matplotlib figure.

    Args:
        figure: The figure.
        caption: Text below the image.
        format: SVG for lines, WebP for spectrograms.
        alternative: Text for readers who cannot see the image; the caption by default.
    """
    data = base64.b64encode(render(figure, format)).decode()
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Image(f"data:{_MEDIA_TYPES[format]};base64,{data}", caption, alternative or caption, width, height)


def render_page(
    title: str,
    remarks: Sequence[Remark],
    shown: int,
    sections: Mapping[str, Sequence[Any]],
    scripts: Sequence[str] = (),
) -> str:
    """Render a whole page.

    Args:
        title: The page's heading.
        remarks: Sentences below the heading.
        shown: Remarks after so many are folded.
        sections: Parts by the section's name; sections without parts are left out.
        scripts: The only programs that the page's content security policy allows.
    """
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    policy = "default-src 'none'; img-src data:; media-src data: 'self'; style-src 'unsafe-inline'; script-src "
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("experiments.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["macro"] = lambda part: type(part).__name__.lower()
    environment.filters["anchor"] = lambda name: name.lower().replace(" ", "-")
    return environment.get_template("page.html.jinja").render(
        title=title,
        policy=policy + (" ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"),
        remarks=remarks,
        shown=shown,
        sections={name: parts for name, parts in sections.items() if parts},
        scripts=scripts,
    )
