"""What the callbacks say of chance, in real tests of a toy model, against brute force."""

import csv

import numpy as np
import pytest
import torch
from metrics_reference import f1_precision_recall, faithfulness, frame_and_segment_faithfulness
from metrics_toy import (
    FRAMES_PER_SEGMENT,
    N_FRAMES,
    PERCENTILES,
    ToyMaps,
    ToyModule,
    loader,
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


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def table(path, column, explainer):
    """A column of a per-clip file, (N, P)."""
    cells = [float(row[column]) for row in read(path) if row["explainer"] == explainer]
    return np.reshape(cells, (-1, len(PERCENTILES)))


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """Folder and scalars of a test."""
    folder = tmp_path_factory.mktemp("tested")
    fscore = AnnotationFScore(PERCENTILES, FRAMES_PER_SEGMENT)
    return folder, evaluate(folder, toy_clips(), fscore, Faithfulness(PERCENTILES, FRAMES_PER_SEGMENT, batch_size=50))


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
        assert set(null) == {"names", "percentiles", "f1/error_map", "f1/level"}
        assert null[f"f1/{explainer}"].dtype == np.float32
        np.testing.assert_allclose(null[f"f1/{explainer}"], expected, atol=1e-7)
    chance = table(folder / "f1.csv", "chance", explainer)
    np.testing.assert_allclose(chance, np.mean(expected, axis=-1), atol=1e-7)
    np.testing.assert_allclose(table(folder / "f1.csv", "f1", explainer), np.array(expected)[..., 0])


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
                    FRAMES_PER_SEGMENT,
                )
                for shift in (0, *of_clip)
            ]
            for clip, of_clip in zip(clips, shifts, strict=True)
            for percentile in PERCENTILES
        ]
    ).reshape(len(clips), len(PERCENTILES), 5, 2)
    with np.load(folder / "faithfulness_null.npz") as null:
        assert len(null) == 2 + 2 * len(EXPLAINERS)
        for k, kind in enumerate(("frame", "segment")):
            np.testing.assert_allclose(null[f"{kind}/{explainer}"], expected[..., k], atol=1e-6)
            chance = table(folder / "faithfulness.csv", f"{kind}_chance", explainer)
            np.testing.assert_allclose(chance, expected[..., 1:, k].mean(-1), atol=1e-6)


def test_references_of_f1(tested):
    folder, _ = tested
    annotation = torch.stack([clip["annotation"] for clip in explained(toy_clips())])
    path = folder / "f1_references.csv"
    assert list(read(path)[0]) == ["index", "name", "anomaly_type", "explainer", "percentile", "f1"]
    assert [row["explainer"] for row in read(path)][:6:2] == ["random_frames", "all_frames", "oracle"]
    random, oracle = random_frames_f1(annotation, COUNTS, 4), oracle_f1(annotation, COUNTS, 4)
    np.testing.assert_allclose(table(path, "f1", "random_frames"), random)
    np.testing.assert_allclose(table(path, "f1", "oracle"), oracle)
    everything = [f1_precision_recall(np.zeros(N_FRAMES), of_clip.numpy(), 50, 4)[0] for of_clip in annotation]
    np.testing.assert_allclose(table(path, "f1", "all_frames"), np.repeat(everything, 2).reshape(-1, 2))


