"""The page of a comparison."""

from __future__ import annotations

from experiments.report.comparison import Comparison
from experiments.report.fragments import bullets
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
from experiments.report.shell import frame_page
from experiments.report.summary import summarise
from lightning_modules.wording import join

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
    return frame_page(_title(comparison), bullets(summarise(comparison), _SENTENCES), present, explorer_style(), script)


def _title(comparison: Comparison) -> str:
    labels = list(comparison.groups)
    named = join(labels) if len(labels) <= _MOST_NAMES else f"{len(labels)} models"
    compared = "compared" if len(comparison.runs) > 1 else "tested"
    return f"{named} {compared}: detection and explanations"
