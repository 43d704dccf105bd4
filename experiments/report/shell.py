"""The frame of every page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from experiments.report.fragments import Section

_TEMPLATE = Path(__file__).with_name("page.html")


def frame_page(title: str, summary: str, sections: Sequence[Section], style: str = "", script: str = "") -> str:
    """A whole page.

    Args:
        title: Its heading.
        summary: HTML of what stands below that.
        sections: Its parts, listed in the navigation.
        style: Further CSS.
        script: A program, the only one that the page allows.
    """
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        policy=escape(_policy(script)),
        style=style,
        script=f'<script type="module">{script}</script>' if script else "",
        summary=summary,
        contents="".join(f'<a href="#{_anchor(section)}">{escape(section.title)}</a>' for section in sections),
        sections="".join(
            f'<section id="{_anchor(section)}"><h2>{escape(section.title)}</h2>{section.html}</section>'
            for section in sections
        ),
    )


def _policy(script: str) -> str:
    """Content security policy: images and styles of the page itself, its own program, and nothing from elsewhere."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if script else "'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"


def _anchor(section: Section) -> str:
    return section.title.lower().replace(" ", "-")
