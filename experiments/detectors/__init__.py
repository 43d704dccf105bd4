"""The field's reference detectors, chosen by name: they fit in minutes and explain nothing."""

from experiments.detectors.base import Detector
from experiments.detectors.nearest_neighbours import NearestNeighbours
from experiments.detectors.raw_spectrograms import IsolationForest, OneClassSVM

DETECTORS: dict[str, type[Detector]] = {
    "one_class_svm": OneClassSVM,
    "isolation_forest": IsolationForest,
    "knn": NearestNeighbours,
}

__all__ = ["DETECTORS", "Detector", "IsolationForest", "NearestNeighbours", "OneClassSVM"]
