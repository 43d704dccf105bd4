"""DCASE Task 2, from 2020 on, and MIMII, whose first channel is part of it."""

from typing import Any

from datamodules.base import SpectrogramDataModule
from datamodules.frontend import DCASE_FRONT_END, FrontEndSettings
from datamodules.layouts import Layout, scan_dcase, scan_mimii


class DCASEDataModule(SpectrogramDataModule):
    """One machine of DCASE Task 2, with the bands and frames of the challenge's baseline.

    Args:
        root: Folder that holds one folder per machine.
        machine: The machine, by the name of its folder.
        section: Which of its sections: ``id_00`` (2020) or ``section_00`` (2021 and later); all of them by
            default.
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
        """List the clips in ``<machine>/train/`` and ``<machine>/test/`` (2021: ``source_test/``, ``target_test/``)."""
        return scan_dcase(self.root, self.machine, self.section)


class MIMIIDataModule(DCASEDataModule):
    """One machine of MIMII, with the arguments of :class:`DCASEDataModule`; a section is one of its ids, as ``id_00``.

    MIMII has no split: of each id all abnormal and as many normal clips, drawn by the seed, are tested on, and the
    other normal clips are trained on.
    """

    def scan(self) -> Layout:
        """List the clips in ``<machine>/<id>/normal/`` and ``<machine>/<id>/abnormal/``."""
        return scan_mimii(self.root, self.machine, self.section, self.seed)
