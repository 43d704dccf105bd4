"""The measurement of speed: yardstick and ours compute the same, and the command tells how fast."""

import json
import time

import numpy as np
import pytest
import torch
from torch import nn

from experiments.bench.counting import Work, count_operators, total
from experiments.bench.machine import Machine
from experiments.bench.results import Result
from experiments.bench.settings import Settings
from experiments.bench.shares import shares_table
from experiments.bench.subjects import prepare
from experiments.bench.timing import Timing
from experiments.bench.workloads import PAPER_EXPLAINERS, evaluate, score
from experiments.bench.yardstick import load_yardstick
from experiments.cli.main import main
from explainers import EXPLAINERS
from explainers.base import reproducible

SMALL = Settings(
    clips=2, repeats=1, batch_size=2, device="cpu", n_mels=16, n_frames=80, num_heads=4, training_steps=1, explained=1
)


@pytest.fixture(scope="module")
def subjects():
    with prepare(SMALL, load_yardstick()) as made:
        yield made


def test_training_has_the_same_losses(subjects):
    x, network = subjects.x, subjects.network()
    torch.testing.assert_close(subjects.module().training_loss(x), (network(x) - x).square().mean())
    masked = subjects.module(masked=True)
    torch.manual_seed(1)
    mask = masked.masker.random(len(x), x.device).float()
    torch.manual_seed(1)
    torch.testing.assert_close(masked.training_loss(x), subjects.yardstick.masked_loss(network, x, mask))
    plain = subjects.yardstick.draw_mask(16, 80, patch_size=4)
    assert plain.sum() == mask[0].sum(), "as many cells are hidden"
    assert set(plain.unfold(0, 4, 4).unfold(1, 4, 4).mean((2, 3)).flatten().tolist()) == {0, 1}, "in whole patches"


def test_training_makes_the_same_steps(subjects):
    network, files = subjects.network(), subjects.training_files
    (loss,) = subjects.yardstick.train(network, files, 80, 2, None, "cpu")
    module = subjects.module().train()
    torch.manual_seed(0)
    batch = torch.stack([torch.load(path, weights_only=True) for path in files])
    assert module.training_loss(batch).item() == pytest.approx(loss, rel=0.1), "but for dropout"


@pytest.mark.parametrize("name", PAPER_EXPLAINERS)
def test_explainers_give_the_same_maps(name, subjects):
    # In float64, where rounding does not decide on which side of a kink a unit of the network is.
    x, network, module = subjects.x[0].double(), subjects.network().double(), subjects.module().double()
    ours = EXPLAINERS[name](module).attribute(x[None])[0]
    with reproducible(x[None], seed=0):
        plain = subjects.yardstick.explain(name, network, x)
    assert (ours - plain).abs().max() <= 1e-9 * plain.abs().max()


def test_evaluations_have_the_same_results(subjects, monkeypatch):
    names = ("error_map", "saliency")
    monkeypatch.setattr("experiments.bench.workloads.PAPER_EXPLAINERS", names)
    ours = evaluate(subjects.module(), subjects.x, subjects.annotation, frames_per_second=40)
    plain = subjects.yardstick.evaluate(subjects.network(), subjects.x, subjects.annotation, list(names))
    assert subjects.annotation.any()
    for measure, values in plain.items():
        assert values.shape == (2, 2, 10)
        assert values.any(), "not all are 0"
        np.testing.assert_allclose(ours[measure].numpy(), values, atol=1e-4)


def test_scores_are_the_same(subjects):
    plain = subjects.yardstick.score_files(subjects.network(), subjects.scored_files, 80, "cpu")
    ours = score(subjects.module(), subjects.data.predict_dataloader())
    np.testing.assert_allclose(ours.numpy(), plain, rtol=1e-5)


def count_work(run):
    """The work of all operators of a computation."""
    return total(count_operators(run))


def test_work_is_counted_forward_and_backward():
    linear, x = nn.Linear(8, 4, bias=False), torch.zeros(16, 8, requires_grad=True)
    product = 2 * 16 * 8 * 4
    assert count_work(lambda: linear(x)).flops == product
    assert count_work(lambda: torch.autograd.grad(linear(x).sum(), x)).flops == 2 * product
    assert count_work(lambda: linear(x).sum().backward()).flops == 3 * product, "for x, and for the weights"
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True).eval()
    with torch.inference_mode():
        tokens = torch.zeros(1, 5, 8)
        layer(tokens)
        work = count_work(lambda: layer(tokens))
    dense = 2 * 5 * (8 * 24 + 8 * 8 + 2 * 8 * 16)
    attention = 2 * (2 * 5 * 5 * 8)
    assert work.flops == dense + attention, "the fast path of transformers included"


