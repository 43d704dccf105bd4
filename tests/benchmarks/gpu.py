"""What a machine with a GPU has to show (`make gpu`): that results are the CPU's, how fast it is, and the full study.

Parts, each of which can be run by itself:

- tests: the tests marked gpu.
- bench: every piece of work against the reference implementation and the roofline.
- epoch: an epoch of the masked autoencoder on as many clips as the paper's, against the reference implementation.
- evaluation: the full evaluation of as many clips as the paper annotates, likewise.
- study: studies on simulated recordings of the paper's size, with all seeds side by side on the one device.

The results are one file per part, and tables printed last.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks import speed
from jsonargparse import auto_cli

from datamodules import PlanerDataModule

_TESTS = Path(__file__).resolve().parents[1] / "gpu"
_LARGE = ("checkpoints", "wandb")


@dataclass(frozen=True)
class Sizes:
    """How much is done.

    Attributes:
        batch_size: Clips in a batch of training.
        epoch_steps: Steps of the epoch; 136 batches of 32 are the paper's 4,327 clips.
        evaluated: Clips of the full evaluation; 46 are annotated in the paper.
        bench_steps: Training steps of the benchmark.
        explained: Clips explained in the benchmark.
        n_mels: Mel bands of a clip in the benchmark.
        n_frames: Frames of a clip in the benchmark.
        num_heads: Attention heads in the benchmark.
        train: Normal clips of the study's training.
        normal: Normal test clips of the study.
        anomalies: Anomalous test clips of the study.
    """

    batch_size: int = 32
    epoch_steps: int = 136
    evaluated: int = 46
    bench_steps: int = 20
    explained: int = 4
    n_mels: int = 80
    n_frames: int = 400
    num_heads: int = 10
    train: int = 4327
    normal: int = 3130
    anomalies: int = 105


def main(
    parts: list[str] | None = None,
    device: str = "cuda",
    output: Path = Path("runs/gpu"),
    sizes: Sizes = Sizes(),
    studies: list[str] | None = None,
    jobs: int = 10,
    overrides: list[str] | None = None,
    study_minutes: float = 6,
) -> None:
    """Run the parts one after another; a failure stops none of the others.

    Args:
        parts: Which parts to run, all by default.
        device: cuda, or cpu to try the script.
        output: Folder of the results.
        sizes: How much is done.
        studies: Names or YAML files of studies, simulated_full by default.
        jobs: Runs of a study at a time.
        overrides: Further options of all trainings of the studies.
        study_minutes: Minutes after which the studies stop; what is finished until then is kept.
    """
    known: dict[str, Callable[[], Any]] = {
        "tests": lambda: run_tests(device, output / "tests.txt"),
        "bench": lambda: run_bench(device, sizes, output / "bench.json"),
        "epoch": lambda: run_epoch(device, sizes, output / "epoch.json"),
        "evaluation": lambda: run_evaluation(device, sizes, output / "evaluation.json"),
        "study": lambda: run_studies(
            device, sizes, output, studies or ["simulated_full"], jobs, overrides or [], study_minutes
        ),
    }
    unknown = set(parts or ()) - set(known)
    if unknown or parts == []:
        sys.exit(f"--parts {', '.join(sorted(unknown)) or 'is empty'}: choose from {', '.join(known)}")
    if re.fullmatch(r"cpu|cuda(:\d+)?", device) is None:
        sys.exit(f"--device {device} is not cpu, cuda or cuda:1")
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device; --device cpu with small sizes tries the script")
    output.mkdir(parents=True, exist_ok=True)
    summary = []
    for name in parts or known:
        print(f"== {name}", flush=True)
        started = time.perf_counter()
        try:
            known[name]()
            outcome = "done"
        except Exception as error:
            traceback.print_exc()
            outcome = f"failed: {error}"
        summary.append(f"{name}: {outcome} ({time.perf_counter() - started:.0f} s)")
    machine = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "CPU"
    print("==", machine, *summary, sep="\n", flush=True)
    if any("failed" in line for line in summary):
        sys.exit(1)


def run_tests(device: str, log: Path) -> None:
    """Run the tests marked gpu in several processes, which share the device."""
    processes = str(min(8, (os.cpu_count() or 2) // 2))
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--device", device, "-n", processes, "-v", "--tb", "short"]
    with log.open("wb") as file:
        done = subprocess.run([*command, str(_TESTS)], stdout=file, stderr=subprocess.STDOUT, check=False)
    print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-30:]))
    if done.returncode:
        raise ChildProcessError(f"some tests failed ({log.name})")


def run_bench(device: str, sizes: Sizes, output: Path) -> None:
    """Measure all work, with the roofline."""
    settings = _settings(device, sizes, steps=sizes.bench_steps, clips=sizes.explained, repeats=3)
    speed.main(settings, roofline=True, output=output)


def run_epoch(device: str, sizes: Sizes, output: Path) -> None:
    """Measure an epoch."""
    settings = _settings(device, sizes, steps=sizes.epoch_steps, clips=1, repeats=2)
    speed.main(settings, ["train MAE"], roofline=True, output=output)


def run_evaluation(device: str, sizes: Sizes, output: Path) -> None:
    """Measure the full evaluation."""
    settings = _settings(device, sizes, steps=1, clips=sizes.evaluated, repeats=2)
    speed.main(settings, ["full evaluation"], roofline=True, output=output)


def _settings(device: str, sizes: Sizes, **settings: int) -> speed.Settings:
    return speed.Settings(
        device=device,
        batch_size=sizes.batch_size,
        n_mels=sizes.n_mels,
        n_frames=sizes.n_frames,
        num_heads=sizes.num_heads,
        explained=sizes.explained,
        **settings,
    )


def run_studies(
    device: str,
    sizes: Sizes,
    output: Path,
    studies: list[str],
    jobs: int,
    overrides: list[str],
    minutes: float,
) -> None:
    """Simulate recordings, run studies on them, and pack what each has measured into an archive."""
    end = time.monotonic() + 60 * minutes
    work = output.with_name(output.name + "-work")
    root, cache = work / "data", work / "cache"
    program = [sys.executable, "-m", "experiments.cli.main"]
    if not root.exists():
        counts = {"train": sizes.train, "normal": sizes.normal, "anomalies": sizes.anomalies}
        options = [word for name, count in counts.items() for word in (f"--{name}", str(count))]
        subprocess.run([*program, "simulate", str(root), *options], check=True)
    _fill_cache(root, cache)
    accelerator = "gpu" if torch.device(device).type == "cuda" else "cpu"
    given = [f"--data.root={root}", f"--data.cache_dir={cache}", f"--trainer.accelerator={accelerator}"]
    given += ["--wandb.mode=disabled", "--trainer.enable_progress_bar=false", *overrides]
    failures = []
    for definition in studies:
        name = Path(definition).stem
        folder = work / name
        started = time.monotonic()
        command = [*program, "study", definition, "--output", str(folder), "--jobs", str(jobs), "--", *given]
        with (folder.parent / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            try:
                status = process.wait(max(1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.terminate()
                status = process.wait()
        finished, planned = (list(folder.glob(f"runs/**/{mark}")) for mark in ("test/finished", "study.json"))
        seconds = time.monotonic() - started
        print(f"{name}: {len(finished)} of {len(planned)} runs finished in {seconds:.0f} s", flush=True)
        print((folder.parent / f"{name}.log").read_text(errors="replace")[-1500:], flush=True)
        _pack(folder, output / f"{name}.tar.xz")
        # The page of a report needs a library that few GPU machines have.
        is_whole = 0 < len(planned) == len(finished)
        if not is_whole or (status and importlib.util.find_spec("altair") is not None):
            failures.append(name)
    if failures:
        raise ChildProcessError(f"not finished: {', '.join(failures)}; see the logs in {work}")


def _fill_cache(root: Path, cache: Path) -> None:
    """Compute all spectrograms once, instead of in every run."""
    data = PlanerDataModule(root=str(root), cache_dir=str(cache))
    data.setup("fit")
    data.setup("test")


def _pack(folder: Path, archive: Path) -> None:
    """Pack a study without its large files, the examples of all seeds but the first among them."""

    def keep(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        names = set(Path(info.name).parts)
        return None if names & set(_LARGE) or ("examples" in names and "seed_0" not in names) else info

    with tarfile.open(archive, "w:xz", preset=1) as file:
        file.add(folder, folder.name, filter=keep)


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
