"""What Weights & Biases gets to see of a run, and how it is laid out there."""

from experiments.tracking.loggers import build_loggers
from experiments.tracking.settings import WandbSettings

__all__ = ["WandbSettings", "build_loggers"]