def test_work_is_counted_that_several_threads_share(subjects):
    explainer = EXPLAINERS["integrated_gradients"](subjects.module(), n_steps=2)
    explainer.attribute(subjects.x)  # the first time it also measures what a pass keeps in memory
    alone = count_work(lambda: explainer.attribute(subjects.x))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert count_work(lambda: explainer.attribute(subjects.x)).flops == alone.flops > 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_shares_of_the_time_are_those_of_the_kinds_of_operators():
    operators = {
        "addmm": Work(flops=3e9, seconds=1),
        "_scaled_dot_product_flash_attention_for_cpu": Work(flops=1e9, seconds=1),
        "convolution_backward": Work(flops=1e9, seconds=4),
        "native_batch_norm": Work(seconds=1),
        "bernoulli_": Work(seconds=0.5),
        "add_": Work(seconds=2.5),
    }
    result = Result("work", "clips", (1.0,), Timing((1.0,), (1.0,)), operators)
    ((row,),) = shares_table([result]).groups
    assert [cell.text for cell in row] == ["work", "20 %", "2", "40 %", "0.25", "10 %", "5 %", "25 %"]


def test_operators_take_part_of_the_time():
    x = torch.rand(100, 100)
    start = time.perf_counter()
    operators = count_operators(lambda: x @ x + 1)
    elapsed = time.perf_counter() - start
    assert operators.keys() == {"mm", "add"}
    assert all(work.seconds > 0 for work in operators.values())
    assert total(operators).seconds <= elapsed


def test_bytes_are_those_of_what_operators_take_and_give():
    x = torch.zeros(10, 100)
    assert count_work(lambda: x + 1).bytes_moved == 2 * 4000
    assert count_work(lambda: x.T[3:].T).bytes_moved == 0, "views move nothing"


def test_the_limit_is_the_scarcer_resource():
    machine = Machine("one", threads=1, matmul_flops=100.0, convolution_flops=80.0, bandwidth=10.0)
    assert machine.least_seconds(flops=200, bytes_moved=10) == 2
    assert machine.least_seconds(flops=200, bytes_moved=50) == 5


def test_the_ratio_compares_neighbouring_turns():
    # The machine became four times as slow after the first turn.
    assert Timing(yardstick=(3.0, 12.0, 12.0), ours=(1.0, 4.0, 6.0)).ratio == 3


SIZES = ["--n_mels", "16", "--n_frames", "32", "--num_heads", "4", "--clips", "1", "--batch_size", "2"]


def test_command_prints_a_table_and_writes_json_and_figure(tmp_path, capsys, monkeypatch):
    explainers = ("error_map", "saliency")  # the others take many passes
    monkeypatch.setattr("experiments.bench.workloads.PAPER_EXPLAINERS", explainers)
    monkeypatch.setattr("experiments.bench.machine._SECONDS", 0.01)
    assert main(["bench", *SIZES, "--repeats", "1", "--output", str(tmp_path / "bench.json")]) == 0
    printed = capsys.readouterr().out
    measured = json.loads((tmp_path / "bench.json").read_text())
    assert measured["settings"]["n_frames"] == 32
    names = [result["name"] for result in measured["results"]]
    assert names == ["train AE, batch 2", "train MAE, batch 2", *explainers, "full evaluation", "score audio"]
    for result in measured["results"]:
        (slow,), (fast,) = result["timing"]["yardstick"], result["timing"]["ours"]
        assert result["ratio"] == pytest.approx(slow / fast)
        assert result["our_rate"] == pytest.approx(result["amounts"][0] / fast)
        assert 0 < result["our_rate"] < result["limit"], "nothing is faster than the machine"
        assert result["name"] in printed
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clips", "0"], "--clips 0 is not a positive number"),
        (["--n_mels", "17"], "--n_mels 17, --n_frames 32: name multiples of 4"),
        (["--num_heads", "3"], "num_heads=3 does not divide"),
        (["--n_frames", "4"], "n_frames=4"),
        (["--output", "."], "--output . is a folder; name the JSON file to write"),
        (["--output", f"{__file__}/bench.json"], "can't be written (File exists); name another"),
        (["--device", "cuda:7"], "--device cuda:7 is not there; choose one of cpu"),
    ],
)
def test_mistakes_are_told_in_a_line(options, message, capsys):
    assert main(["bench", *SIZES, *options]) == 2
    assert message in capsys.readouterr().err


def test_needs_the_checkout(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("experiments.bench.yardstick.PATH", tmp_path / "yardstick.py")
    assert main(["bench", *SIZES]) == 2
    assert "run it from a checkout" in capsys.readouterr().err
