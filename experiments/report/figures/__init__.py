"""Figures of runs: pure functions from data to Matplotlib figures, and how they are saved."""
