"""Speed of training, explaining, evaluating and scoring against a reference implementation (`make bench`).

The reference is plain PyTorch and Captum (`reference.py`). Both do the same work on the same clips and take turns, so
that whatever else the machine does slows both. What is reported is the ratio of their times, which operators ours
spends its time in, and on request how far ours is from the roofline of the device.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmarks import reference
from benchmarks.roofline import Rates, Roofline, measure_rates
from jsonargparse import auto_cli
from lightning.pytorch import Callback, Trainer
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer

from datamodules import AudioFolderDataModule
from datamodules.frontend import FrontEndSettings
from explainers import EXPLAINERS, explainer_label
from lightning_modules import Autoencoder, MaskedAutoencoder, SkipCAETransformer
from lightning_modules.files import write_atomically
from metrics.functional import frame_curve, segment_f1, select_peaks
from metrics.functional.replacement import peak_faithfulness

PAPER_EXPLAINERS = ("error_map", "saliency", "smoothgrad", "integrated_gradients", "gradient_shap", "grad_cam")
PERCENTILES = list(reference.PERCENTILES)
PATCH_SIZE = 4
FRAMES_PER_SECOND = 40
LEVEL_DB = 10.0  # standard deviation of the cells, near the planer's

KINDS = {
    "matmul": r"aten::(add|b|badd)?mm|aten::.*scaled_dot_product.*",
    "conv.": r"aten::.*convolution.*",
    "norms": r"aten::.*(batch|layer)_norm.*",
    "random": r"aten::.*(bernoulli|dropout|rand|normal_|uniform_).*",
    "other": r".*",
}
"""Kinds of operators by their names in torch; the first that matches counts."""


@dataclass(frozen=True)
class Settings:
    """Sizes of a measurement.

    Attributes:
        clips: Clips of the full evaluation; the reference takes some 20 s for each on two cores.
        repeats: Turns that the reference and ours take at each piece of work.
        batch_size: Clips in a batch of training and of scoring.
        device: Where the networks run: cpu, cuda or cuda:1.
        n_mels: Mel bands of a clip.
        n_frames: Frames of a clip.
        num_heads: Attention heads of the network.
        steps: Training steps per turn.
        explained: Clips per turn of each explainer.
    """

    clips: int = 12
    repeats: int = 2
    batch_size: int = 32
    device: str = "cpu"
    n_mels: int = 80
    n_frames: int = 400
    num_heads: int = 10
    steps: int = 4
    explained: int = 2


@dataclass(frozen=True)
class Work:
    """Something that the reference and ours do.

    Attributes:
        name: What it is called.
        unit: What it is counted in.
        amount: Units of a turn.
        reference: A turn of the reference; returns its seconds.
        ours: A turn of ours; returns its seconds.
        profiled: Does ours in small, for a look at its operators.
        profiled_amount: Units of that.
    """

    name: str
    unit: str
    amount: float
    reference: Callable[[], float]
    ours: Callable[[], float]
    profiled: Callable[[], Any]
    profiled_amount: float


@dataclass(frozen=True)
class Result:
    """Seconds per turn of both, and the share of each kind of operator in ours.

    Attributes:
        roofline_seconds: What a turn of our operators would take at least; NaN if that was not asked for.
    """

    name: str
    unit: str
    amount: float
    reference_seconds: list[float]
    our_seconds: list[float]
    shares: dict[str, float]
    roofline_seconds: float = math.nan

    @property
    def ratio(self) -> float:
        """How many times as fast ours is: the median over neighbouring turns, which share the machine's load."""
        return median(slow / fast for slow, fast in zip(self.reference_seconds, self.our_seconds, strict=True))

    @property
    def rate(self) -> float:
        """Units per second of ours, the median turn."""
        return self.amount / median(self.our_seconds)

    @property
    def above_roofline(self) -> float:
        """How many times as long as the roofline ours takes, the median turn."""
        return median(self.our_seconds) / self.roofline_seconds


