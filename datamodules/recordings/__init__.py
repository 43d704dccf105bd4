"""From recordings of minutes or hours to the clips that models are trained on."""

from __future__ import annotations

from datamodules.recordings.manifest import MANIFEST_FILE
from datamodules.recordings.slicing import SliceSummary, slice_recordings

__all__ = ["MANIFEST_FILE", "SliceSummary", "slice_recordings"]
