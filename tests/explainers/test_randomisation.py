"""Parameter randomisation: what it forgets, restores, and finds."""

from copy import deepcopy

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from explainers import ErrorMap, RandomMap
from explainers.sanity import (
    parameter_randomisation,
    preserved,
    randomise,
    rank_correlation,
    stages,
)
from lightning_modules import ConfigurationError

STAGES = ["head", "decoder1", "decoder2", "decoder3", "decoder4", "encoder4", "encoder3", "encoder2", "encoder1"]


def test_stages_go_from_the_output_to_the_input(module):
    assert [name for name, _ in stages(module)] == STAGES
    assert [name for name, _ in stages(nn.Linear(2, 2))] == ["Linear"]


def test_every_stage_forgets_and_nothing_else(module):
    before = deepcopy(module.state_dict())
    for name, part in stages(module):
        randomise(part, seed=3)
        after = deepcopy(module.state_dict())
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
    first = deepcopy(module.state_dict())
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


def test_maps_of_what_was_learned_change_and_others_do_not(clips):
    module = Trained().eval()
    explainers = {"error_map": ErrorMap(module), "random": RandomMap(module)}
    with torch.inference_mode():
        trained = {name: explainer.attribute(clips()) for name, explainer in explainers.items()}
        correlations = parameter_randomisation(module, explainers, clips(), trained)
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
def test_weights_and_buffers_come_back_bit_for_bit(module, clips, fails):
    before = deepcopy(module.state_dict())
    explainer = Stumbling(module) if fails else ErrorMap(module)
    with torch.inference_mode():
        trained = {"error_map": explainer.attribute(clips())}
        if fails:
            with pytest.raises(RuntimeError, match="third call"):
                parameter_randomisation(module, {"error_map": explainer}, clips(), trained)
        else:
            parameter_randomisation(module, {"error_map": explainer}, clips(), trained)
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
