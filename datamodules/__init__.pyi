from .audio_folder import AudioFolderDataModule as AudioFolderDataModule
from .base import SpectrogramDataModule as SpectrogramDataModule
from .batch import ClipBatch as ClipBatch
from .dcase import DCASEDataModule as DCASEDataModule
from .errors import DataError as DataError
from .frontend import FrontEndSettings as FrontEndSettings
from .frontend import LogMelFrontEnd as LogMelFrontEnd
from .planer import PlanerDataModule as PlanerDataModule
