"""What a careful researcher writes first: the reference implementation of the benchmarks.

The paper's network, training step, explainers and measures in plain PyTorch and Captum: float32, the default memory
layout, masks built patch by patch, one clip at a time, each measure explaining anew. It shares no code with the
package; a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import (
    GradientShap,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    NoiseTunnel,
    Saliency,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

PERCENTILES = range(90, 100)
SEGMENT = 40  # frames of a second


def pad(x: Tensor, channels: int) -> Tensor:
    """Append zero channels to x (B, C, F, T)."""
    return torch.cat([x, torch.zeros(x.shape[0], channels - x.shape[1], *x.shape[2:], device=x.device)], dim=1)


class Network(nn.Module):
    """The Skip-CAE-Transformer as a table of layers; the layers' names are the authors'."""

    def __init__(self, n_mels: int = 80, n_frames: int = 400, num_heads: int = 10) -> None:
        super().__init__()
        self.size = (n_mels // 8, n_frames // 8)
        d_model = self.size[0] * self.size[1]
        channels = [1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 32, 32, 16, 16, 8, 8, 4, 4, 2, 1]
        for i in range(1, 23):
            setattr(self, f"conv{i}", nn.Conv2d(channels[i - 1], channels[i], 3, padding=1))
        for i, width in enumerate((4, 8, 16, 32, 32, 16, 8, 4), start=1):
            setattr(self, f"batch{i}", nn.BatchNorm2d(width))
        for i, width in enumerate((32, 16, 8, 4), start=1):
            setattr(self, f"conv_trans{i}", nn.ConvTranspose2d(width, width, 2, stride=2))
        encoder = nn.TransformerEncoderLayer(d_model, num_heads, batch_first=True)
        decoder = nn.TransformerDecoderLayer(d_model, num_heads, batch_first=True)
        self.transformer_encode = nn.TransformerEncoder(encoder, 1)
        self.transformer_decode = nn.TransformerDecoder(decoder, 1)
        self.weights_skip_encode = nn.Linear(self.size[1], self.size[1])
        self.weights_skip_decode = nn.Linear(self.size[1], self.size[1])

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct spectrograms (B, F, T), dB."""

        def conv(i: int, h: Tensor) -> Tensor:
            return F.leaky_relu(getattr(self, f"conv{i}")(h), 0.01)

        x = x.unsqueeze(1)
        a2 = conv(2, a1 := conv(1, x))
        a4 = conv(4, a3 := conv(3, a2 + a1))
        s1 = F.max_pool2d(self.batch1(a4 + a3 + pad(x, 4)), 2)
        a6 = conv(6, a5 := conv(5, s1))
        s2 = F.max_pool2d(self.batch2(a6 + a5 + pad(s1, 8)), 2)
        a8 = conv(8, a7 := conv(7, s2))
        s3 = F.max_pool2d(self.batch3(a8 + a7 + pad(s2, 16)), 2)
        b2 = conv(10, b1 := conv(9, s3))
        t = self.transformer_encode(b2.flatten(2))
        skipped = F.leaky_relu(self.weights_skip_encode(b1 + pad(s3, 32)), 0.01)
        z = F.max_pool2d(self.batch4(t.reshape(b2.shape) + skipped), 2)

        u2 = conv(12, u1 := conv(11, z))
        u4 = conv(14, u3 := conv(13, u2 + u1))
        v = self.conv_trans1(self.batch5(u4 + u3 + z))
        v = F.interpolate(v, self.size, mode="bilinear")
        w = self.transformer_decode(v.flatten(2), t).reshape(v.shape)
        c2 = conv(16, c1 := conv(15, w))
        skipped = F.leaky_relu(self.weights_skip_decode(c1 + w[:, :16]), 0.01)
        h3 = self.conv_trans2(self.batch6(c2 + skipped))
        d2 = conv(18, d1 := conv(17, h3))
        h2 = self.conv_trans3(self.batch7(d2 + d1 + h3[:, :8]))
        e2 = conv(20, e1 := conv(19, h2))
        h1 = self.conv_trans4(self.batch8(e2 + e1 + h2[:, :4]))
        r = F.interpolate(h1, x.shape[2:], mode="bilinear")
        return self.conv22(conv(21, r) + r[:, :2]).squeeze(1)


class Clips(Dataset[Tensor]):
    """Spectrograms in files, loaded when they are needed."""

    def __init__(self, paths: list[Path], n_frames: int) -> None:
        self.paths = paths
        self.n_frames = n_frames

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Tensor:
        return torch.load(self.paths[i], weights_only=True)[:, : self.n_frames]


def train(
    network: Network, paths: list[Path], n_frames: int, batch_size: int, patch_size: int | None, device: str
) -> list[float]:
    """Train an epoch, on masked patches where there is a patch size; returns the losses."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    network.train()
    for batch in DataLoader(Clips(paths, n_frames), batch_size, shuffle=True):
        x = batch.to(device)
        if patch_size is None:
            loss = ((network(x) - x) ** 2).mean()
        else:
            mask = torch.stack([draw_mask(x.shape[1], n_frames, patch_size) for _ in x]).to(device)
            loss = masked_loss(network, x, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def draw_mask(n_mels: int, n_frames: int, patch_size: int, ratio: float = 0.3) -> Tensor:
    """Hide patches one by one: 1 where a cell is hidden, (F, T)."""
    mask = torch.zeros(n_mels, n_frames)
    rows, columns = n_mels // patch_size, n_frames // patch_size
    for patch in torch.randperm(rows * columns)[: round(ratio * rows * columns)].tolist():
        top, left = patch // columns * patch_size, patch % columns * patch_size
        mask[top : top + patch_size, left : left + patch_size] = 1
    return mask


def masked_loss(network: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of the hidden cells."""
    return (mask * (network(x * (1 - mask)) - x) ** 2).sum() / mask.sum()


