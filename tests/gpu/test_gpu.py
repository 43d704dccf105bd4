"""What a GPU computes is what the CPU computes, and it never waits for it (`pytest -m gpu`)."""

import copy
import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, Trainer

from datamodules import PlanerDataModule
from experiments.cli.main import main
from explainers import EXPLAINERS
from lightning_modules import Autoencoder, MaskedAutoencoder
from lightning_modules.cuda_graph import TrainingGraph
from lightning_modules.modes import eval_mode

pytestmark = pytest.mark.gpu

# Their samples come from the generator of the device.
DRAWN = ("random", "smoothgrad", "gradient_shap")


@pytest.fixture
def there(module, device):
    """The network on the device under test."""
    return copy.deepcopy(module).to(device)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_maps_are_those_of_the_cpu(name, module, there, device, clips):
    x = clips(3)
    # In float64, where rounding does not decide on which side of a kink a unit of the network is.
    expected = EXPLAINERS[name](module.double()).attribute(x.double())
    found = EXPLAINERS[name](there.double()).attribute(x.double().to(device)).cpu()
    module.float()
    if name == "random":
        assert found.shape == expected.shape
    elif name in DRAWN:
        together = torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1]
        assert together > 0.9
    else:
        assert (found - expected).abs().max() <= 1e-8 * expected.abs().max()


@pytest.mark.parametrize("name", [name for name in EXPLAINERS if name != "random"])
def test_a_map_does_not_depend_on_its_batch(name, there, device, clips):
    x = clips(3).double().to(device)
    explainer = EXPLAINERS[name](there.double())
    alone = torch.cat([explainer.attribute(clip) for clip in x.split(1)])
    together = explainer.attribute(x)
    assert (together - alone).abs().max() <= 1e-8 * alone.abs().max()


def test_a_step_has_the_loss_and_the_gradients_of_the_cpu(module, there, device, clips):
    x, steps = clips(8).double(), []
    for network, batch in ((module.double(), x), (there.double(), x.to(device))):
        # Without dropout, and with the masks that belong to the clips: both devices draw others.
        with eval_mode(network):
            network.zero_grad()
            index = torch.arange(len(batch), device=batch.device)
            loss = network.validation_loss(batch, index, network(batch)).mean()
            loss.backward()
        steps.append([loss.item(), *(parameter.grad.cpu() for parameter in network.parameters())])
    module.zero_grad()
    module.float()
    (loss, *gradients), (expected_loss, *expected) = reversed(steps)
    assert loss == pytest.approx(expected_loss, rel=1e-9)
    largest = max(gradient.abs().max() for gradient in expected)
    for gradient, of_cpu in zip(gradients, expected, strict=True):
        assert (gradient - of_cpu).abs().max() <= 1e-8 * largest


def test_a_graph_trains_like_single_kernels(there, on_cuda, clips):
    """The same loss, gradients and running means, with the same dropout."""
    x = clips(8).double().to(on_cuda)
    network = there.double().backbone.train()
    other = copy.deepcopy(network)
    before = [buffer.clone() for buffer in network.buffers()]
    graph = TrainingGraph(network, x)
    for buffer, value in zip(network.buffers(), before, strict=True):
        assert torch.equal(buffer, value), "capturing leaves no trace"
    for step in range(3):
        results = []
        for run, of in ((graph, network), (other, other)):
            of.zero_grad()
            torch.manual_seed(step)
            (run(x) - x).square().mean().backward()
            results.append([*(p.grad.clone() for p in of.parameters()), *(b.double() for b in of.buffers())])
        largest = max(value.abs().max() for value in results[1][: len(list(network.parameters()))])
        for found, expected in zip(*results, strict=True):
            assert (found - expected).abs().max() <= 1e-8 * max(largest, expected.abs().max())


