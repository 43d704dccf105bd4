"""Pieces of the page; every text that comes from outside is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from matplotlib.figure import Figure

from experiments.report.figures import render
from experiments.report.figures.output import Format
from experiments.report.tables import Table

_MEDIA_TYPES: dict[Format, str] = {"svg": "image/svg+xml", "webp": "image/webp"}

_NARROW = 450
"""Pixels up to which a figure is readable when it is shrunk to a telephone's width."""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: Its heading.
        html: Its contents.
        interactive: Whether it needs the page's program.
    """

    title: str
    html: str
    interactive: bool = False


def table_html(table: Table, heading: bool = True) -> str:
    """A table that scrolls sideways where the page is narrow."""
    head = "".join(f'<th scope="col"{_align(i, table)}>{escape(name)}</th>' for i, name in enumerate(table.header))
    bodies = []
    for group in table.groups:
        rows = (
            "".join(
                f"<td{_align(i, table)}>{f'<b>{escape(cell.text)}</b>' if cell.best else escape(cell.text)}</td>"
                for i, cell in enumerate(row)
            )
            for row in group
        )
        bodies.append("<tbody>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</tbody>")
    title = f"<h3>{escape(table.title)}</h3>" if heading else ""
    return (
        f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead>{"".join(bodies)}</table></div>'
        f'<p class="note">{escape(table.note)}</p>'
    )


def folded(table: Table) -> str:
    """A table that opens on demand."""
    return f"<details><summary>{escape(table.title)}</summary>{table_html(table, heading=False)}</details>"


def figure_html(figure: Figure, caption: str, format: Format = "svg", alternative: str | None = None) -> str:
    """A figure with its caption, the image inside the page.

    Args:
        figure: What to show.
        caption: What one sees; no caption is set where it is "".
        format: SVG for lines, WebP for spectrograms.
        alternative: Text for who cannot see the image; the caption by default.
    """
    data = base64.b64encode(render(figure, format)).decode()
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure{" class=wide" if width > _NARROW else ""}><div class="scroll">'
        f'<img src="data:{_MEDIA_TYPES[format]};base64,{data}" alt="{escape(alternative or caption)}" '
        f'width="{width}" height="{height}"></div>{below}</figure>'
    )


def side_by_side(parts: Sequence[str]) -> str:
    """Parts next to each other, below each other where the page is narrow."""
    return f'<div class="pair">{"".join(parts)}</div>'


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def clip_heading(path: str, kind: str) -> str:
    """A clip as a heading: what kind it is, and its file."""
    return f'<h3>{escape(kind)} <span class="path">{escape(path)}</span></h3>'


def bullets(sentences: Sequence[str], shown: int) -> str:
    """A list of plain sentences, those after the first few folded."""
    lists = [
        "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in part) + "</ul>"
        for part in (sentences[:shown], sentences[shown:])
    ]
    if len(sentences) <= shown:
        return lists[0]
    return f"{lists[0]}<details><summary>{len(sentences) - shown} more findings</summary>{lists[1]}</details>"


def details(summary: str, text: str) -> str:
    """Preformatted text that opens on demand."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


def _align(column: int, table: Table) -> str:
    return "" if column < table.names else ' class="number"'
