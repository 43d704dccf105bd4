"""Stages give the same results on one, two and three real processes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import datamodules.base
from datamodules.batch import EpochShuffle
from experiments.cli.main import main
from metrics.measures import MEASURES, null_file

# Cheap, but with everything that draws random numbers, pads or gathers.
SETTINGS = '{"smoothgrad": {"n_samples": 2}, "integrated_gradients": {"n_steps": 2}}'
NOISY = '["error_map", "smoothgrad", "integrated_gradients", "random"]'
EVALUATION = ["--fscore.percentiles", "[90, 98]", "--faithfulness.percentiles", "[90, 98]"]
EVALUATION += ["--faithfulness.shifts", "2", "--deletion.percentiles", "[0, 90, 100]", "--sanity.clips", "1"]
EVALUATION += ["--attributions.examples", "0", "--attributions.settings", SETTINGS, "--attributions.explainers", NOISY]
FEWER = [*EVALUATION, "--attributions.explainers", '["random", "integrated_gradients"]', "--sanity.clips", "0"]
BASE = ["--model", "Autoencoder", "--model.backbone", "skip_cae", "--data", "PlanerDataModule", "--data.n_frames", "80"]
BASE += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--wandb.mode", "disabled"]
BASE += ["--trainer.enable_model_summary", "false", "--attributions.validation_explainers", "[]"]
TRAINING_BATCH = 2
TRAINING = ["--trainer.max_epochs", "3", "--data.val_fraction", "0.3", "--data.batch_size", str(TRAINING_BATCH)]
# Clips per batch, by number of processes. 3 do not divide the 14 clips to test or predict, nor 2 the 7 to validate.
BATCHES = {1: 8, 2: 3, 3: 1}
PROCESSES = {"test": (1, 2, 3), "validate": (1, 2), "predict": (1, 3)}
CALL = Path(__file__).with_name("forked_stages.py")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def number(cell):
    try:
        return float(cell)
    except ValueError:
        return None


def assert_same(one, other):
    """The same rows in the same order; all but numbers exactly, numbers to 1e-5, relative where they are above 1.

    A batch of one clip is computed by other kernels, whose last digits differ. Chance-corrected values are quotients
    of differences, which enlarge that.
    """
    assert [list(row) for row in one] == [list(row) for row in other]
    for row, like in zip(one, other, strict=True):
        for column, cell in row.items():
            if number(cell) is None:
                assert like[column] == cell, (column, row)
            else:
                tolerance = 1e-3 if "_corrected/" in column else 1e-5
                expected = pytest.approx(number(cell), rel=tolerance, abs=tolerance)
                assert number(like[column]) == expected, (column, row, like)


@pytest.fixture(scope="module")
def base(simulated):
    """Options of every stage."""
    return [*BASE, "--data.root", str(simulated)]


@pytest.fixture(scope="module")
def runs(base, simulated, tmp_path_factory):
    """Folders of the runs, by stage and processes; of `test` also one with other batches."""
    root = tmp_path_factory.mktemp("distributed")
    folders = {("fit", 2): root / "fit"}
    jobs = [(2, ["fit", *base, *TRAINING, "--run", str(folders["fit", 2])])]
    checkpoint = ["--ckpt_path", str(folders["fit", 2] / "fit" / "checkpoints" / "best.ckpt")]
    stages = {"test": EVALUATION, "validate": [*FEWER, "--data.labelled_validation", "0.5"]}
    stages["predict"] = ["--data.predict_path", str(simulated / "evaluation")]
    stages["predict"] += ["--attributions.examples", "0"]
    for stage, options in stages.items():
        for processes in PROCESSES[stage]:
            folder = folders[stage, processes] = root / f"{stage}-{processes}"
            of_run = ["--data.batch_size", str(BATCHES[processes]), "--run", str(folder)]
            jobs.append((processes, [stage, *base, *checkpoint, *options, *of_run]))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(CALL), json.dumps(jobs)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folders


@pytest.mark.parametrize("processes", [2, 3])
def test_test_does_not_depend_on_processes_and_batches(runs, processes):
    one, several = (runs["test", n] / "test" for n in (1, processes))
    files = {path.name for path in one.glob("*.csv")}
    assert files == {path.name for path in several.glob("*.csv")}
    assert {"clips.csv", "explanations.csv", "sanity.csv", "metrics.csv"} <= files
    for name in files:
        assert_same(rows(one / name), rows(several / name))
    nulls = {path.name for path in one.glob("*_null.npz")}
    assert nulls == {null_file(key) for key, measure in MEASURES.items() if measure.has_chance}
    for name in nulls:
        with np.load(one / name) as values, np.load(several / name) as like:
            for key in values.files:
                if values[key].dtype.kind == "f":
                    np.testing.assert_allclose(like[key], values[key], rtol=1e-5, atol=1e-5)
                else:
                    assert (like[key] == values[key]).all()


def test_validate_does_not_depend_on_processes_and_batches(runs):
    one, several = (runs["validate", n] / "validate" for n in PROCESSES["validate"])
    for name in ("clips.csv", "explanations.csv", "metrics.csv"):
        assert_same(rows(one / name), rows(several / name))
    (scalars,) = rows(several / "metrics.csv")
    assert {"val/loss", "val/auc", "val/convergence_delta/integrated_gradients"} <= set(scalars)


def test_processes_predict_each_recording_once(runs, simulated):
    one, several = (runs["predict", n] / "predict" for n in PROCESSES["predict"])
    predictions = rows(several / "predictions.csv")
    assert sorted(Path(row["name"]).name for row in predictions) == sorted(
        path.name for path in simulated.glob("evaluation/**/*.wav")
    )
    assert_same(rows(one / "predictions.csv"), predictions)
    assert not (several / "shards").exists()


class Dealt(EpochShuffle):
    """Order in which one process sees one after another the batches that two processes see at once."""

    def __iter__(self):
        shares = [list(EpochShuffle(self.size, self.seed, self.epoch, num_replicas=2, rank=rank)) for rank in (0, 1)]
        for start in range(0, len(shares[0]), TRAINING_BATCH):
            for share in shares:
                yield from share[start : start + TRAINING_BATCH]


def test_two_processes_train_like_one_with_joint_batches(runs, base, tmp_path, monkeypatch):
    """Training losses agree up to rounding: a gradient is the mean over the same clips, summed in another order.

    Held-out losses agree less closely: the running statistics of batch normalisation have seen the clips of the first
    process in one case, of both in the other.
    """
    monkeypatch.setattr(datamodules.base, "EpochShuffle", Dealt)
    joined = ["--trainer.accumulate_grad_batches", "2", "--run", str(tmp_path / "run")]
    assert main(["fit", *base, *TRAINING, *joined]) == 0
    one, two = (rows(run / "fit" / "metrics.csv") for run in (tmp_path / "run", runs["fit", 2]))
    assert [row["step"] for row in one] == [row["step"] for row in two], "as many steps"
    trained = [[float(row["train/loss"]) for row in logged if row["train/loss"]] for logged in (one, two)]
    assert trained[0] == pytest.approx(trained[1], rel=1e-5)
    assert trained[0][0] - trained[0][-1] > 100 * 1e-5 * trained[0][0], "much more was learnt"
    held_out = [[float(row["val/loss"]) for row in logged if row["val/loss"]] for logged in (one, two)]
    assert held_out[0] == pytest.approx(held_out[1], rel=1e-2)
