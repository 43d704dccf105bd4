"""The DataModule that every data set shares."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_warn

from datamodules.annotations import ANNOTATION_FILE, annotate, frame_mask, read_annotations
from datamodules.audio import Channel, cancelled
from datamodules.cache import CacheEntry, SpectrogramCache
from datamodules.dataset import SpectrogramDataset
from datamodules.errors import DataError
from datamodules.files import left_out_text
from datamodules.frontend import FrontEndSettings
from datamodules.layouts import Clip, Layout, scan_files
from datamodules.loading import Loader, keep_if_wanted, load
from datamodules.provenance import Provenance, read_provenance
from datamodules.shuffle import EpochShuffle
from datamodules.splits import hold_out, hold_out_stratified

PLANER_FRONT_END = FrontEndSettings()

_FAR_FROM_ZERO = 6.0
"""dB; the planer's mean is about -3."""

_LEVELS = 200.0
"""dB; front ends give levels from -100 to 100, and 32-bit numbers far from those hold no sound any more."""

_MOST_WORKERS = 256
"""Each is a process; more would only be a slip of the pen."""

_MOST_CLIPS = 2**31 - 1
"""Clips in a batch, more than any data set has."""

_LEFT_OUT_S = 0.1
"""Seconds at the end of a clip that don't count as left out; front ends differ by a frame or two."""


