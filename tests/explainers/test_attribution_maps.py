"""The registry, the callback in real trainer runs, and the examples it leaves on disk."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from explainers import EXPLAINERS, AttributionMaps, Explainer
from explainers.base import HasConvergenceDelta
from explainers.examples import Example
from lightning_modules import Autoencoder, ConfigurationError, NearestNeighbours

FAST = {"smoothgrad": {"n_samples": 2}, "gradient_shap": {"n_samples": 2}, "integrated_gradients": {"n_steps": 3}}


def clips():
    """Two normal clips, two annotated broken boards, a stuck one without annotation and another with."""
    generator = torch.Generator().manual_seed(1)
    kinds = [("", False), ("broken", True), ("stuck", False), ("", False), ("stuck", True), ("broken", True)]
    for index, (kind, annotated) in enumerate(kinds):
        annotation = torch.zeros(32, dtype=torch.bool)
        annotation[8:16] = annotated
        yield {
            "spectrogram": 10 * torch.randn(16, 32, generator=generator),
            "label": int(kind != ""),
            "index": index,
            "annotation": annotation,
            "annotated": annotated,
            "name": f"test/clip_{index}.wav",
            "anomaly_type": kind,
        }


class Reader(Callback):
    """What a metric callback would find in the outputs."""

    def __init__(self):
        self.batches = []

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.batches.append({**outputs, **batch})

    on_predict_batch_end = on_test_batch_end

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if dataloader_idx == 1:
            self.batches.append({**outputs, **batch})


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Autoencoder(n_mels=16, n_frames=32, backbone={"num_heads": 4})


def run(tmp_path, maps, **settings):
    reader = Reader()
    trainer = Trainer(
        accelerator="cpu",
        logger=CSVLogger(tmp_path, name="test", version=""),
        callbacks=[maps, reader],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **settings,
    )
    return trainer, reader


LOADER = DataLoader(list(clips()), batch_size=4)


@pytest.mark.parametrize(("chosen", "explained"), [("annotated", [1, 4, 5]), ("anomalous", [1, 2, 4, 5])])
def test_explains_the_chosen_clips_of_a_test(tmp_path, module, chosen, explained):
    trainer, reader = run(tmp_path, AttributionMaps(settings=FAST, clips=chosen))
    trainer.test(module, LOADER, verbose=False)
    found = torch.cat([batch["index"][batch["explained"]] for batch in reader.batches])
    assert found.tolist() == explained
    for batch in reader.batches:
        assert list(batch["attributions"]) == list(EXPLAINERS)
        for maps in batch["attributions"].values():
            assert maps.shape == batch["spectrogram"].shape
            assert torch.equal(maps.isfinite().all(2).all(1), batch["explained"])
        error = (batch["reconstruction"] - batch["spectrogram"]) ** 2
        torch.testing.assert_close(batch["attributions"]["error_map"][batch["explained"]], error[batch["explained"]])
    assert "test/convergence_delta/integrated_gradients" in trainer.callback_metrics


def test_keeps_the_first_of_each_type(tmp_path, module):
    maps = AttributionMaps(explainers=["error_map", "saliency"], clips="anomalous", examples=1)
    trainer, reader = run(tmp_path, maps)
    trainer.test(module, LOADER, verbose=False)
    kept = [Example.load(path) for path in sorted((tmp_path / "test" / "examples").iterdir())]
    assert [(example.name, example.anomaly_type) for example in kept] == [
        ("test/clip_1.wav", "broken"),
        ("test/clip_2.wav", "stuck"),
    ]
    first, batch = kept[0], reader.batches[0]
    np.testing.assert_array_equal(first.spectrogram, batch["spectrogram"][1])
    np.testing.assert_array_equal(first.reconstruction, batch["reconstruction"][1])
    np.testing.assert_array_equal(first.annotation, batch["annotation"][1])
    np.testing.assert_array_equal(first.attributions["saliency"], batch["attributions"]["saliency"][1])
    assert first.score == batch["score"][1].item()
    trainer.test(module, DataLoader(list(clips())[:1]), verbose=False)
    assert not list((tmp_path / "test").glob("examples/*")), "examples of an earlier test must not stay"


class Chooser(Callback):
    """Has the last windows of a prediction explained at its end."""

    def on_predict_epoch_end(self, trainer, pl_module):
        maps = trainer.callbacks[0]
        self.examples = maps.explain(trainer, pl_module, DataLoader(list(clips())[3:], batch_size=2))


def test_prediction_explains_what_is_chosen_at_its_end(tmp_path, module):
    trainer, reader = run(tmp_path, AttributionMaps(["error_map", "saliency"]))
    trainer.callbacks.append(chooser := Chooser())
    trainer.predict(module, LOADER)
    assert not any("attributions" in batch for batch in reader.batches)
    scores = torch.cat([batch["score"] for batch in reader.batches])
    assert [example.name for example in chooser.examples] == [f"test/clip_{index}.wav" for index in (3, 4, 5)]
    assert [example.score for example in chooser.examples] == pytest.approx(scores[3:].tolist(), rel=1e-5)
    for example in chooser.examples:
        error = (example.spectrogram - example.reconstruction) ** 2
        np.testing.assert_allclose(example.attributions["error_map"], error, rtol=1e-4, atol=1e-4)
        assert example.attributions["saliency"].shape == (16, 32)


@pytest.mark.parametrize(
    ("examples", "n_events", "expected"), [(None, 0, 2), (None, 3, 3), (None, 40, 10), (0, 5, 0), (7, 0, 7), (7, 40, 7)]
)
def test_how_many_windows_of_a_prediction_are_explained(examples, n_events, expected):
    assert AttributionMaps(examples=examples).n_windows(n_events) == expected


def test_validation_inside_fit_explains_little_and_writes_nothing(tmp_path, module):
    trainer, reader = run(tmp_path, AttributionMaps(settings=FAST), max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(module, LOADER, [LOADER, LOADER])
    assert [list(batch["attributions"]) for batch in reader.batches] == [["error_map"]] * 2
    assert not (tmp_path / "test" / "examples").exists()


def test_a_model_without_reconstruction_is_passed_over(tmp_path):
    module = NearestNeighbours(n_mels=16, n_frames=32)
    module.learned = module.learn(np.stack([clip["spectrogram"].numpy() for clip in clips()]))
    trainer, reader = run(tmp_path, AttributionMaps())
    trainer.test(module, LOADER, verbose=False)
    assert not any({"attributions", "explained"} & set(batch) for batch in reader.batches)
    assert not (tmp_path / "test" / "examples").exists()
    assert AttributionMaps().obstacles(module, "test") == {}


def test_only_integrated_gradients_has_a_convergence_delta(module):
    built = {name: explainer(module) for name, explainer in EXPLAINERS.items()}
    assert [name for name, each in built.items() if isinstance(each, HasConvergenceDelta)] == ["integrated_gradients"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"explainers": ["lime"]}, "explainer 'lime' does not exist; choose one of error_map, saliency, smoothgrad"),
        ({"validation_explainers": ["lime"]}, "explainer 'lime' does not exist"),
        ({"settings": {"lime": {}}}, "explainer 'lime' does not exist"),
        (
            {"settings": {"smoothgrad": {"samples": 3}}},
            "explainer 'smoothgrad' has no setting 'samples'; it has n_samples, noise_std, seed, memory_budget",
        ),
        ({"examples": -1}, "examples=-1 is not valid; it must be at least 0"),
    ],
)
def test_rejects_unknown_settings(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        AttributionMaps(**settings)


class Level(Explainer):
    """An explainer of the user's own: the level itself, times a factor."""

    def __init__(self, module, factor=1.0):
        super().__init__(module)
        self.factor = 1.0 * factor

    def obstacle(self):
        return "needs a factor above 0" if self.factor <= 0 else ""

    def _attribute(self, x, reconstruction):
        return self.factor * x if self.factor < 9 else x.mean(1, keepdim=True)