def test_a_second_pass_does_not_overwrite_the_first(there, on_cuda, clips):
    """As of an objective that runs the network twice per step."""
    x = clips(8).double().to(on_cuda)
    network = there.double().backbone.train()
    graph = TrainingGraph(network, x)
    assert graph.fits(x)
    output = graph(x)
    assert not graph.fits(x), "its activations are needed"
    output.mean().backward()
    assert graph.fits(x)
    assert not graph.fits(x[:4])
    assert not graph.fits(x.clone().requires_grad_())
    with torch.no_grad():
        assert not graph.fits(x)
    assert graph.is_current
    next(network.parameters()).requires_grad_(False)
    assert not graph.is_current


def test_a_training_uses_a_graph_where_it_may(root, on_cuda):
    for settings, expected in (
        ({}, True),
        ({"accumulate_grad_batches": 2}, False),
        ({"precision": "bf16-mixed"}, False),
    ):
        seen = []
        train(Autoencoder, root, Graphs(seen), epochs=1, trainer=settings)
        assert set(seen) == {expected}, settings


class Graphs(Callback):
    """Notes in each step whether there is a graph."""

    def __init__(self, seen):
        self.seen = seen

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(pl_module._graph is not None)


@pytest.mark.parametrize("objective", [Autoencoder, MaskedAutoencoder])
def test_a_test_has_the_results_of_the_cpu(objective, fit, accelerator):
    """Scores, F1 and faithfulness of the same weights on both devices."""
    run = fit(accelerator, 2, model=objective.__name__)
    explainers = [name for name in EXPLAINERS if name not in DRAWN]
    options = ["--attributions.explainers", json.dumps(explainers), "--sanity.clips", "0"]
    options += ["--attributions.settings", '{"integrated_gradients": {"n_steps": 5}}']
    tables = {}
    for kind in (accelerator, "cpu"):
        assert main(["test", "--run", str(run), "--trainer.accelerator", kind, *options]) == 0
        tables[kind] = [pd.read_csv(run / "test" / name) for name in ("clips.csv", "explanations.csv")]
    (scores, values), (expected_scores, expected) = tables[accelerator], tables["cpu"]
    np.testing.assert_allclose(scores["score"], expected_scores["score"], rtol=5e-3)
    np.testing.assert_allclose(scores["masked_score"], expected_scores["masked_score"], rtol=5e-3)
    keys = ["index", "explainer", "measure", "percentile"]
    both = values.merge(expected, on=keys, suffixes=("", "_cpu"), validate="one_to_one")
    assert len(both) == len(values) == len(expected)
    # A peak of a small network's short clip may change place with its neighbour: single clips, not means.
    means = both.groupby(["explainer", "measure"])[["value", "value_cpu", "chance", "chance_cpu"]].mean()
    np.testing.assert_allclose(means["value"], means["value_cpu"], atol=0.02)
    np.testing.assert_allclose(means["chance"], means["chance_cpu"], atol=0.02)


def test_a_training_that_goes_on_ends_like_an_uninterrupted_one(fit, accelerator):
    whole = fit(accelerator, 4)
    run = fit(accelerator, 2)
    fit(accelerator, 4, folder=run)
    losses = [pd.read_csv(folder / "fit" / "metrics.csv")["val/loss"].dropna() for folder in (whole, run)]
    assert len(losses[0]) == 4
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


def test_a_training_comes_as_far_as_on_the_cpu(fit, accelerator):
    """Dropout and masks are drawn otherwise, so trainings differ, but not much."""
    losses = {}
    for kind in (accelerator, "cpu"):
        losses[kind] = pd.read_csv(fit(kind, 6) / "fit" / "metrics.csv")["val/loss"].dropna().to_numpy()
    assert losses["cpu"][-1] < 0.97 * losses["cpu"][0], "something is learned"
    np.testing.assert_allclose(losses[accelerator], losses["cpu"], rtol=0.1)


