"""Patch masks: how much they hide, where, and that validation always hides the same."""

import pytest
import torch

from lightning_modules import ConfigurationError, PatchMasker
from lightning_modules.masking import hash_int64

CPU = torch.device("cpu")


@pytest.mark.parametrize("ratio", [0.15, 0.3, 0.9])
def test_hides_the_ratio_of_every_clip_in_whole_patches(ratio):
    mask = PatchMasker(80, 400, 4, ratio).random(5, CPU)
    patches = mask.reshape(5, 20, 4, 100, 4)
    assert (patches.amax((2, 4)) == patches.amin((2, 4))).all()
    assert (patches[:, :, 0, :, 0].sum((1, 2)) == round(ratio * 2000)).all()


def test_training_masks_are_fresh_and_spread_evenly():
    torch.manual_seed(0)
    masker = PatchMasker(16, 32, 4, 0.5)
    first, second = masker.random(400, CPU), masker.random(400, CPU)
    assert not torch.equal(first, second)
    hidden = torch.cat([first, second]).float().mean(0)
    assert (hidden - 0.5).abs().max() < 5 * (0.25 / 800) ** 0.5


def test_fixed_masks_belong_to_the_clip_and_not_to_its_batch():
    masker = PatchMasker(16, 32, 4, 0.5)
    together = masker.fixed(torch.tensor([3, 7, 4]))
    assert torch.equal(together[1], masker.fixed(torch.tensor([7]))[0])
    assert not torch.equal(together[0], together[2])
    torch.manual_seed(99)
    assert torch.equal(together, masker.fixed(torch.tensor([3, 7, 4])))
    hidden = masker.fixed(torch.arange(800)).float().mean(0)
    assert (hidden - 0.5).abs().max() < 5 * (0.25 / 800) ** 0.5


def test_hash_is_splitmix64():
    # The first outputs of the published generator from state 0.
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [value % 2**64 for value in hash_int64(torch.arange(3)).tolist()] == published


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((80, 401, 4, 0.3), "patch_size=4 does not divide the input of 80 mel bands × 401 frames"),
        ((80, 400, 0, 0.3), "patch_size=0 does not divide"),
        ((80, 400, 4, 0.0), "mask_ratio=0.0 hides 0 of 2000 patches"),
        ((80, 400, 4, 1.0), "mask_ratio=1.0 hides 2000 of 2000 patches"),
    ],
)
def test_rejects_impossible_masks(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        PatchMasker(*settings)