class Subjects:
    """Networks of equal weights, and clips of noise in files and in memory.

    Args:
        settings: Sizes.
        root: Folder for the files.
    """

    def __init__(self, settings: Settings, root: Path) -> None:
        self.settings, self.device = settings, torch.device(settings.device)
        generator = torch.Generator().manual_seed(0)
        shape = (settings.n_mels, settings.n_frames)
        needed = settings.steps * settings.batch_size
        for folder, count in {"train": needed + needed // 8 + 1, "test/normal": 1, "test/anomaly": 1}.items():
            (root / folder).mkdir(parents=True)
            for i in range(count):
                torch.save(LEVEL_DB * torch.randn(shape, generator=generator), root / folder / f"{i:05d}.pt")
        self.data = AudioFolderDataModule(
            root=str(root),
            n_frames=settings.n_frames,
            frontend=FrontEndSettings(n_mels=settings.n_mels),
            batch_size=settings.batch_size,
            predict_path=str(root / "train"),
            cache_dir=str(root / "cache"),
        )
        self.training_files = [clip.path for clip in self.data.train_clips[:needed]]
        self.scored_files = [clip.path for clip in self.data.predict_clips]
        self.x = LEVEL_DB * torch.randn(settings.clips, *shape, generator=generator).to(self.device)
        second = torch.arange(settings.n_frames) // FRAMES_PER_SECOND
        first = torch.randint(max(1, int(second[-1]) - 1), (settings.clips, 1), generator=generator)
        self.annotation = ((second >= first) & (second < first + 3)).to(self.device)  # three seconds of each clip

    def network(self) -> reference.Network:
        """The reference's network, with the same weights at every call."""
        torch.manual_seed(0)
        settings = self.settings
        return reference.Network(settings.n_mels, settings.n_frames, settings.num_heads).to(self.device).eval()

    def module(self, objective: type[Autoencoder] | type[MaskedAutoencoder] = Autoencoder) -> Any:
        """Ours, with the weights of `network`."""
        size = (self.settings.n_mels, self.settings.n_frames)
        module = objective(*size, backbone={"num_heads": self.settings.num_heads})
        weights = self.network().state_dict()
        module.backbone = SkipCAETransformer.from_reference(weights, *size, self.settings.num_heads)
        return module.to(self.device).eval()


@contextmanager
def prepare(settings: Settings) -> Iterator[Subjects]:
    """Subjects whose files are deleted afterwards."""
    with TemporaryDirectory(prefix="faithful-aad-bench-") as name:
        yield Subjects(settings, Path(name))


def all_work(subjects: Subjects) -> Iterator[Work]:
    """Everything that is measured, in this order; explaining warms up what evaluating needs."""
    settings, x, annotation = subjects.settings, subjects.x, subjects.annotation
    network, module = subjects.network(), subjects.module()
    for objective, label in ((Autoencoder, "AE"), (MaskedAutoencoder, "MAE")):
        yield _training(subjects, objective, f"train {label}, batch {settings.batch_size}")
    few = x[: settings.explained]
    for name in PAPER_EXPLAINERS:
        explainer = EXPLAINERS[name](module)
        yield Work(
            explainer_label(name),
            "maps",
            len(few),
            timed(lambda name=name: [reference.explain(name, network, clip) for clip in few]),
            timed(lambda explainer=explainer: explainer.attribute(few)),
            lambda explainer=explainer: explainer.attribute(few[:1]),
            1,
        )
    yield Work(
        "full evaluation",
        "clips",
        len(x),
        timed(lambda: reference.evaluate(network, x, annotation, list(PAPER_EXPLAINERS))),
        timed(lambda: evaluate(module, x, annotation)),
        lambda: evaluate(module, x[:1], annotation[:1]),
        1,
    )
    loader, files = subjects.data.predict_dataloader(), subjects.scored_files
    hours = len(files) * settings.n_frames / FRAMES_PER_SECOND / 3600
    yield Work(
        "score audio",
        "hours",
        hours,
        timed(lambda: reference.score_files(network, files, settings.n_frames, settings.device)),
        timed(lambda: score(module, loader)),
        lambda: score(module, loader),
        hours,
    )


def timed(run: Callable[[], Any]) -> Callable[[], float]:
    """A function that runs something once and returns its seconds, with all threads, and all work of a GPU included."""
    timer = Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    return lambda: timer.timeit(1).median


def _training(subjects: Subjects, objective: type[Autoencoder] | type[MaskedAutoencoder], name: str) -> Work:
    """Training steps with data loading, from the first clip's file to the last step."""
    settings, network, module = subjects.settings, subjects.network(), subjects.module(objective)
    patch_size = PATCH_SIZE if objective is MaskedAutoencoder else None

    def train_reference() -> None:
        files = subjects.training_files
        reference.train(network, files, settings.n_frames, settings.batch_size, patch_size, settings.device)

    def train_ours() -> float:
        stopwatch = Stopwatch()
        trainer = Trainer(
            accelerator=subjects.device.type,
            devices=[subjects.device.index or 0] if subjects.device.type == "cuda" else 1,
            max_epochs=2 if subjects.device.type == "cuda" else 1,  # the first moves the clips and captures the graph
            limit_train_batches=settings.steps,
            limit_val_batches=1,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[stopwatch],
        )
        trainer.fit(module.train(), datamodule=subjects.data)
        return stopwatch.seconds

    def one_step() -> None:
        module.to(subjects.device)  # a Trainer leaves it on the CPU
        x = next(iter(subjects.data.train_dataloader()))["spectrogram"].to(subjects.device)
        module.training_loss(x).backward()
        torch.optim.AdamW(module.parameters(), fused=True).step()

    return Work(name, "steps", settings.steps, timed(train_reference), train_ours, one_step, 1)


class Stopwatch(Callback):
    """Seconds of the last epoch, from before its first batch is loaded to the end of its last training step."""

    seconds = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._started = self._now(pl_module.device)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            self.seconds = self._now(pl_module.device) - self._started

    @staticmethod
    def _now(device: torch.device) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()


def evaluate(module: Any, x: torch.Tensor, annotation: torch.Tensor) -> dict[str, torch.Tensor]:
    """F-score and faithfulness of clips, as the callbacks of `faithful-aad test` compute them.

    Returns:
        "f1", "frame" and "segment", each (B, explainers, percentiles).
    """
    with torch.inference_mode():
        reconstruction = module.evaluate(x)["reconstruction"]
        maps = [EXPLAINERS[name](module).attribute(x, reconstruction) for name in PAPER_EXPLAINERS]
        peaks = torch.stack([select_peaks(frame_curve(of_name), PERCENTILES) for of_name in maps], dim=1)
        f1 = segment_f1(peaks.cpu(), annotation.cpu()[:, None, None], FRAMES_PER_SECOND)
        frame, segment = peak_faithfulness(module, x, peaks, annotation, FRAMES_PER_SECOND, reconstruction).unbind(2)
    return {"f1": f1, "frame": frame, "segment": segment}


@torch.inference_mode()
def score(module: Any, loader: Any) -> torch.Tensor:
    """Anomaly scores of a loader's clips, (N,)."""
    batches = (batch["spectrogram"].to(module.device, non_blocking=True) for batch in loader)
    return torch.cat([module.evaluate(x)["score"] for x in batches]).cpu()


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Run operators on the calling thread, the only one that profilers of operators see."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def operator_shares(run: Callable[[], Any]) -> dict[str, float]:
    """Share of each of `KINDS` in the time of all operators, by the profiler."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with on_one_thread(), profile(activities=activities) as profiler:
        run()
    seconds = dict.fromkeys(KINDS, 0.0)
    for event in profiler.key_averages():
        if event.key.startswith("aten::"):
            kind = next(kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, event.key))
            seconds[kind] += event.self_device_time_total or event.self_cpu_time_total
    return {kind: value / sum(seconds.values()) for kind, value in seconds.items()}


def measure(work: Work, repeats: int, rates: Rates | None = None) -> Result:
    """Let the reference and ours take turns, after a look at the operators, which warms ours up.

    Args:
        work: What to measure.
        repeats: How many turns.
        rates: Those of the device, if the roofline is wanted.
    """
    shares = operator_shares(work.profiled)
    roofline = math.nan
    if rates is not None:
        with on_one_thread(), Roofline(rates) as counted:
            work.profiled()
        roofline = counted.seconds * work.amount / work.profiled_amount
    turns = [(work.reference(), work.ours()) for _ in range(repeats)]
    slow, fast = (list(seconds) for seconds in zip(*turns, strict=True))
    return Result(work.name, work.unit, work.amount, slow, fast, shares, roofline)


def table(results: list[Result], settings: Settings) -> Table:
    """Ratios, rates and shares."""
    machine = f"{settings.device}, {torch.get_num_threads()} threads"
    title = f"Speed on {machine}: ratio to the reference, rate, and share of each kind of operator"
    roofline = any(not math.isnan(result.roofline_seconds) for result in results)
    found = Table("work", "ratio", "per second", *(["× roofline"] if roofline else []), *KINDS, title=title, box=None)
    for result in results:
        shares = [f"{share:.0%}" for share in result.shares.values()]
        above = [f"{result.above_roofline:.1f}"] if roofline else []
        found.add_row(result.name, f"{result.ratio:.1f}", f"{result.rate:.3g} {result.unit}", *above, *shares)
    return found


def main(
    settings: Settings = Settings(), only: list[str] | None = None, roofline: bool = False, output: Path | None = None
) -> list[Result]:
    """Measure speed against the reference implementation.

    Args:
        settings: Sizes of the measurement.
        only: Beginnings of the names of what to measure; everything if None.
        roofline: Whether to compare with the roofline of the device as well.
        output: JSON file of everything that was measured.

    Returns:
        What was measured.
    """
    console, results = Console(), []
    device = torch.device(settings.device)
    rates = measure_rates(device) if roofline else None
    with prepare(settings) as subjects:
        for work in all_work(subjects):
            if only is None or work.name.startswith(tuple(only)):
                with console.status(work.name):
                    results.append(measure(work, settings.repeats, rates))
    console.print(table(results, settings))
    if output is not None:
        rows = [{**asdict(result), "ratio": result.ratio, "rate": result.rate} for result in results]
        machine = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        contents = {"torch": torch.__version__, "device": machine, "settings": asdict(settings), "results": rows}
        if rates is not None:
            contents["rates"] = asdict(rates)
        write_atomically(output, json.dumps(contents, indent=1).encode())
        console.print(output)
    return results


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