def explain(name: str, network: Network, x: Tensor) -> Tensor:
    """Attribution map (F, T) of one clip (F, T), as Captum's documentation shows."""
    x = x.unsqueeze(0).requires_grad_()

    def score(inputs: Tensor) -> Tensor:
        return ((network(inputs) - inputs) ** 2).mean(dim=(1, 2))

    if name == "error_map":
        with torch.no_grad():
            attribution = (network(x) - x) ** 2
    elif name == "saliency":
        attribution = Saliency(score).attribute(x)
    elif name == "smoothgrad":
        attribution = NoiseTunnel(Saliency(score)).attribute(x, nt_type="smoothgrad", nt_samples=25, stdevs=0.1)
    elif name == "integrated_gradients":
        attribution = IntegratedGradients(score).attribute(x, n_steps=50)
    elif name == "gradient_shap":
        attribution = GradientShap(score).attribute(x, torch.zeros_like(x), n_samples=25, stdevs=0.09)
    elif name == "grad_cam":
        cam = LayerGradCam(score, network.conv10).attribute(x)
        attribution = LayerAttribution.interpolate(cam, tuple(x.shape[1:]), "bilinear").squeeze(1)
    else:
        raise ValueError(name)
    return attribution.detach().squeeze(0)


def evaluate(network: Network, clips: Tensor, annotations: Tensor, names: list[str]) -> dict[str, np.ndarray]:
    """F-score and both kinds of faithfulness, each (clips, explainers, percentiles), from maps of their own."""
    measures: dict[str, Callable[[Network, Tensor, Tensor, np.ndarray], list[float]]] = {
        "f1": f1_of_clip,
        "frame": frame_faithfulness_of_clip,
        "segment": segment_faithfulness_of_clip,
    }
    return {
        measure: np.array(
            [
                [of_clip(network, x, annotation, explain(name, network, x).sum(0).cpu().numpy()) for name in names]
                for x, annotation in zip(clips, annotations, strict=True)
            ]
        )
        for measure, of_clip in measures.items()
    }


def f1_of_clip(network: Network, x: Tensor, annotation: Tensor, curve: np.ndarray) -> list[float]:
    """F1 of the seconds that hold a peak, at each percentile."""
    scores = []
    for percentile in PERCENTILES:
        peaks = curve >= np.percentile(curve, percentile)
        tp = fp = fn = 0
        for start in range(0, len(peaks), SEGMENT):
            predicted = peaks[start : start + SEGMENT].any()
            positive = bool(annotation[start : start + SEGMENT].any())
            tp += predicted and positive
            fp += predicted and not positive
            fn += positive and not predicted
        scores.append(2 * tp / (2 * tp + fp + fn) if tp else 0.0)
    return scores


def frame_faithfulness_of_clip(network: Network, x: Tensor, annotation: Tensor, curve: np.ndarray) -> list[float]:
    """Faithfulness of the peak frames, at each percentile."""
    masks = [curve >= np.percentile(curve, percentile) for percentile in PERCENTILES]
    return faithfulness_of_masks(network, x, masks)


def segment_faithfulness_of_clip(network: Network, x: Tensor, annotation: Tensor, curve: np.ndarray) -> list[float]:
    """Faithfulness of the annotated frames in seconds that hold a peak, at each percentile."""
    masks = []
    for percentile in PERCENTILES:
        peaks = curve >= np.percentile(curve, percentile)
        mask = np.zeros_like(peaks)
        for start in range(0, len(peaks), SEGMENT):
            mask[start : start + SEGMENT] = peaks[start : start + SEGMENT].any()
        masks.append(mask & annotation.cpu().numpy())
    return faithfulness_of_masks(network, x, masks)


@torch.no_grad()
def faithfulness_of_masks(network: Network, x: Tensor, masks: list[np.ndarray]) -> list[float]:
    """Share of the error that vanishes when the marked frames are replaced by their reconstruction."""
    reconstruction = network(x.unsqueeze(0)).squeeze(0)
    before = ((x - reconstruction) ** 2).mean().item()
    values = []
    for mask in masks:
        replaced = x.detach().clone()
        replaced[:, mask] = reconstruction[:, mask]
        after = ((replaced - network(replaced.unsqueeze(0)).squeeze(0)) ** 2).mean().item()
        values.append(max(0.0, 1 - after / before))
    return values


@torch.no_grad()
def score_files(network: Network, paths: list[Path], n_frames: int, device: str) -> list[float]:
    """Anomaly score of each file, one after the other."""
    scores = []
    for path in paths:
        x = torch.load(path, weights_only=True)[:, :n_frames].to(device).unsqueeze(0)
        scores.append(((network(x) - x) ** 2).mean().item())
    return scores
