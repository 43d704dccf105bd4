"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from experiments.report.comparison import Comparison
from experiments.report.fragments import Section
from experiments.report.sections import (
    configuration_section,
    detection_section,
    example_section,
    explanation_section,
    replacement_section,
    training_section,
)
from experiments.report.summary import join, summarise

_TEMPLATE = Path(__file__).with_name("page.html")


def build_page(comparison: Comparison) -> str:
    """The whole page, figures included."""
    sections = [
        detection_section(comparison),
        explanation_section(comparison),
        example_section(comparison),
        replacement_section(comparison),
        training_section(comparison),
        configuration_section(comparison),
    ]
    present = [section for section in sections if section is not None]
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(_title(comparison)),
        summary="".join(f"<li>{escape(sentence)}</li>" for sentence in summarise(comparison)),
        contents="".join(f'<a href="#{_anchor(section)}">{escape(section.title)}</a>' for section in present),
        sections="".join(
            f'<section id="{_anchor(section)}"><h2>{escape(section.title)}</h2>{section.html}</section>'
            for section in present
        ),
    )


def _title(comparison: Comparison) -> str:
    objectives = join(list(dict.fromkeys(run.objective for run in comparison.runs.values())))
    compared = "compared" if len(comparison.runs) > 1 else "tested"
    return f"{objectives} {compared}: detection and explanations"


def _anchor(section: Section) -> str:
    return section.title.lower().replace(" ", "-")
