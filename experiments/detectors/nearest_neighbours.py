"""A nearest-neighbour detector on what a clip's bands do on average."""

# No postponed annotations: the command line reads these signatures.
import numpy as np
from numpy.typing import NDArray
from sklearn import neighbors as sklearn_neighbors

from experiments.detectors.base import Detector, Scores, Spectrograms
from lightning_modules.errors import ConfigurationError


class NearestNeighbours(Detector):
    """Distance to the k-th nearest training clip (Ramaswamy, Rastogi & Shim, 2000) in log-mel statistics.

    A clip is the mean and the standard deviation over time of each band, 2 F numbers, each standardised by its mean
    and standard deviation over the training clips; distances are Euclidean.

    Args:
        neighbours: k, at least 1 and at most the number of training clips.

    Raises:
        ConfigurationError: If there are fewer neighbours than asked for, or none is.
    """

    def __init__(self, neighbours: int = 3) -> None:
        if neighbours < 1:
            raise ConfigurationError(f"--detector.neighbours is {neighbours}; it must be at least 1")
        self._neighbours = neighbours
        self._index = sklearn_neighbors.NearestNeighbors(n_neighbors=neighbours)

    def fit(self, x: Spectrograms) -> None:
        """Keep the training clips' statistics."""
        if len(x) < self._neighbours:
            raise ConfigurationError(
                f"--detector.neighbours is {self._neighbours}, but there are only {len(x)} training clips; lower it"
            )
        statistics = _statistics(x)
        spread = statistics.std(axis=0)
        self._centre = statistics.mean(axis=0)
        # What never varies in training, such as a silent band, can't be measured in its own spread.
        self._spread = np.where(spread > 0, spread, 1)
        self._index.fit(self._standardise(statistics))

    def score(self, x: Spectrograms) -> Scores:
        """Distance to the k-th nearest training clip."""
        distances, _ = self._index.kneighbors(self._standardise(_statistics(x)))
        return distances[:, -1]

    def _standardise(self, statistics: NDArray[np.float64]) -> NDArray[np.float64]:
        return (statistics - self._centre) / self._spread


def _statistics(x: Spectrograms) -> NDArray[np.float64]:
    """Mean and standard deviation over time of each band: (N, F, T) to (N, 2 F)."""
    return np.concatenate([x.mean(axis=2, dtype=np.float64), x.std(axis=2, dtype=np.float64)], axis=1)
