"""Models of several seeds, their statistics against plain NumPy and SciPy, and a study's folder."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from run_folders import EXPLANATION_COLUMNS, PERCENTILES, RunMaker, write_rows
from scipy import stats

from experiments.report.evidence import compute_evidence, paired_verdict
from experiments.report.loading import load_comparison
from experiments.report.published import published_curve
from lightning_modules import ConfigurationError
from metrics.functional.chance import permutation_p_value

N_CLIPS, SHIFTS = 12, 40
CLIPS = [f"{'stuck' if i < 4 else 'broken'}/{i:02d}.wav" for i in range(N_CLIPS)]
EXPLAINERS = {"error_map": 0.3, "saliency": 0.1, "random": 0.0}


def write_study(root, seeds=(0, 1, 2), settings=({},), name="paper"):
    """Write a study of AE and MAE over seeds; the MAE is 0.2 better where explainers work."""
    folder = root / name
    folder.mkdir()
    (folder / "study.yaml").write_text(f"name: {name}\n")
    for objective, gain in (("AE", 0.0), ("MAE", 0.2)):
        for number, of_run in enumerate(settings):
            for seed in seeds:
                run = folder / "runs" / objective / str(number) / f"seed_{seed}"
                write_run(RunMaker(objective, examples=False), run, seed, gain)
                membership = {"study": name, "variant": objective, "settings": of_run, "seed": seed}
                (run / "study.json").write_text(json.dumps(membership))
    return folder


@pytest.fixture
def study(tmp_path):
    """A function that writes a study."""
    return partial(write_study, tmp_path)


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """The folder of a study of three seeds and its evidence, not to be changed."""
    folder = write_study(tmp_path_factory.mktemp("evidence"))
    return folder, compute(folder)


def write_run(maker, run, seed, gain):
    """A run whose explanations differ from their shifted curves by what `EXPLAINERS` says, and `gain`."""
    maker.anomalous = {name: 3.0 + seed + i for i, name in enumerate(CLIPS)}
    chance = np.random.default_rng(0).uniform(0.1, 0.5, (N_CLIPS, len(PERCENTILES), SHIFTS))
    noise = np.random.default_rng([seed, int(10 * gain)])
    nulls = {}
    for explainer, boost in EXPLAINERS.items():
        nulls[explainer] = chance.astype(np.float32)
        observed = chance[..., 1] + (boost + gain if boost else 0) + noise.normal(0, 0.02, chance.shape[:2])
        nulls[explainer][..., 0] = observed
    maker.f1 = {name: null[..., 0].tolist() for name, null in nulls.items()}
    maker.write(run)
    test = run / "test"
    shared = {"names": np.array(CLIPS[::-1]), "percentiles": np.array(PERCENTILES)}
    np.savez(test / "f1_null.npz", **shared, **{name: null[::-1] for name, null in nulls.items()})
    rows = []
    for i, clip in enumerate(CLIPS):
        for p, percentile in enumerate(PERCENTILES):
            key = (i + 4, clip, clip.split("/")[0])
            for explainer, null in nulls.items():
                rows.append((*key, explainer, "f1", percentile, null[i, p, 0], null[i, p].mean()))
                rows.append((*key, explainer, "faithfulness_frame", percentile, null[i, p, 0] / 2, ""))
            for name, value in {"random_frames": 0.3, "all_frames": 0.5, "oracle": 0.9}.items():
                rows.append((*key, name, "f1", percentile, value, ""))
    write_rows(test / "explanations.csv", EXPLANATION_COLUMNS, rows)


def compute(*folders):
    """Evidence of what lies in folders."""
    return compute_evidence(load_comparison(folders))


def pick(frame, **values):
    """The row of a frame with these values."""
    for name, value in values.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def of_clips(folder, explainer="saliency", percentile=98):
    """F1 of the AE by seed and clip, clips in the order of their names, read with NumPy alone."""
    nulls = [np.load(path) for path in sorted(folder.glob("runs/AE/0/*/test/f1_null.npz"))]
    order = np.argsort(nulls[0]["names"])
    return np.stack([null[explainer][order, PERCENTILES.index(percentile), 0] for null in nulls]).astype(float)


def test_seeds_are_one_model_and_settings_are_not(study):
    folder = study(settings=({}, {"mask_ratio": 0.5}))
    comparison = load_comparison([folder])
    assert {label: model.seeds for label, model in comparison.models.items()} == {
        "AE": (0, 1, 2),
        "AE (mask_ratio 0.5)": (0, 1, 2),
        "MAE": (0, 1, 2),
        "MAE (mask_ratio 0.5)": (0, 1, 2),
    }
    assert [(first.label, second.label) for first, second in comparison.pairs()] == [
        ("AE", "MAE"),
        ("AE (mask_ratio 0.5)", "MAE (mask_ratio 0.5)"),
    ]


def test_two_studies_keep_their_names(study):
    folders = [study(seeds=(0,), name="short"), study(seeds=(0,), name="long")]
    assert list(load_comparison(folders).models) == ["AE (short)", "MAE (short)", "AE (long)", "MAE (long)"]


def test_unfinished_runs_of_a_study_are_named_and_left_out(study):
    folder = study()
    missing = folder / "runs/MAE/0/seed_1"
    (missing / "test" / "finished").unlink()
    comparison = load_comparison([folder])
    assert comparison.models["MAE"].seeds == (0, 2)
    assert comparison.unfinished == (missing,)
    assert comparison.percentile == 98


def test_rejects_a_study_without_a_finished_run(study):
    folder = study(seeds=(0,))
    for mark in folder.rglob("test/finished"):
        mark.unlink()
    with pytest.raises(ConfigurationError, match="no run of the study"):
        load_comparison([folder])


def test_means_are_those_of_the_files_whatever_their_order(study):
    folder = study()
    path = folder / "runs/AE/0/seed_1/test/explanations.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *rows[::-1]]))
    evidence = compute(folder)
    null = np.load(folder / "runs/AE/0/seed_1/test/f1_null.npz")["saliency"]
    curve = {"model": "AE", "seed": 1, "explainer": "saliency", "measure": "f1"}
    for at, percentile in enumerate(PERCENTILES):
        of_run = pick(evidence.runs, **curve, anomaly_type="", percentile=percentile)
        assert of_run["mean"] == pytest.approx(null[:, at, 0].mean())
        of_stuck = [name.startswith("stuck") for name in CLIPS[::-1]]
        of_type = pick(evidence.runs, **curve, anomaly_type="stuck", percentile=percentile)
        assert of_type["mean"] == pytest.approx(null[of_stuck, at, 0].mean())
    row = pick(evidence.explanations, model="AE", explainer="saliency", measure="f1", anomaly_type="", percentile=98)
    assert row["oracle"] == pytest.approx(0.9)
    assert row["n_clips"] == N_CLIPS
    assert "faithfulness_segment" not in set(evidence.explanations["measure"])
    assert not {"random_frames", "oracle"} & set(evidence.explanations["explainer"])


def test_values_and_tests_against_chance(paper):
    folder, evidence = paper
    values = of_clips(folder)
    key = {"model": "AE", "measure": "f1", "anomaly_type": "", "percentile": 98}
    row = pick(evidence.explanations, explainer="saliency", **key)
    assert row["mean"] == pytest.approx(values.mean())
    assert row["sd"] == pytest.approx(np.std(values.mean(1), ddof=1))
    reference = stats.bootstrap((values.mean(0),), np.mean, rng=np.random.default_rng(0)).confidence_interval
    assert (row["low"], row["high"]) == pytest.approx(reference, abs=0.005)
    assert row["corrected"] == pytest.approx((row["mean"] - row["chance"]) / (0.9 - row["chance"]))
    raw = {name: pick(evidence.explanations, explainer=name, **key)["p"] for name in EXPLAINERS}
    assert raw["error_map"] < 0.001
    assert raw["random"] > 0.05
    best = pick(evidence.explanations, explainer="error_map", **key)
    # Two explainers and a control, which is corrected for nothing and counts for nothing: two hypotheses.
    assert best["p_holm"] == pytest.approx(2 * raw["error_map"])
    assert pick(evidence.explanations, explainer="random", **key)["p_holm"] == raw["random"]
    of_f1 = evidence.paired.query("measure == 'f1' and not over_chance").set_index("explainer")[["p", "p_holm"]]
    largest = of_f1["p"][["error_map", "saliency"]].max()
    assert of_f1["p_holm"]["error_map"] == pytest.approx(max(2 * of_f1["p"]["error_map"], largest))
    assert of_f1["p_holm"]["random"] == of_f1["p"]["random"]
    assert best["verdict"] == "above chance"
    assert pick(evidence.explanations, explainer="random", **key)["verdict"] == "not above chance"
    of_frames = evidence.explanations.query("measure == 'faithfulness_frame'")
    assert set(of_frames["verdict"]) == {"untested"}
    assert of_frames[["p", "chance"]].isna().all(axis=None)


def test_p_values_are_of_the_mean_over_seeds(paper):
    folder, evidence = paper
    nulls = [np.load(path)["random"] for path in sorted(folder.glob("runs/AE/0/*/test/f1_null.npz"))]
    assert len(nulls) == 3
    # The order of clips decides which shifts are drawn together; clips are sorted by name.
    by_name = np.mean(nulls, 0, dtype=float)[np.argsort(CLIPS[::-1]), 1]
    expected = permutation_p_value(torch.from_numpy(by_name))
    key = {"model": "AE", "explainer": "random", "measure": "f1", "anomaly_type": "", "percentile": 98}
    assert pick(evidence.explanations, **key)["p"] == pytest.approx(expected)


def test_best_percentile_allows_for_its_choice(paper):
    _, evidence = paper
    best = pick(evidence.best, model="AE", explainer="random", measure="f1")
    curve = evidence.explanations.query("model == 'AE' and explainer == 'random' and measure == 'f1'")
    curve = curve[curve["anomaly_type"] == ""].set_index("percentile")
    assert best["percentile"] == curve["mean"].idxmax()
    assert best["mean"] == curve["mean"].max()
    assert best["p"] >= curve["p"][best["percentile"]] - 0.01


def test_references_that_are_not_exceeded_are_named(paper):
    """AE's saliency is about 0.4 where chance is 0.3: above random frames (0.3) and not above all frames (0.5)."""
    shown = paper[1].explanations.query("measure == 'f1' and anomaly_type == '' and percentile == 98")
    of_ae = shown[shown["model"] == "AE"].set_index("explainer")["not_above"]
    assert of_ae.to_dict() == {"error_map": "", "saliency": "all_frames", "random": ""}


