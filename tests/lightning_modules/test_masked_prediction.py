"""Complementary masks, the predictions they give, and the score made of them."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader

from lightning_modules import (
    Autoencoder,
    ConfigurationError,
    MaskedAutoencoder,
    complementary_masks,
    masked_prediction,
)

SIZE = {"n_mels": 16, "n_frames": 24, "backbone": {"num_heads": 3}}


@pytest.mark.parametrize(("n_frames", "patch_size", "n_masks"), [(400, 4, 3), (400, 16, 7), (401, 4, 3), (24, 8, 30)])
def test_every_patch_is_hidden_exactly_once(n_frames, patch_size, n_masks):
    masks = complementary_masks(80, n_frames, patch_size, n_masks)
    assert masks.shape == (n_masks, 80, n_frames)
    assert (masks.sum(0) == 1).all()
    patches = masks[:, ::patch_size, ::patch_size]
    whole = patches.repeat_interleave(patch_size, 1).repeat_interleave(patch_size, 2)[:, :80, :n_frames]
    assert torch.equal(masks, whole)
    hidden = patches.sum((1, 2))
    assert hidden.max() - hidden.min() <= 1


def test_masks_are_always_the_same_and_spread_over_the_clip():
    masks = complementary_masks(80, 400, 4, 3)
    torch.manual_seed(5)
    assert torch.equal(masks, complementary_masks(80, 400, 4, 3))
    # A mask's 667 patches over eight parts of 50 × 5: binomial with mean 83, standard deviation 7.
    parts = masks[:, ::4, ::4].reshape(3, 4, 5, 2, 50).sum((2, 4))
    assert ((parts - 250 / 3).abs() < 4 * (250 * 2 / 9) ** 0.5).all()
    # Neighbours share a mask about as often as by chance, so that a mask is not a lattice.
    patches = masks[:, ::4, ::4].int().argmax(0)
    assert (patches[:, 1:] == patches[:, :-1]).float().mean() == pytest.approx(1 / 3, abs=0.04)


@pytest.mark.parametrize(
    ("patch_size", "n_masks", "message"),
    [
        (0, 3, "patch_size=0 is not a positive number"),
        (4, 1, "1 complementary masks can't share the 24 patches of 16 mel bands × 24 frames; choose from 2 to 24"),
        (8, 7, "7 complementary masks can't share the 6 patches"),
    ],
)
def test_rejects_impossible_masks(patch_size, n_masks, message):
    with pytest.raises(ConfigurationError, match=message):
        complementary_masks(16, 24, patch_size, n_masks)


class Total(nn.Module):
    """Fills each clip with the sum of what it sees."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return x.sum((1, 2), keepdim=True).expand_as(x)


def test_prediction_by_hand():
    x = torch.tensor([[[1.0, 2.0, 4.0, 8.0]], [[3.0, 0.0, 0.0, 5.0]]])
    masks = torch.tensor([[[True, False, False, True]], [[False, True, True, False]]])
    # The first mask leaves 2 + 4 to see and predicts its cells from them; the second leaves 1 + 8.
    expected = torch.tensor([[[6.0, 9.0, 9.0, 6.0]], [[0.0, 8.0, 8.0, 0.0]]])
    for batch_size, batches in ((1, [1, 1, 1, 1]), (3, [3, 1]), (64, [4])):
        module = Total()
        assert torch.equal(masked_prediction(module, x, masks, batch_size), expected)
        assert module.batches == batches


@pytest.mark.parametrize("objective", [Autoencoder, MaskedAutoencoder])
def test_a_patch_is_predicted_without_its_own_content(objective):
    torch.manual_seed(0)
    module = objective(**SIZE).eval()
    masks = complementary_masks(16, 24, 4, 3)
    x = 10 * torch.randn(1, 16, 24, generator=torch.Generator().manual_seed(1))
    changed = x.clone()
    changed[0, 4:8, 8:12] += 20
    with torch.no_grad():
        before, after = masked_prediction(module, x, masks, 8), masked_prediction(module, changed, masks, 8)
    assert torch.equal(before[0, 4:8, 8:12], after[0, 4:8, 8:12])
    assert not torch.equal(before, after), "what is around a patch counts"


def batch():
    generator = torch.Generator().manual_seed(2)
    return {"spectrogram": 10 * torch.randn(3, 16, 24, generator=generator), "index": torch.arange(3)}


def test_masked_score_by_hand():
    module = MaskedAutoencoder(**SIZE, patch_size=8, score_masks=2)
    module.backbone = Total()
    clips = batch()
    outputs = module.test_step(clips, 0)
    masks = complementary_masks(16, 24, 8, 2)
    for x, score in zip(clips["spectrogram"], outputs["masked_score"], strict=True):
        squares = sum(((x[~mask].sum() - x[mask]) ** 2).sum() for mask in masks)
        assert score.item() == pytest.approx((squares / (16 * 24)).item(), rel=1e-5)


def test_masked_score_is_of_tests_and_predictions_where_it_is_wanted(tmp_path):
    module = Autoencoder(**SIZE).eval()
    with torch.no_grad():
        assert set(module.test_step(batch(), 0)) == {"score", "reconstruction", "masked_score"}
        assert set(module.predict_step(batch(), 0)) == {"score", "reconstruction", "masked_score"}
        assert set(module.validation_step(batch(), 0, dataloader_idx=1)) == {"score", "reconstruction"}
        assert set(Autoencoder(**SIZE, score_masks=0).eval().test_step(batch(), 0)) == {"score", "reconstruction"}
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    (predicted,) = trainer.predict(module, DataLoader([batch()], batch_size=None))
    assert predicted["masked_score"].shape == (3,)


@pytest.mark.parametrize("score_masks", [-1, 1])
def test_rejects_invalid_numbers_of_masks(score_masks):
    with pytest.raises(ConfigurationError, match=f"score_masks={score_masks} is not valid; it must be 0 for none, or"):
        MaskedAutoencoder(**SIZE, score_masks=score_masks)
