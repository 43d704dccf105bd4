"""The planer recordings, published or simulated."""

from datamodules.base import SpectrogramDataModule
from datamodules.layouts import Layout, scan_planer


class PlanerDataModule(SpectrogramDataModule):
    """Clips of a wood planer in the published layout, as ``.pt`` spectrograms or as recordings.

    The defaults of :class:`~datamodules.base.SpectrogramDataModule` are those of this data set: a 10 s clip
    has 401 frames, of which the first 400 are used.
    """

    def scan(self) -> Layout:
        """List the clips in ``training/``, ``evaluation/normal/`` and ``evaluation/anomalies/<type>/``."""
        return scan_planer(self.root)