def test_pairs_by_clip_and_seed(study):
    folder = study()
    (folder / "runs/AE/0/seed_1/test/finished").unlink()
    row = pick(compute(folder).paired, measure="f1", explainer="saliency", over_chance=False)
    assert (row["first"], row["second"]) == ("AE", "MAE")
    # The AE has seeds 0 and 2, so only these of the MAE are compared with it.
    mae = [np.load(path)["saliency"] for path in sorted(folder.glob("runs/MAE/0/*/test/f1_null.npz"))]
    order = np.argsort(CLIPS[::-1])
    second = np.stack([mae[seed][order, 1, 0] for seed in (0, 2)]).astype(float)
    by_clip = (second - of_clips(folder)[[0, 2]]).mean(0)
    assert row["difference"] == pytest.approx(by_clip.mean())
    assert row["difference"] == pytest.approx(0.2, abs=0.02)
    assert row["p"] == pytest.approx(stats.wilcoxon(by_clip, method="exact").pvalue)
    assert row["p_holm"] >= row["p"]
    assert row["low"] < row["difference"] < row["high"]
    assert row["verdict"] == "higher"


@pytest.mark.parametrize(
    ("difference", "low", "high", "p", "verdict"),
    [
        (0.12, 0.07, 0.17, 0.003, "higher"),
        (-0.12, -0.17, -0.07, 0.003, "lower"),
        (0.12, 0.07, 0.17, 0.06, "open"),
        (0.12, -0.08, 0.32, 0.003, "open"),
        (0.0004, 0.0003, 0.0005, 0.003, "open"),  # printed as 0.000
        (0.12, 0.07, 0.17, float("nan"), "untested"),
    ],
)
def test_a_difference_needs_the_test_the_interval_and_a_printed_digit(difference, low, high, p, verdict):
    assert paired_verdict(difference, low, high, p) == verdict


