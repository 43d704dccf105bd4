"""The baseline detectors: against scikit-learn, by hand, and in real trainer runs."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from scipy.spatial.distance import cdist
from sklearn import ensemble, svm
from torch.utils.data import DataLoader

from lightning_modules import ConfigurationError, IsolationForest, NearestNeighbours, OneClassSVM

DETECTORS = [OneClassSVM, IsolationForest, NearestNeighbours]
SIZE = {"n_mels": 6, "n_frames": 5}


@pytest.fixture
def clips():
    """Training and test clips, 6 bands by 5 frames."""
    generator = np.random.default_rng(0)
    return [generator.normal(-20, 3, size=(n, 6, 5)).astype(np.float32) for n in (30, 7)]


def loader(clips, shuffle=False):
    return DataLoader(
        [{"spectrogram": torch.from_numpy(clip), "index": index} for index, clip in enumerate(clips)],
        batch_size=4,
        shuffle=shuffle,
    )


def trainer(tmp_path, **settings):
    return Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def scores(detector, train, test):
    """Scores of test clips by a detector that is fitted by itself, without a trainer."""
    detector.learned = detector.learn(train)
    return detector(torch.from_numpy(test)).numpy()


def test_one_class_svm_is_scikit_learns_with_gamma_auto(clips):
    train, test = (x.reshape(len(x), -1).astype(float) for x in clips)
    kernel = [np.exp(-cdist(x, train, "sqeuclidean") / 30) for x in (train, test)]
    by_hand = svm.OneClassSVM(kernel="precomputed", nu=0.2).fit(kernel[0])
    found = scores(OneClassSVM(**SIZE, nu=0.2), *clips)
    np.testing.assert_allclose(found, -by_hand.score_samples(kernel[1]), atol=1e-6)
    published = svm.OneClassSVM(kernel="rbf", gamma="auto", nu=0.5).fit(train)
    found = scores(OneClassSVM(**SIZE), *clips)
    np.testing.assert_allclose(found, -published.score_samples(test), atol=1e-12)
    assert np.ptp(found) > 1e-6


def test_one_class_svm_tells_apart_clips_that_are_far_from_all_others(clips):
    far = clips[0][:1] + np.arange(24, 28, dtype=np.float32)[:, None, None]  # kernel values of exp(-576) and less
    found = scores(OneClassSVM(**SIZE), clips[0], far)
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("count", [1, 2, 30, 300])
def test_isolation_forest_is_scikit_learns(count):
    generator = np.random.default_rng(1)
    train, test = (generator.normal(-20, 3, size=(n, 6, 5)).astype(np.float32) for n in (count, 7))
    torch.manual_seed(4)
    reference = ensemble.IsolationForest(random_state=4).fit(train.reshape(count, -1))
    found = scores(IsolationForest(**SIZE), train, test)
    np.testing.assert_allclose(found, -reference.score_samples(test.reshape(7, -1)), rtol=1e-12)


@pytest.mark.parametrize(("neighbours", "squared"), [(1, 16 / 3), (2, 2 + 16 / 3), (3, 8 + 16 / 3), (4, 2 + 64 / 3)])
def test_nearest_neighbours_by_hand(neighbours, squared):
    # Means over time 1, 3, 5, 3 (variance 2) and standard deviations 1, 1, 1, 2 (variance 3/16).
    train = np.array([[[0, 2]], [[2, 4]], [[4, 6]], [[1, 5]]], dtype=np.float32)
    # Mean 5, deviation 0: squared distances 8 + 16/3, 2 + 16/3, 16/3 and 2 + 64/3.
    found = scores(NearestNeighbours(1, 2, neighbours), train, np.array([[[5, 5]]], dtype=np.float32))
    np.testing.assert_allclose(found, [squared**0.5])


def test_nearest_neighbours_ignores_a_band_that_never_varies(clips):
    silent = [np.concatenate([x, np.full_like(x[:, :1], -80)], axis=1) for x in clips]
    expected = scores(NearestNeighbours(**SIZE), *clips)
    np.testing.assert_allclose(scores(NearestNeighbours(7, 5), *silent), expected)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("validates", [True, False])
def test_fits_in_one_epoch_whatever_the_order_of_the_clips(detector, validates, clips, tmp_path):
    torch.manual_seed(0)
    expected = scores(detector(**SIZE), *clips)
    torch.manual_seed(0)
    module = detector(**SIZE)
    run = trainer(tmp_path, max_epochs=9)
    run.fit(module, loader(clips[0], shuffle=True), loader(clips[1]) if validates else None)
    assert run.current_epoch == 1
    run.validate(module, loader(clips[1]), verbose=False)
    np.testing.assert_array_equal(module(torch.from_numpy(clips[1])), expected)

    checkpoint = torch.load(run.checkpoint_callback.best_model_path, weights_only=True)
    assert checkpoint["objective"] == detector.__name__
    fresh = detector(**SIZE)
    (batch, rest) = trainer(tmp_path).predict(
        fresh, loader(clips[1]), ckpt_path=run.checkpoint_callback.best_model_path, weights_only=True
    )
    assert set(batch) == {"score"}
    np.testing.assert_array_equal(torch.cat([batch["score"], rest["score"]]), expected)
    reloaded = detector.load_from_checkpoint(run.checkpoint_callback.best_model_path, weights_only=True)
    np.testing.assert_array_equal(reloaded(torch.from_numpy(clips[1])), expected)


def test_the_seed_decides_the_forest(clips):
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(scores(IsolationForest(**SIZE, trees=5), *clips).tolist())
    assert found[0] == found[1] != found[2]


def test_rejects_settings_out_of_range(clips, tmp_path):
    for build in (lambda: OneClassSVM(nu=0), lambda: IsolationForest(trees=0), lambda: NearestNeighbours(neighbours=0)):
        with pytest.raises(ConfigurationError, match=r"(nu|trees|neighbours)=0 is not valid; it must be"):
            build()
    with pytest.raises(ConfigurationError, match="neighbours=31, but there are only 30 training clips"):
        NearestNeighbours(**SIZE, neighbours=31).learn(clips[0])
    with pytest.raises(ConfigurationError, match="OneClassSVM is not fitted; fit it"):
        trainer(tmp_path).test(OneClassSVM(**SIZE), loader(clips[1]), verbose=False)


def test_rejects_a_checkpoint_of_another_detector(clips, tmp_path):
    run = trainer(tmp_path, max_epochs=1)
    run.fit(OneClassSVM(**SIZE), loader(clips[0]))
    path = run.checkpoint_callback.best_model_path
    with pytest.raises(ConfigurationError, match="is of an OneClassSVM, but the configuration says NearestNeighbours"):
        trainer(tmp_path).test(NearestNeighbours(**SIZE), loader(clips[1]), ckpt_path=path)
    with pytest.raises(ConfigurationError, match="trained with n_frames=5, but the configuration says n_frames=4"):
        trainer(tmp_path).test(OneClassSVM(6, 4), loader(clips[1]), ckpt_path=path)
    with pytest.raises(ConfigurationError, match=r"trained with nu=0\.5, but the configuration says nu=0\.1"):
        trainer(tmp_path).test(OneClassSVM(**SIZE, nu=0.1), loader(clips[1]), ckpt_path=path)
