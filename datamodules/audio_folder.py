"""A user's own recordings."""

from datamodules.base import SpectrogramDataModule
from datamodules.layouts import Layout, scan_audio_folder


class AudioFolderDataModule(SpectrogramDataModule):
    """Recordings in ``train/``, ``test/normal/`` and ``test/anomaly/``, annotated in seconds or not at all.

    Folders inside ``test/anomaly/``, or a column ``type`` of the annotations, name the types of anomaly.
    """

    def scan(self) -> Layout:
        """List the clips in ``train/``, ``test/normal/`` and ``test/anomaly/``."""
        return scan_audio_folder(self.root)
