"""Callbacks in real validations, tests and fits of a toy model, against brute force."""

import numpy as np
import pytest
import torch
from metrics_reference import f1_precision_recall, frame_and_segment_faithfulness
from metrics_toy import (
    FRAMES_PER_SECOND,
    PERCENTILES,
    ToyMaps,
    ToyModule,
    loader,
    metric_callbacks,
    read_csv,
    toy_clips,
    toy_trainer,
)
from sklearn.metrics import roc_auc_score

from lightning_modules.errors import ConfigurationError
from metrics import measures

FILES = ("clips.csv", "explanations.csv")
MEASURES = ("f1", "precision", "recall", "faithfulness_frame", "faithfulness_segment")
"""The measures that are compared with brute force here; others have tests of their own."""
NULLS = tuple(f"{measure.key}_null.npz" for measure in measures.MEASURES.values() if measure.has_chance)
CHANCE = ("_chance", "_corrected", "_pvalue")


def smoothing(x):
    padded = np.pad(x, ((0, 0), (1, 1)))
    return (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3


def explained_by_hand(clips):
    """{(index, explainer, percentile): values of MEASURES}."""
    values = {}
    for clip in clips:
        x, annotation = clip["spectrogram"].numpy(), clip["annotation"].numpy()
        curves = {"error_map": ((x - smoothing(x)) ** 2).sum(0), "level": x.sum(0)}
        for explainer, curve in curves.items():
            for percentile in PERCENTILES:
                values[clip["index"], explainer, percentile] = (
                    *f1_precision_recall(curve, annotation, percentile, FRAMES_PER_SECOND),
                    *frame_and_segment_faithfulness(smoothing, x, curve, annotation, percentile, FRAMES_PER_SECOND),
                )
    return values


def evaluate(folder, stage="test", clips=None, maps=True):
    """The scalars that a validation or test of the toy set logs."""
    clips = toy_clips() if clips is None else clips
    trainer = toy_trainer(folder, [ToyMaps(), *metric_callbacks()] if maps else metric_callbacks()[:1])
    if stage == "test":
        trainer.test(ToyModule(), loader(clips), verbose=False)
    else:
        normal = [clip for clip in clips if clip["label"] == 0]
        trainer.validate(ToyModule(), [loader(normal), loader(clips)], verbose=False)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


def without_chance(names):
    """Names of scalars but those that hold explanations against chance."""
    return {name for name in names if not name.split("/")[1].endswith(CHANCE)}


@pytest.mark.parametrize(("stage", "prefix"), [("test", "test"), ("validate", "val")])
def test_scalars_and_rows_agree_with_brute_force(tmp_path, stage, prefix):
    logged = evaluate(tmp_path, stage)
    clips = toy_clips()
    annotated = [clip for clip in clips if clip["annotated"]]
    expected = explained_by_hand(annotated)
    types = {clip["index"]: clip["anomaly_type"] for clip in clips}
    names = {clip["index"]: clip["name"] for clip in clips}

    for kind, scalar in enumerate(MEASURES):
        for explainer in ("error_map", "level"):
            for percentile in PERCENTILES:
                for suffix in ("", "/broken", "/stuck"):
                    of_type = [
                        values[kind]
                        for (index, *key), values in expected.items()
                        if key == [explainer, percentile] and types[index] in {suffix[1:] or types[index]}
                    ]
                    name = f"{prefix}/{scalar}/{explainer}/p{percentile}{suffix}"
                    assert logged.pop(name) == pytest.approx(np.mean(of_type), abs=1e-6), name
    left = [name for name in without_chance(logged) if name.split("/")[1] not in set(measures.MEASURES) - set(MEASURES)]
    assert sorted(left) == sorted(
        f"{prefix}/{area}{suffix}" for area in ("auc", "pauc") for suffix in ("", "/broken", "/stuck")
    )

    rows = read_csv(tmp_path / "explanations.csv")
    assert list(rows[0]) == [
        "index", "name", "anomaly_type", "explainer", "measure", "percentile", "value", "chance",
    ]  # fmt: skip
    keys = [
        (measure, index, explainer, percentile)
        for measure in MEASURES
        for index in sorted(clip["index"] for clip in annotated)
        for explainer in ("error_map", "level")
        for percentile in PERCENTILES
    ]
    found = [row for row in rows if row["explainer"] in ("error_map", "level") and row["measure"] in MEASURES]
    assert [(r["measure"], int(r["index"]), r["explainer"], int(r["percentile"])) for r in found] == keys
    for row, (measure, *key) in zip(found, keys, strict=True):
        assert (row["name"], row["anomaly_type"]) == (names[key[0]], types[key[0]])
        assert float(row["value"]) == pytest.approx(expected[tuple(key)][MEASURES.index(measure)], abs=1e-6)
    assert {row["explainer"] for row in rows} - {"error_map", "level"} == {"random_frames", "all_frames", "oracle"}


def test_detection_agrees_with_scikit_learn(tmp_path):
    logged = evaluate(tmp_path, maps=False)
    clips = {clip["index"]: clip for clip in toy_clips()}
    rows = read_csv(tmp_path / "clips.csv")
    assert list(rows[0]) == ["index", "name", "label", "anomaly_type", "annotated", "score"]
    assert [int(row["index"]) for row in rows] == sorted(clips)
    for row in rows:
        clip = clips[int(row["index"])]
        x = clip["spectrogram"].numpy()
        assert float(row["score"]) == pytest.approx(((x - smoothing(x)) ** 2).mean(), rel=1e-5)
        assert (row["name"], row["anomaly_type"]) == (clip["name"], clip["anomaly_type"])
        assert (int(row["label"]), int(row["annotated"])) == (clip["label"], clip["annotated"])

    for suffix, kept in (("", {"", "broken", "stuck"}), ("/broken", {"", "broken"}), ("/stuck", {"", "stuck"})):
        of_type = [row for row in rows if row["anomaly_type"] in kept]
        labels, scores = [int(row["label"]) for row in of_type], [float(row["score"]) for row in of_type]
        assert logged[f"test/auc{suffix}"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
        assert logged[f"test/pauc{suffix}"] == pytest.approx(roc_auc_score(labels, scores, max_fpr=0.4), abs=1e-6)


def test_without_maps_only_detection_is_measured(tmp_path):
    logged = evaluate(tmp_path, maps=False)
    assert {name.split("/")[1] for name in logged} == {"auc", "pauc"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips.csv", "metrics.csv"]


@pytest.mark.parametrize("position", [1, 2])
def test_measures_without_maps_are_an_error_that_says_what_is_missing(tmp_path, position):
    callback = metric_callbacks()[position]
    trainer = toy_trainer(tmp_path, [callback, ToyMaps()])
    with pytest.raises(ConfigurationError, match=f"{type(callback).__name__} found no attribution maps"):
        trainer.test(ToyModule(), loader(toy_clips()), verbose=False)


class _ScoresOnly(ToyModule):
    """A detector that reconstructs nothing."""

    def evaluate(self, batch):
        return {"score": super().evaluate(batch)["score"]}


def test_a_model_that_reconstructs_nothing_is_measured_by_its_scores(tmp_path):
    trainer = toy_trainer(tmp_path, metric_callbacks())
    trainer.test(_ScoresOnly(), loader(toy_clips()), verbose=False)
    assert {name.split("/")[1] for name in trainer.callback_metrics} == {"auc", "pauc"}


def test_one_class_has_rows_but_no_area(tmp_path):
    logged = evaluate(tmp_path, clips=[clip for clip in toy_clips() if clip["label"] == 0])
    assert logged == {}
    assert len(read_csv(tmp_path / "clips.csv")) == 6
    assert not (tmp_path / "explanations.csv").exists()


def test_without_annotation_faithfulness_is_frame_based(tmp_path):
    clips = toy_clips(annotate=False)
    logged = evaluate(tmp_path, clips=clips)
    assert not any("faithfulness_segment" in name or "f1" in name for name in logged)
    expected = explained_by_hand([clip for clip in clips if clip["label"] == 1])
    rows = [row for row in read_csv(tmp_path / "explanations.csv") if row["explainer"] in ("error_map", "level")]
    assert len(rows) == 2 * len(expected) == 40
    for row in rows:
        key = (int(row["index"]), row["explainer"], int(row["percentile"]))
        if row["measure"] == "faithfulness_frame":
            assert float(row["value"]) == pytest.approx(expected[key][3], abs=1e-6)
        else:
            assert (row["measure"], row["value"]) == ("faithfulness_segment", "")
    mean = np.mean([values[3] for key, values in expected.items() if key[1:] == ("level", 90)])
    assert logged["test/faithfulness_frame/level/p90"] == pytest.approx(mean, abs=1e-6)


def test_validation_inside_fit_logs_anew_each_epoch_and_writes_nothing(tmp_path):
    trainer = toy_trainer(tmp_path, [ToyMaps(), *metric_callbacks()], num_sanity_val_steps=2)
    clips = toy_clips()
    normal = [clip for clip in clips if clip["label"] == 0]
    trainer.fit(ToyModule(), loader(normal), [loader(normal), loader(clips)])
    rows = [row for row in read_csv(tmp_path / "metrics.csv") if row["val/auc"]]
    assert len(rows) == 2
    assert {key: value for key, value in rows[0].items() if key.startswith("val/")} == {
        key: value for key, value in rows[1].items() if key.startswith("val/")
    }
    validated = evaluate(tmp_path / "validate", "validate")
    assert without_chance(validated) < set(validated)
    assert {key for key in rows[0] if key.startswith("val/")} == without_chance(validated)
    for key in without_chance(validated):
        assert float(rows[0][key]) == pytest.approx(validated[key], abs=1e-6)
    assert not any((tmp_path / file).exists() for file in (*FILES, *NULLS))


class _SanityProbe(ToyModule):
    """Counts the passes of sanity checking."""

    passes = 0

    def forward(self, x):
        self.passes += self.trainer.sanity_checking
        return super().forward(x)


def test_sanity_checking_costs_nothing(tmp_path):
    module = _SanityProbe()
    trainer = toy_trainer(tmp_path, [ToyMaps(), *metric_callbacks()], num_sanity_val_steps=2)
    clips = toy_clips()
    trainer.fit(module, loader(clips), [loader(clips), loader(clips)])
    assert module.passes == 4


def test_training_without_a_labelled_split_measures_nothing(tmp_path):
    trainer = toy_trainer(tmp_path, [ToyMaps(), *metric_callbacks()])
    normal = [clip for clip in toy_clips() if clip["label"] == 0]
    trainer.fit(ToyModule(), loader(normal), [loader(normal)])
    assert not any(name.startswith("val/") for name in trainer.callback_metrics)


def test_a_second_epoch_starts_with_no_clip(tmp_path):
    callbacks = [ToyMaps(), *metric_callbacks()]
    trainer = toy_trainer(tmp_path, callbacks)
    trainer.test(ToyModule(), loader(toy_clips()), verbose=False)
    some = [clip for clip in toy_clips() if clip["name"] not in {"clip, 0.wav", "clip, 2.wav"}]
    trainer.test(ToyModule(), loader(some), verbose=False)
    again = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert again == evaluate(tmp_path / "fresh", clips=some)
    assert set(callbacks[1].gather_clips().index) == {clip["index"] for clip in some}
    for file in FILES:
        assert (tmp_path / file).read_text() == (tmp_path / "fresh" / file).read_text()


def test_two_processes_write_what_one_writes(tmp_path, distributed_run):
    """11 clips on two processes: one is repeated, and the second meets no anomalous clip."""
    logged = torch.load(distributed_run / "logged.pt", weights_only=True)
    assert logged == pytest.approx(evaluate(tmp_path), abs=1e-6)
    two, one = distributed_run / "test", tmp_path
    assert (two / "clips.csv").read_text() == (one / "clips.csv").read_text()
    for ours, theirs in zip(*(read_csv(folder / "explanations.csv") for folder in (two, one)), strict=True):
        for column in ("value", "chance"):
            values = [float(row.pop(column) or "nan") for row in (ours, theirs)]
            assert values[0] == pytest.approx(values[1], abs=1e-6, nan_ok=True)
        assert ours == theirs
    for file in NULLS:
        with np.load(two / file) as ours, np.load(one / file) as theirs:
            assert set(ours) == set(theirs)
            for name in ours:
                if ours[name].dtype == np.float32:
                    np.testing.assert_allclose(ours[name], theirs[name], atol=1e-6)
                else:
                    assert ours[name].tolist() == theirs[name].tolist()


class _PrecisionProbe(ToyModule):
    """Notes whether each pass runs in the trainer's mixed precision."""

    def __init__(self):
        super().__init__()
        self.mixed = []

    def forward(self, x):
        self.mixed.append(torch.is_autocast_enabled("cpu"))
        return super().forward(x)


def test_replaced_clips_run_in_the_precision_of_the_run(tmp_path):
    module = _PrecisionProbe()
    trainer = toy_trainer(tmp_path, [ToyMaps(), *metric_callbacks()], precision="bf16-mixed")
    trainer.test(module, loader(toy_clips()), verbose=False)
    assert len(module.mixed) > 3
    assert all(module.mixed)


def test_nothing_half_written_is_left(tmp_path):
    evaluate(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, *NULLS, "metrics.csv"])
