"""Patch masks: those of masked training, and complementary ones with which every patch is predicted once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_modules.errors import ConfigurationError

DEFAULT_PATCH_SIZE = 4
"""Side of a patch, in bands and frames, for modules that were not trained with masks (paper section 3.2.2)."""


# SplitMix64's increment and multipliers (Steele, Lea & Flood, OOPSLA 2014), as signed 64-bit integers.
_INCREMENT = 0x9E3779B97F4A7C15 - 2**64
_MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


class PatchMasker:
    """Masks that hide the same number of square patches in every clip (paper section 3.2.2).

    Args:
        n_mels: Mel bands F.
        n_frames: Frames T.
        patch_size: Side of a patch, in bands and frames; must divide both F and T.
        mask_ratio: Fraction of the patches that is hidden, above 0 and below 1.

    Raises:
        ConfigurationError: If the patch does not divide the input or no patch would be hidden or left.

    Example:
        >>> masker = PatchMasker(n_mels=8, n_frames=12, patch_size=4, mask_ratio=0.5)
        >>> masker.random(batch_size=2, device=torch.device("cpu")).float().mean(dim=(1, 2))
        tensor([0.5000, 0.5000])
    """

    def __init__(self, n_mels: int, n_frames: int, patch_size: int, mask_ratio: float) -> None:
        if patch_size < 1 or n_mels % patch_size or n_frames % patch_size:
            raise ConfigurationError(
                f"patch_size={patch_size} does not divide the input of {n_mels} mel bands × {n_frames} "
                f"frames; set patch_size to a common divisor, or n_frames to a multiple of it"
            )
        self.patch_size = patch_size
        self.grid = (n_mels // patch_size, n_frames // patch_size)
        n_patches = self.grid[0] * self.grid[1]
        self.n_masked = round(mask_ratio * n_patches)
        if not 0 < self.n_masked < n_patches:
            raise ConfigurationError(
                f"mask_ratio={mask_ratio} hides {self.n_masked} of {n_patches} patches; "
                f"set it so that at least one is hidden and one is left"
            )

    def random(self, batch_size: int, device: torch.device) -> Tensor:
        """A fresh mask for every clip, from torch's global generator.

        Returns:
            Masks (B, F, T), bool, True where the input is hidden.
        """
        return self._hide_lowest(torch.rand(batch_size, self.grid[0] * self.grid[1], device=device))

    def fixed(self, index: Tensor) -> Tensor:
        """The mask that belongs to each clip number, the same in every epoch, batch, process and device.

        Args:
            index: Clip numbers (B,), int64.

        Returns:
            Masks (B, F, T), bool, True where the input is hidden.
        """
        n_patches = self.grid[0] * self.grid[1]
        counter = index[:, None] * n_patches + torch.arange(n_patches, device=index.device)
        return self._hide_lowest(hash_int64(counter))

    def _hide_lowest(self, priority: Tensor) -> Tensor:
        """Hide the n_masked patches of lowest priority (B, patches) and blow patches up to (B, F, T)."""
        hidden = torch.zeros_like(priority, dtype=torch.bool)
        hidden.scatter_(1, priority.argsort(dim=1)[:, : self.n_masked], True)
        patches = hidden.view(-1, *self.grid)
        return patches.repeat_interleave(self.patch_size, 1).repeat_interleave(self.patch_size, 2)


def patch_size_of(module: nn.Module) -> int:
    """The patch size that a module was trained with, or the paper's where it never saw a mask."""
    masker = getattr(module, "masker", None)
    return masker.patch_size if isinstance(masker, PatchMasker) else DEFAULT_PATCH_SIZE


def complementary_masks(
    n_mels: int, n_frames: int, patch_size: int, n_masks: int, device: torch.device | None = None
) -> Tensor:
    """Masks of square patches that hide every cell of a spectrogram exactly once.

    Patches are dealt to the masks in an order that looks random, so each mask hides about 1 / n_masks of them,
    spread over the clip. The order depends on the number of patches alone. All clips share one partition, so
    that their scores and maps compare, and a clip's masks don't change with its content: a prediction could
    otherwise depend on what it hides.

    Where the patch size does not divide the spectrogram, the last patches are cut at its edge.

    Args:
        n_mels: Mel bands F.
        n_frames: Frames T.
        patch_size: Side of a patch, in bands and frames.
        n_masks: Number of masks K, from 2 to the number of patches; 3 comes near the 30 % of training.
        device: Where the masks are made.

    Returns:
        Masks (K, F, T), bool, True where the input is hidden.

    Raises:
        ConfigurationError: If the patch size is not positive or the number of masks is out of range.

    Example:
        >>> masks = complementary_masks(n_mels=8, n_frames=12, patch_size=4, n_masks=3)
        >>> masks.sum(dim=0).unique(), masks.sum(dim=(1, 2))
        (tensor([1]), tensor([32, 32, 32]))
    """
    if patch_size < 1:
        raise ConfigurationError(f"patch_size={patch_size} is not a positive number of bands and frames")
    grid = (-(-n_mels // patch_size), -(-n_frames // patch_size))
    n_patches = grid[0] * grid[1]
    if not 2 <= n_masks <= n_patches:
        raise ConfigurationError(
            f"{n_masks} complementary masks can't share the {n_patches} patches of {n_mels} mel bands × {n_frames} "
            f"frames; choose from 2 to {n_patches}"
        )
    order = hash_int64(torch.arange(n_patches, device=device)).argsort()
    dealt = torch.empty_like(order)
    dealt[order] = torch.arange(n_patches, device=device) % n_masks
    owner = dealt.view(grid).repeat_interleave(patch_size, 0).repeat_interleave(patch_size, 1)[:n_mels, :n_frames]
    return owner == torch.arange(n_masks, device=device)[:, None, None]


def hash_int64(counter: Tensor) -> Tensor:
    """SplitMix64's output function on int64 tensors, which wrap around like unsigned ones."""
    z = (counter + 1) * _INCREMENT
    for shift, multiplier in zip((30, 27), _MULTIPLIERS, strict=True):
        z = (z ^ _logical_shift(z, shift)) * multiplier
    return z ^ _logical_shift(z, 31)


def _logical_shift(z: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros; torch's own shift of int64 copies the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
