"""Baseline detectors without gradients, fitted in one epoch: nearest neighbours, one-class SVM, isolation forest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_modules.base import AnomalyDetector, StepOutputs, require_number
from lightning_modules.distributed import gather_objects
from lightning_modules.errors import ConfigurationError

State = dict[str, Tensor]


class BaselineDetector(AnomalyDetector):
    """Base of detectors that learn from all training clips at once and reconstruct nothing.

    One epoch collects the clips of all processes; they are fitted before the first validation or checkpoint, whichever
    comes first, and training ends with the epoch. What was learned is a few plain tensors, which the checkpoint
    has in place of weights, so that nothing in it has to be unpickled.

    Args:
        n_mels: Mel bands F of the spectrograms.
        n_frames: Frames T of the spectrograms.
    """

    def __init__(self, n_mels: int = 80, n_frames: int = 400) -> None:
        super().__init__()
        self.learned: State = {}
        """What was learned, on the CPU; empty before `fit`."""
        # Lightning writes checkpoints after optimiser steps only, and its distributed strategies want a parameter.
        self.placeholder = nn.Parameter(torch.zeros(()))
        self._clips: list[tuple[Tensor, Tensor]] = []
        self._n_fitted = 0

    def learn(self, x: NDArray[np.float32]) -> State:
        """Learn from normal clips (N, F, T) in dB, each there once and always in the same order."""
        raise NotImplementedError

    def score(self, x: Tensor) -> Tensor:
        """Anomaly scores (B,), float64, of clips (B, F, T) in dB on the CPU; on the detector's own scale."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Score clips: (B, F, T) in dB to (B,)."""
        if not self.learned:
            raise ConfigurationError(f"{type(self).__name__} is not fitted; fit it, or load a checkpoint of a fit")
        return self.score(x.cpu().float())

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Collect a batch; returns a loss without effect."""
        self._clips.append((batch["index"].cpu(), self.spectrograms(batch).cpu().float()))
        return 0 * self.placeholder

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0) -> StepOutputs:
        """Score a batch; zeros in the check that Lightning makes before it trains."""
        x = self.spectrograms(batch)
        return {"score": torch.zeros(len(x)) if self.trainer.sanity_checking else self(x)}

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> StepOutputs:
        """Score a batch of clips."""
        return {"score": self(self.spectrograms(batch))}

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0) -> StepOutputs:
        """Score a batch of windows; the second loader has those that calibrate."""
        return self.test_step(batch, batch_idx)

    def on_train_start(self) -> None:
        """Begin a training without clips; one that is resumed after its epoch has nothing left to do."""
        self._clips, self._n_fitted = [], 0
        self.trainer.should_stop = self.current_epoch > 0

    def on_validation_start(self) -> None:
        """Fit the clips of the epoch, which validation is part of."""
        self._fit()

    def on_train_epoch_end(self) -> None:
        """Fit the clips of the epoch if no validation did, and end the training."""
        self._fit()
        self._clips, self._n_fitted = [], 0
        self.trainer.should_stop = True

    def _fit(self) -> None:
        """Learn from the clips that any process has collected, if there are new ones; every process must call it."""
        if len(self._clips) == self._n_fitted:
            return
        self._n_fitted = len(self._clips)
        own = tuple(torch.cat(parts) for parts in zip(*self._clips, strict=True))
        index, x = (torch.cat(parts).numpy() for parts in zip(*gather_objects(own), strict=True))
        # Samplers shuffle the clips, and deal some twice where they pad; the order of the data set is the same always.
        _, first = np.unique(index, return_index=True)
        self.learned = self.learn(x[first])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """An optimiser that changes nothing."""
        return torch.optim.SGD([self.placeholder], lr=0.0)

    def get_extra_state(self) -> State:
        """What was learned, for the checkpoint."""
        return self.learned

    def set_extra_state(self, state: State) -> None:
        """Take what a checkpoint contains."""
        self.learned = {name: value.clone() for name, value in state.items()}


class NearestNeighbours(BaselineDetector):
    """Distance to the k-th nearest training clip (Ramaswamy, Rastogi & Shim, 2000) in log-mel statistics.

    A clip is the mean and the standard deviation over time of each band, 2 F numbers, each standardised by its mean
    and standard deviation over the training clips; distances are Euclidean.

    Args:
        n_mels: Mel bands F of the spectrograms.
        n_frames: Frames T of the spectrograms.
        neighbours: k, at least 1 and at most the number of training clips.

    Raises:
        ConfigurationError: If there are fewer training clips than neighbours, or no neighbour is asked for.
    """

    architecture_hparams = ("n_mels", "n_frames", "neighbours")

    def __init__(self, n_mels: int = 80, n_frames: int = 400, neighbours: int = 3) -> None:
        super().__init__(n_mels, n_frames)
        self.save_hyperparameters()
        require_number("neighbours", neighbours, lambda k: k >= 1, "at least 1", whole=True)
        self.neighbours = neighbours

    def check_clips(self, n_training: int, held_out: str = "") -> None:
        """Check that there are enough training clips; `held_out` tells of others that are not trained on."""
        if n_training < self.neighbours:
            raise ConfigurationError(
                f"neighbours={self.neighbours}, but there are only {n_training} training clips{held_out}; lower it"
            )

    def learn(self, x: NDArray[np.float32]) -> State:
        """Keep the training clips' statistics."""
        self.check_clips(len(x))
        statistics = self._statistics(torch.from_numpy(x))
        spread = statistics.std(dim=0, correction=0)
        # What never varies in training, such as a silent band, can't be measured in its own spread.
        spread[spread == 0] = 1
        centre = statistics.mean(dim=0)
        return {"centre": centre, "spread": spread, "clips": (statistics - centre) / spread}

    def score(self, x: Tensor) -> Tensor:
        """Distance to the k-th nearest training clip."""
        standardised = (self._statistics(x) - self.learned["centre"]) / self.learned["spread"]
        exact = "donot_use_mm_for_euclid_dist"
        return torch.cdist(standardised, self.learned["clips"], compute_mode=exact).kthvalue(self.neighbours).values

    @staticmethod
    def _statistics(x: Tensor) -> Tensor:
        """Mean and standard deviation over time of each band: (N, F, T) to (N, 2 F)."""
        x = x.double()
        return torch.cat([x.mean(dim=2), x.std(dim=2, correction=0)], dim=1)


