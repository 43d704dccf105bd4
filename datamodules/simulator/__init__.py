"""A planer simulator: sounds of a planing machine in the published layout, with known anomalies."""

from datamodules.simulator.dataset import simulate

__all__ = ["simulate"]
