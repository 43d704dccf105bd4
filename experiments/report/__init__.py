"""Comparison of tested runs: evidence, tables, figures and one page."""
