"""What the callbacks say of chance, in real tests of a toy model, against brute force."""

import numpy as np
import pytest
import torch
from metrics_reference import f1_precision_recall, faithfulness, frame_and_segment_faithfulness
from metrics_toy import (
    FRAMES_PER_SECOND,
    N_FRAMES,
    PERCENTILES,
    ToyMaps,
    ToyModule,
    explanations,
    loader,
    read_csv,
    toy_clips,
    toy_trainer,
)

from metrics.callbacks import AnnotationFScore, Faithfulness
from metrics.functional import draw_shifts, oracle_f1, permutation_p_value, random_frames_f1, reference_frames

EXPLAINERS = ("error_map", "level")
COUNTS = (11, 3)
"""Peaks at the two percentiles, of 22 frames."""


def smoothing(x):
    padded = np.pad(x, ((0, 0), (1, 1)))
    return (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3


def curves_of(clip):
    x = clip["spectrogram"].numpy()
    return {"error_map": ((x - smoothing(x)) ** 2).sum(0), "level": x.sum(0)}


def explained(clips):
    return sorted((clip for clip in clips if clip["annotated"]), key=lambda clip: clip["index"])


def evaluate(folder, clips, *callbacks, module=None):
    trainer = toy_trainer(folder, [ToyMaps(), *callbacks])
    trainer.test(module or ToyModule(), loader(clips), verbose=False)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """Folder and scalars of a test."""
    folder = tmp_path_factory.mktemp("tested")
    fscore = AnnotationFScore(PERCENTILES, FRAMES_PER_SECOND)
    return folder, evaluate(folder, toy_clips(), fscore, Faithfulness(PERCENTILES, FRAMES_PER_SECOND, batch_size=50))


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_f1_under_all_shifts(tested, explainer):
    folder, _ = tested
    expected = [
        [
            [
                f1_precision_recall(np.roll(curves_of(clip)[explainer], shift), annotation, percentile, 4)[0]
                for shift in range(N_FRAMES)
            ]
            for percentile in PERCENTILES
        ]
        for clip in explained(toy_clips())
        for annotation in [clip["annotation"].numpy()]
    ]
    with np.load(folder / "f1_null.npz") as null:
        assert null["names"].tolist() == [clip["name"] for clip in explained(toy_clips())]
        assert null["percentiles"].tolist() == list(PERCENTILES)
        assert set(null) == {"names", "percentiles", "error_map", "level"}
        assert null[explainer].dtype == np.float32
        np.testing.assert_allclose(null[explainer], expected, atol=1e-7)
    chance = explanations(folder, "f1", explainer, "chance")
    np.testing.assert_allclose(chance, np.mean(expected, axis=-1), atol=1e-7)
    np.testing.assert_allclose(explanations(folder, "f1", explainer), np.array(expected)[..., 0])


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_faithfulness_under_the_drawn_shifts(tested, explainer):
    folder, _ = tested
    clips = explained(toy_clips())
    shifts = draw_shifts(torch.tensor([clip["index"] for clip in clips]), N_FRAMES, 4).tolist()
    expected = np.array(
        [
            [
                frame_and_segment_faithfulness(
                    smoothing,
                    clip["spectrogram"].numpy(),
                    np.roll(curves_of(clip)[explainer], shift),
                    clip["annotation"].numpy(),
                    percentile,
                    FRAMES_PER_SECOND,
                )
                for shift in (0, *of_clip)
            ]
            for clip, of_clip in zip(clips, shifts, strict=True)
            for percentile in PERCENTILES
        ]
    ).reshape(len(clips), len(PERCENTILES), 5, 2)
    for k, measure in enumerate(("faithfulness_frame", "faithfulness_segment")):
        with np.load(folder / f"{measure}_null.npz") as null:
            assert len(null) == 2 + len(EXPLAINERS)
            np.testing.assert_allclose(null[explainer], expected[..., k], atol=1e-6)
        chance = explanations(folder, measure, explainer, "chance")
        np.testing.assert_allclose(chance, expected[..., 1:, k].mean(-1), atol=1e-6)


def test_references_of_f1(tested):
    folder, _ = tested
    annotation = torch.stack([clip["annotation"] for clip in explained(toy_clips())])
    random, oracle = random_frames_f1(annotation, COUNTS, 4), oracle_f1(annotation, COUNTS, 4)
    np.testing.assert_allclose(explanations(folder, "f1", "random_frames"), random)
    np.testing.assert_allclose(explanations(folder, "f1", "oracle"), oracle)
    everything = [f1_precision_recall(np.zeros(N_FRAMES), of_clip.numpy(), 50, 4)[0] for of_clip in annotation]
    np.testing.assert_allclose(explanations(folder, "f1", "all_frames"), np.repeat(everything, 2).reshape(-1, 2))
    assert np.isnan(explanations(folder, "f1", "oracle", "chance")).all()


def test_references_of_faithfulness(tested):
    folder, _ = tested
    clips = explained(toy_clips())
    everything = np.ones(N_FRAMES, dtype=bool)
    for i, clip in enumerate(clips):
        x, annotation = clip["spectrogram"].numpy(), clip["annotation"].numpy()
        frames = reference_frames(clip["annotation"][None], PERCENTILES, torch.tensor([clip["index"]]))[0].numpy()
        for j in range(len(PERCENTILES)):
            for name, of_frames in (
                ("random_frames", frames[0, j]),
                ("all_frames", everything),
                ("oracle", frames[2, j]),
            ):
                expected = faithfulness(smoothing, x, of_frames)
                assert explanations(folder, "faithfulness_frame", name)[i, j] == pytest.approx(expected, abs=1e-6)
            whole = faithfulness(smoothing, x, annotation)
            assert explanations(folder, "faithfulness_segment", "all_frames")[i, j] == pytest.approx(whole, abs=1e-6)
            assert explanations(folder, "faithfulness_segment", "oracle")[i, j] == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("measure", ["f1", "faithfulness_frame", "faithfulness_segment"])
def test_scalars_follow_from_the_files(tested, measure):
    folder, logged = tested
    oracle = explanations(folder, measure, "oracle").mean(0)
    for explainer in EXPLAINERS:
        value = explanations(folder, measure, explainer).mean(0)
        level = explanations(folder, measure, explainer, "chance").mean(0)
        for j, percentile in enumerate(PERCENTILES):
            end = f"{explainer}/p{percentile}"
            assert logged[f"test/{measure}_chance/{end}"] == pytest.approx(level[j], abs=1e-6)
            corrected = logged.get(f"test/{measure}_corrected/{end}", np.nan)
            way = oracle[j] - level[j]
            expected = (value[j] - level[j]) / way if way > 0 else np.nan
            assert corrected == pytest.approx(expected, abs=1e-4, nan_ok=True)
            with np.load(folder / f"{measure}_null.npz") as null:
                p_value = permutation_p_value(torch.tensor(null[explainer][:, j]))
            assert logged[f"test/{measure}_pvalue/{end}"] == pytest.approx(p_value)


def test_without_shifts_there_is_no_chance_level(tmp_path):
    logged = evaluate(tmp_path, toy_clips(), Faithfulness(PERCENTILES, FRAMES_PER_SECOND, shifts=0))
    assert not any(word in name for name in logged for word in ("_chance", "_corrected", "_pvalue"))
    assert not list(tmp_path.glob("*.npz"))
    assert {row["chance"] for row in read_csv(tmp_path / "explanations.csv")} == {""}
    assert explanations(tmp_path, "faithfulness_frame", "all_frames").shape == (4, len(PERCENTILES))


def test_the_oracle_misses_no_annotated_segment(tmp_path):
    """One frame is in one segment only, and the annotations overlap two or more."""
    evaluate(tmp_path, toy_clips(), Faithfulness([100], FRAMES_PER_SECOND, shifts=0))
    oracle, everything = (explanations(tmp_path, "faithfulness_segment", name) for name in ("oracle", "all_frames"))
    np.testing.assert_array_equal(oracle, everything)
    oracle, everything = (explanations(tmp_path, "faithfulness_frame", name) for name in ("oracle", "all_frames"))
    assert (oracle != everything).all()


def test_without_annotation_chance_is_frame_based_and_there_is_no_oracle(tmp_path):
    logged = evaluate(tmp_path, toy_clips(annotate=False), Faithfulness(PERCENTILES, FRAMES_PER_SECOND))
    assert "test/faithfulness_frame_pvalue/level/p90" in logged
    assert not any("segment" in name or "corrected" in name for name in logged)
    assert np.isnan(explanations(tmp_path, "faithfulness_frame", "oracle")).all()
    for name in ("random_frames", "all_frames"):
        assert np.isfinite(explanations(tmp_path, "faithfulness_frame", name)).all()
        assert np.isnan(explanations(tmp_path, "faithfulness_segment", name)).all()


class _Counting(ToyModule):
    """Counts the spectrograms it runs."""

    def __init__(self):
        super().__init__()
        self.runs = 0

    def forward(self, x):
        self.runs += len(x)
        return super().forward(x)


class _SameMaps(ToyMaps):
    """The same explanation under two names."""

    def explain(self, outputs, batch):
        super().explain(outputs, batch)
        outputs["attributions"]["level"] = outputs["attributions"]["error_map"]


def test_explainers_share_the_passes_of_equal_masks(tmp_path):
    def runs(maps):
        module = _Counting()
        trainer = toy_trainer(tmp_path, [maps, Faithfulness(PERCENTILES, FRAMES_PER_SECOND)])
        trainer.test(module, loader(toy_clips()), verbose=False)
        return module.runs - len(toy_clips())

    two, same = runs(ToyMaps()), runs(_SameMaps())
    # Frame-based masks of the second explainer's curve and its four shifts, of 5 clips, some of them equal.
    assert 5 * 5 < two - same <= 5 * 5 * 2 + 5
    # 10 masks of the curve and its shifts, 5 of the references, and what few segment-based masks there are.
    assert same <= 5 * (5 * 2 + 5 + 6)


def test_validation_inside_fit_costs_no_more_than_the_explanations(tmp_path):
    module = _Counting()
    clips = toy_clips()
    callbacks = [AnnotationFScore(PERCENTILES, FRAMES_PER_SECOND), Faithfulness(PERCENTILES, FRAMES_PER_SECOND)]
    trainer = toy_trainer(tmp_path, [ToyMaps(), *callbacks], num_sanity_val_steps=0)
    trainer.fit(module, loader(clips), [loader(clips), loader(clips)])
    own = 2 * 3 * len(clips)  # training and two loaders in two epochs
    assert module.runs - own <= 2 * 5 * len(EXPLAINERS) * len(PERCENTILES) * 2
    assert [len(callback.references.per_clip()[0]) for callback in callbacks] == [0, 0]