class SpectrogramDataModule(LightningDataModule):
    """Clips on disk as batches of spectrograms (:class:`~datamodules.batch.ClipBatch`).

    A subclass says where the clips lie (:meth:`scan`) and what its defaults are. Normal training clips are
    split by a seeded draw into those to train on and those to watch the loss on. Whatever can be wrong with
    the data comes up in ``prepare_data``, before a run has written anything, and only the splits that the
    stage needs are looked at.

    Args:
        root: Folder of the data set.
        n_frames: Frames of a clip that are used, from its start.
        frontend: Settings of the log-mel front end.
        reference_level: Level that becomes 0 in the spectrograms, dB. Hidden patches, the explainers' baselines and
            the padding of convolutions are 0, so choose it near the mean of the training clips; the planer's is
            near 0 already.
        channel: Which channel of the recordings to take: its index from 0, or ``mix``, the mean of all channels.
        batch_size: Clips in a batch.
        val_fraction: Share of the training clips held out for the validation loss.
        labelled_validation: Share of the test clips held out for watching detection and explanation metrics
            during training, drawn so that labels, types and annotated clips keep their shares; they leave the
            test set.
        seed: Seed of both draws.
        annotations: CSV file of annotated intervals (see :func:`~datamodules.annotations.read_annotations`);
            ``annotations.csv`` in the root, if there, when ``None``.
        predict_path: File or folder of clips for ``predict``.
        cache_dir: Folder for computed spectrograms; one in the user's cache folder when ``None``.
        num_workers: Processes that load batches; 0 loads in the main one.
        pin_memory: Whether batches are put into pinned memory; when ``None``, if there is a CUDA device.
        crop: Whether `predict` takes recordings that are longer than ``n_frames``, of which it sees only the start;
            the other stages take them with a warning.
        resident: Whether the training clips are kept on the device that trains, so that no batch is loaded or sent;
            when ``None``, on a CUDA device of whose free memory they take at most a quarter.

    Raises:
        DataError: An option is out of its range; or, from ``prepare_data``, ``setup`` and the lists of clips,
            a clip, folder or annotation cannot be used.
    """

    def __init__(
        self,
        root: str,
        n_frames: int = 400,
        frontend: FrontEndSettings = PLANER_FRONT_END,
        reference_level: float = 0.0,
        channel: Channel = "mix",
        batch_size: int = 32,
        val_fraction: float = 0.1,
        labelled_validation: float = 0.0,
        seed: int = 0,
        annotations: str | None = None,
        predict_path: str | None = None,
        cache_dir: str | None = None,
        num_workers: int = 0,
        pin_memory: bool | None = None,
        resident: bool | None = None,
        crop: bool = False,
    ) -> None:
        super().__init__()
        paths = {"root": root, "annotations": annotations, "predict_path": predict_path, "cache_dir": cache_dir}
        for option, path in paths.items():
            if path is not None and not path.strip():
                raise DataError(f"--data.{option} is empty; name a file or folder, . for the current one")
        _require(n_frames >= 1, "n_frames", n_frames, "at least 1")
        _require(1 <= batch_size <= _MOST_CLIPS, "batch_size", batch_size, f"from 1 to {_MOST_CLIPS}")
        _require(
            abs(reference_level) <= _LEVELS, "reference_level", reference_level, f"from -{_LEVELS:g} to {_LEVELS:g} dB"
        )
        _require(channel == "mix" or channel >= 0, "channel", channel, "the index of a channel from 0, or mix")
        _require(0 < val_fraction < 1, "val_fraction", val_fraction, "above 0 and below 1")
        _require(0 <= labelled_validation < 1, "labelled_validation", labelled_validation, "at least 0 and below 1")
        _require(0 <= num_workers <= _MOST_WORKERS, "num_workers", num_workers, f"from 0 to {_MOST_WORKERS}")
        # A logger would refuse a name that the model has too, and config.yaml has them all.
        self.save_hyperparameters(logger=False)
        self.hparams["frontend"] = asdict(frontend)
        self.root = Path(root).expanduser()
        self.n_frames = n_frames
        self.frontend = frontend
        self.reference_level = reference_level
        self.channel: Channel = channel
        self.batch_size = batch_size
        self.val_fraction = val_fraction
        self.labelled_validation = labelled_validation
        self.seed = seed
        self.annotations = None if annotations is None else Path(annotations).expanduser()
        self.predict_path = None if predict_path is None else Path(predict_path).expanduser()
        self.cache_dir = None if cache_dir is None else Path(cache_dir).expanduser()
        self.num_workers = num_workers
        self.resident = resident
        self.crop = crop
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

    @property
    def signal_settings(self) -> dict[str, Any]:
        """What the numbers of a spectrogram depend on besides the recording, by the names of the options.

        Checkpoints carry it, and weights are not used with spectrograms that were made otherwise.
        """
        frontend = asdict(self.frontend) | {"f_max": self.frontend.f_max or self.frontend.sample_rate / 2}
        settings = {f"frontend.{name}": value for name, value in frontend.items()}
        return settings | {"reference_level": self.reference_level, "channel": self.channel}

    @cached_property
    def provenance(self) -> Provenance | None:
        """How the data set was constructed, None where the root carries no such mark."""
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
        """Unlabelled clips of ``predict_path``, in the order of their indices."""
        return self._predict_set.clips

    def prepare_data(self) -> None:
        """Check the clips that the trainer's stage needs and compute their spectrograms."""
        stage = None if self.trainer is None else self.trainer.state.fn
        self.setup(stage)
        if stage == "fit":
            self._warn_of_few()
            self._warn_of_level()
        elif stage == "test":
            self._warn_of_silence("test clips", self._test_sets[0])
        elif stage == "predict":
            self._warn_of_silence("recordings", self._predict_set)
        self._warn_of_length(stage)

    def setup(self, stage: str | None = None) -> None:
        """Build the datasets of a stage: fit, validate, test or predict; of fit and test if ``None``."""
        if self.annotations is not None and not self.annotations.is_file():
            raise DataError(f"--data.annotations {self.annotations} is not a file; name a CSV file of annotations")
        if stage in ("fit", "validate", None):
            self.train_dataloader()
            self.val_dataloader()
        if stage in ("fit", None):
            self._require_sound()
        if stage in ("test", None):
            self.test_dataloader()
        if stage == "test":
            self._warn_of_one_class()
        if stage == "predict":
            self.predict_dataloader()

    def train_dataloader(self) -> Loader:
        """Normal clips, in a new order every epoch, given by the global seed."""
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

    def predict_dataloader(self) -> Loader:
        """Clips of ``predict_path``."""
        return self._loader(self._predict_set)

    def _trained_on(self, clips: SpectrogramDataset) -> SpectrogramDataset:
        """Clips that every epoch needs, on the device that trains if that is wanted and they fit."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        keep_if_wanted(clips, device, self.resident)
        return clips

    def _loader(self, dataset: SpectrogramDataset, sampler: EpochShuffle | None = None) -> Loader:
        return load(dataset, self.batch_size, self.num_workers, self.pin_memory, sampler)

    def _require_sound(self) -> None:
        """Check that there is something to learn.

        Raises:
            DataError: No training clip has any sound.
        """
        clips = self._training_sets[0]
        advice = f"look at {self.root} with faithful-aad data describe"
        if len(clips.unchanging) == len(clips):
            raise DataError(f"all {len(clips)} training clips are silent (they never change); {advice}")
        self._warn_of_silence("training clips", clips, f"a model learns that silence is normal; {advice}")

    def _warn_of_silence(
        self, kind: str, clips: SpectrogramDataset, consequence: str = "their scores say nothing of the machine"
    ) -> None:
        """Say which of the clips have nothing to learn from or to score, and what follows."""
        silent = clips.unchanging
        if silent:
            _warn(
                f"silent {kind} (they never change): {len(silent)} of {len(clips)}, such as {silent[0].name}; "
                f"{consequence}"
            )

    def _warn_of_one_class(self) -> None:
        """Say before anything is computed that there will be no AUC."""
        labels = {clip.label for clip in self.test_clips}
        if len(labels) == 1:
            missing = "anomalous" if labels == {0} else "normal"
            _warn(f"the test set has no {missing} clips: AUC and partial AUC are undefined")

    def _warn_of_few(self) -> None:
        """Say where an epoch is a single step."""
        clips = len(self.train_clips)
        if clips < self.batch_size:
            _warn(
                f"the {clips} training clips are fewer than --data.batch_size {self.batch_size}: an epoch is one step",
            )

    def _warn_of_level(self) -> None:
        """Say so where what hidden patches are set to is far from what is normal."""
        level = self._training_sets[0].mean_level()
        if abs(level) > _FAR_FROM_ZERO:
            _warn(
                f"the mean level of the training clips is {level:.1f} dB, but hidden patches and padding are 0; "
                f"--data.reference_level {level + self.reference_level:.0f} makes the mean 0",
            )

    def _warn_of_length(self, stage: str | None) -> None:
        """Say how much of each kind of clips that a stage uses is left out, because they are longer than `n_frames`."""
        sets: dict[str, tuple[SpectrogramDataset, ...]] = {}
        if stage in ("fit", "validate", None):
            sets["training clips"] = self._training_sets
        if stage in ("test", None) or (self.labelled_validation and stage != "predict"):
            sets["test clips"] = self._test_sets
        if stage == "predict":
            sets["recordings"] = (self._predict_set,)
        for kind, datasets in sets.items():
            lengths = {name: length for dataset in datasets for name, length in dataset.seconds.items()}
            longer = self._longer(lengths)
            if longer:
                left_out = sum(longer.values()) - len(longer) * self._clip_seconds
                _warn(
                    f"{len(longer)} of {len(lengths)} {kind} are longer than the {self._clip_seconds:g} s of "
                    f"--data.n_frames {self.n_frames}: {left_out:.1f} of {sum(lengths.values()):.1f} s of audio are "
                    "left out; faithful-aad data slice cuts recordings into clips",
                )

    @property
    def _clip_seconds(self) -> float:
        return self.n_frames / self.frames_per_second

    def _longer(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """Those of the clips, by name, of which a part that counts is left out, s."""
        return {name: length for name, length in seconds.items() if length > self._clip_seconds + _LEFT_OUT_S}

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
        return self._dataset(test, entries, self.channel), self._dataset(labelled_val, entries)

    @cached_property
    def _predict_set(self) -> SpectrogramDataset:
        if self.predict_path is None:
            raise DataError("predict needs --data.predict_path, a clip or a folder of clips")
        layout = scan_files(self.predict_path)
        _warn(left_out_text(layout.left_out))
        clips = layout.test
        dataset = self._dataset(clips, self._entries(clips))
        longer = self._longer(dataset.seconds)
        if longer and not self.crop:
            name = max(longer, key=longer.__getitem__)
            raise DataError(
                f"--data.predict_path {self.predict_path}: {len(longer)} of {len(clips)} recordings are longer than "
                f"the {self._clip_seconds:g} s of a clip (--data.n_frames {self.n_frames}), the longest is {name} with "
                f"{longer[name]:.1f} s; cut them into clips with faithful-aad data slice, or give --data.crop true to "
                "score only the start of each"
            )
        return dataset

    def _entries(self, clips: Sequence[Clip]) -> dict[str, CacheEntry]:
        """Spectrograms of the clips by name, all of them long enough."""
        entries = self._cache.fill([clip.path for clip in clips])
        shortest = min(entry.n_frames for entry in entries)
        for clip, entry in zip(clips, entries, strict=True):
            if entry.n_frames < self.n_frames:
                raise DataError(
                    f"{clip.path} has {entry.n_frames} frames, fewer than --data.n_frames {self.n_frames}; "
                    f"training with --data.n_frames {shortest} crops every clip to the shortest"
                )
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
        intervals = [interval for clip in annotated for interval in clip.intervals]
        late = sum(not frame_mask([interval], self.n_frames, self.frames_per_second).any() for interval in intervals)
        if late:
            _warn(
                f"{late} of {len(intervals)} intervals in {path} begin after the {self.n_frames} frames of a clip that "
                "are used (--data.n_frames) and don't count",
            )
        return annotated

    def _dataset(
        self, clips: Sequence[Clip], entries: dict[str, CacheEntry], level_of: Channel | None = None
    ) -> SpectrogramDataset:
        of_clips = [entries[clip.name] for clip in clips]
        return SpectrogramDataset(
            clips, of_clips, self.n_frames, self.frames_per_second, self.reference_level, level_of
        )


def _warn(text: str) -> None:
    """Warn once, whatever the number of processes, unless there is nothing to say."""
    if text:
        rank_zero_warn(text, stacklevel=5)


def _require(condition: bool, option: str, value: float | str, expected: str) -> None:
    if not condition:
        raise DataError(f"--data.{option} is {value}; it must be {expected}")
