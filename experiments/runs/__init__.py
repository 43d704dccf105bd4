"""A run's folder: its configuration, checkpoints and log, and reading its results."""
