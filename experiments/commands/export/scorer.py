"""A trained autoencoder as one function of a clip, with everything that its file has to contain."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.frontend import LogMelFrontEnd
from lightning_modules.autoencoders import ReconstructionModule
from lightning_modules.backbones.layers import BatchNorm
from lightning_modules.masking import complementary_masks, patch_size_of
from lightning_modules.scores import squared_error
from metrics.functional.segments import segment_edges


class Scorer(nn.Module):
    """Scores and errors of clips, by operations that ONNX has and ONNX Runtime is fast at.

    Args:
        module: A trained module.
        front_end: The front end of its spectrograms.
        reference_level: The level that is 0 to the module, dB.
        takes_audio: Whether clips are waveforms rather than spectrograms.
    """

    masks: Tensor
    seconds: Tensor

    def __init__(
        self,
        module: ReconstructionModule,
        front_end: LogMelFrontEnd,
        reference_level: float,
        takes_audio: bool,
    ) -> None:
        super().__init__()
        n_mels, self.n_frames = int(module.hparams["n_mels"]), int(module.hparams["n_frames"])
        self.reference_level = reference_level
        self.front_end = _FrontEnd(front_end, self.n_frames) if takes_audio else None
        # Of a waveform that has T frames, and those that these depend on. The first and last may be half outside.
        between, window = (self.n_frames - 1) * front_end.settings.hop_length, front_end.settings.window_length
        self.least_samples = between + window % 2
        self.window_samples = between + -(-window // 2)
        self.network = copy.deepcopy(module.backbone).eval()
        for layer in self.network.modules():
            if isinstance(layer, BatchNorm):
                layer.__class__ = nn.BatchNorm2d  # type: ignore[assignment]  # which ONNX has
        n_masks = module.hparams["score_masks"]
        masks = (
            complementary_masks(n_mels, self.n_frames, patch_size_of(module), n_masks)
            if n_masks
            else torch.zeros(0, n_mels, self.n_frames, dtype=torch.bool)
        )
        self.register_buffer("masks", masks)
        self.register_buffer("seconds", _means_per_second(self.n_frames, front_end.settings.frames_per_second))

    @property
    def input_name(self) -> str:
        """What the input is called."""
        return "spectrogram" if self.front_end is None else "audio"

    @property
    def example(self) -> Tensor:
        """Two clips."""
        return torch.zeros(2, *(self.masks.shape[1:] if self.front_end is None else [self.window_samples]))

    @property
    def outputs(self) -> dict[str, str]:
        """Names of the results in their order, and what they are."""
        masked = {"masked_score": "mean squared error where every patch is predicted from its context only, dB²"}
        return {
            "score": "mean squared error of the clip's reconstruction, dB²; higher is more anomalous",
            **(masked if len(self.masks) else {}),
            "error_map": "squared error of every mel band and frame, dB²",
            "error_per_second": "mean of the error map over each second, dB²",
        }

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        """Score clips.

        Args:
            clips: Waveforms (B, samples) at the front end's rate with full scale at 1, at least as long as T frames;
                or spectrograms (B, F, T) in dB as they come from the front end.

        Returns:
            The results that `outputs` names: (B,), (B,) with masks only, (B, F, T) and (B, S) for S seconds.
        """
        spectrogram = clips if self.front_end is None else self.front_end(clips)
        x = spectrogram - self.reference_level
        # The whole clip and its masked versions in one pass: the file contains the network once.
        versions = torch.cat([x.unsqueeze(0), torch.where(self.masks.unsqueeze(1), 0.0, x)])
        reconstructions = self.network(versions.flatten(0, 1)).view(versions.shape)
        error_map = squared_error(x, reconstructions[0])
        results = [error_map.mean((1, 2)), error_map, error_map.mean(1) @ self.seconds]
        if len(self.masks):
            # Of each cell, the error in the version that hides it.
            masked = (squared_error(x, reconstructions[1:]) * self.masks.unsqueeze(1)).sum(0)
            results.insert(1, masked.mean((1, 2)))
        return tuple(results)


class _FrontEnd(nn.Module):
    """`LogMelFrontEnd` at its own sample rate, with the Fourier transform as products of matrices.

    ONNX has a Fourier transform, but it takes ONNX Runtime a hundred times as long (microsoft/onnxruntime#32403). Here,
    a frame of N = R · C samples is R rows of C. A transform of each column, half of which is enough for real samples,
    is followed by one across columns (Cooley & Tukey, 1965), which gives the frequencies k₁ + R · k₂.

    Args:
        front_end: The front end.
        n_frames: Frames T of a clip that are computed.
    """

    window: Tensor
    columns: Tensor
    across: Tensor
    bank: Tensor

    def __init__(self, front_end: LogMelFrontEnd, n_frames: int) -> None:
        super().__init__()
        transform, mel = front_end.mel.spectrogram, front_end.mel.mel_scale.fb
        self.n_frames, self.hop, self.to_decibel = n_frames, transform.hop_length, front_end.to_decibel
        n = transform.n_fft
        rows = max(divisor for divisor in range(1, math.isqrt(n) + 1) if n % divisor == 0)
        halved = rows // 2 + 1
        k1, k2, n1, n2 = (torch.arange(size) for size in (halved, n // rows, rows, n // rows))
        cos, sin = _turns(k1[:, None] * n1, rows)
        self.register_buffer("columns", torch.cat([cos, -sin]).float())
        cos, sin = _turns(n2[:, None] * (k1[:, None, None] + rows * k2), n)
        parts = [torch.cat([cos, -sin], dim=2), torch.cat([sin, cos], dim=2)]  # of real and imaginary input
        self.register_buffer("across", torch.cat(parts, dim=1).float())
        self.register_buffer("window", transform.window)
        # The power of frequency k is that of n - k.
        k = torch.arange(n // 2 + 1)
        k = torch.where(k % rows < halved, k, n - k)
        bank = mel.new_zeros(halved * (n // rows), mel.shape[1])
        bank[k % rows * (n // rows) + k // rows] = mel
        self.register_buffer("bank", bank)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map waveforms (B, samples) to spectrograms (B, F, T) in dB."""
        n = len(self.window)
        steps = -(-n // self.hop)  # per frame, the last of which may be in part
        mirrored = F.pad(waveform.unsqueeze(1), (n // 2, n // 2), mode="reflect").squeeze(1)
        padded = F.pad(mirrored, (0, steps * self.hop))[:, : (self.n_frames - 1 + steps) * self.hop]
        blocks = padded.unflatten(1, (-1, self.hop))
        frames = (
            torch.cat([blocks[:, step : step + self.n_frames] for step in range(steps)], dim=2)[..., :n] * self.window
        )
        halved, width, _ = self.across.shape
        transformed = self.columns @ frames.unflatten(2, (self.columns.shape[1], -1))
        by_frequency = transformed.unflatten(2, (2, halved)).permute(3, 0, 1, 2, 4).reshape(halved, -1, width)
        power = (by_frequency @ self.across).square().unflatten(2, (2, -1)).sum(2)
        bands = power.transpose(0, 1).flatten(1) @ self.bank
        decibel: Tensor = self.to_decibel(bands.unflatten(0, (-1, self.n_frames)).transpose(1, 2))
        return decibel


def _turns(numerator: Tensor, denominator: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of a fraction of a turn in float64; whole turns are left out, which would cost accuracy."""
    phase = (numerator % denominator).double() * (2 * math.pi / denominator)
    return phase.cos(), phase.sin()


def _means_per_second(n_frames: int, frames_per_second: float) -> Tensor:
    """Weights (T, S) with which a product averages the frames of each second."""
    edges = segment_edges(n_frames, frames_per_second)
    weights = torch.zeros(n_frames, len(edges) - 1)
    for second, (start, end) in enumerate(pairwise(edges)):
        weights[start:end, second] = 1 / (end - start)
    return weights
