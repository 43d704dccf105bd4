"""Trains on, tests and scores ever larger sets: python growing_sets.py FOLDER [--clips 100 1000 10000] [--frames 80].

Writes for each size a set of noise to train on and one to test on, normal but for eight anomalous clips, and prints for
`fit` (an epoch), `test` and `predict` a JSON line with the seconds they took and the most memory that their process
held. Children are forked, so that torch is imported once.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import torch

from experiments.cli import stages as cli
from experiments.cli.main import main

ANOMALIES = 8
MIB = 1024  # KiB, in which Linux counts
OPTIONS = ["--data", "AudioFolderDataModule", "--model.backbone", "cae", "--model", "Autoencoder"]
OPTIONS += ["--attributions.explainers", "[error_map, random]", "--attributions.clips", "anomalous"]
OPTIONS += ["--attributions.examples", "0", "--sanity.clips", "0", "--wandb.mode", "disabled"]
OPTIONS += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
OPTIONS += ["--trainer.enable_model_summary", "false"]


def write_clips(root, clips, n_frames):
    """Write a set for training and testing; returns the folder to test on, which has so many clips in all."""
    noise = torch.Generator().manual_seed(clips)
    counts = {"train": clips, "test/normal": clips - ANOMALIES, "test/anomaly": ANOMALIES}
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        for number in range(count):
            torch.save(10 * torch.randn(80, n_frames, generator=noise), root / folder / f"{number:05}.pt")
    return root / "test"


def in_child(arguments, log):
    """Run a command in a child; returns its seconds and its peak memory, MiB."""
    began = time.monotonic()
    child = os.fork()
    if not child:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os._exit(main(arguments))
    _, status, usage = os.wait4(child, 0)
    assert status == 0, log.read_text()[-2000:]
    return time.monotonic() - began, usage.ru_maxrss / MIB


def grow(folder, clips, n_frames):
    """Fit, test and predict; a first `fit` and `predict` fill the cache, so all find it filled."""
    data = folder / f"data_{clips}"
    predict_path = write_clips(data, clips, n_frames)
    log = folder / f"log_{clips}.txt"
    options = [*OPTIONS, "--data.root", str(data), "--data.n_frames", str(n_frames)]
    options += ["--data.cache_dir", str(folder / "cache"), "--data.predict_path", str(predict_path)]
    run = folder / f"run_{clips}"
    fit = ["fit", *options, "--trainer.max_epochs", "1", "--run"]
    checkpoint = ["--ckpt_path", str(run / "fit" / "checkpoints" / "best.ckpt"), "--run", str(run)]
    in_child([*fit, str(folder / f"first_{clips}")], log)
    measure("fit", clips, [*fit, str(run)], log)
    in_child(["predict", *options, *checkpoint], log)
    for stage in ("test", "predict"):
        measure(stage, clips, [stage, *options, *checkpoint], log)


def measure(stage, clips, arguments, log):
    """Run a command in a child and print what it took."""
    seconds, memory_mib = in_child(arguments, log)
    told = {"stage": stage, "clips": clips, "seconds": round(seconds, 1), "memory_mib": round(memory_mib)}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def run():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--frames", type=int, default=80)
    options = parser.parse_args()
    torch.set_num_threads(1)
    assert cli  # imported here, once for all
    options.folder.mkdir(parents=True, exist_ok=True)
    for clips in options.clips:
        grow(options.folder, clips, options.frames)


if __name__ == "__main__":
    run()
