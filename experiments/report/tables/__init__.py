"""The comparison as tables, for the terminal, the page and files alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from experiments.report.comparison import Comparison
from experiments.report.evidence import MEASURES
from experiments.report.tables.checks import deletion_table, sanity_table
from experiments.report.tables.data import clips_table
from experiments.report.tables.detection import ablation_table, detection_table, detection_type_table
from experiments.report.tables.explanations import anomaly_type_table, measure_table, overview_table
from experiments.report.tables.paired import masked_error_table, paired_tables
from experiments.report.tables.table import MISSING, Cell, Row, Table, only_columns

__all__ = [
    "MISSING",
    "Cell",
    "Row",
    "Table",
    "all_tables",
    "anomaly_type_table",
    "clips_table",
    "data_tables",
    "detection_table",
    "detection_tables",
    "explanation_tables",
    "measure_table",
    "only_columns",
    "overview_table",
]


def all_tables(comparison: Comparison) -> list[Table]:
    """Every table that the runs have results for, in the report's order."""
    return [*data_tables(comparison), *detection_tables(comparison), *explanation_tables(comparison)]


def data_tables(comparison: Comparison) -> list[Table]:
    """The test clips."""
    return _marked(comparison, [clips_table(comparison)])


def detection_tables(comparison: Comparison) -> list[Table]:
    """Detection by model, by type of anomaly and by mask."""
    tables: list[Table | None] = [detection_table(comparison)]
    if comparison.first.clips.has_roc:
        tables += [detection_type_table(comparison), ablation_table(comparison)]
    return _marked(comparison, tables)


def explanation_tables(comparison: Comparison) -> list[Table]:
    """Explanations: the overview, models compared, each measure on its own, and checks."""
    if not comparison.explained:
        return []
    tables: list[Table | None] = []
    if comparison.percentiles:
        measures = [measure for measure in MEASURES if comparison.measured(measure)]
        tables += [overview_table(comparison), *paired_tables(comparison), masked_error_table(comparison)]
        if "f1" in measures:
            tables.append(anomaly_type_table(comparison))
        tables += [measure_table(comparison, measure, best) for measure in measures for best in (False, True)]
    tables += [deletion_table(comparison), sanity_table(comparison)]
    return _marked(comparison, tables)


def _marked(comparison: Comparison, tables: Iterable[Table | None]) -> list[Table]:
    """The tables that there are; each says what its bold numbers mean, and of a constructed test set that it is one."""
    return [replace(table, note=table.note + _bold(table) + comparison.mark) for table in tables if table is not None]


def _bold(table: Table) -> str:
    best = any(cell.best for group in table.groups for row in group for cell in row)
    return " Bold: the best mean of its group as printed; no test over clips or seeds stands behind it." if best else ""
