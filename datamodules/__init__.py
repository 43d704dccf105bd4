"""From a file on disk to a batch: layouts, front end, annotations and DataModules."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamodules.audio_folder import AudioFolderDataModule
    from datamodules.base import SpectrogramDataModule
    from datamodules.batch import ClipBatch
    from datamodules.dcase import DCASEDataModule
    from datamodules.errors import DataError
    from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
    from datamodules.planer import PlanerDataModule

__all__ = [
    "AudioFolderDataModule",
    "ClipBatch",
    "DCASEDataModule",
    "DataError",
    "FrontEndSettings",
    "LogMelFrontEnd",
    "PlanerDataModule",
    "SpectrogramDataModule",
]

_MODULES = {
    "AudioFolderDataModule": "audio_folder",
    "ClipBatch": "batch",
    "DCASEDataModule": "dcase",
    "DataError": "errors",
    "FrontEndSettings": "frontend",
    "LogMelFrontEnd": "frontend",
    "PlanerDataModule": "planer",
    "SpectrogramDataModule": "base",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the simulator does without Lightning and torchaudio, which take seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
