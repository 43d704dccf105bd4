"""Conditions under which recordings are made, such as a speed or a load, and the calibration of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from datamodules.annotations.rows import bare_name
from datamodules.annotations.table import read_table
from datamodules.errors import DataError, quoted
from experiments.predictions.calibration import Calibration
from experiments.predictions.decisions import AlarmSettings, Decider

FOLDER = "folder"
"""Names the conditions by the folders of recordings, in place of a file."""

UNKNOWN = ""
"""Condition of a recording for which none is given."""

ALL = "all"
"""The one condition where none are told apart."""


@dataclass(frozen=True)
class Conditions:
    """Knows the condition of a recording by its name.

    Attributes:
        of_names: Condition by name without suffix, and by file name without folder where that is clear; None where the
            folder that a recording lies in is its condition.
    """

    of_names: Mapping[str, str] | None

    @classmethod
    def read(cls, given: str) -> Conditions:
        """Read conditions.

        Args:
            given: ``folder``; or a CSV file with the columns name and one other, or FILE:COLUMN if it has more columns.

        Raises:
            DataError: The file cannot be read, lacks a column, or has two conditions for one name.
        """
        if given == FOLDER:
            return cls(None)
        path, column = Path(given).expanduser(), ""
        if not path.is_file() and ":" in given:
            file, _, column = given.rpartition(":")
            path = Path(file).expanduser()
        if not path.is_file():
            raise DataError(f"--condition {given} is not a file; give {FOLDER}, or a CSV file with the column name")
        table = read_table(path)
        others = [other for other in table.header if other not in ("", "name")]
        if not column and len(others) > 1:
            raise DataError(f"--condition {given} has the columns {', '.join(others)}; choose one: {given}:{others[0]}")
        column = " ".join(column.lower().split()) or (others[0] if others else "condition")
        table.require(["name", column], f"name and {column}")
        if table.malformed:
            raise table.malformed[0]
        of_names: dict[str, str] = {}
        of_files = defaultdict(set)
        for number, cells in table.rows:
            name, condition = bare_name(cells.get("name", "")), cells.get(column, "")
            if of_names.setdefault(name, condition) != condition:
                raise DataError(f"{path} row {number}: {quoted(name)} has another {column} than in an earlier row")
            of_files[PurePosixPath(name).name].add(condition)
        clear = {file: conditions.pop() for file, conditions in of_files.items() if len(conditions) == 1}
        return cls(clear | of_names)

    def of(self, name: str, path: Path | None = None) -> str:
        """The condition of a recording.

        Args:
            name: Its name in results.
            path: Its file, where it is known, since a name may have no folder.

        Returns:
            Its condition; empty if none is given.
        """
        if self.of_names is None:
            return PurePosixPath(name).parent.name if path is None else path.absolute().parent.name
        bare = bare_name(name)
        return self.of_names.get(bare, self.of_names.get(PurePosixPath(bare).name, UNKNOWN))


@dataclass(frozen=True)
class Deciders:
    """A decider for each condition, calibrated with normal stretches of that condition alone.

    So the promise holds in each condition, and not only on average over them (Mondrian conformal prediction: Vovk,
    Gammerman & Shafer, Algorithmic Learning in a Random World, 2005, section 4.5).

    Attributes:
        by_condition: The deciders; none without a calibration.
        conditions: Condition of each recording, by its name.
    """

    by_condition: Mapping[str, Decider]
    conditions: Mapping[str, str]

    def calibrated(
        self,
        calibration: Calibration,
        conditions: Sequence[str],
        settings: AlarmSettings,
        window_seconds: float,
        hop_seconds: float,
    ) -> Deciders:
        """Calibrate each known condition in which there are recordings.

        Args:
            calibration: Normal stretches of all conditions.
            conditions: Condition of each stretch.
            settings: What raises an alarm.
            window_seconds: Length of a window in s.
            hop_seconds: Step from window to window in s.
        """
        found = {}
        for condition in sorted({*self.conditions.values()} & {*conditions} - {UNKNOWN}):
            subset = calibration.subset(np.array(conditions) == condition)
            found[condition] = Decider(subset, settings, window_seconds, hop_seconds)
        return Deciders(found, self.conditions)

    def of(self, name: str) -> Decider | None:
        """The decider about a recording; None where its condition is not calibrated."""
        return self.by_condition.get(self.conditions[name])
