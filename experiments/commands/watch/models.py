"""What `watch` scores windows with: a run in PyTorch, or an exported file in ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from datamodules.audio import Channel
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.recordings.windows import WindowCutter
from experiments.commands.export.metadata import stored_calibration
from experiments.predictions.calibration import Calibration
from experiments.predictions.detector import load_detector
from experiments.predictions.scores import SCORES, scored_windows
from experiments.runs.folder import RunFolder
from lightning_modules.errors import ConfigurationError, first_line

_PIECE_S = 0.25
"""Seconds of sound that the front end waits for."""


class WatchedModel(Protocol):
    """Scores the windows of a stream of samples.

    Attributes:
        name: What messages call it.
        front_end: Its front end.
        channel: Channel of the recordings it was trained on.
        n_frames: Frames of a window.
        calibration: Its scores of normal clips; None if they are unknown.
        caution: What restricts its training, "" for nothing.
    """

    name: str
    front_end: LogMelFrontEnd
    channel: Channel
    n_frames: int
    calibration: Calibration | None
    caution: str

    def stream(self, blocks: Iterable[Tensor], sample_rate: int) -> Iterator[Tensor]:
        """Turn samples, at least those of a window of the front end, into consecutive parts of what windows have."""

    def cutter(self, hop: float) -> WindowCutter:
        """What cuts this stream into windows."""

    def score(self, window: Tensor) -> tuple[dict[str, float], Tensor]:
        """The scores of a window by `SCORES`, and its error map (F, T); (0, T) of a model without a reconstruction."""


class TorchModel:
    """The best weights of a run, on the CPU.

    Raises:
        ConfigurationError: If there are none.
    """

    def __init__(self, run: RunFolder) -> None:
        detector = load_detector(run)
        self.name = f"--run {run.path}"
        self.front_end, self.channel, self.n_frames = detector.front_end, detector.channel, detector.n_frames
        self.calibration, self.caution = detector.calibration, detector.caution
        self._module, self._reference_level = detector.module, detector.reference_level

    def stream(self, blocks: Iterable[Tensor], sample_rate: int) -> Iterator[Tensor]:
        """Parts (F, t) of the spectrogram."""
        return self.front_end.stream(blocks, sample_rate, _PIECE_S)

    def cutter(self, hop: float) -> WindowCutter:
        """Windows of frames."""
        return WindowCutter(hop, self.front_end.settings.frames_per_second, self.n_frames, self.n_frames)

    @torch.inference_mode()
    def score(self, window: Tensor) -> tuple[dict[str, float], Tensor]:
        """Score a window (F, T)."""
        x = window.unsqueeze(0) - self._reference_level
        (scored,) = scored_windows(self._module.predict_step({"spectrogram": x}, 0), x)
        return scored


class OnnxModel:
    """A file of `export`, in ONNX Runtime on the CPU.

    Raises:
        ConfigurationError: If it is missing or none of `export`, or ONNX Runtime is not installed.
    """

    def __init__(self, path: Path) -> None:
        if find_spec("onnxruntime") is None:
            raise ConfigurationError("--model needs onnxruntime: install it with `pip install 'faithful-aad[export]'`")
        import onnxruntime  # noqa: PLC0415  optional

        if not path.is_file():
            raise ConfigurationError(f"--model {path} is not a file; name one that export wrote")
        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
            self.front_end = LogMelFrontEnd(FrontEndSettings(**json.loads(metadata["front_end"])))
            self.n_frames = int(metadata["n_frames"])
        except Exception as error:  # of any type, by ONNX Runtime
            raise ConfigurationError(f"--model {path} is no file of export ({first_line(error)})") from error
        self.name, self.caution = f"--model {path}", metadata["caution"]
        self.channel: Channel = "mix" if metadata["channel"] == "mix" else int(metadata["channel"])
        self.calibration = stored_calibration(metadata)
        self._input = self._session.get_inputs()[0].name
        self._outputs = [each.name for each in self._session.get_outputs() if each.name in (*SCORES, "error_map")]
        is_audio = self._input == "audio"
        lengths = ("window_samples", "least_samples") if is_audio else ("n_frames", "n_frames")
        self._most, self._least = (int(metadata[name]) for name in lengths)
        self._per_frame = self.front_end.settings.hop_length if is_audio else 1

    def stream(self, blocks: Iterable[Tensor], sample_rate: int) -> Iterator[Tensor]:
        """Parts (samples,) at the front end's rate or, for a file that takes them, (F, t) of the spectrogram."""
        stream = self.front_end.stream_resampled if self._input == "audio" else self.front_end.stream
        return stream(blocks, sample_rate, _PIECE_S)

    def cutter(self, hop: float) -> WindowCutter:
        """Windows of samples or frames."""
        rate = self.front_end.settings.frames_per_second
        return WindowCutter(hop, rate, self._most, self._least, self._per_frame)

    def score(self, window: Tensor) -> tuple[dict[str, float], Tensor]:
        """Score a window (samples,) or (F, T)."""
        results: list[Any] = self._session.run(self._outputs, {self._input: window.unsqueeze(0).numpy()})
        of_window = {name: values[0] for name, values in zip(self._outputs, results, strict=True)}
        error_map = torch.from_numpy(of_window.pop("error_map"))
        return {name: float(value) for name, value in of_window.items()}, error_map
