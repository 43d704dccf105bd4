"""Sanity checks of explainers against hand values, and their callback in real trainer runs."""

import csv

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from scipy.stats import spearmanr
from torch import nn
from torch.utils.data import DataLoader

from explainers import AttributionMaps, ErrorMap, Explainer, RandomMap, SanityChecks
from explainers.sanity import (
    infidelity,
    max_sensitivity,
    parameter_randomisation,
    preserved,
    randomise,
    rank_correlation,
    stages,
)
from lightning_modules import Autoencoder, ConfigurationError

SIZE = {"n_mels": 16, "n_frames": 24, "num_heads": 3}
STAGES = ["head", "decoder1", "decoder2", "decoder3", "decoder4", "encoder4", "encoder3", "encoder2", "encoder1"]


def clips(count=2):
    return 10 * torch.randn(count, 16, 24, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def module():
    """An autoencoder whose buffers and weights differ from fresh ones."""
    torch.manual_seed(0)
    module = Autoencoder(**SIZE)
    module.train()(clips(4))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.01)
    return module.eval()


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_stages_go_from_the_output_to_the_input(module):
    assert [name for name, _ in stages(module)] == STAGES
    assert [name for name, _ in stages(nn.Linear(2, 2))] == ["Linear"]


def test_every_stage_forgets_and_nothing_else(module):
    before = state(module)
    for name, part in stages(module):
        randomise(part, seed=3)
        after = state(module)
        changed = {key.split(".")[1] for key in before if not torch.equal(before[key], after[key])}
        assert changed == {name}
        weights = [key for key in before if key.startswith(f"backbone.{name}.") and before[key].ndim > 1]
        assert all(not torch.equal(before[key], after[key]) for key in weights)
        before = after


def test_random_weights_come_from_the_seed_and_leave_other_draws_alone(module):
    torch.manual_seed(8)
    expected = torch.rand(1)
    torch.manual_seed(8)
    randomise(module, seed=1)
    assert torch.rand(1) == expected
    first = state(module)
    randomise(module, seed=2)
    assert not torch.equal(first["backbone.head.conv1.weight"], module.backbone.head.conv1.weight)
    randomise(module, seed=1)
    assert all(torch.equal(first[name], value) for name, value in module.state_dict().items())


class Trained(nn.Module):
    """Two stages that have learned to reconstruct nearly everything; its errors don't resemble its input."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.encoder, self.decoder = nn.Linear(24, 24), nn.Linear(24, 24)
        with torch.no_grad():
            for stage in (self.encoder, self.decoder):
                stage.weight.copy_(torch.eye(24) + 0.05 * torch.randn(24, 24, generator=generator).fill_diagonal_(0))

    def forward(self, x):
        return self.decoder(self.encoder(x))


def test_maps_of_what_was_learned_change_and_others_do_not():
    module = Trained().eval()
    explainers = {"error_map": ErrorMap(module), "random": RandomMap(module)}
    with torch.inference_mode():
        correlations = parameter_randomisation(module, explainers, clips())
    assert list(correlations["error_map"]) == ["decoder", "encoder"]
    for of_clips in correlations["random"].values():
        assert of_clips.tolist() == pytest.approx([1, 1])
    assert torch.stack(list(correlations["error_map"].values())).abs().max() < 0.3


class Stumbling(ErrorMap):
    """Fails at its third call."""

    calls = 0

    def _attribute(self, x, reconstruction):
        self.calls += 1
        if self.calls == 3:
            raise RuntimeError("third call")
        return super()._attribute(x, reconstruction)


@pytest.mark.parametrize("fails", [False, True])
def test_weights_and_buffers_come_back_bit_for_bit(module, fails):
    before = state(module)
    explainer = Stumbling(module) if fails else ErrorMap(module)
    with torch.inference_mode():
        if fails:
            with pytest.raises(RuntimeError, match="third call"):
                parameter_randomisation(module, {"error_map": explainer}, clips())
        else:
            parameter_randomisation(module, {"error_map": explainer}, clips())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_layers_that_cannot_start_anew_are_named():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

    network = nn.Sequential(nn.Linear(2, 2), Scale())
    with preserved(network), pytest.raises(ConfigurationError, match="Scale can't be randomised"):
        randomise(network, seed=0)


def test_rank_correlation_agrees_with_scipy():
    generator = torch.Generator().manual_seed(1)
    first = torch.randint(0, 5, (3, 4, 9), generator=generator).float()
    second = first + torch.randint(0, 4, (3, 4, 9), generator=generator)
    second[2] = 7
    ours = rank_correlation(first, second)
    expected = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(first[:2], second[:2], strict=True)]
    assert ours[:2].tolist() == pytest.approx(expected)
    assert ours[2].isnan()


class LinearScore(nn.Module):
    """Its squared errors are w·x + 9 in each cell, so the score is linear in x with gradient w / cells."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return x - (self.weight * x + 9).sqrt()