class Faulty(Level):
    """An explainer with a mistake of a kind."""

    def _attribute(self, x, reconstruction):
        values = {1.0: None, 2.0: x.numpy(), 3.0: x / 0, 4.0: x.shape}
        return values[self.factor]


class GRADCam(Level):
    """A class whose name in snake case is that of another explainer."""


LEVEL = f"{__name__}.Level"


def test_class_path_gives_a_column_of_the_class_name(tmp_path, module):
    maps = AttributionMaps(["error_map", LEVEL], {LEVEL: {"factor": 2.0}}, clips="all")
    trainer, reader = run(tmp_path, maps)
    trainer.test(module, LOADER, verbose=False)
    for batch in reader.batches:
        assert list(batch["attributions"]) == ["error_map", "level"]
        assert torch.equal(batch["attributions"]["level"], 2 * batch["spectrogram"])
    by_column = AttributionMaps([LEVEL], {"level": {"factor": 2.0}})
    assert by_column.settings == maps.settings == {"level": {"factor": 2.0}}


def test_explainer_with_an_obstacle_is_left_out(tmp_path, module):
    maps = AttributionMaps(["error_map", LEVEL], {LEVEL: {"factor": 0.0}}, clips="all")
    assert maps.obstacles(module, "test") == {"level": "needs a factor above 0"}
    assert maps.obstacles(module, "fit") == {}
    trainer, reader = run(tmp_path, maps)
    trainer.test(module, LOADER, verbose=False)
    assert [list(batch["attributions"]) for batch in reader.batches] == [["error_map"]] * len(reader.batches)


