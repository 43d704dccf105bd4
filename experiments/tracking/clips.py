"""The table of clips: the results of a run on a few recordings, to look at and to listen to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import wandb
from lightning.pytorch.loggers import WandbLogger
from numpy.typing import NDArray

from datamodules.audio import Channel, read_audio, sound_seconds
from datamodules.errors import DataError
from datamodules.files import AUDIO_SUFFIXES
from explainers.examples import Example

MAX_CLIPS = 8
MAX_SECONDS = 30
"""Longer recordings are not uploaded."""

_LIMITS = (0.5, 99.5)  # percentiles of the values between which the colours lie
_ANNOTATION_ROWS = 4  # pixels of the bar below an image
_ANNOTATED, _NOT_ANNOTATED = (217, 120, 0), (255, 255, 255)


def log_clips(
    logger: WandbLogger,
    stage: str,
    examples: Sequence[Example],
    clips: pd.DataFrame | None,
    recordings: Mapping[str, Path],
    channel: Channel = "mix",
) -> None:
    """Log the table ``{stage}/clips`` with one row per clip.

    Columns: name, anomaly type, label, score and, where there is one, masked score; the spectrogram and each
    explainer's map as images, low frequencies at the bottom and a bar below them over the annotated frames; and the
    recording, unless it is a stored spectrogram or longer than `MAX_SECONDS`.

    Args:
        logger: The logger.
        stage: First part of the table's name.
        examples: Explained clips; the first `MAX_CLIPS` are taken.
        clips: Columns name, label (0 normal, 1 anomalous) and, if there is one, masked_score; None if unknown.
        recordings: File of each clip by name.
        channel: Which channel of the recordings was scored.
    """
    chosen = examples[:MAX_CLIPS]
    if not chosen:
        return
    known = {} if clips is None else clips.drop_duplicates("name").set_index("name").to_dict("index")
    rows = [_row(example, known.get(example.name, {}), recordings.get(example.name), channel) for example in chosen]
    # A column without any value is left out; all clips have the same maps.
    columns = [column for column in rows[0] if any(row[column] is not None for row in rows)]
    logger.log_table(f"{stage}/clips", columns, [[row[column] for column in columns] for row in rows])


def spectrogram_image(spectrogram: NDArray[np.float32], annotation: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Colour a spectrogram, (F, T) in dB; see `map_image`."""
    low, high = np.percentile(spectrogram, _LIMITS)
    return _paint(spectrogram, annotation, low, high, "magma")


def map_image(attribution: NDArray[np.float32], annotation: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Colour an attribution map; colours of a map with both signs are symmetric about 0.

    The most extreme 0.5 % of the values are clipped.

    Args:
        attribution: (F, T), the lowest band first.
        annotation: (T,), the frames to mark.

    Returns:
        (F + 4, T, 3), the highest band first, the marks in the last four rows.
    """
    high = float(np.percentile(np.abs(attribution), _LIMITS[1]))
    if (attribution < 0).any():
        return _paint(attribution, annotation, -high, high, "RdBu_r")
    return _paint(attribution, annotation, 0, high, "viridis")


def _paint(
    values: NDArray[np.float32], annotation: NDArray[np.bool_], low: float, high: float, colours: str
) -> NDArray[np.uint8]:
    shares = (values[::-1] - low) / max(high - low, float(np.finfo(np.float32).tiny))
    image = matplotlib.colormaps[colours](shares, bytes=True)[..., :3]
    marks = np.where(annotation[:, None], _ANNOTATED, _NOT_ANNOTATED).astype(np.uint8)
    return np.concatenate([image, np.tile(marks, (_ANNOTATION_ROWS, 1, 1))])


def _row(example: Example, clip: Mapping[str, Any], recording: Path | None, channel: Channel) -> dict[str, Any]:
    masked_score = float(clip.get("masked_score", np.nan))
    return {
        "name": example.name,
        "anomaly_type": example.anomaly_type,
        "label": ("anomalous" if clip["label"] else "normal") if clip else None,
        "score": example.score,
        "masked_score": masked_score if np.isfinite(masked_score) else None,
        "recording": None if recording is None else _audio(recording, channel),
        "spectrogram": wandb.Image(spectrogram_image(example.spectrogram, example.annotation)),
        **{
            name: wandb.Image(map_image(attribution, example.annotation))
            for name, attribution in example.attributions.items()
        },
    }


def _audio(path: Path, channel: Channel) -> wandb.Audio | None:
    """One channel of a short recording as WAV; None for a stored spectrogram or a file that can't be read any more."""
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        return None
    try:
        if sound_seconds(path) > MAX_SECONDS:
            return None
        samples, sample_rate = read_audio(path, channel)
    except DataError:
        return None
    return wandb.Audio(samples.numpy(), sample_rate=sample_rate, caption=path.name)