def test_references_of_faithfulness(tested):
    folder, _ = tested
    path = folder / "faithfulness_references.csv"
    clips = explained(toy_clips())
    columns = ["index", "name", "anomaly_type", "explainer", "percentile", "frame", "segment"]
    assert list(read(path)[0]) == columns
    assert [(int(row["index"]), row["name"]) for row in read(path)[::6]] == [(c["index"], c["name"]) for c in clips]
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
                assert table(path, "frame", name)[i, j] == pytest.approx(expected, abs=1e-6)
            whole = faithfulness(smoothing, x, annotation)
            assert table(path, "segment", "all_frames")[i, j] == pytest.approx(whole, abs=1e-6)
            assert table(path, "segment", "oracle")[i, j] == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize(
    ("file", "kind", "chance", "scalar"),
    [
        ("f1", "f1", "chance", "f1"),
        ("faithfulness", "frame", "frame_chance", "faithfulness_frame"),
        ("faithfulness", "segment", "segment_chance", "faithfulness_segment"),
    ],
)
def test_scalars_are_those_of_the_files(tested, file, kind, chance, scalar):
    folder, logged = tested
    oracle = table(folder / f"{file}_references.csv", kind, "oracle").mean(0)
    for explainer in EXPLAINERS:
        value = table(folder / f"{file}.csv", kind, explainer).mean(0)
        level = table(folder / f"{file}.csv", chance, explainer).mean(0)
        for j, percentile in enumerate(PERCENTILES):
            end = f"{explainer}/p{percentile}"
            assert logged[f"test/{scalar}_chance/{end}"] == pytest.approx(level[j], abs=1e-6)
            corrected = logged.get(f"test/{scalar}_corrected/{end}", np.nan)
            way = oracle[j] - level[j]
            expected = (value[j] - level[j]) / way if way > 0 else np.nan
            assert corrected == pytest.approx(expected, abs=1e-4, nan_ok=True)
            with np.load(folder / f"{file}_null.npz") as null:
                p_value = permutation_p_value(torch.tensor(null[f"{kind}/{explainer}"][:, j]))
            assert logged[f"test/{scalar}_pvalue/{end}"] == pytest.approx(p_value)


def test_no_shifts_no_null(tmp_path):
    logged = evaluate(tmp_path, toy_clips(), Faithfulness(PERCENTILES, FRAMES_PER_SEGMENT, shifts=0))
    assert not any(word in name for name in logged for word in ("_chance", "_corrected", "_pvalue"))
    assert not (tmp_path / "faithfulness_null.npz").exists()
    assert {row["frame_chance"] + row["segment_chance"] for row in read(tmp_path / "faithfulness.csv")} == {""}
    assert len(read(tmp_path / "faithfulness_references.csv")) == 4 * 3 * len(PERCENTILES)


def test_the_oracle_misses_no_annotated_segment(tmp_path):
    """One frame is in one segment only, and the annotations overlap two or more."""
    evaluate(tmp_path, toy_clips(), Faithfulness([100], FRAMES_PER_SEGMENT, shifts=0))
    rows = read(tmp_path / "faithfulness_references.csv")
    oracle, everything = ([row["segment"] for row in rows if row["explainer"] == n] for n in ("oracle", "all_frames"))
    assert oracle == everything
    assert {row["frame"] for row in rows if row["explainer"] == "oracle"}.isdisjoint(everything)


def test_without_annotation_chance_is_frame_based_and_nobody_is_an_oracle(tmp_path):
    logged = evaluate(tmp_path, toy_clips(annotate=False), Faithfulness(PERCENTILES, FRAMES_PER_SEGMENT))
    assert "test/faithfulness_frame_pvalue/level/p90" in logged
    assert not any("segment" in name or "corrected" in name for name in logged)
    rows = read(tmp_path / "faithfulness_references.csv")
    assert {row["frame"] == "" for row in rows if row["explainer"] == "oracle"} == {True}
    assert {row["frame"] == "" for row in rows if row["explainer"] != "oracle"} == {False}
    assert {row["segment"] for row in rows} == {""}


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
        trainer = toy_trainer(tmp_path, [maps, Faithfulness(PERCENTILES, FRAMES_PER_SEGMENT)])
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
    callbacks = [AnnotationFScore(PERCENTILES, FRAMES_PER_SEGMENT), Faithfulness(PERCENTILES, FRAMES_PER_SEGMENT)]
    trainer = toy_trainer(tmp_path, [ToyMaps(), *callbacks], num_sanity_val_steps=0)
    trainer.fit(module, loader(clips), [loader(clips), loader(clips)])
    own = 2 * 3 * len(clips)  # training and two loaders in two epochs
    assert module.runs - own <= 2 * 5 * len(EXPLAINERS) * len(PERCENTILES) * 2
    assert [len(callback.references.per_clip()[0]) for callback in callbacks] == [0, 0]
