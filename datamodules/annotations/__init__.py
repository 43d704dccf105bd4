"""Annotated intervals of clips: reading three file formats, joining to clips, frame masks, checks and conversion.

The formats are the planer authors' CSV (:mod:`~datamodules.annotations.authors`), a plain CSV in seconds
(:mod:`~datamodules.annotations.reading`) and Audacity's label tracks (:mod:`~datamodules.annotations.audacity`).
"""

from __future__ import annotations

from datamodules.annotations.convert import convert_annotations
from datamodules.annotations.joining import annotate, check_annotations, frame_mask
from datamodules.annotations.reading import ANNOTATION_FILE, annotation_format, read_annotations
from datamodules.annotations.rows import AnnotationRow

__all__ = [
    "ANNOTATION_FILE",
    "AnnotationRow",
    "annotate",
    "annotation_format",
    "check_annotations",
    "convert_annotations",
    "frame_mask",
    "read_annotations",
]
