"""Deletion and insertion curves by hand, against brute force, and from the callback in real trainer runs."""

import numpy as np
import pytest
import torch
from metrics_toy import ToyMaps, ToyModule, explanations, loader, read_csv, toy_clips, toy_trainer
from scipy.integrate import trapezoid
from torch import nn

from metrics.callbacks.deletion import DeletionInsertion
from metrics.explanations import DeletionInsertionScore
from metrics.functional.replacement import curve_area, deletion_insertion

PERCENTILES = (0, 50, 90, 100)


class Scaling(nn.Module):
    """Multiplies its input and counts the spectrograms it runs."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.runs = 0

    def forward(self, x):
        self.runs += len(x)
        return self.factor * x


def smoothing(x):
    padded = np.pad(x, ((0, 0), (1, 1)))
    return (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3


def curves_by_hand(x, curve, percentiles):
    """One clip's relative errors with the highest frames replaced, and with all others replaced."""
    reconstruction = smoothing(x)
    values = []
    for percentile in percentiles:
        highest = curve >= np.percentile(curve, percentile)
        for frames in (highest, ~highest):
            altered = np.where(frames, reconstruction, x)
            values.append(np.mean((altered - smoothing(altered)) ** 2) / np.mean((x - reconstruction) ** 2))
    return values[::2], values[1::2]


def test_by_hand():
    # f halves, so the error is x²/4 and the relative error that of the energy, 1 + 9 + 4 = 14 before. The frames
    # go in the order 9, 4, 1, each leaving a quarter, and come back in the same order.
    x = torch.tensor([[[1.0, 3.0, 2.0]]])
    module = Scaling(0.5)
    deletion, insertion = deletion_insertion(module, x, x[:, 0], [100, 50, 0], reconstruction=x / 2)
    assert deletion[0].tolist() == pytest.approx([7.25 / 14, 4.25 / 14, 3.5 / 14])
    assert insertion[0].tolist() == pytest.approx([10.25 / 14, 13.25 / 14, 1])
    assert module.runs == 5, "three deletions and two insertions; with all frames back nothing is to be run"


def test_errors_may_grow():
    deletion, _ = deletion_insertion(Scaling(2.0), torch.ones(1, 1, 2), torch.ones(1, 2), [0])
    assert deletion.item() == 4


def test_without_an_error_there_is_nothing_relative_to_it():
    x = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]])
    deletion, insertion = deletion_insertion(Scaling(0.5), x, x[:, 0], [50])
    assert deletion.isnan().tolist() == insertion.isnan().tolist() == [[False], [True]]


def test_equal_masks_run_once():
    x = torch.rand(2, 3, 8)
    module = Scaling(0.5)
    values = deletion_insertion(module, x, torch.ones(2, 8), PERCENTILES, reconstruction=x / 2)
    assert module.runs == 2, "a constant curve marks every frame at every percentile"
    assert torch.stack(values)[:, 0].tolist() == [pytest.approx([0.25] * 4), [1] * 4]


@pytest.mark.parametrize("batch_size", [1, 64])
def test_agrees_with_brute_force(batch_size):
    x = torch.stack([clip["spectrogram"] for clip in toy_clips()[:3]])
    curves = x.square().sum(1)
    with torch.inference_mode():
        found = deletion_insertion(ToyModule().train(), x, curves, PERCENTILES, batch_size=batch_size)
    for row in range(3):
        expected = curves_by_hand(x[row].numpy(), curves[row].numpy(), PERCENTILES)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours[row], theirs, rtol=1e-5)


def test_area_is_trapezoidal_and_normalised():
    values = torch.tensor([[1.0, 0.4, 0.2], [3.0, 3.0, 3.0]])
    # From 20 % to 100 % of the frames, the middle point at 50 %.
    area = (0.3 * 0.7 + 0.5 * 0.3) / 0.8
    assert curve_area(values, [80, 50, 0]).tolist() == pytest.approx([area, 3])
    assert curve_area(values[:, [1, 2, 0]], [50, 0, 80]).tolist() == pytest.approx([area, 3])


@pytest.mark.parametrize(("stage", "prefix"), [("test", "test"), ("validate", "val")])
def test_scalars_and_rows_agree_with_brute_force(tmp_path, stage, prefix):
    trainer = toy_trainer(tmp_path, [ToyMaps(), DeletionInsertion(PERCENTILES, batch_size=7)])
    clips = toy_clips()
    loaders = loader(clips) if stage == "test" else [loader(clips[:2]), loader(clips)]
    getattr(trainer, stage)(ToyModule(), loaders, verbose=False)
    anomalous = [clip for clip in reversed(clips) if clip["label"] == 1]  # by increasing index
    areas = {}
    for explainer in ("error_map", "level"):
        expected = []
        for clip in anomalous:
            x = clip["spectrogram"].numpy()
            curve = ((x - smoothing(x)) ** 2).sum(0) if explainer == "error_map" else x.sum(0)
            expected.append(curves_by_hand(x, curve, PERCENTILES))
        for position, measure in enumerate(("deletion", "insertion")):
            of_clips = np.array([pair[position] for pair in expected])
            np.testing.assert_allclose(explanations(tmp_path, measure, explainer), of_clips, rtol=1e-5)
            areas[measure, explainer] = np.mean([trapezoid(values[::-1], [0, 0.1, 0.5, 1]) for values in of_clips])
    rows = read_csv(tmp_path / "explanations.csv")
    assert len(rows) == 2 * 2 * len(anomalous) * len(PERCENTILES), "there are no references"
    assert {row["chance"] for row in rows} == {""}
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert logged == pytest.approx({f"{prefix}/{'/'.join(key)}": area for key, area in areas.items()}, rel=1e-5)


def test_validation_inside_fit_is_passed_over(tmp_path):
    clips = toy_clips()
    trainer = toy_trainer(tmp_path, [ToyMaps(), DeletionInsertion()])
    trainer.fit(ToyModule(), loader(clips), [loader(clips), loader(clips)])
    assert not any("deletion" in name for name in trainer.callback_metrics)
    assert not (tmp_path / "explanations.csv").exists()


def test_rejects_bad_options():
    with pytest.raises(ValueError, match=r"percentiles: \[98\] span no area"):
        DeletionInsertionScore([98])
    with pytest.raises(ValueError, match="percentiles: 101"):
        DeletionInsertion([98, 101])
    with pytest.raises(ValueError, match="batch_size: 0"):
        DeletionInsertion(batch_size=0)
