"""The masked error map and the random control."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn
from torch.utils.data import DataLoader

from explainers import AttributionMaps, MaskedErrorMap, RandomMap
from lightning_modules import Autoencoder, ConfigurationError, MaskedAutoencoder, complementary_masks

SIZE = {"n_mels": 16, "n_frames": 24, "backbone": {"num_heads": 3}}


def clips(count=3, seed=0):
    return 10 * torch.randn(count, 16, 24, generator=torch.Generator().manual_seed(seed))


class Total(nn.Module):
    """Fills each clip with the sum of what it sees."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.factor * x.sum((1, 2), keepdim=True).expand_as(x)


def test_map_by_hand():
    x = torch.tensor([[[1.0, 2.0], [4.0, 8.0]]])
    attribution = MaskedErrorMap(Total(), n_masks=4, patch_size=1).attribute(x)
    # Every cell is alone in its mask and predicted as the sum of the others: 14, 13, 11, 7.
    torch.testing.assert_close(attribution, torch.tensor([[[13.0**2, 11.0**2], [7.0**2, 1.0]]]))


@pytest.mark.parametrize(
    ("module", "settings", "patch_size"),
    [
        (Autoencoder(**SIZE), {}, 4),
        (MaskedAutoencoder(**SIZE, patch_size=8), {}, 8),
        (MaskedAutoencoder(**SIZE, patch_size=8), {"patch_size": 2}, 2),
    ],
)
def test_patches_are_those_of_the_training(module, settings, patch_size):
    module.backbone = Total()
    x = clips(1)
    attribution = MaskedErrorMap(module, n_masks=2, **settings).attribute(x)
    for mask in complementary_masks(16, 24, patch_size, 2):
        expected = (x[0][~mask].sum() - x[0][mask]) ** 2
        torch.testing.assert_close(attribution[0][mask], expected, rtol=1e-4, atol=1e-2)


def test_rejects_impossible_masks():
    with pytest.raises(ConfigurationError, match="n_masks=1 would hide whole clips; give at least 2"):
        MaskedErrorMap(Autoencoder(**SIZE), n_masks=1)
    with pytest.raises(ConfigurationError, match="patch_size=0 is not a positive whole number"):
        MaskedErrorMap(Autoencoder(**SIZE), patch_size=0)
    too_many = MaskedErrorMap(Autoencoder(**SIZE), n_masks=25)
    assert too_many.obstacle().startswith(
        "can't mask the spectrograms: 25 complementary masks can't share the 24 patch"
    )
    with pytest.raises(ConfigurationError, match="25 complementary masks can't share"):
        too_many.attribute(clips(1))


class Reader(Callback):
    """Keeps what a metric callback would find in the outputs."""

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.outputs = outputs


@pytest.mark.parametrize("module", [Autoencoder(**SIZE), MaskedAutoencoder(**SIZE, patch_size=8)])
def test_the_masked_score_is_the_mean_of_the_map(module, tmp_path):
    batch = {
        "spectrogram": clips(),
        "label": torch.ones(3),
        "index": torch.arange(3),
        "annotation": torch.zeros(3, 24, dtype=torch.bool),
        "annotated": torch.zeros(3, dtype=torch.bool),
        "name": list("abc"),
        "anomaly_type": ["stuck"] * 3,
    }
    reader = Reader()
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[AttributionMaps(["masked_error_map"], clips="all"), reader],
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    trainer.test(module, DataLoader([batch], batch_size=None), verbose=False)
    mean = reader.outputs["attributions"]["masked_error_map"].mean((1, 2))
    torch.testing.assert_close(reader.outputs["masked_score"], mean)


def test_random_maps_belong_to_the_clip_and_the_seed():
    x = clips()
    maps = RandomMap(Total()).attribute(x)
    assert torch.equal(RandomMap(Autoencoder(**SIZE)).attribute(x[1:2]), maps[1:2])
    other = RandomMap(Total(), seed=1).attribute(x)
    both = torch.corrcoef(torch.stack([maps[0].flatten(), maps[1].flatten(), other[0].flatten()]))
    assert (both - torch.eye(3)).abs().max() < 4 / 384**0.5, "clips and seeds are independent"
    assert maps.mean().abs() < 4 / maps.numel() ** 0.5
    assert maps.std() == pytest.approx(1, abs=4 / (2 * maps.numel()) ** 0.5)
