"""Writing the ONNX file of a run, which is compared with PyTorch before it is kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from datamodules.errors import DataError
from datamodules.layouts import Clip, scan_files
from experiments.commands.export.comparison import Comparison, calibrate, compare
from experiments.commands.export.metadata import calibration_metadata
from experiments.commands.export.onnx_file import quantise, serialise, store_as_float16, to_onnx
from experiments.commands.export.pipeline import Pipeline, data_module
from experiments.commands.export.scorer import Scorer
from experiments.predictions.calibration import Calibration
from experiments.runs.config import objective_name, read_config
from experiments.runs.folder import RunFolder
from lightning_modules.backbones import describe_backbone
from lightning_modules.base import package_version
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically
from lightning_modules.wording import counted, join
from metrics.functional.detection import anomaly_auroc

TOLERANCE = 1e-4
"""Largest difference of the scores of a float32 file from PyTorch's, relative to them."""

_COMPARED = 100
"""Clips of each label to compare on, at most."""

_CALIBRATED = 50
"""Training clips that the ranges of 8-bit activations are taken from, at most."""


def write_model(run: RunFolder, path: Path, takes: str, precision: str, clips: str | None) -> None:
    """Write a run as an ONNX file and print how it compares with PyTorch.

    Args:
        run: The run.
        path: The file to write.
        takes: What the file takes: audio or spectrogram.
        precision: float32, float16 or int8.
        clips: Recording or folder to compare on; None for the test clips of the run's data set.
    """
    pipeline = Pipeline.of_run(run, takes_audio=takes == "audio")
    chosen = _clips_to_compare(run, clips)
    pipeline.read(chosen[0].path)  # a mistake is found before the work begins
    scorer = Scorer(pipeline.module, pipeline.front_end, pipeline.reference_level, pipeline.takes_audio)
    model = to_onnx(scorer)
    if precision == "float16":
        model = store_as_float16(model)
    elif precision == "int8":
        training = _spread(data_module(run).scan().training, _CALIBRATED)
        model = quantise(model, (pipeline.read(clip.path) for clip in training))
    calibration, without = _calibration(run, pipeline, serialise(model, {}) if precision != "float32" else b"")
    contents = serialise(model, _metadata(run, pipeline, scorer, precision, calibration))
    comparison = compare(contents, pipeline, chosen)
    if precision == "float32":
        require_equal(comparison)
    write_atomically(path, contents)
    print(f"{path}: {len(contents) / 1e6:.1f} MB, {precision}, from {takes} to {join(list(scorer.outputs))}")
    print("\n".join(_sentences(comparison)))
    if without:
        print(f"no thresholds in the file: {without}", file=sys.stderr)
    if pipeline.caution:
        print(f"caution: {pipeline.caution}", file=sys.stderr)


def _calibration(run: RunFolder, pipeline: Pipeline, contents: bytes) -> tuple[Calibration | None, str]:
    """The scores of the run's normal clips by the exported model, or why there are none.

    Args:
        run: The run.
        pipeline: The way through PyTorch.
        contents: An ONNX file whose scores are not those of PyTorch; empty for one that equals it.
    """
    saved = pipeline.calibration
    if saved is None:
        return None, f"{run.path} has no calibration of these weights, which fit writes at its end"
    if not contents:
        return saved, ""
    try:
        clips = {clip.name: clip for clip in data_module(run).scan().training}
        return calibrate(contents, pipeline, [clips[name] for name in saved.names.tolist()], saved), ""
    except KeyError as missing:
        reason = f"{missing} is not in the data set any more"
    except DataError as error:
        reason = str(error)
    return None, f"its scores of the normal clips that calibrate the run are unknown: {reason}"


def _clips_to_compare(run: RunFolder, clips: str | None) -> list[Clip]:
    """Clips of a folder, or some normal and some anomalous test clips of the run's data set."""
    if clips is not None:
        return list(scan_files(Path(clips).expanduser()).test)
    try:
        test = data_module(run).scan().test
    except DataError as error:
        raise DataError(f"{error}; or name recordings to compare on with --clips") from error
    return [clip for label in (0, 1) for clip in _spread([each for each in test if each.label == label], _COMPARED)]


def _spread(clips: Sequence[Clip], most: int) -> list[Clip]:
    """At most so many clips, at equal steps."""
    n = min(most, len(clips))
    return [clips[i * len(clips) // n] for i in range(n)]


def _metadata(
    run: RunFolder, pipeline: Pipeline, scorer: Scorer, precision: str, calibration: Calibration | None
) -> dict[str, Any]:
    """What a reader of the file has to know, by key."""
    config = read_config(run.fit_config)
    lengths = {"least_samples": scorer.least_samples, "window_samples": scorer.window_samples}
    return {
        "faithful_aad_version": package_version(),
        "run": run.path.resolve().name,
        "objective": objective_name(config),
        "backbone": describe_backbone(pipeline.module.hparams["backbone"]),
        "precision": precision,
        "caution": pipeline.caution,
        "front_end": asdict(pipeline.front_end.settings),
        "channel": str(pipeline.channel),
        "reference_level": pipeline.reference_level,
        "n_frames": scorer.n_frames,
        "frames_per_second": pipeline.front_end.settings.frames_per_second,
        **(lengths if pipeline.takes_audio else {}),
        "outputs": scorer.outputs,
        **({} if calibration is None else calibration_metadata(calibration)),
    }


def require_equal(comparison: Comparison) -> None:
    """Raise a ConfigurationError that names the clip on which a score differs most, if that is too much."""
    for score in comparison.scores:
        differences = comparison.differences[score]
        worst = int(np.argmax(differences))  # the first NaN, if there are any
        if not differences[worst] <= TOLERANCE:
            raise ConfigurationError(
                f"{comparison.clips[worst].path}: the {_words(score)} of the exported model differs from PyTorch's by "
                f"{differences[worst]:.1e} of it, more than {TOLERANCE:g}; nothing was written. Try "
                "--input spectrogram or other --clips"
            )


def _sentences(comparison: Comparison) -> Iterator[str]:
    n_clips = counted(len(comparison.clips), "clip")
    yield f"Differences from PyTorch on {n_clips}, relative to its values (median and largest):"
    for result, differences in comparison.differences.items():
        yield f"  {_words(result)} {median(differences):.1e}, {max(differences):.1e}"
    labels = torch.tensor([clip.label for clip in comparison.clips])
    if len(labels.unique()) == 2:
        for score, values in comparison.scores.items():
            exported, expected = (float(anomaly_auroc(each, labels)) for each in torch.tensor(values).T)
            yield f"AUC of the {_words(score)}: {exported:.4f}, in PyTorch {expected:.4f}"
    of_onnx, of_torch = comparison.milliseconds
    yield f"Median time per clip on one core: {of_onnx:.1f} ms, in PyTorch {of_torch:.1f} ms"


def _words(result: str) -> str:
    return result.replace("_", " ")
