"""The `report` command: runs compared in the terminal and on one page."""

from experiments.report.command import report

__all__ = ["report"]
