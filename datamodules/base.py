"""The DataModule that every data set shares."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch.utils.data import DataLoader

from datamodules import checks
from datamodules.annotations import ANNOTATION_FILE, annotate, read_annotations
from datamodules.audio import Channel, cancelled, require_channel_index
from datamodules.batch import EpochShuffle, Loader, SpectrogramDataset, whole_batch
from datamodules.cache import CacheEntry, SpectrogramCache
from datamodules.errors import DataError, require
from datamodules.files import left_out_text
from datamodules.frontend import FrontEndSettings
from datamodules.layouts import Clip, Layout, scan_files
from datamodules.provenance import Provenance, read_provenance
from datamodules.recordings.windows import LEFT_OUT_S, window_starts
from datamodules.splits import hold_out, hold_out_stratified

PLANER_FRONT_END = FrontEndSettings()

_MOST_WORKERS = 256
_MOST_CLIPS = 2**31 - 1


class SpectrogramDataModule(LightningDataModule):
    """Clips on disk as batches of spectrograms (:class:`~datamodules.batch.ClipBatch`).

    A subclass lists the clips (:meth:`scan`) and sets defaults. A seeded draw splits the normal training clips into
    those to train on and those for the validation loss. Problems of the data are found in ``prepare_data``, before a
    run has written anything, and only in the splits that the stage needs.

    Args:
        root: Folder of the data set.
        n_frames: Frames of a clip that are used, from its start.
        frontend: Settings of the log-mel front end.
        reference_level: Level that becomes 0 in the spectrograms, dB. Hidden patches, the explainers' baselines and
            the padding of convolutions are 0, so choose it near the mean of the training clips; the planer's is
            near 0 already. When ``None``, it is that mean, to a tenth of a dB, and every stage needs the training
            clips.
        channel: Channel of the recordings to use: its index from 0, or ``mix``, the mean of all channels.
        batch_size: Clips in a batch.
        val_fraction: Share of the training clips held out for the validation loss.
        labelled_validation: Share of the test clips held out for detection and explanation metrics during training,
            stratified by label, type and annotation; they leave the test set.
        seed: Seed of both draws.
        annotations: CSV file of annotated intervals (see :func:`~datamodules.annotations.read_annotations`);
            ``annotations.csv`` in the root, if there, when ``None``.
        predict_path: Recording, or folder of recordings, for ``predict``; each is cut into windows of ``n_frames``.
        predict_hop: Step from window to window in seconds, at most a window; windows do not overlap when ``None``. The
            last one ends with its recording.
        calibration_path: Recording, or folder of recordings, of normal operation that ``predict`` scores as well, to
            find out how high normal scores are.
        cache_dir: Folder for computed spectrograms; one in the user's cache folder when ``None``.
        num_workers: Processes that load batches; 0 loads in the main one.
        pin_memory: Whether batches are put into pinned memory; when ``None``, if there is a CUDA device.
        resident: Whether to keep the training clips on the device that trains, so that no batch is loaded or moved;
            when ``None``, on a CUDA device of whose free memory they take at most a quarter.

    Raises:
        DataError: An option is out of its range; or, in ``prepare_data``, ``setup`` and the lists of clips, a clip,
            folder or annotation cannot be used.
    """

    def __init__(
        self,
        root: str,
        n_frames: int = 400,
        frontend: FrontEndSettings = PLANER_FRONT_END,
        reference_level: float | None = 0.0,
        channel: Channel = "mix",
        batch_size: int = 32,
        val_fraction: float = 0.1,
        labelled_validation: float = 0.0,
        seed: int = 0,
        annotations: str | None = None,
        predict_path: str | None = None,
        predict_hop: float | None = None,
        calibration_path: str | None = None,
        cache_dir: str | None = None,
        num_workers: int = 0,
        pin_memory: bool | None = None,
        resident: bool | None = None,
    ) -> None:
        super().__init__()
        paths = {
            "root": root,
            "annotations": annotations,
            "predict_path": predict_path,
            "calibration_path": calibration_path,
            "cache_dir": cache_dir,
        }
        for option, path in paths.items():
            if path is not None and not path.strip():
                raise DataError(f"{option} is empty; name a file or folder, . for the current one")
        for option, value, is_valid, expected in (
            ("n_frames", n_frames, n_frames >= 1, "at least 1"),
            (
                "predict_hop",
                predict_hop or 0.0,
                predict_hop is None or 0 < predict_hop <= n_frames / frontend.frames_per_second + LEFT_OUT_S,
                f"above 0 and at most the {n_frames / frontend.frames_per_second:g} s of a window",
            ),
            ("batch_size", batch_size, 1 <= batch_size <= _MOST_CLIPS, f"from 1 to {_MOST_CLIPS}"),
            # Front ends give levels from -100 to 100 dB; 32-bit numbers far from those cannot represent sound.
            ("reference_level", reference_level or 0.0, abs(reference_level or 0.0) <= 200, "from -200 to 200 dB"),
            ("val_fraction", val_fraction, 0 < val_fraction < 1, "above 0 and below 1"),
            ("labelled_validation", labelled_validation, 0 <= labelled_validation < 1, "at least 0 and below 1"),
            ("num_workers", num_workers, 0 <= num_workers <= _MOST_WORKERS, f"from 0 to {_MOST_WORKERS}"),
        ):
            require(is_valid, option, value, expected)
        require_channel_index(channel)
        # Loggers reject a name that the model has too; config.yaml holds all of them.
        self.save_hyperparameters(logger=False)
        self.hparams["frontend"] = asdict(frontend)
        self.root = Path(root).expanduser()
        self.n_frames = n_frames
        self.frontend = frontend
        self.channel: Channel = channel
        self.batch_size = batch_size
        self.val_fraction = val_fraction
        self.labelled_validation = labelled_validation
        self.seed = seed
        self.annotations = None if annotations is None else Path(annotations).expanduser()
        self.predict_path = None if predict_path is None else Path(predict_path).expanduser()
        self.calibration_path = None if calibration_path is None else Path(calibration_path).expanduser()
        self.predict_hop = predict_hop
        self.cache_dir = None if cache_dir is None else Path(cache_dir).expanduser()
        self.num_workers = num_workers
        self.resident = resident
        self.pin_memory = torch.cuda.is_available() if pin_memory is None else pin_memory

    def scan(self) -> Layout:
        """List the clips of the data set.

        Raises:
            DataError: The root does not have the data set's layout.
        """
        raise NotImplementedError

    @property
    def frames_per_second(self) -> float:
        """Frame rate of the spectrograms."""
        return self.frontend.frames_per_second

    @cached_property
    def reference_level(self) -> float:
        """Level that becomes 0 in the spectrograms, dB."""
        given: float | None = self.hparams["reference_level"]
        if given is not None:
            return given
        clips = self._layout.training
        entries = self._entries(clips)
        recorded = SpectrogramDataset(
            clips, [entries[clip.name] for clip in clips], self.n_frames, self.frames_per_second
        )
        return round(recorded.mean_level(), 1) + 0.0  # not -0.0

    @property
    def signal_settings(self) -> dict[str, Any]:
        """Options on which the values of a spectrogram depend, by name.

        They are stored in checkpoints, whose weights are valid only for spectrograms made with the same settings.
        """
        frontend = asdict(self.frontend) | {"f_max": self.frontend.f_max or self.frontend.sample_rate / 2}
        settings = {f"frontend.{name}": value for name, value in frontend.items()}
        return settings | {"reference_level": self.reference_level, "channel": self.channel}

    @cached_property
    def provenance(self) -> Provenance | None:
        """How the data set was constructed; None for a recorded one."""
        return read_provenance(self.root)

    @property
    def train_clips(self) -> tuple[Clip, ...]:
        """Clips trained on."""
        return self._training_sets[0].clips

    @property
    def val_clips(self) -> tuple[Clip, ...]:
        """Normal clips held out for the validation loss, in the order of their indices."""
        return self._training_sets[1].clips

    @property
    def labelled_val_clips(self) -> tuple[Clip, ...]:
        """Labelled clips held out of the test set, in the order of their indices; none by default."""
        return self._test_sets[1].clips

    @property
    def test_clips(self) -> tuple[Clip, ...]:
        """Clips tested on, in the order of their indices."""
        return self._test_sets[0].clips

    @property
    def predict_clips(self) -> tuple[Clip, ...]:
        """The recording of each window of ``predict_path``, in the order of the windows' indices."""
        return self._predict_set.clips

    @property
    def calibration_clips(self) -> tuple[Clip, ...]:
        """The recording of each window of ``calibration_path``; none without it."""
        return () if self.calibration_path is None else self._calibration_set.clips

    @property
    def hop_seconds(self) -> float:
        """Step from window to window of recordings to predict, s."""
        return self.n_frames / self.frames_per_second if self.predict_hop is None else self.predict_hop

    def prepare_data(self) -> None:
        """Check the clips that the trainer's stage needs and compute their spectrograms."""
        stage = None if self.trainer is None else self.trainer.state.fn
        self.setup(stage)
        if stage == "fit":
            _warn(checks.few_clips_warning(len(self.train_clips), self.batch_size))
            _warn(checks.level_warning(self._training_sets[0], self.reference_level))
            if self.hparams["reference_level"] is None:
                rank_zero_info(f"reference_level: {self.reference_level} dB, the mean of the training clips")
        elif stage == "test":
            _warn(checks.silence_warning("test clips", self._test_sets[0]))
        elif stage == "predict":
            _warn(checks.silence_warning("windows of recordings", self._predict_set))
        for kind, datasets in self._used_sets(stage).items():
            seconds = {name: length for dataset in datasets for name, length in dataset.seconds.items()}
            _warn(checks.length_warning(kind, seconds, self.n_frames, self.frames_per_second))

    def setup(self, stage: str | None = None) -> None:
        """Build the datasets of a stage: fit, validate, test or predict; of fit and test if ``None``."""
        if self.annotations is not None and not self.annotations.is_file():
            raise DataError(f"annotations={self.annotations} is not a file; name a CSV file of annotations")
        if stage in ("fit", "validate", None):
            self.train_dataloader()
            self.val_dataloader()
        if stage in ("fit", None):
            checks.require_sound(self._training_sets[0], self.root)
            _warn(checks.silence_warning("training clips", self._training_sets[0]))
        if stage in ("test", None):
            self.test_dataloader()
        if stage == "test":
            _warn(checks.one_class_warning(self.test_clips))
        if stage == "predict":
            self.predict_dataloader()

    def train_dataloader(self) -> Loader:
        """Normal clips in a new order every epoch, which depends on the global seed."""
        clips = self._trained_on(self._training_sets[0])
        trainer, seed = self.trainer, torch.initial_seed()
        if trainer is None:
            return self._loader(clips, EpochShuffle(len(clips), seed))
        epoch = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        return self._loader(clips, EpochShuffle(len(clips), seed, epoch, trainer.world_size, trainer.global_rank))

    def val_dataloader(self) -> list[Loader]:
        """Held-out normal clips and, with ``labelled_validation``, held-out labelled clips."""
        sets = [self._trained_on(self._training_sets[1])]
        if self.labelled_validation:
            sets.append(self._test_sets[1])
        return [self._loader(dataset) for dataset in sets]

    def test_dataloader(self) -> Loader:
        """Normal and anomalous clips."""
        return self._loader(self._test_sets[0])

    def predict_dataloader(self) -> Loader | list[Loader]:
        """Windows of ``predict_path`` and, if there is a ``calibration_path``, a second loader with its windows."""
        recordings, *calibration = map(self._loader, self.predict_sets)
        return [recordings, *calibration] if calibration else recordings

    @property
    def predict_sets(self) -> tuple[SpectrogramDataset, ...]:
        """Windows of ``predict_path`` and, if there is a ``calibration_path``, its windows."""
        return (self._predict_set,) if self.calibration_path is None else (self._predict_set, self._calibration_set)

    def explained_windows(self, places: Sequence[tuple[str, int]]) -> Loader:
        """Batches of windows of ``predict_path`` by name of the recording and first frame, in this order."""
        return self._loader(self._predict_set.windows(places))

    def _trained_on(self, clips: SpectrogramDataset) -> SpectrogramDataset:
        """Clips that every epoch needs, on the device that trains if that is wanted and they fit."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        clips.keep_on(device, self.resident)
        return clips

    def _loader(self, dataset: SpectrogramDataset, sampler: EpochShuffle | None = None) -> Loader:
        """Batches of clips; those that are on a device already cannot be shared with workers or pinned."""
        workers = 0 if dataset.is_resident else self.num_workers
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=whole_batch,
            num_workers=workers,
            pin_memory=self.pin_memory and not dataset.is_resident,
            persistent_workers=workers > 0,
        )

    def _used_sets(self, stage: str | None) -> dict[str, tuple[SpectrogramDataset, ...]]:
        """The datasets of whose clips a stage uses only the beginning, by what these clips are called."""
        sets: dict[str, tuple[SpectrogramDataset, ...]] = {}
        if stage in ("fit", "validate", None):
            sets["training clips"] = self._training_sets
        if stage in ("test", None) or (self.labelled_validation and stage != "predict"):
            sets["test clips"] = self._test_sets
        return sets

    @cached_property
    def _layout(self) -> Layout:
        layout = self.scan()
        _warn(left_out_text(layout.left_out))
        return layout

    @cached_property
    def _cache(self) -> SpectrogramCache:
        return SpectrogramCache(self.cache_dir, self.frontend, self.channel)

    @cached_property
    def _training_sets(self) -> tuple[SpectrogramDataset, SpectrogramDataset]:
        """Clips to train on and clips to validate on."""
        clips = self._layout.training
        entries = self._entries(clips)
        train, val = hold_out(clips, self.val_fraction, self.seed)
        return self._dataset(train, entries), self._dataset(val, entries)

    @cached_property
    def _test_sets(self) -> tuple[SpectrogramDataset, SpectrogramDataset]:
        """Clips to test on and labelled clips to validate on."""
        entries = self._entries(self._layout.test)
        test: tuple[Clip, ...] = self._annotated(self._layout.test, entries)
        labelled_val: tuple[Clip, ...] = ()
        if self.labelled_validation:
            test, labelled_val = hold_out_stratified(test, self.labelled_validation, self.seed)
        return self._dataset(test, entries, with_level=True), self._dataset(labelled_val, entries)

    @cached_property
    def _predict_set(self) -> SpectrogramDataset:
        if self.predict_path is None:
            raise DataError("predict needs predict_path, a clip or a folder of clips")
        return self._windows("predict_path", self.predict_path)

    @cached_property
    def _calibration_set(self) -> SpectrogramDataset:
        assert self.calibration_path is not None
        return self._windows("calibration_path", self.calibration_path)

    def _windows(self, option: str, path: Path) -> SpectrogramDataset:
        """The windows of a recording, or of all recordings in a folder."""
        layout = scan_files(path)
        _warn(left_out_text(layout.left_out))
        entries = self._cached(layout.test)
        seconds = {name: entry.n_frames / self.frames_per_second for name, entry in entries.items()}
        shorter = {name: seconds[name] for name, entry in entries.items() if entry.n_frames < self.n_frames}
        problem = checks.shorter_recordings(shorter, len(entries), self.n_frames, self.frames_per_second)
        if len(shorter) == len(entries):
            raise DataError(f"{option}={path}: {problem}")
        _warn(problem)
        windows = [
            (clip, first)
            for clip in layout.test
            if clip.name not in shorter
            for first in window_starts(
                entries[clip.name].n_frames, self.n_frames, self.hop_seconds, self.frames_per_second
            )
        ]
        return SpectrogramDataset(
            [clip for clip, _ in windows],
            [entries[clip.name] for clip, _ in windows],
            self.n_frames,
            self.frames_per_second,
            self.reference_level,
            first_frames=[first for _, first in windows],
        )

    def _entries(self, clips: Sequence[Clip]) -> dict[str, CacheEntry]:
        """Cached spectrograms of the clips by name, all of them long enough."""
        entries = self._cached(clips)
        shortest = min(entry.n_frames for entry in entries.values())
        for clip in clips:
            if entries[clip.name].n_frames < self.n_frames:
                raise DataError(
                    f"{clip.path} has {entries[clip.name].n_frames} frames, fewer than n_frames={self.n_frames}; "
                    f"training with n_frames={shortest} crops every clip to the shortest"
                )
        return entries

    def _cached(self, clips: Sequence[Clip]) -> dict[str, CacheEntry]:
        """Cached spectrograms of the clips by name."""
        entries = self._cache.fill([clip.path for clip in clips])
        infos = {clip.path: entry.info for clip, entry in zip(clips, entries, strict=True) if entry.info is not None}
        _warn(cancelled(infos))
        _warn(self._cache.frontend.upsampled([info.sample_rate for info in infos.values()]))
        return {clip.name: entry for clip, entry in zip(clips, entries, strict=True)}

    def _annotated(self, clips: tuple[Clip, ...], entries: dict[str, CacheEntry]) -> tuple[Clip, ...]:
        path = self.annotations or self.root / ANNOTATION_FILE
        if self.annotations is None and not path.exists():
            return clips
        seconds = {name: entry.n_frames / self.frames_per_second for name, entry in entries.items()}
        annotated = annotate(clips, read_annotations(path), seconds, path)
        _warn(checks.late_intervals_warning(annotated, path, self.n_frames, self.frames_per_second))
        return annotated

    def _dataset(
        self, clips: Sequence[Clip], entries: dict[str, CacheEntry], with_level: bool = False
    ) -> SpectrogramDataset:
        of_clips = [entries[clip.name] for clip in clips]
        return SpectrogramDataset(
            clips, of_clips, self.n_frames, self.frames_per_second, self.reference_level, with_level
        )


def _warn(text: str) -> None:
    """Warn once, whatever the number of processes, unless the text is empty."""
    if text:
        rank_zero_warn(text, stacklevel=5)
