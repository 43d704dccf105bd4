"""Killed trainings and damaged checkpoints lead to the results of an uninterrupted training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.runs.checkpoints import read_checkpoint
from experiments.runs.scalars import restore_scalars

SCRIPT = Path(__file__).with_name("killed_fits.py")


@pytest.fixture(scope="module")
def results(simulated, tmp_path_factory):
    """What the script reports of two kills at random moments and of two damages."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, str(SCRIPT), str(simulated), str(folder), "--kills", "2", "--damage"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_killed_training_ends_like_an_uninterrupted_one(results):
    killed = [line for line in results if line["what"] == "killed"]
    assert len(killed) == 2
    for line in killed:
        assert line["same_metrics"], line
        assert line["max_difference"] == 0, line


def test_resumes_from_an_intact_checkpoint(results):
    damaged = [line for line in results if line["what"] == "damaged"]
    assert [(line["names"], line["how"]) for line in damaged] == [
        (["last"], "flip"),
        (["last", "best"], "truncate"),
    ]
    for line in damaged:
        assert line["same_metrics"], line
        assert line["max_difference"] == 0, line
        expected = [f"{name}.ckpt" for name in line["names"]]
        expected += ["begins again with its first epoch"] if line["names"] == ["last", "best"] else []
        for what, warning in zip(expected, line["warnings"], strict=True):
            assert what in warning


def test_pending_row_is_restored_from_the_checkpoint(fitted_run, tmp_path):
    """Of a training that was killed between writing an epoch's checkpoint and logging its loss."""
    whole = (fitted_run / "fit" / "metrics.csv").read_text()
    lines = whole.splitlines(keepends=True)
    checkpoint = read_checkpoint(fitted_run / "fit" / "checkpoints" / "last.ckpt")
    path = tmp_path / "metrics.csv"
    for rows in (lines[:-1], lines, [*lines, lines[-1].replace(f",{checkpoint['global_step'] - 1},", ",99999,")]):
        path.write_text("".join(rows))
        restore_scalars(path, checkpoint)
        assert path.read_text() == whole
