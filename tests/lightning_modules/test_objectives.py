"""AE and MAE: their losses by hand, and the recipe in real trainer runs."""

import math

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader

from lightning_modules import Autoencoder, ConfigurationError, MaskedAutoencoder, NearestNeighbours

SIZE = {"n_mels": 16, "n_frames": 24, "backbone": {"num_heads": 3}}


def clips(count, n_mels=16, n_frames=24):
    generator = torch.Generator().manual_seed(1)
    spectrograms = 10 * torch.randn(count, n_mels, n_frames, generator=generator)
    return [{"spectrogram": spectrogram, "index": index} for index, spectrogram in enumerate(spectrograms)]


def loader(count=6):
    return DataLoader(clips(count), batch_size=4)


def trainer(tmp_path, **settings):
    return Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def test_autoencoder_works_without_other_arguments():
    module = Autoencoder(n_mels=80, n_frames=400).eval()
    x = torch.randn(2, 80, 400)
    with torch.no_grad():
        outputs = module.evaluate(x)
    assert outputs["reconstruction"].shape == x.shape
    torch.testing.assert_close(outputs["score"], ((outputs["reconstruction"] - x) ** 2).mean((1, 2)))


def test_hyperparameters_are_primitives():
    for module in (Autoencoder(**SIZE), MaskedAutoencoder(**SIZE, patch_size=8)):
        assert module.hparams["backbone"] == {"num_heads": 3}
        assert all(isinstance(value, int | float | str | dict) for value in module.hparams.values())
    assert module.hparams["patch_size"] == 8
    assert module.hparams["learning_rate"] == 1e-3


class Doubler(torch.nn.Module):
    """Reconstructs twice what it sees, so errors are known: x where shown, x where hidden (0 − x)."""

    def forward(self, x):
        return 2 * x


def test_losses_by_hand():
    x = torch.arange(1.0, 385.0).view(1, 16, 24)
    plain, masked = Autoencoder(**SIZE), MaskedAutoencoder(**SIZE, patch_size=8, mask_ratio=0.5)
    plain.backbone = masked.backbone = Doubler()
    assert plain.training_loss(x) == (x**2).mean()
    # A hidden cell is 0 in and 0 out, so its error is x² again, but only hidden cells count.
    hidden = masked.masker.fixed(torch.tensor([5]))
    expected = (x[hidden] ** 2).mean()
    torch.testing.assert_close(masked.validation_loss(x, torch.tensor([5]), 2 * x), expected[None])
    torch.manual_seed(3)
    hidden = masked.masker.random(1, x.device)
    torch.manual_seed(3)
    torch.testing.assert_close(masked.training_loss(x), (x[hidden] ** 2).mean())


def test_masked_input_is_zero_where_hidden():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return x

    module = MaskedAutoencoder(**SIZE, patch_size=4, mask_ratio=0.25)
    module.backbone = Spy()
    x = torch.ones(2, 16, 24)
    module.training_loss(x)
    assert (seen[0] == 0).float().mean() == 0.25


def test_learning_rate_follows_cosine_warm_restarts():
    module = Autoencoder(**SIZE)
    configured = module.configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(7):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    expected = [1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * (epoch % 5) / 5)) / 2 for epoch in range(7)]
    assert rates == pytest.approx(expected)
    assert isinstance(optimizer, torch.optim.AdamW)


@pytest.mark.parametrize("objective", [Autoencoder, MaskedAutoencoder])
def test_fit_learns_keeps_the_best_and_stops_early(objective, tmp_path):
    torch.manual_seed(0)
    module = objective(**SIZE, patience=2, min_delta=1e9)
    run = trainer(tmp_path, max_epochs=20)
    run.fit(module, loader(), loader(3))
    assert run.current_epoch == 3, "two epochs without an improvement of a billion"
    best = run.checkpoint_callback
    assert best.monitor == "val/loss"
    reloaded = objective.load_from_checkpoint(best.best_model_path)
    assert dict(reloaded.hparams) == dict(module.hparams)


def test_training_lowers_the_loss(tmp_path):
    torch.manual_seed(0)
    module = MaskedAutoencoder(**SIZE, learning_rate=1e-2)  # so fast that noise, too, is learned by heart
    run = trainer(tmp_path, max_epochs=15, enable_checkpointing=False)
    run.validate(module, loader(3), verbose=False)
    before = run.callback_metrics["val/loss"]
    run.fit(module, loader(), loader(3))
    assert run.callback_metrics["val/loss"] < before


def test_own_callbacks_win(tmp_path):
    own = [EarlyStopping("val/loss", patience=7), ModelCheckpoint(tmp_path, monitor="val/loss", filename="mine")]
    run = trainer(tmp_path, max_epochs=1, callbacks=list(own))
    run.fit(Autoencoder(**SIZE), loader(), loader(3))
    assert [callback for callback in run.callbacks if isinstance(callback, EarlyStopping)] == own[:1]
    assert run.checkpoint_callbacks == own[1:]
    quiet = trainer(tmp_path / "none", max_epochs=1, enable_checkpointing=False)
    quiet.fit(Autoencoder(**SIZE), loader(), loader(3))
    assert quiet.checkpoint_callbacks == []


def test_outputs_reach_every_stage(tmp_path):
    module = Autoencoder(**SIZE)
    run = trainer(tmp_path)
    batches = run.predict(module, loader())
    assert [batch["score"].shape for batch in batches] == [(4,), (2,)]
    assert batches[0]["reconstruction"].shape == (4, 16, 24)


def test_memory_layout_is_the_networks_own(tmp_path):
    module = Autoencoder(**SIZE)
    weight = module.backbone.encoder4.conv2.weight
    weights = {key: value.contiguous() for key, value in module.state_dict().items()}
    module.load_state_dict(weights)
    assert weight.stride()[1] == 1, "channels last, whatever the layout of the weights that are loaded"
    trainer(tmp_path, max_epochs=1, enable_checkpointing=False).fit(module, loader(), loader(3))
    assert weight.stride()[1] == 1, "so results don't depend on who trained in this process"


def test_rejects_a_checkpoint_of_other_dimensions(tmp_path):
    path = tmp_path / "small.ckpt"
    run = trainer(tmp_path, max_epochs=1)
    run.fit(Autoencoder(**SIZE), loader(), loader(3))
    run.save_checkpoint(path)
    with pytest.raises(ConfigurationError, match=r"trained with n_frames=24, but the configuration says n_frames=48"):
        trainer(tmp_path).test(Autoencoder(n_mels=16, n_frames=48, backbone={"num_heads": 3}), loader(), ckpt_path=path)


@pytest.mark.parametrize("detector", [Autoencoder(**SIZE), NearestNeighbours(n_mels=16, n_frames=24)])
@pytest.mark.parametrize("method", ["fit", "test"])
def test_clips_of_another_length_are_told_before_the_network_fails(detector, method, tmp_path):
    longer = DataLoader(clips(4, n_frames=40), batch_size=4)
    message = rf"have 16 mel bands × 40 frames, but {type(detector).__name__} is built for 16 × 24; .* data\.n_frames"
    with pytest.raises(ConfigurationError, match=message):
        getattr(trainer(tmp_path, max_epochs=1), method)(detector, longer)