class Constant(Explainer):
    """Always the same map."""

    def __init__(self, module, attribution):
        super().__init__(module)
        self.attribution = attribution

    def _attribute(self, x, reconstruction):
        return self.attribution.expand_as(x)


@pytest.mark.parametrize(
    ("attribution", "expected"),
    [
        ([[1.0, 1.0]], 0.0),  # the gradient, whatever its scale
        ([[-3.0, -3.0]], 0.0),
        ([[1.0, 0.0]], 0.5),  # 1 − cos² of the angle to the gradient
        ([[1.0, -1.0]], 1.0),
        ([[3.0, 4.0]], 1 - 49 / 50),
    ],
)
def test_infidelity_of_a_linear_score(attribution, expected):
    module = LinearScore(torch.tensor([[1.0, 1.0]]))
    x = torch.tensor([[[1.0, -2.0]], [[0.5, 0.5]]])
    maps = torch.tensor(attribution).expand_as(x)
    with torch.inference_mode():
        found = infidelity(Constant(module, maps[0]), x, maps, noise_std=0.1, n_samples=20_000)
    assert found.tolist() == pytest.approx([expected, expected], abs=0.02)
    if expected == 0:
        assert found.max() < 1e-4


def test_infidelity_does_not_depend_on_the_batch_or_on_chunks(module):
    x = clips(3)
    explainer = ErrorMap(module)
    maps = explainer.attribute(x)
    together = infidelity(explainer, x, maps)
    starved = ErrorMap(module, memory_budget=0)
    apart = [infidelity(starved, x[[i]], maps[[i]]) for i in range(3)]
    assert torch.cat(apart).tolist() == pytest.approx(together.tolist(), abs=1e-3)
    assert 0 <= together.min() <= together.max() <= 1
    assert infidelity(explainer, x, maps, seed=1).tolist() != together.tolist()


class Identity(Explainer):
    """The clip is its own map."""

    def _attribute(self, x, reconstruction):
        return x


def test_max_sensitivity_by_hand():
    # Of one cell, the largest relative change is radius / |x|, which many draws come close to.
    x = torch.tensor([[[5.0]], [[-2.0]]])
    with torch.inference_mode():
        found = max_sensitivity(Identity(nn.Identity()), x, radius=0.5, n_samples=2000)
    assert found.tolist() == pytest.approx([0.1, 0.25], rel=0.01)
    assert (found <= torch.tensor([0.1, 0.25]) + 1e-6).all()


def test_max_sensitivity_of_constants_and_noise():
    x = clips(2)
    constant = Constant(nn.Identity(), torch.ones(1, 16, 24))
    assert max_sensitivity(constant, x).tolist() == [0, 0]
    noise = max_sensitivity(RandomMap(nn.Identity()), x)
    assert noise.tolist() == pytest.approx([2**0.5] * 2, rel=0.15)
    assert torch.equal(max_sensitivity(RandomMap(nn.Identity()), x[1:]), noise[1:])