def test_maps_of_another_shape_are_rejected(module):
    with pytest.raises(ConfigurationError, match=r"Level returns maps of shape \(2, 1, 32\) for clips of shape"):
        Level(module, factor=9).attribute(torch.zeros(2, 16, 32))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (1.0, "^Faulty returns NoneType; maps must be a tensor$"),
        (2.0, "^Faulty returns ndarray; maps must be a tensor$"),
        (3.0, "^Faulty returns maps with NaN or infinite values$"),
        (4.0, "^Faulty returns Size; maps must be a tensor$"),
        (5.0, r"^explainer 'faulty' fails: 5\.0 \(test_attribution_maps\.py, line \d+\)$"),
    ],
)
def test_mistakes_of_an_explainer_name_it(tmp_path, module, kind, message):
    maps = AttributionMaps([f"{__name__}.Faulty"], {"faulty": {"factor": kind}}, clips="all")
    trainer, _ = run(tmp_path, maps)
    with pytest.raises(ConfigurationError, match=message):
        trainer.test(module, LOADER, verbose=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"explainers": [LEVEL, LEVEL]}, "is named twice"),
        ({"explainers": [f"{__name__}.GRADCam"]}, "would be called grad_cam, as another one is; rename its class"),
        ({"explainers": ["saliency", "SaliencyMap"]}, "'SaliencyMap' is named twice"),
        (
            {"explainers": [f"{__name__}.LOADER"]},
            r"LOADER' is not a class but a DataLoader; give a subclass of explain",
        ),
        ({"explainers": [f"{__name__}.Reader"]}, r"Reader' is not a subclass of explainers\.base\.Explainer"),
        ({"explainers": [LEVEL], "settings": {LEVEL: {"fctor": 1}}}, "has no setting 'fctor'; it has factor"),
        (
            {"explainers": [LEVEL], "settings": {LEVEL: {}, "level": {}}},
            "settings of explainer 'level' are given twice",
        ),
    ],
)
def test_rejects_wrong_classes(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        AttributionMaps(**settings)


def test_settings_of_a_wrong_type_name_the_explainer(module):
    maps = AttributionMaps([LEVEL], {LEVEL: {"factor": "two"}})
    with pytest.raises(ConfigurationError, match="explainer 'level': can't multiply sequence"):
        maps.obstacles(module, "test")