class NoWaiting(Callback):
    """Makes everything that waits for the device an error inside the steps of an epoch, but for its first and last.

    In the first, libraries initialise; after the last, Lightning reads the epoch's mean loss.
    """

    steps = 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.mode = "error" if 0 < batch_idx < trainer.num_training_batches - 1 else "default"
        torch.cuda.set_sync_debug_mode(self.mode)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps += self.mode == "error"
        torch.cuda.set_sync_debug_mode("default")


class Seen(Callback):
    """Notes where the batches come from."""

    def __init__(self):
        self.devices = set()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        assert batch["spectrogram"].device == pl_module.device
        self.devices.add(trainer.datamodule.train_dataloader().dataset[0]["spectrogram"].device.type)


def train(objective, root, callback, epochs=2, trainer=None, **settings):
    lightning = Trainer(
        accelerator="gpu",
        devices=1,
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
        **(trainer or {}),
    )
    data = PlanerDataModule(root=str(root), n_frames=80, batch_size=4, **settings)
    lightning.fit(objective(n_frames=80), datamodule=data)


@pytest.mark.parametrize("objective", [Autoencoder, MaskedAutoencoder])
def test_no_step_waits_for_the_device(objective, root, on_cuda):
    callback = NoWaiting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(objective, root, callback)
    assert callback.steps == 2 * 7, "two epochs of nine batches"


@pytest.mark.parametrize(("resident", "expected"), [(None, "cuda"), (True, "cuda"), (False, "cpu")])
def test_training_clips_stay_on_the_device(resident, expected, root, on_cuda):
    seen = Seen()
    train(Autoencoder, root, seen, epochs=1, resident=resident)
    assert seen.devices == {expected}


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_comes_as_far(precision, fit, accelerator):
    if accelerator == "cpu" and precision == "16-mixed":
        pytest.skip("the CPU has bfloat16 only")
    expected, run = fit(accelerator, 4), fit(accelerator, 4, "--trainer.precision", precision)
    losses = [pd.read_csv(folder / "fit" / "metrics.csv")["val/loss"].dropna().iloc[-1] for folder in (run, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_tf32_changes_scores_by_little(there, on_cuda, clips):
    x = clips(8).to(on_cuda)
    scores = {}
    for precision in ("highest", "high"):
        torch.set_float32_matmul_precision(precision)
        try:
            with torch.inference_mode():
                scores[precision] = there.evaluate(x)["score"]
        finally:
            torch.set_float32_matmul_precision("highest")
    assert (scores["high"] / scores["highest"] - 1).abs().max() < 1e-2


@pytest.mark.parametrize("name", ["saliency", "smoothgrad", "integrated_gradients", "gradient_shap"])
def test_passes_are_halved_where_the_device_is_full(name, there, on_cuda, clips):
    torch.cuda.empty_cache()
    x = clips(64).repeat(4, 1, 1).to(on_cuda)
    expected = EXPLAINERS[name](there, memory_budget=8).attribute(x)
    in_use, total = torch.cuda.memory_allocated(), torch.cuda.get_device_properties(on_cuda).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((in_use + 48 * 2**20) / total)
    try:
        explainer = EXPLAINERS[name](there, memory_budget=10**6)
        found = explainer.attribute(x)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert explainer.rows_per_pass(x) < 10**6 // 8
    agree = torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1]
    assert agree > 0.999


def test_several_processes_share_a_device(fit, accelerator, tmp_path):
    """Trainings side by side have the results of one that has the device to itself."""
    alone = fit(accelerator, 2)
    command = [sys.executable, "-m", "experiments.cli.main", "fit", "--config", str(alone / "fit" / "config.yaml")]
    runs = [tmp_path / "first", tmp_path / "second"]
    processes = [subprocess.Popen([*command, "--run", str(run)]) for run in runs]
    assert [process.wait() for process in processes] == [0, 0]
    expected, *found = (pd.read_csv(run / "fit" / "metrics.csv")["val/loss"].dropna() for run in (alone, *runs))
    for losses in found:
        np.testing.assert_allclose(losses, expected, rtol=1e-3)
