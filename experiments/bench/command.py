"""`faithful-aad bench`: how fast this machine trains, explains, evaluates and scores."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.bench.counting import count_operators
from experiments.bench.machine import measure_machine
from experiments.bench.results import Result, results_json, results_table
from experiments.bench.roofline import roofline
from experiments.bench.settings import Settings
from experiments.bench.shares import shares_table
from experiments.bench.subjects import MASKED_PATCH, Subjects, prepare
from experiments.bench.timing import Timing
from experiments.bench.workloads import workloads
from experiments.bench.yardstick import load_yardstick
from experiments.report.figures.output import save_png
from experiments.report.terminal import print_table
from lightning_modules import SkipCAETransformer
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically


def bench(
    clips: int = 46,
    repeats: int = 3,
    batch_size: int = 32,
    device: str = "cpu",
    output: str | None = None,
    n_mels: int = 80,
    n_frames: int = 400,
    num_heads: int = 10,
) -> None:
    """Measure training, explaining, evaluating and scoring beside a plainly written yardstick and the machine's limits.

    Args:
        clips: Clips of the full evaluation; the yardstick takes some 20 s for each on two cores.
        repeats: Turns that yardstick and ours take at each workload.
        batch_size: Clips in a batch of training and of scoring.
        device: Where the networks run: cpu, cuda or cuda:1.
        output: JSON file of everything that was measured; the roofline is drawn beside it as PNG.
        n_mels: Mel bands of a clip.
        n_frames: Frames of a clip.
        num_heads: Attention heads of the network.

    Raises:
        ConfigurationError: If a number does not do, the device is not there, the file cannot be written, or the package
            is not a checkout.
    """
    settings = Settings(clips, repeats, batch_size, device, n_mels, n_frames, num_heads)
    for option in ("clips", "repeats", "batch_size"):
        if getattr(settings, option) < 1:
            raise ConfigurationError(f"--{option} {getattr(settings, option)} is not a positive number")
    if n_mels % MASKED_PATCH or n_frames % MASKED_PATCH:
        raise ConfigurationError(f"--n_mels {n_mels}, --n_frames {n_frames}: name multiples of {MASKED_PATCH}")
    SkipCAETransformer(n_mels, n_frames, num_heads)  # refuses sizes that no network has
    _require_device(device)
    if output is not None:
        _require_writable(Path(output))
    yardstick = load_yardstick()
    with _progress() as progress, prepare(settings, yardstick) as subjects:
        progress.add_task("the machine's peaks", total=None)
        machine = measure_machine(torch.device(device))
        results = _measure(subjects, progress)
    console = Console(highlight=False)
    for table in (results_table(results, machine, settings), shares_table(results)):
        print_table(console, table)
    if output is not None:
        path = Path(output)
        write_atomically(path, results_json(results, machine, settings).encode())
        print(path, save_png(roofline(results, machine), path.with_suffix(".png")), sep="\n")


def _measure(subjects: Subjects, progress: Progress) -> list[Result]:
    """Take turns at every workload."""
    (bar,) = progress.task_ids
    results = []
    for workload in workloads(subjects):
        turns = len(workload.amounts)
        progress.reset(bar, description=workload.name, total=turns + 1)
        timing = Timing((), ())
        for turn in range(turns):
            timing = Timing((*timing.yardstick, workload.yardstick(turn)), (*timing.ours, workload.ours(turn)))
            progress.advance(bar)
        operators = count_operators(workload.sample, subjects.device)
        per_unit = {name: work / workload.sampled for name, work in operators.items()}
        results.append(Result(workload.name, workload.unit, workload.amounts, timing, per_unit))
    return results


def _require_device(device: str) -> None:
    """Refuse a device that PyTorch does not know or that is not there.

    Raises:
        ConfigurationError: The message says which there are.
    """
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if device not in there and not (device == "cuda" and len(there) > 1):
        raise ConfigurationError(f"--device {device} is not there; choose one of {', '.join(there)}")


def _require_writable(output: Path) -> None:
    """Refuse a file that can't be written before anything is measured.

    Raises:
        ConfigurationError: The message says why.
    """
    if output.is_dir():
        raise ConfigurationError(f"--output {output} is a folder; name the JSON file to write")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise ConfigurationError(f"--output {output} can't be written ({error.strerror}); name another") from None


def _progress() -> Progress:
    """A bar of the present workload's turns, on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
