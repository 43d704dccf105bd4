"""The script for machines with a GPU, tried on the CPU with small sizes."""

import json
import math
import tarfile

import pandas as pd
import pytest
import torch
import yaml
from benchmarks import gpu, speed
from benchmarks.roofline import Rates, Roofline

SIZES = gpu.Sizes(
    batch_size=2,
    epoch_steps=1,
    evaluated=1,
    bench_steps=1,
    explained=1,
    n_mels=16,
    n_frames=80,
    num_heads=4,
    train=12,
    normal=3,
    anomalies=3,
)


@pytest.fixture
def small_study(tmp_path):
    """One seed of one objective, one epoch of clips of 2 s."""
    options = {"model": "Autoencoder", "model.backbone": "cae", "trainer.max_epochs": 1}
    options |= {"data.batch_size": 4, "data.n_frames": 80}
    tested = {"attributions.explainers": ["error_map"], "sanity.clips": 0, "faithfulness.shifts": 1}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"variants": {"AE": {"config": "planer_ae", "fit": options, "test": tested}}}))
    return path


def test_parts_leave_their_results(small_study, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(speed, "PAPER_EXPLAINERS", ("error_map",))  # the others take many passes
    output = tmp_path / "gpu"
    parts = ["epoch", "study"]
    gpu.main(parts, "cpu", output, SIZES, studies=[str(small_study)], jobs=1, study_minutes=30)
    printed = capsys.readouterr().out
    assert all(f"{part}: done" in printed for part in parts)
    (result,) = json.loads((output / "epoch.json").read_text())["results"]
    assert result["name"] == "train MAE, batch 2"
    assert 0 < result["roofline_seconds"] < math.inf
    with tarfile.open(output / "small.tar.xz") as archive:
        names = archive.getnames()
        metrics = pd.read_csv(archive.extractfile("small/runs/AE/seed_0/fit/metrics.csv"))
    assert metrics["val/loss"].notna().sum() == 1
    assert "small/runs/AE/seed_0/test/explanations.csv" in names
    assert not any("checkpoints" in name for name in names)


def test_a_failing_part_stops_no_other(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "run_bench", lambda *_: 1 / 0)
    monkeypatch.setattr(gpu, "run_epoch", lambda *_: None)
    with pytest.raises(SystemExit, match="1"):
        gpu.main(["bench", "epoch"], "cpu", tmp_path, SIZES)
    printed = capsys.readouterr().out
    assert "bench: failed: division by zero" in printed
    assert "epoch: done" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": []}, "--parts is empty: choose from tests, bench, epoch, evaluation, study"),
        ({"parts": ["epoch", "all"]}, "--parts all: choose from"),
        ({"device": "gpu9"}, "--device gpu9 is not cpu, cuda or cuda:1"),
    ],
)
def test_mistakes_are_told_in_a_line(options, message):
    with pytest.raises(SystemExit, match=message):
        gpu.main(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_tells_that_there_is_no_device():
    with pytest.raises(SystemExit, match="there is no CUDA device"):
        gpu.main(["epoch"])


def test_the_roofline_is_the_larger_of_both_times():
    a, b = torch.rand(8, 4), torch.rand(4, 16)
    moved, flops = 4 * (8 * 4 + 4 * 16 + 8 * 16), 2 * 8 * 4 * 16
    for rates, expected in ((Rates(1.0, math.inf), moved), (Rates(math.inf, 1.0), flops)):
        with Roofline(rates) as roofline:
            a @ b
        assert roofline.seconds == expected
