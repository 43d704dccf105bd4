"""Backbones, masking, and the two training objectives as LightningModules over one base."""

from lightning_modules.autoencoder import Autoencoder
from lightning_modules.backbones import BACKBONES, SkipCAETransformer
from lightning_modules.base import ReconstructionModule, squared_error
from lightning_modules.errors import ConfigurationError
from lightning_modules.masked_autoencoder import MaskedAutoencoder
from lightning_modules.masked_prediction import complementary_masks, masked_prediction
from lightning_modules.masking import PatchMasker

__all__ = [
    "BACKBONES",
    "Autoencoder",
    "ConfigurationError",
    "MaskedAutoencoder",
    "PatchMasker",
    "ReconstructionModule",
    "SkipCAETransformer",
    "complementary_masks",
    "masked_prediction",
    "squared_error",
]
