"""The `report` command: runs compared in the terminal and on one page."""

from experiments.report.command import print_comparison, report
from experiments.report.comparison import load_comparison

__all__ = ["load_comparison", "print_comparison", "report"]
