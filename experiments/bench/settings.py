"""What a measurement is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Sizes of a measurement.

    Attributes:
        clips: Clips of the full evaluation.
        repeats: Turns that yardstick and ours take at each workload.
        batch_size: Clips in a batch of training and of scoring.
        device: Where the networks run, as PyTorch calls it.
        n_mels: Mel bands F of a clip.
        n_frames: Frames T of a clip.
        num_heads: Attention heads of the network.
        training_steps: Steps of a turn of training.
        explained: Clips of a turn of explaining.
        frames_per_second: Frame rate.
    """

    clips: int
    repeats: int
    batch_size: int
    device: str
    n_mels: int = 80
    n_frames: int = 400
    num_heads: int = 10
    training_steps: int = 4
    explained: int = 2
    frames_per_second: int = 40
