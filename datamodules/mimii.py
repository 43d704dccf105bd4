"""MIMII, the recordings with a microphone array from which DCASE Task 2 took its first channel."""

from typing import Any

from datamodules.base import SpectrogramDataModule
from datamodules.frontend import DCASE_FRONT_END, FrontEndSettings
from datamodules.layouts import Layout, scan_mimii


class MIMIIDataModule(SpectrogramDataModule):
    """One machine of MIMII, with the bands and frames of the DCASE baseline.

    MIMII has no split: of each id all abnormal and as many normal clips, drawn by the seed, are tested on, and the
    other normal clips are trained on.

    Args:
        root: Folder that holds one folder per machine.
        machine: The machine, by the name of its folder.
        section: Which of its ids, as in ``id_00``; all of them by default.
        n_frames: Frames of a clip that are used; a 10 s clip has 313.
        frontend: Settings of the log-mel front end.
        **kwargs: Further options of :class:`~datamodules.base.SpectrogramDataModule`.
    """

    def __init__(
        self,
        root: str,
        machine: str,
        section: str | None = None,
        n_frames: int = 312,
        frontend: FrontEndSettings = DCASE_FRONT_END,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, n_frames, frontend, **kwargs)
        self.machine = machine
        self.section = section

    def scan(self) -> Layout:
        """List the clips in ``<machine>/<id>/normal/`` and ``<machine>/<id>/abnormal/``."""
        return scan_mimii(self.root, self.machine, self.section, self.seed)