def test_detection_over_seeds(paper):
    _, evidence = paper
    row = pick(evidence.detection, model="AE", score="score", anomaly_type="", measure="auc")
    # Normal scores are 1 to 4 and anomalous ones 3 + seed + i: seeds 0 and 1 have 3 and 4, or 4, tied with a normal.
    areas = [1 - (1.5 + 0.5) / 48, 1 - 0.5 / 48, 1.0]
    assert row["mean"] == pytest.approx(np.mean(areas))
    assert row["sd"] == pytest.approx(np.std(areas, ddof=1))
    assert row["low"] <= row["mean"] <= row["high"] <= 1
    assert set(evidence.detection["score"]) == {"score"}
    # Clips of type "stuck" are the four lowest: 3 to 6, so that 2, 0.5 and no pairs of 16 are lost.
    of_type = pick(evidence.detection, model="AE", score="score", anomaly_type="stuck", measure="auc")
    assert of_type["mean"] == pytest.approx(np.mean([1 - 2 / 16, 1 - 0.5 / 16, 1]))


def test_masked_scores_count_on_their_own(run_maker, tmp_path):
    areas = compute(run_maker(evidence=True).write(tmp_path / "run")).detection.set_index("score")["mean"]
    assert areas["masked_score"].tolist() == pytest.approx(areas["score"].tolist())


