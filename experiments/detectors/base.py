"""What every reference detector can do."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Spectrograms = NDArray[np.float32]
Scores = NDArray[np.float64]


class Detector(ABC):
    """Learns from normal clips what is normal, and scores how far other clips are from it."""

    @abstractmethod
    def fit(self, x: Spectrograms) -> None:
        """Learn from normal clips (N, F, T), dB.

        Raises:
            ConfigurationError: If a setting does not fit the clips.
        """

    @abstractmethod
    def score(self, x: Spectrograms) -> Scores:
        """Anomaly scores (N,) of clips (N, F, T) in dB; higher is more anomalous, on the detector's own scale."""