class OneClassSVM(BaselineDetector):
    """One-class support vector machine (Schölkopf et al., 2001) on raw spectrograms, as published in the paper's table.

    A clip is the vector of its F · T values in dB; the kernel is exp(-|a - b|² / (F · T)), scikit-learn's RBF with
    `gamma="auto"`. Time grows with the square of the number of clips, and with F · T: the planer set's 3,900
    training clips of 80 × 400 and 3,235 test clips take an estimated 10 to 20 minutes on one core and 3 GB of memory.

    Args:
        n_mels: Mel bands F of the spectrograms.
        n_frames: Frames T of the spectrograms.
        nu: Upper bound of the share of training clips left outside, above 0 and up to 1.

    Raises:
        ConfigurationError: If nu is out of range.
    """

    architecture_hparams = ("n_mels", "n_frames", "nu")

    def __init__(self, n_mels: int = 80, n_frames: int = 400, nu: float = 0.5) -> None:
        super().__init__(n_mels, n_frames)
        self.save_hyperparameters()
        require_number("nu", nu, lambda share: 0 < share <= 1, "above 0 and at most 1")
        self.nu = nu

    def learn(self, x: NDArray[np.float32]) -> State:
        """Find the clips that support the boundary, and their weights."""
        from sklearn import svm  # noqa: PLC0415  takes a second

        fitted = svm.OneClassSVM(nu=self.nu, gamma="auto").fit(x.reshape(len(x), -1))
        return {
            "support_vectors": torch.from_numpy(x.reshape(len(x), -1)[fitted.support_]),
            "weights": torch.from_numpy(fitted.dual_coef_[0].copy()),
        }

    def score(self, x: Tensor) -> Tensor:
        """How little a clip is like the support vectors, -Σ wₙ k(x, xₙ): scikit-learn's `-score_samples`.

        Without the boundary's offset, which would round away what tells apart clips far from all support vectors.
        """
        vectors = x.flatten(1).double()
        distance = torch.cdist(vectors, self.learned["support_vectors"].double())
        kernel = torch.exp(-distance.square() / vectors.shape[1])
        return -(kernel @ self.learned["weights"])


