"""Kills trainings and starts them again: python killed_fits.py DATA FOLDER [--kills 20] [--damage] [--seed 0].

Trains once without a break, then kills a training at each of so many random moments with SIGKILL and gives the same
command again; with --damage, also kills some in their middle and damages the checkpoints that they would go on from.
Prints a JSON line for each: what happened, whether all logged values are the same to the byte, and the largest
difference of a weight or of the optimiser's state. Children are forked, so that torch is imported once.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from experiments.cli import stages as cli
from experiments.cli.main import main

EPOCHS = 4
OPTIONS = ["--data", "PlanerDataModule", "--data.n_frames", "80", "--data.batch_size", "4"]
OPTIONS += ["--model", "MaskedAutoencoder", "--model.backbone", "cae", "--trainer.max_epochs", str(EPOCHS)]
OPTIONS += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
OPTIONS += ["--trainer.enable_model_summary", "false", "--attributions.validation_explainers", "[]"]
OPTIONS += ["--wandb.mode", "disabled"]


class Fit:
    """A training in a folder, run by a child."""

    def __init__(self, data, folder):
        self.command = ["fit", *OPTIONS, "--data.root", str(data), "--run", str(folder)]
        self.folder = folder / "fit"
        self.checkpoints = folder / "fit" / "checkpoints"

    def start(self):
        """Begin or go on; returns the child."""
        child = os.fork()
        if not child:
            output = os.open(self.folder.parent.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            status = main(self.command)
            sys.stdout.flush()
            os._exit(status)
        return child

    def finish(self):
        """Go on until it ends."""
        _, status = os.waitpid(self.start(), 0)
        assert status == 0, self.folder.parent.with_suffix(".txt").read_text()[-2000:]

    def kill_when(self, condition):
        """Begin, and end with SIGKILL as soon as a condition holds; says whether it was still at work."""
        child = self.start()
        while not condition():
            if os.waitpid(child, os.WNOHANG)[0]:
                return False
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True

    def epochs(self):
        """Epochs whose values are logged."""
        path = self.folder / "metrics.csv"
        return path.read_text().count("\n") // 2 if path.is_file() else 0

    def logged(self):
        """Every value that was logged, as it stands in the file."""
        return (self.folder / "metrics.csv").read_bytes()

    def state(self):
        """Weights and optimiser's state at the end, and the best weights, as a flat list of tensors."""
        last, best = (torch.load(self.checkpoints / f"{name}.ckpt", weights_only=True) for name in ("last", "best"))
        return list(_tensors([last["state_dict"], last["optimizer_states"], last["lr_schedulers"], best["state_dict"]]))


def _tensors(tree):
    if isinstance(tree, dict):
        tree = [tree[key] for key in sorted(tree, key=str)]
    if isinstance(tree, list):
        for branch in tree:
            yield from _tensors(branch)
    elif isinstance(tree, torch.Tensor | float | int):
        yield torch.as_tensor(tree, dtype=torch.float64)


def compare(what, straight, other, **told):
    """Print how a training's end differs from that of the one without a break."""
    pairs = zip(straight.state(), other.state(), strict=True)
    difference = max((a - b).abs().max().item() for a, b in pairs if a.numel())
    same = other.logged() == straight.logged()
    sys.stdout.write(json.dumps({"what": what, **told, "same_metrics": same, "max_difference": difference}) + "\n")
    sys.stdout.flush()


def kill(straight, fit, moment):
    """Kill at a moment, s after the start, and go on."""
    began = time.monotonic()
    at_work = fit.kill_when(lambda: time.monotonic() - began > moment)
    epochs = fit.epochs()
    if at_work:
        fit.finish()
    compare("killed", straight, fit, moment_s=round(moment, 2), at_work=at_work, epochs=epochs)


def damage(straight, fit, names, harm):
    """Kill in the middle, damage checkpoints, and go on."""
    assert fit.kill_when(lambda: fit.epochs() >= EPOCHS // 2)
    for name in names:
        harm(fit.checkpoints / f"{name}.ckpt")
    fit.finish()
    warnings = [line for line in fit.folder.parent.with_suffix(".txt").read_text().splitlines() if "damaged" in line]
    compare("damaged", straight, fit, names=names, how=harm.__name__, warnings=warnings)


def truncate(path):
    """Cut the last third off."""
    os.truncate(path, path.stat().st_size * 2 // 3)


def flip(path):
    """Turn one bit over in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def run():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--damage", action="store_true")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    assert cli  # imported here, once for all
    options.folder.mkdir(parents=True, exist_ok=True)
    straight = Fit(options.data, options.folder / "straight")
    began = time.monotonic()
    straight.finish()
    seconds = time.monotonic() - began
    moments = random.Random(options.seed)
    for number in range(options.kills):
        kill(straight, Fit(options.data, options.folder / f"killed_{number}"), moments.uniform(0, seconds))
    if options.damage:
        damage(straight, Fit(options.data, options.folder / "flipped"), ["last"], flip)
        damage(straight, Fit(options.data, options.folder / "cut"), ["last", "best"], truncate)


if __name__ == "__main__":
    run()
