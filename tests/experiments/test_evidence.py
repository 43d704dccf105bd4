"""Groups of seeds, their statistics against plain NumPy and SciPy, and a study's folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from run_folders import PERCENTILES
from scipy import stats

from experiments.report.comparison import load_comparison
from experiments.report.evidence import (
    best_chance_tests,
    chance_tests,
    detection_estimates,
)
from experiments.report.pairing import explainer_tests, paired_tests, pairs
from lightning_modules import ConfigurationError
from metrics.callbacks import AnnotationFScore, Faithfulness
from lightning_modules.files import write_rows
from metrics.functional.chance import permutation_p_value

N_CLIPS, SHIFTS = 12, 40
CLIPS = [f"{'stuck' if i < 4 else 'broken'}/{i:02d}.wav" for i in range(N_CLIPS)]
EXPLAINERS = {"error_map": 0.3, "saliency": 0.1, "random": 0.0}


@pytest.fixture
def study(run_maker, tmp_path):
    """A function that writes a study of AE and MAE over seeds; the MAE is 0.2 better where explainers work."""

    def write(seeds=(0, 1, 2), settings=({},), name="paper"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "study.yaml").write_text(f"name: {name}\n")
        for objective, gain in (("AE", 0.0), ("MAE", 0.2)):
            for number, of_run in enumerate(settings):
                for seed in seeds:
                    run = folder / "runs" / objective / str(number) / f"seed_{seed}"
                    write_run(run_maker(objective, examples=False), run, seed, gain)
                    membership = {"study": name, "variant": objective, "settings": of_run, "seed": seed}
                    (run / "study.json").write_text(json.dumps(membership))
        return folder

    return write


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
    np.savez(test / "f1_null.npz", **shared, **{f"f1/{name}": null[::-1] for name, null in nulls.items()})
    leading = ("index", "name", "anomaly_type", "explainer", "percentile")
    rows, shares, references = [], [], []
    for explainer, null in nulls.items():
        for i, of_clip in enumerate(null):
            for percentile, values in zip(PERCENTILES, of_clip, strict=True):
                key = (i + 4, CLIPS[i], CLIPS[i].split("/")[0], explainer, percentile)
                rows.append((*key, *[values[0]] * 3, values.mean()))
                shares.append((*key, values[0] / 2, ""))
    for i, clip in enumerate(CLIPS):
        for percentile in PERCENTILES:
            for name, value in {"random_frames": 0.3, "all_frames": 0.5, "oracle": 0.9}.items():
                references.append((i + 4, clip, clip.split("/")[0], name, percentile, value))
    write_rows(test / AnnotationFScore.filename, (*leading, *AnnotationFScore.kinds, "chance"), rows)
    write_rows(test / Faithfulness.filename, (*leading, *Faithfulness.kinds), shares)
    write_rows(test / AnnotationFScore.references_filename, (*leading, "f1"), references)


def test_seeds_are_one_group_and_settings_are_not(study):
    folder = study(settings=({}, {"mask_ratio": 0.5}))
    comparison = load_comparison([folder])
    assert {label: group.seeds for label, group in comparison.groups.items()} == {
        "AE": (0, 1, 2),
        "AE (mask_ratio 0.5)": (0, 1, 2),
        "MAE": (0, 1, 2),
        "MAE (mask_ratio 0.5)": (0, 1, 2),
    }
    assert [(first.label, second.label) for first, second in pairs(comparison)] == [
        ("AE", "MAE"),
        ("AE (mask_ratio 0.5)", "MAE (mask_ratio 0.5)"),
    ]


def test_two_studies_keep_their_names(study):
    folders = [study(seeds=(0,), name="short"), study(seeds=(0,), name="long")]
    assert list(load_comparison(folders).groups) == ["AE (short)", "MAE (short)", "AE (long)", "MAE (long)"]


def test_unfinished_runs_of_a_study_are_named_and_left_out(study):
    folder = study()
    missing = folder / "runs/MAE/0/seed_1"
    (missing / "test" / "finished").unlink()
    comparison = load_comparison([folder])
    assert comparison.groups["MAE"].seeds == (0, 2)
    assert comparison.unfinished == (missing,)
    assert comparison.percentile == 98


def test_a_study_without_a_finished_run_is_refused(study):
    folder = study(seeds=(0,))
    for mark in folder.rglob("test/finished"):
        mark.unlink()
    with pytest.raises(ConfigurationError, match="no run of the study"):
        load_comparison([folder])


def test_means_are_those_of_the_files_whatever_their_order(study):
    folder = study()
    path = folder / "runs/AE/0/seed_1/test/f1.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *rows[::-1]]))
    group = load_comparison([folder]).groups["AE"]
    null = np.load(folder / "runs/AE/0/seed_1/test/f1_null.npz")["f1/saliency"]
    assert group.means("f1", "saliency")[1] == pytest.approx(null[..., 0].mean(0))
    assert group.means("f1_chance", "saliency")[1] == pytest.approx(null.mean((0, 2)), abs=1e-5)
    of_stuck = [name.startswith("stuck") for name in CLIPS[::-1]]
    assert group.means("f1", "saliency", "stuck")[1] == pytest.approx(null[of_stuck, :, 0].mean(0))
    assert group.reference("f1", "oracle").tolist() == [[pytest.approx(0.9)] * len(PERCENTILES)] * 3
    assert np.isnan(group.means("segment", "saliency")).all()
    assert np.isnan(group.means("f1", "nothing")).all()


def test_p_values_are_of_the_mean_over_seeds(study):
    folder = study()
    group = load_comparison([folder]).groups["AE"]
    nulls = [np.load(path)["f1/random"] for path in sorted(folder.glob("runs/AE/0/*/test/f1_null.npz"))]
    assert len(nulls) == 3
    # The order of clips decides which shifts are drawn together; groups sort them by name.
    by_name = np.mean(nulls, 0, dtype=float)[np.argsort(CLIPS[::-1]), 1]
    expected = permutation_p_value(torch.from_numpy(by_name))
    assert group.p_values("f1", "random")[1] == pytest.approx(expected)
    assert np.isnan(group.p_values("frame", "saliency")).all()


def test_chance_tests(study):
    comparison = load_comparison([study()])
    tests = chance_tests(comparison, "f1")
    group = comparison.groups["AE"]
    of_clips = group.clip_values("f1", "saliency")[:, :, 1]
    test = tests["AE", "saliency"]
    assert test.percentile == 98
    assert test.value.mean == pytest.approx(of_clips.mean())
    assert test.value.sd == pytest.approx(np.std(of_clips.mean(1), ddof=1))
    reference = stats.bootstrap((of_clips.mean(0),), np.mean, rng=np.random.default_rng(0)).confidence_interval
    assert (test.value.low, test.value.high) == pytest.approx(reference, abs=0.005)
    assert test.corrected == pytest.approx((test.value.mean - test.chance) / (0.9 - test.chance))
    raw = {name: tests["AE", name].p_value for name in EXPLAINERS}
    assert raw["error_map"] < 0.001
    assert raw["random"] > 0.05
    assert tests["AE", "error_map"].p_holm == pytest.approx(3 * raw["error_map"])


def test_best_percentile_allows_for_its_choice(study):
    comparison = load_comparison([study()])
    test = best_chance_tests(comparison, "f1")["AE", "random"]
    means = comparison.groups["AE"].means("f1", "random").mean(0)
    assert test.percentile == PERCENTILES[int(means.argmax())]
    assert test.value.mean == pytest.approx(means.max())
    at_it = comparison.groups["AE"].p_values("f1", "random")[int(means.argmax())]
    assert test.p_value >= at_it - 0.01


def test_pairs_by_clip_and_seed(study):
    folder = study()
    (folder / "runs/AE/0/seed_1/test/finished").unlink()
    comparison = load_comparison([folder])
    ((first, second),) = pairs(comparison)
    assert (first.label, second.label) == ("AE", "MAE")
    tests = paired_tests(comparison, first, second, "f1")
    # The AE has seeds 0 and 2, so only these of the MAE are set against it.
    of_clips = second.clip_values("f1", "saliency")[[0, 2], :, 1] - first.clip_values("f1", "saliency")[:, :, 1]
    by_clip = of_clips.mean(0)
    test = tests["saliency"]
    assert test.difference == pytest.approx(by_clip.mean())
    assert test.difference == pytest.approx(0.2, abs=0.02)
    assert test.p_value == pytest.approx(stats.wilcoxon(by_clip, method="exact").pvalue)
    assert test.p_holm >= test.p_value
    assert test.low < test.difference < test.high


def test_explainers_are_compared_within_a_model(study):
    comparison = load_comparison([study()])
    tests = explainer_tests(comparison, "error_map", "saliency", "f1")
    assert set(tests) == {"AE", "MAE"}
    assert tests["AE"].difference == pytest.approx(-0.2, abs=0.02)
    assert explainer_tests(comparison, "error_map", "masked_error_map", "f1") == {}


def test_detection_over_seeds(study):
    comparison = load_comparison([study()])
    auc, _ = detection_estimates(comparison.groups["AE"])
    # Normal scores are 1 to 4 and anomalous ones 3 + seed + i: seeds 0 and 1 have 3 and 4, or 4, tied with a normal.
    areas = [1 - (1.5 + 0.5) / 48, 1 - 0.5 / 48, 1.0]
    assert comparison.groups["AE"].aucs()[:, 0] == pytest.approx(areas)
    assert auc.mean == pytest.approx(np.mean(areas))
    assert auc.sd == pytest.approx(np.std(areas, ddof=1))
    assert auc.low <= auc.mean <= auc.high <= 1
    assert np.isnan(detection_estimates(comparison.groups["AE"], "masked_score")[0].mean)
    # Clips of type "stuck" are the four lowest: 3 to 6.
    assert comparison.groups["AE"].aucs(anomaly_type="stuck")[0, 0] == pytest.approx(1 - 2 / 16)


def test_masked_scores_count_on_their_own(run_maker, tmp_path):
    folder = run_maker(evidence=True).write(tmp_path / "run")
    group = load_comparison([folder]).groups["AE"]
    assert group.aucs("masked_score") == pytest.approx(group.aucs("score"))


def test_reference_detectors_come_last(run_maker, tmp_path):
    detector = run_maker(f1=None, examples=False).write(tmp_path / "forest")
    (detector / "fit" / "config.yaml").unlink()
    (detector / "test" / "config.yaml").write_text("detector: {name: isolation_forest}\n")
    model = run_maker("MAE").write(tmp_path / "mae")
    comparison = load_comparison([detector, model])
    assert list(comparison.groups) == ["MAE", "Isolation forest"]
    assert list(comparison.detectors) == ["Isolation forest"]
    assert list(comparison.explained) == ["MAE"]


def test_deletion_keeps_its_own_percentiles(run_maker, tmp_path):
    folder = run_maker(evidence=True).write(tmp_path / "run")
    path = Path(folder) / "test" / "deletion.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if ",98," not in line))
    group = load_comparison([folder]).groups["AE"]
    assert group.percentiles == (97, 98, 99)
    assert group.percentiles_of("deletion") == (97, 99)
    assert group.means("deletion", "error_map").shape == (1, 2)