class IsolationForest(BaselineDetector):
    """Isolation forest (Liu, Ting & Zhou, 2008) on raw spectrograms, with scikit-learn's settings.

    A clip is the vector of its F · T values in dB. What is drawn follows from the run's seed.

    Args:
        n_mels: Mel bands F of the spectrograms.
        n_frames: Frames T of the spectrograms.
        trees: Number of trees, each of 256 clips drawn at random, or of all if there are fewer.

    Raises:
        ConfigurationError: If there is no tree.
    """

    architecture_hparams = ("n_mels", "n_frames", "trees")

    def __init__(self, n_mels: int = 80, n_frames: int = 400, trees: int = 100) -> None:
        super().__init__(n_mels, n_frames)
        self.save_hyperparameters()
        require_number("trees", trees, lambda n: n >= 1, "at least 1", whole=True)
        self.trees = trees

    def learn(self, x: NDArray[np.float32]) -> State:
        """Grow the trees, kept as tables of their nodes, (trees, nodes)."""
        from sklearn import ensemble  # noqa: PLC0415  takes a second

        seed = torch.initial_seed() % 2**32
        forest = ensemble.IsolationForest(n_estimators=self.trees, random_state=seed).fit(x.reshape(len(x), -1))
        trees = [tree.tree_ for tree in forest.estimators_]

        def table(columns: list[NDArray[Any]]) -> Tensor:
            return nn.utils.rnn.pad_sequence([torch.from_numpy(column.copy()) for column in columns], batch_first=True)

        return {
            "left": table([tree.children_left for tree in trees]),
            "right": table([tree.children_right for tree in trees]),
            "feature": table([tree.feature for tree in trees]),
            "threshold": table([tree.threshold for tree in trees]),
            "path_length": table([_path_lengths(tree) for tree in trees]),
            "usual_path_length": torch.from_numpy(_mean_path_length(np.array([min(256, len(x))]))),
        }

    def score(self, x: Tensor) -> Tensor:
        """How few splits isolate a clip, in (0, 1)."""
        vectors, learned = x.flatten(1), self.learned
        tree = torch.arange(len(learned["left"]))
        node = torch.zeros(len(x), len(tree), dtype=torch.long)
        while (is_inner := learned["left"][tree, node] >= 0).any():
            value = vectors.gather(1, learned["feature"][tree, node].clamp_min(0))
            goes_left = value <= learned["threshold"][tree, node]
            child = torch.where(goes_left, learned["left"][tree, node], learned["right"][tree, node])
            node = torch.where(is_inner, child, node)
        usual = learned["usual_path_length"]
        mean = learned["path_length"][tree, node].mean(dim=1)
        return 2.0 ** -torch.where(usual > 0, mean / usual, 1.0)


def _path_lengths(tree: Any) -> NDArray[np.float64]:
    """Splits above each node of a tree, and those that its clips would still need on average."""
    depth = np.zeros(tree.node_count)
    for node, (left, right) in enumerate(zip(tree.children_left, tree.children_right, strict=True)):
        if left >= 0:  # a child comes after its parent
            depth[[left, right]] = depth[node] + 1
    return depth + _mean_path_length(tree.n_node_samples)


def _mean_path_length(n_clips: NDArray[Any]) -> NDArray[np.float64]:
    """Mean depth of a leaf in a random tree of n clips (Liu, Ting & Zhou, 2008, equation 1)."""
    n = np.maximum(n_clips.astype(np.float64), 2)
    length = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
    return np.select([n_clips <= 1, n_clips == 2], [0.0, 1.0], length)
