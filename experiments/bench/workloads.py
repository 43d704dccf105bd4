"""The work that is measured: training, explaining, evaluating and scoring, each in two ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from experiments.bench.subjects import MASKED_PATCH, Subjects
from experiments.bench.timing import seconds_of
from experiments.bench.training import TimedTraining
from explainers import EXPLAINERS
from lightning_modules import ReconstructionModule
from metrics.measures import DEFAULT_PERCENTILES
from metrics.functional import frame_curve, segment_f1, select_peaks
from metrics.functional.replacement import peak_faithfulness

PAPER_EXPLAINERS = ("error_map", "saliency", "smoothgrad", "integrated_gradients", "gradient_shap", "grad_cam")

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Workload:
    """Work that is done in turns.

    Attributes:
        name: What it is called.
        unit: What is counted, in the plural.
        amounts: Units of each turn.
        yardstick: Does a turn the plain way and returns its seconds.
        ours: Does the same turn our way and returns its seconds.
        sample: Does some of it our way, for its operators to be counted.
        sampled: Units of the sample.
    """

    name: str
    unit: str
    amounts: tuple[float, ...]
    yardstick: Callable[[int], float]
    ours: Callable[[int], float]
    sample: Callable[[], Any]
    sampled: float = 1


def workloads(subjects: Subjects) -> Iterator[Workload]:
    """The workloads in the order in which they are measured; explaining warms up what evaluating needs."""
    yield training(subjects, masked=False)
    yield training(subjects, masked=True)
    for name in PAPER_EXPLAINERS:
        yield explaining(subjects, name)
    yield evaluating(subjects)
    yield scoring(subjects)


def training(subjects: Subjects, masked: bool) -> Workload:
    """Training steps with data loading, from the first clip's file to the last step."""
    settings, yardstick, device = subjects.settings, subjects.yardstick, subjects.device
    network, timed = subjects.network(), TimedTraining(subjects, subjects.module(masked))
    files = subjects.training_files
    patch_size = MASKED_PATCH if masked else None

    def train_network() -> None:
        yardstick.train(network, files, settings.n_frames, settings.batch_size, patch_size, str(device))

    return Workload(
        name=f"train {'MAE' if masked else 'AE'}, batch {settings.batch_size}",
        unit="steps",
        amounts=(settings.training_steps,) * settings.repeats,
        yardstick=lambda turn: seconds_of(train_network, device),
        ours=lambda turn: timed.run(),
        sample=timed.one_step,
    )


def explaining(subjects: Subjects, name: str) -> Workload:
    """Maps of one explainer, of clips in memory."""
    settings, yardstick, device = subjects.settings, subjects.yardstick, subjects.device
    network, explainer = subjects.network(), EXPLAINERS[name](subjects.module())
    x = subjects.x[: settings.explained]
    return Workload(
        name=name,
        unit="maps",
        amounts=(len(x),) * settings.repeats,
        yardstick=lambda turn: seconds_of(lambda: [yardstick.explain(name, network, clip) for clip in x], device),
        ours=lambda turn: seconds_of(lambda: explainer.attribute(x), device),
        sample=lambda: explainer.attribute(x[:1]),
    )


def evaluating(subjects: Subjects) -> Workload:
    """Six explainers, F-score and both kinds of faithfulness; the clips are dealt to the turns."""
    yardstick, device = subjects.yardstick, subjects.device
    network, module = subjects.network(), subjects.module()
    n_turns = min(subjects.settings.repeats, len(subjects.x))
    parts = [(subjects.x[turn::n_turns], subjects.annotation[turn::n_turns]) for turn in range(n_turns)]
    frames_per_second = subjects.settings.frames_per_second
    x, annotation = subjects.x[:1], subjects.annotation[:1]
    return Workload(
        name="full evaluation",
        unit="clips",
        amounts=tuple(len(part) for part, _ in parts),
        yardstick=lambda turn: seconds_of(
            lambda: yardstick.evaluate(network, *parts[turn], list(PAPER_EXPLAINERS)), device
        ),
        ours=lambda turn: seconds_of(lambda: evaluate(module, *parts[turn], frames_per_second), device),
        sample=lambda: evaluate(module, x, annotation, frames_per_second),
    )


def evaluate(
    module: ReconstructionModule, x: Tensor, annotation: Tensor, frames_per_second: float
) -> dict[str, Tensor]:
    """F-score and faithfulness of clips, as the callbacks of `faithful-aad test` compute them.

    Args:
        module: The model.
        x: Spectrograms (B, F, T), dB.
        annotation: Annotated frames, bool, (B, T).
        frames_per_second: Frame rate.

    Returns:
        "f1", "frame" and "segment", each (B, explainers, percentiles).
    """
    with torch.inference_mode():
        reconstruction = module.evaluate(x)["reconstruction"]
        maps = [EXPLAINERS[name](module).attribute(x, reconstruction) for name in PAPER_EXPLAINERS]
        peaks = torch.stack([select_peaks(frame_curve(of_name), DEFAULT_PERCENTILES) for of_name in maps], dim=1)
        f1 = segment_f1(peaks.cpu(), annotation.cpu()[:, None, None], frames_per_second)
        frame, segment = peak_faithfulness(module, x, peaks, annotation, frames_per_second, reconstruction).unbind(2)
    return {"f1": f1, "frame": frame, "segment": segment}


def scoring(subjects: Subjects) -> Workload:
    """Anomaly scores of clips in files."""
    settings, yardstick, device = subjects.settings, subjects.yardstick, subjects.device
    network, module, files = subjects.network(), subjects.module(), subjects.scored_files
    loader = subjects.data.predict_dataloader()
    hours = settings.n_frames / settings.frames_per_second / _SECONDS_PER_HOUR

    def score_files() -> None:
        yardstick.score_files(network, files, settings.n_frames, str(device))

    return Workload(
        name="score audio",
        unit="hours",
        amounts=(len(files) * hours,) * settings.repeats,
        yardstick=lambda turn: seconds_of(score_files, device),
        ours=lambda turn: seconds_of(lambda: score(module, loader), device),
        sample=lambda: score(module, loader),
        sampled=len(files) * hours,
    )


@torch.inference_mode()
def score(module: ReconstructionModule, loader: torch.utils.data.DataLoader[dict[str, Tensor]]) -> Tensor:
    """Anomaly scores of a loader's clips, (N,)."""
    batches = (batch["spectrogram"].to(module.device, non_blocking=True) for batch in loader)
    return torch.cat([module.evaluate(x)["score"] for x in batches]).cpu()
