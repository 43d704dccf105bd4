"""The benchmarks: reference and ours compute the same, and the script tells how fast."""

import json

import numpy as np
import pytest
import torch
from benchmarks import reference, speed

from explainers import EXPLAINERS
from explainers.base import reproducible
from lightning_modules import MaskedAutoencoder

SMALL = speed.Settings(clips=2, repeats=1, batch_size=2, n_mels=16, n_frames=80, num_heads=4, steps=1, explained=1)


@pytest.fixture(scope="module")
def subjects():
    with speed.prepare(SMALL) as made:
        yield made


def test_training_has_the_same_losses(subjects):
    x, network = subjects.x, subjects.network()
    torch.testing.assert_close(subjects.module().training_loss(x), (network(x) - x).square().mean())
    masked = subjects.module(MaskedAutoencoder)
    torch.manual_seed(1)
    mask = masked.masker.random(len(x), x.device).float()
    torch.manual_seed(1)
    torch.testing.assert_close(masked.training_loss(x), reference.masked_loss(network, x, mask))
    plain = reference.draw_mask(16, 80, patch_size=4)
    assert plain.sum() == mask[0].sum(), "as many cells are hidden"
    assert set(plain.unfold(0, 4, 4).unfold(1, 4, 4).mean((2, 3)).flatten().tolist()) == {0, 1}, "in whole patches"


def test_training_makes_the_same_steps(subjects):
    network, files = subjects.network(), subjects.training_files
    (loss,) = reference.train(network, files, 80, 2, None, "cpu")
    module = subjects.module().train()
    torch.manual_seed(0)
    batch = torch.stack([torch.load(path, weights_only=True) for path in files])
    assert module.training_loss(batch).item() == pytest.approx(loss, rel=0.1), "but for dropout"


@pytest.mark.parametrize("name", speed.PAPER_EXPLAINERS)
def test_explainers_give_the_same_maps(name, subjects):
    # In float64, where rounding does not decide on which side of a kink a unit of the network is.
    x, network, module = subjects.x[0].double(), subjects.network().double(), subjects.module().double()
    ours = EXPLAINERS[name](module).attribute(x[None])[0]
    with reproducible(x[None], seed=0):
        plain = reference.explain(name, network, x)
    assert (ours - plain).abs().max() <= 1e-9 * plain.abs().max()


def test_evaluations_have_the_same_results(subjects, monkeypatch):
    names = ("error_map", "saliency")
    monkeypatch.setattr(speed, "PAPER_EXPLAINERS", names)
    ours = speed.evaluate(subjects.module(), subjects.x, subjects.annotation)
    plain = reference.evaluate(subjects.network(), subjects.x, subjects.annotation, list(names))
    assert subjects.annotation.any()
    for measure, values in plain.items():
        assert values.shape == (2, 2, 10)
        assert values.any(), "not all are 0"
        np.testing.assert_allclose(ours[measure].numpy(), values, atol=1e-4)


def test_scores_are_the_same(subjects):
    plain = reference.score_files(subjects.network(), subjects.scored_files, 80, "cpu")
    ours = speed.score(subjects.module(), subjects.data.predict_dataloader())
    np.testing.assert_allclose(ours.numpy(), plain, rtol=1e-5)


def test_the_ratio_compares_neighbouring_turns():
    # The machine became four times as slow after the first turn.
    result = speed.Result("work", "clips", 8, [3.0, 12.0, 12.0], [1.0, 4.0, 6.0], {})
    assert (result.ratio, result.rate) == (3, 2)


def test_shares_are_those_of_the_kinds_of_operators():
    x = torch.randn(300, 300)
    shares = speed.operator_shares(lambda: [x @ x for _ in range(5)])
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["matmul"] > 0.5


def test_prints_a_table_and_writes_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(speed, "PAPER_EXPLAINERS", ("error_map",))  # the others take many passes
    speed.main(SMALL, output=tmp_path / "bench.json")
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "bench.json").read_text())["results"]
    names = [result["name"] for result in results]
    assert names == ["train AE, batch 2", "train MAE, batch 2", "Error map", "full evaluation", "score audio"]
    for result in results:
        assert result["ratio"] == pytest.approx(result["reference_seconds"][0] / result["our_seconds"][0])
        assert result["rate"] > 0
    assert "full evaluation" in printed
