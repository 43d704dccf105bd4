"""What is measured: networks of equal weights, and clips in files and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import torch
from torch import Tensor, nn

from datamodules import AudioFolderDataModule
from datamodules.frontend import FrontEndSettings
from experiments.bench.settings import Settings
from lightning_modules import Autoencoder, MaskedAutoencoder, SkipCAETransformer

MASKED_PATCH = 4
"""Side of a hidden patch, in bands and frames."""

_LEVEL_DB = 10.0  # standard deviation of the cells, near the planer's


@dataclass(frozen=True)
class Subjects:
    """Networks and clips, made for one measurement.

    Attributes:
        settings: The measurement's settings.
        device: Where the networks are.
        yardstick: The plainly written code.
        data: Clips in files, as users have them.
        x: Clips in memory (N, F, T), dB, on the device.
        annotation: Their annotated frames (N, T), three seconds of each.
    """

    settings: Settings
    device: torch.device
    yardstick: ModuleType
    data: AudioFolderDataModule
    x: Tensor
    annotation: Tensor

    def network(self) -> nn.Module:
        """The yardstick's network, with the same weights at every call."""
        torch.manual_seed(0)
        settings = self.settings
        network: nn.Module = self.yardstick.Network(settings.n_mels, settings.n_frames, settings.num_heads)
        return network.to(self.device).eval()

    def module(self, masked: bool = False) -> Autoencoder | MaskedAutoencoder:
        """Ours, with the weights of `network`."""
        settings = self.settings
        n_mels, n_frames, num_heads = settings.n_mels, settings.n_frames, settings.num_heads
        module: Autoencoder | MaskedAutoencoder = (
            MaskedAutoencoder(n_mels, n_frames, num_heads, patch_size=MASKED_PATCH)
            if masked
            else Autoencoder(n_mels, n_frames, num_heads)
        )
        weights = self.network().state_dict()
        module.backbone = SkipCAETransformer.from_reference(weights, n_mels, n_frames, num_heads)
        return module.to(self.device).eval()

    @property
    def training_files(self) -> list[Path]:
        """Files of the clips that one turn of training takes."""
        clips = self.data.train_clips[: self.settings.training_steps * self.settings.batch_size]
        return [clip.path for clip in clips]

    @property
    def scored_files(self) -> list[Path]:
        """Files of the clips that one turn of scoring takes."""
        return [clip.path for clip in self.data.predict_clips]


@contextmanager
def prepare(settings: Settings, yardstick: ModuleType) -> Iterator[Subjects]:
    """Write clips of noise into a folder that goes away afterwards, and read them in once."""
    generator = torch.Generator().manual_seed(0)
    shape = (settings.n_mels, settings.n_frames)
    with TemporaryDirectory(prefix="faithful-aad-bench-") as name:
        root = Path(name)
        # A clip in ten is held out, and at least one.
        needed = settings.training_steps * settings.batch_size
        for folder, n_clips in {"train": needed + needed // 8 + 1, "test/normal": 1, "test/anomaly": 1}.items():
            (root / folder).mkdir(parents=True)
            for i in range(n_clips):
                torch.save(_LEVEL_DB * torch.randn(shape, generator=generator), root / folder / f"{i:05d}.pt")
        data = AudioFolderDataModule(
            root=name,
            n_frames=settings.n_frames,
            frontend=FrontEndSettings(n_mels=settings.n_mels),
            batch_size=settings.batch_size,
            predict_path=str(root / "train"),
            cache_dir=str(root / "cache"),
        )
        x = _LEVEL_DB * torch.randn(settings.clips, *shape, generator=generator)
        device = torch.device(settings.device)
        yield Subjects(settings, device, yardstick, data, x.to(device), _annotate(settings, generator).to(device))


def _annotate(settings: Settings, generator: torch.Generator) -> Tensor:
    """Mark three seconds of each clip, or what there is."""
    seconds = -(-settings.n_frames // settings.frames_per_second)
    first = torch.randint(max(1, seconds - 2), (settings.clips, 1), generator=generator)
    second = torch.arange(settings.n_frames) // settings.frames_per_second
    return (second >= first) & (second < first + 3)
