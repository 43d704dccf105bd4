"""The DataModule of each layout: planer, audio folder, spliced sets, DCASE and MIMII."""

from typing import Any, Literal

from datamodules.base import SpectrogramDataModule
from datamodules.frontend import DCASE_FRONT_END, FrontEndSettings
from datamodules.layouts import Layout, scan_audio_folder, scan_dcase, scan_mimii, scan_planer


class PlanerDataModule(SpectrogramDataModule):
    """Clips of a wood planer in the published layout, as ``.pt`` spectrograms or as recordings.

    The defaults of :class:`~datamodules.base.SpectrogramDataModule` are those of this data set: a 10 s clip
    has 401 frames, of which the first 400 are used.
    """

    def scan(self) -> Layout:
        """List the clips in ``training/``, ``evaluation/normal/`` and ``evaluation/anomalies/<type>/``."""
        return scan_planer(self.root)


class AudioFolderDataModule(SpectrogramDataModule):
    """Your own recordings in ``train/``, ``test/normal/`` and ``test/anomaly/``, annotated in seconds or not at all.

    Folders inside ``test/anomaly/``, or a column ``type`` of the annotations, name the types of anomaly.
    """

    def scan(self) -> Layout:
        """List the clips in ``train/``, ``test/normal/`` and ``test/anomaly/``."""
        return scan_audio_folder(self.root)


class SplicedDataModule(AudioFolderDataModule):
    """A test set made by :func:`~datamodules.splicing.splice`, or its control.

    Args:
        root: Folder that ``splice`` wrote.
        part: ``spliced``, where pieces of anomalous clips are in normal ones, or ``control``, where pieces of normal
            clips are. Both have the same training clips.
        **kwargs: Further options of :class:`~datamodules.base.SpectrogramDataModule`.
    """

    def __init__(self, root: str, part: Literal["spliced", "control"] = "spliced", **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.root /= part


class DCASEDataModule(SpectrogramDataModule):
    """One machine of DCASE Task 2, with the bands and frames of the challenge's baseline.

    Args:
        root: Folder that holds one folder per machine.
        machine: The machine, by the name of its folder.
        section: One of its sections, ``id_00`` (2020) or ``section_00`` (2021 and later); all by default.
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
    """One machine of MIMII, with the arguments of :class:`DCASEDataModule`; a section is an id such as ``id_00``.

    MIMII has no split: the test set is all abnormal and as many normal clips of each id, drawn by the seed; the other
    normal clips are the training set.
    """

    def scan(self) -> Layout:
        """List the clips in ``<machine>/<id>/normal/`` and ``<machine>/<id>/abnormal/``."""
        return scan_mimii(self.root, self.machine, self.section, self.seed)
