"""How an ONNX model compares with PyTorch on clips: what it computes, and how fast."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.layouts import Clip
from experiments.commands.export.pipeline import Pipeline
from experiments.predictions.calibration import Calibration
from experiments.predictions.scores import SCORES, WindowScores

Array = NDArray[np.float32]


@dataclass
class Comparison:
    """What was found on some clips.

    Attributes:
        clips: The clips.
        differences: By result, of each clip the largest difference from PyTorch, relative to PyTorch's largest value.
        scores: By score, ONNX Runtime's and PyTorch's value of each clip.
        seconds: Of each clip the time on one core in ONNX Runtime and in PyTorch.
    """

    clips: list[Clip] = field(default_factory=list)
    differences: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    scores: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    seconds: list[tuple[float, float]] = field(default_factory=list)

    @property
    def milliseconds(self) -> tuple[float, float]:
        """Median time per clip in ONNX Runtime and in PyTorch."""
        of_onnx, of_torch = zip(*self.seconds, strict=True)
        return 1000 * median(of_onnx), 1000 * median(of_torch)


def compare(contents: bytes, pipeline: Pipeline, clips: Iterable[Clip]) -> Comparison:
    """Run clips through an ONNX model and through PyTorch, in turns, one at a time and on one core.

    Args:
        contents: The contents of an ONNX file.
        pipeline: The way through PyTorch.
        clips: At least one clip.

    Raises:
        DataError: If a clip can't be used.
    """
    run = _runner(contents)
    found = Comparison()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for clip in clips:
            x = pipeline.read(clip.path)
            times = [time.perf_counter()]
            exported = run(x)
            times.append(time.perf_counter())
            expected = pipeline.score(x)
            times.append(time.perf_counter())
            found.clips.append(clip)
            found.seconds.append((times[1] - times[0], times[2] - times[1]))
            for result, values in expected.items():
                found.differences[result].append(_relative_difference(exported[result], values))
                if values.ndim == 1:
                    found.scores[result].append((float(exported[result][0]), float(values[0])))
    finally:
        torch.set_num_threads(threads)
    return found


def calibrate(contents: bytes, pipeline: Pipeline, clips: Iterable[Clip], of_run: Calibration) -> Calibration:
    """The scores that an ONNX model gives to the normal clips of a run's calibration.

    Raises:
        DataError: If a clip can't be used.
    """
    run = _runner(contents)
    collected = WindowScores(pipeline.front_end.settings.frames_per_second)
    for index, clip in enumerate(clips):
        results = run(pipeline.read(clip.path))
        scores = {name: float(results[name][0]) for name in SCORES if name in results}
        collected.add_window(clip.name, index, 0, scores, torch.from_numpy(results["error_map"][0]))
    return Calibration.of_recordings(collected.gather(), of_run.epoch, of_run.step)


def _runner(contents: bytes) -> Callable[[Tensor], dict[str, Array]]:
    """A function that runs one clip through an ONNX model on one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    (name,) = (each.name for each in session.get_inputs())
    results = [each.name for each in session.get_outputs()]
    return lambda clip: dict(zip(results, session.run(results, {name: clip[None].numpy()}), strict=True))


def _relative_difference(values: Array, expected: Array) -> float:
    difference = float(np.abs(values - expected).max())
    return difference / max(float(np.abs(expected).max()), 1e-12)