def test_baseline_detectors_come_last(run_maker, tmp_path):
    baseline = run_maker(f1=None, examples=False).write(tmp_path / "forest")
    config = baseline / "fit" / "config.yaml"
    config.write_text(config.read_text().replace("Autoencoder", "IsolationForest"))
    comparison = load_comparison([baseline, run_maker("MAE").write(tmp_path / "mae")])
    assert list(comparison.models) == ["MAE", "Isolation forest"]
    assert [model.is_baseline for model in comparison.models.values()] == [False, True]
    assert list(comparison.explained) == ["MAE"]


def test_deletion_keeps_its_own_percentiles(run_maker, tmp_path):
    folder = run_maker(evidence=True).write(tmp_path / "run")
    path = folder / "test" / "explanations.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not ("tion,98," in line and ",deletion" in line)))
    comparison = load_comparison([folder])
    found = compute_evidence(comparison).explanations.groupby("measure")["percentile"].unique()
    assert found["f1"].tolist() == [97, 98, 99]
    assert found["deletion"].tolist() == [97, 99]
    assert comparison.percentile == 98


def test_chance_band_holds_nine_tenths_of_the_means(run_maker, tmp_path):
    """Two clips have the values 1 and 0 under the null: of the four pairs a quarter has the mean 0 and a quarter 1."""
    maker = run_maker(anomalous={"x/a": 5.0, "y/b": 5.0}, f1={"saliency": [[1.0] * 3] * 2}, examples=False)
    folder = maker.write(tmp_path / "run")
    null = np.tile(np.float32([1, 0]), (2, 3, 1))
    np.savez(folder / "test/f1_null.npz", names=np.array(["x/a", "y/b"]), percentiles=PERCENTILES, saliency=null)
    curve = compute(folder).explanations.query("measure == 'f1'")
    assert set(curve["anomaly_type"]) == {"", "x", "y"}
    assert (curve["chance_low"] == 0).all()
    assert (curve["chance_high"] == 1).all()


def test_chance_band_narrows_with_the_clips(run_maker, tmp_path):
    names = [f"x/{i}" for i in range(400)]
    maker = run_maker(anomalous=dict.fromkeys(names, 5.0), f1={"saliency": [[1.0] * 3] * 400}, examples=False)
    folder = maker.write(tmp_path / "run")
    null = np.tile(np.float32([1, 0]), (400, 3, 1))
    np.savez(folder / "test/f1_null.npz", names=np.array(names), percentiles=PERCENTILES, saliency=null)
    row = compute(folder).explanations.query("measure == 'f1' and anomaly_type == '' and percentile == 98").iloc[0]
    # A mean of 400 fair coins: standard deviation 1/40, and 1.645 of them to either side.
    assert row["chance_low"] == pytest.approx(0.5 - 1.645 / 40, abs=0.006)
    assert row["chance_high"] == pytest.approx(0.5 + 1.645 / 40, abs=0.006)


def test_published_curves_are_of_the_planer_alone(small_study):
    model = small_study.models["MAE"]
    assert published_curve(model, "f1", "saliency")[98] == 0.6287
    assert published_curve(model, "faithfulness_segment", "error_map")[90] == 0.3199
    assert published_curve(model, "f1", "error_map", "broken_board") == {98: 0.75}
    assert published_curve(model, "f1", "masked_error_map") == {}
    assert published_curve(model, "recall", "saliency") == {}
    config = {**model.runs[0].config, "data": {"class_path": "datamodules.DCASEDataModule"}}
    elsewhere = replace(model, runs=(replace(model.runs[0], config=config),))
    assert published_curve(elsewhere, "f1", "saliency") == {}