def labelled(count=5):
    """Anomalous clips in descending order of index, the one of index 1 without annotation."""
    for index in reversed(range(count)):
        annotation = torch.zeros(24, dtype=torch.bool)
        annotation[:4] = index != 1
        yield {
            "spectrogram": 10 * torch.randn(16, 24, generator=torch.Generator().manual_seed(index)),
            "label": 1,
            "index": index,
            "annotation": annotation,
            "annotated": index != 1,
            "name": f"clip, {index}.wav",
            "anomaly_type": "stuck",
        }


LOADER = DataLoader(list(labelled()), batch_size=2)


def evaluator(tmp_path, checks, **settings):
    return Trainer(
        accelerator="cpu",
        logger=CSVLogger(tmp_path, name="", version=""),
        callbacks=[AttributionMaps(["error_map", "random"]), checks],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **settings,
    )


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("stage", "prefix"), [("test", "test"), ("validate", "val")])
def test_first_explained_clips_are_checked(tmp_path, module, stage, prefix):
    before = state(module)
    trainer = evaluator(tmp_path, SanityChecks(clips=2))
    loaders = LOADER if stage == "test" else [LOADER, LOADER]
    getattr(trainer, stage)(module, loaders, verbose=False)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())

    rows = read(tmp_path / "sanity.csv")
    assert list(rows[0]) == ["index", "name", "explainer", "check", "step", "value"]
    assert [(int(row["index"]), row["name"]) for row in rows] == [
        (i, f"clip, {i}.wav") for i in (0, 2) for _ in range(22)
    ]
    steps = [
        row["step"]
        for row in rows
        if (row["index"], row["explainer"], row["check"]) == ("2", "random", "randomisation")
    ]
    assert steps == STAGES

    x = torch.stack([clip["spectrogram"] for clip in labelled() if clip["index"] in {0, 2}]).flip(0)
    explainer = ErrorMap(module)
    expected = {
        "infidelity": infidelity(explainer, x, explainer.attribute(x)),
        "max_sensitivity": max_sensitivity(explainer, x),
        "randomisation": parameter_randomisation(module, {"it": explainer}, x)["it"]["encoder1"],
    }
    for check, values in expected.items():
        of_clips = [
            float(row["value"])
            for row in rows
            if (row["explainer"], row["check"]) == ("error_map", check) and row["step"] in {"", "encoder1"}
        ]
        assert of_clips == pytest.approx(values.tolist(), rel=1e-3)
        logged = trainer.callback_metrics[f"{prefix}/sanity/{check}/error_map"]
        assert logged.item() == pytest.approx(np.mean(of_clips), rel=1e-5)
    assert trainer.callback_metrics[f"{prefix}/sanity/randomisation/random"].item() == pytest.approx(1)


def test_nothing_is_checked_where_nothing_is_asked_or_explained(tmp_path, module):
    trainer = evaluator(tmp_path, SanityChecks(clips=0))
    trainer.test(module, LOADER, verbose=False)
    normal = [{**clip, "annotated": False} for clip in labelled()]
    trainer = evaluator(tmp_path, SanityChecks())
    trainer.test(module, DataLoader(normal), verbose=False)
    trainer = evaluator(tmp_path, SanityChecks(), max_epochs=1)
    trainer.fit(module, LOADER, [LOADER, LOADER])
    assert not any("sanity" in name for name in trainer.callback_metrics)
    assert not (tmp_path / "sanity.csv").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clips": -1}, "clips=-1 is negative"),
        ({"noise_samples": 0}, "noise_samples=0 is not a positive number"),
        ({"radius_samples": 0}, "radius_samples=0 is not a positive number"),
        ({"noise_std": 0.0}, "noise_std=0.0 dB changes nothing"),
        ({"radius": -0.1}, "radius=-0.1 dB changes nothing"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        SanityChecks(**settings)
