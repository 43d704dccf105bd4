"""Describing a data set on disk: what its clips hold, and what is wrong with them."""

from datamodules.description.findings import Duplicates, Findings, Shared, find
from datamodules.description.measure import Measured
from datamodules.description.survey import (
    LayoutName,
    Survey,
    SurveyedClip,
    default_front_end,
    find_layout,
    scan_layout,
    survey,
)

__all__ = [
    "Duplicates",
    "Findings",
    "LayoutName",
    "Measured",
    "Shared",
    "Survey",
    "SurveyedClip",
    "default_front_end",
    "find",
    "find_layout",
    "scan_layout",
    "survey",
]
