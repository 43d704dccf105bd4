"""The study that a run belongs to, ``study.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.runs.folder import STUDY_FILE
from experiments.runs.results.reading import naming


@dataclass(frozen=True)
class StudyMembership:
    """A run's place in a study.

    Attributes:
        study: The study's name.
        variant: What the run is called in tables, as all runs that differ from it in settings or seed only.
        settings: Overrides of the study's grid, by name.
        seed: Seed of the run.
    """

    study: str
    variant: str
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


def read_membership(run: Path) -> StudyMembership | None:
    """Read the study that a run's folder belongs to, None for a run of its own.

    Raises:
        ConfigurationError: If the file is damaged.
    """
    path = run / STUDY_FILE
    if not path.is_file():
        return None
    with naming(path):
        stored = json.loads(path.read_text(encoding="utf-8"))
        settings = {str(key): value for key, value in stored.get("settings", {}).items()}
        return StudyMembership(str(stored["study"]), str(stored["variant"]), settings, int(stored["seed"]))
