"""Faithfulness by replacing frames, by hand and against brute force."""

import metrics_reference
import numpy as np
import pytest
import torch
from torch import nn

from metrics.functional import faithfulness


class _Smoothing(nn.Module):
    """Averages neighbouring frames, with a dropout that must not act, and counts the spectrograms it runs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        nn.init.constant_(self.conv.weight, 1 / 3)
        self.dropout = nn.Dropout(0.5)
        self.batches = []

    def forward(self, x):
        assert not torch.is_grad_enabled()
        self.batches.append(len(x))
        return self.dropout(self.conv(x.flatten(0, 1).unsqueeze(1))).reshape(x.shape)


class _Scaling(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def smoothing(x):
    padded = np.pad(x, ((0, 0), (1, 1)))
    return (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 3, 20, generator=generator)
    masks = torch.rand(5, 4, 20, generator=generator) < 0.3
    return x, masks


def test_by_hand():
    # f halves, so the error is x²/4: before 1 + 9 + 4, after the frame 3 becomes 1.5: 1 + 2.25 + 4.
    x = torch.tensor([[[1.0, 3.0, 2.0]]])
    value = faithfulness(_Scaling(0.5), x, torch.tensor([[False, True, False]]))
    assert value.tolist() == pytest.approx([1 - 7.25 / 14])


def test_floored_at_zero():
    # f doubles: replacing makes the error larger.
    assert faithfulness(_Scaling(2.0), torch.ones(1, 1, 2), torch.tensor([[True, False]])).item() == 0


def test_zero_where_there_is_no_error_to_explain():
    assert faithfulness(_Scaling(1.0), torch.ones(2, 1, 2), torch.ones(2, 2, dtype=torch.bool)).tolist() == [0, 0]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_agrees_with_brute_force(clips, batch_size):
    x, masks = clips
    values = faithfulness(_Smoothing(), x, masks, batch_size=batch_size)
    expected = [
        [metrics_reference.faithfulness(smoothing, one.numpy(), mask.numpy()) for mask in of_clip]
        for one, of_clip in zip(x, masks, strict=True)
    ]
    assert values.min() > 0
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-6)


def test_one_mask_a_clip_equals_many(clips):
    x, masks = clips
    torch.testing.assert_close(faithfulness(_Smoothing(), x, masks[:, 2]), faithfulness(_Smoothing(), x, masks)[:, 2])


def test_known_reconstruction_gives_the_same_and_saves_its_pass(clips):
    x, masks = clips
    module = _Smoothing()
    with torch.no_grad():
        reconstruction = module.eval()(x)
    module.batches.clear()
    values = faithfulness(module, x, masks, reconstruction)
    assert sorted(module.batches) == [7, 13], "the passes of 20 masks"
    torch.testing.assert_close(values, faithfulness(_Smoothing(), x, masks))


def test_empty_masks_are_zero_and_equal_masks_run_once_in_bounded_chunks(clips):
    x, masks = clips
    masks[:, 1] = False
    masks[:, 3] = masks[:, 0]
    masks[3] = False
    module = _Smoothing()
    values = faithfulness(module, x, masks, batch_size=3)
    # 5 reconstructions, then masks 0 and 2 of the four clips that have any.
    assert module.batches[:2] == [3, 2]
    assert sorted(module.batches[2:]) == [2, 3, 3]
    assert values[:, 1].tolist() == [0] * 5
    assert values[3].tolist() == [0] * 4
    assert torch.equal(values[:, 0], values[:, 3])


def test_equal_masks_of_different_clips_are_different():
    x = torch.tensor([[[1.0, 3.0]], [[3.0, 1.0]]])
    values = faithfulness(_Scaling(0.5), x, torch.tensor([[True, False], [True, False]]))
    assert values.tolist() == pytest.approx([1 - 9.25 / 10, 1 - 3.25 / 10])


def test_nothing_to_replace_runs_nothing(clips):
    module = _Smoothing()
    assert faithfulness(module, clips[0], torch.zeros(5, 20, dtype=torch.bool)).tolist() == [0] * 5
    assert module.batches == []


def test_modes_are_restored_whatever_happens(clips):
    x, masks = clips
    module = _Smoothing().train()
    module.conv.eval()
    faithfulness(module, x, masks)
    assert (module.training, module.conv.training, module.dropout.training) == (True, False, True)
    with pytest.raises(RuntimeError):
        faithfulness(module, x, masks, reconstruction=torch.zeros(5, 3, 19))
    assert (module.training, module.conv.training, module.dropout.training) == (True, False, True)


def test_works_in_inference_mode(clips):
    x, masks = clips
    with torch.inference_mode():
        values = faithfulness(_Smoothing(), x.clone(), masks)
    torch.testing.assert_close(values.clone(), faithfulness(_Smoothing(), x, masks))


def test_rejects_shapes_that_do_not_match(clips):
    with pytest.raises(ValueError, match="do not mark"):
        faithfulness(_Smoothing(), clips[0], torch.ones(5, 19, dtype=torch.bool))
    with pytest.raises(ValueError, match="batch_size: 0"):
        faithfulness(_Smoothing(), *clips, batch_size=0)
