"""Detectors on raw spectrograms: a clip is the vector of its F · T log-mel values."""

# No postponed annotations: the command line reads these signatures.
import numpy as np
from numpy.typing import NDArray
from sklearn import ensemble, svm

from experiments.detectors.base import Detector, Scores, Spectrograms
from lightning_modules.errors import ConfigurationError


class OneClassSVM(Detector):
    """One-class support vector machine (Schölkopf et al., 2001) with scikit-learn's Gaussian kernel.

    The paper's reference [5] compares with one on raw spectrograms; the paper gives no settings of it, so they are
    scikit-learn's: the kernel is exp(-|a - b|² / (F · T · variance of all training values)), and nothing is scaled.
    Time grows with the square of the number of clips, and with F · T: the planer set's 3,900 training clips of
    80 × 400 and 3,235 test clips take an estimated 10 to 20 minutes on one core and 3 GB of memory.

    Args:
        nu: Upper bound of the share of training clips left outside, above 0 and up to 1.

    Raises:
        ConfigurationError: If nu is out of range.
    """

    def __init__(self, nu: float = 0.5) -> None:
        if not 0 < nu <= 1:
            raise ConfigurationError(f"--detector.nu is {nu}; it must be above 0 and at most 1")
        self._svm = svm.OneClassSVM(nu=nu)

    def fit(self, x: Spectrograms) -> None:
        """Find the clips that support the boundary."""
        self._svm.fit(_vectors(x))

    def score(self, x: Spectrograms) -> Scores:
        """Signed distance to the boundary, positive outside."""
        return -self._svm.decision_function(_vectors(x))


class IsolationForest(Detector):
    """Isolation forest (Liu, Ting & Zhou, 2008) on raw spectrograms, with scikit-learn's settings.

    Args:
        trees: Number of trees, each of 256 clips drawn at random, or of all if there are fewer.
        seed: Seed of the draws; not negative.

    Raises:
        ConfigurationError: If a setting is out of range.
    """

    def __init__(self, trees: int = 100, seed: int = 0) -> None:
        if trees < 1:
            raise ConfigurationError(f"--detector.trees is {trees}; it must be at least 1")
        self._forest = ensemble.IsolationForest(n_estimators=trees, random_state=seed)

    def fit(self, x: Spectrograms) -> None:
        """Grow the trees."""
        self._forest.fit(_vectors(x))

    def score(self, x: Spectrograms) -> Scores:
        """How few splits isolate a clip, in (0, 1)."""
        return -self._forest.score_samples(_vectors(x))


def _vectors(x: Spectrograms) -> NDArray[np.float32]:
    return x.reshape(len(x), -1)
