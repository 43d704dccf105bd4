"""The figures of the page that one can switch and read values off, without any library."""

from experiments.report.interactive.inline import explorer_html, explorer_script, explorer_style

__all__ = ["explorer_html", "explorer_script", "explorer_style"]
