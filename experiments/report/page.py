"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path
from string import Template

from experiments.report.comparison import Comparison
from experiments.report.fragments import Section, bullets
from experiments.report.interactive import explorer_script, explorer_style
from experiments.report.sections import (
    configuration_section,
    data_section,
    detection_section,
    example_section,
    explanation_section,
    replacement_section,
    training_section,
)
from experiments.report.summary import summarise
from experiments.report.verdicts import join

_TEMPLATE = Path(__file__).with_name("page.html")

_MOST_NAMES = 4
"""Models that a title names."""

_SENTENCES = 8
"""Sentences that stand above the figures; the others open on demand."""


def build_page(comparison: Comparison) -> str:
    """The whole page, figures included."""
    sections = [
        data_section(comparison),
        detection_section(comparison),
        explanation_section(comparison),
        example_section(comparison),
        replacement_section(comparison),
        training_section(comparison),
        configuration_section(comparison),
    ]
    present = [section for section in sections if section is not None]
    script = explorer_script() if any(section.interactive for section in present) else ""
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(_title(comparison)),
        policy=escape(_policy(script)),
        style=explorer_style(),
        script=f'<script type="module">{script}</script>' if script else "",
        summary=bullets(summarise(comparison), _SENTENCES),
        contents="".join(f'<a href="#{_anchor(section)}">{escape(section.title)}</a>' for section in present),
        sections="".join(
            f'<section id="{_anchor(section)}"><h2>{escape(section.title)}</h2>{section.html}</section>'
            for section in present
        ),
    )


def _policy(script: str) -> str:
    """Content security policy: images and styles of the page itself, its own program, and nothing from elsewhere."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if script else "'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"


def _title(comparison: Comparison) -> str:
    labels = list(comparison.groups)
    named = join(labels) if len(labels) <= _MOST_NAMES else f"{len(labels)} models"
    compared = "compared" if len(comparison.runs) > 1 else "tested"
    return f"{named} {compared}: detection and explanations"


def _anchor(section: Section) -> str:
    return section.title.lower().replace(" ", "-")
