"""The layout of a run: every run owns one folder, with a folder in it for every stage."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from experiments.runs.config import read_config
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically

STAGES = ("fit", "validate", "curve", "test", "predict")
CONFIG_FILE = "config.yaml"
CAUTION_FILE = "caution.txt"
"""In a stage's folder, what a reader of its results has to know; absent where that is nothing."""
STUDY_FILE = "study.json"
TRAINING_FILE = "training.json"
"""What `STUDY_FILE` says of a run, for a training that several runs test."""
TRACKING_ID_FILE = "wandb-id"
TRACKING_FOLDER = "wandb"
"""Where Weights & Biases keeps what it has not uploaded."""
DAMAGED = ".damaged"
"""The suffix of files that a training can't resume from, kept for their owner to look at."""
TRAINED_IN_PART = "trained in part"
"""What a caution begins with where a limit has cut the training short."""
TEST_UNFINISHED = "test unfinished: results may be missing"
"""The caution of a run whose test stopped after it had written some of its results."""


def read_scalars(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a ``metrics.csv`` as text; an empty list if the file is missing."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class RunFolder:
    """Paths inside the folder of a run.

    Args:
        path: The run's folder; need not exist yet.
        option: What messages call the folder.

    Raises:
        ConfigurationError: If there can't be a folder of this name.
    """

    def __init__(self, path: str | Path, option: str = "--run") -> None:
        if not str(path).strip():
            raise ConfigurationError(f"{option} is empty; name a folder")
        self.option = option
        self.path = Path(path).expanduser()  # which no shell does in quotes or after "="
        if self.path.suffix == ".ckpt" and self.path.is_file():
            raise ConfigurationError(
                f"--run {path} is a checkpoint; name the folder of its run, or give the checkpoint with --ckpt_path"
            )
        stages = [self.path / stage for stage in STAGES]
        for place in (*self.path.parents, self.path, *stages):
            if not place.is_dir() and (place.exists() or place.is_symlink()):
                what = "a file" if place.exists() else "a dangling link"
                if place in stages:
                    raise ConfigurationError(
                        f"{place} is {what}, but a stage needs a folder there; move it away or name another --run"
                    )
                raise ConfigurationError(f"{option} {path} can't be a folder: {place} is {what}; name another")

    @property
    def fit_config(self) -> Path:
        """The configuration that the run was trained with."""
        return self.path / "fit" / CONFIG_FILE

    def require_fit_config(self) -> Path:
        """`fit_config`, or a ConfigurationError if nothing was trained here."""
        if self.fit_config.is_file():
            return self.fit_config
        if self.last_checkpoint.is_file():
            raise ConfigurationError(
                f"{self.last_checkpoint} can't be used without {self.fit_config}, which is missing; restore it, or "
                "give another --run"
            )
        raise ConfigurationError(
            f"--run {self.path} contains no training ({self.fit_config} is missing); "
            f"run faithful-aad fit --run {self.path} first, or name a whole configuration with --config"
        )

    @property
    def last_checkpoint(self) -> Path:
        """The checkpoint that an interrupted training resumes from."""
        return self.path / "fit" / "checkpoints" / "last.ckpt"

    def is_finished(self, stage: str) -> bool:
        """Whether a stage has finished here."""
        return self.mark(stage).is_file()

    def mark_finished(self, stage: str) -> None:
        """Record that a stage has finished, and the sizes of its tables."""
        tables = [path for pattern in ("*.csv", "*.npz") for path in sorted(self.mark(stage).parent.glob(pattern))]
        sizes = {path.name: path.stat().st_size for path in tables}
        write_atomically(self.mark(stage), json.dumps(sizes, indent=1).encode())

    def require_whole(self, stage: str) -> None:
        """Raise a ConfigurationError that names a table missing, truncated or changed since its stage finished."""
        mark = self.mark(stage)
        if not mark.is_file():
            return
        try:
            sizes = json.loads(mark.read_text(encoding="utf-8"))
        except ValueError:
            sizes = {mark.name: None}
        for name, size in sizes.items():
            path = self.path / stage / name
            if not path.is_file() or path.stat().st_size != size:
                wrong = "has changed since it was written" if path.is_file() else "is missing"
                raise ConfigurationError(f"{path} {wrong}; run faithful-aad {stage} --run {self.path} again")

    def mark(self, stage: str) -> Path:
        """The file that marks a stage as finished."""
        return self.path / stage / "finished"

    def epochs(self) -> tuple[int, int | None]:
        """Epochs that the run's training has logged, and their bound: None where there is none, or no training."""
        if not self.fit_config.is_file():
            return 0, None
        try:
            rows = read_scalars(self.path / "fit" / "metrics.csv")
            done = int(rows[-1]["epoch"]) + 1 if rows else 0
        except (ValueError, KeyError, TypeError, csv.Error):  # damaged
            done = 0
        return done, max_epochs(read_config(self.fit_config))

    def require_same_fit(self, config: Mapping[str, Any]) -> None:
        """Raise a ConfigurationError that names the first setting unlike that of the training in this folder.

        How a run is tracked, shown and evaluated may change, how the machine loads the clips, and the bound of the
        epochs may rise.
        """
        saved = read_config(self.require_fit_config())
        began, now = _training_settings(saved), _training_settings(config)
        if allows_more(max_epochs(saved), max_epochs(config)):
            now[_BOUND] = began[_BOUND]
        for key in sorted(began.keys() | now.keys()):
            if began.get(key) != now.get(key):
                what, advice = (
                    "contains an interrupted",
                    "give the same settings to resume it, or another --run, or delete it first",
                )
                if self.is_finished("fit"):
                    what, advice = "already contains a", "give another --run, or delete it first"
                raise ConfigurationError(
                    f"{self.path} {what} training with {key}={began.get(key)}, now it is {now.get(key)}; {advice}"
                )

    def require_unfinished_fit(self, config: Mapping[str, Any], done: int) -> None:
        """Raise a ConfigurationError if the run's training has finished, and the configuration does not go on with it.

        Args:
            config: A configuration that differs from that of the training at most in a higher bound of the epochs.
            done: Epochs of the training.
        """
        if not self.is_finished("fit"):
            return
        bound = max_epochs(read_config(self.fit_config))
        if not allows_more(bound, max_epochs(config)):
            ended, advice = "", "; give another --run, or delete it first"
        elif bound is not None and done < bound:
            ended, advice = (
                f", which ended after {done} of {bound} epochs",
                "; a higher max_epochs does not change that",
            )
        else:
            return
        raise ConfigurationError(f"{self.path} already contains a training{ended}{advice}")

    def checkpoint(self, chosen: str | None) -> Path:
        """The file of a checkpoint: a path, or `best` or `last` for the run's own; the best by default."""
        if chosen is not None and not chosen.strip():
            raise ConfigurationError("--ckpt_path is empty; name a checkpoint, or best or last")
        if chosen in (None, "best", "last"):
            return self.last_checkpoint.with_name(f"{chosen or 'best'}.ckpt")
        return Path(str(chosen))

    @contextmanager
    def alone(self, stage: str) -> Iterator[None]:
        """Lock a stage against other processes; the system releases the lock when this process ends.

        Raises:
            ConfigurationError: If another process has locked it, or the folder can't be written.
        """
        lock = FileLock(self.path / f".{stage}.lock")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except Timeout:
            raise ConfigurationError(
                f"another process is running {stage} in {self.option} {self.path}; wait for it, or name another folder"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"{self.option} {self.path} can't be written ({error.strerror}); name another"
            ) from error
        except NotImplementedError:  # a file system without locks
            yield
            return
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def is_running(self, stage: str) -> bool:
        """Whether a process has locked a stage."""
        lock = FileLock(self.path / f".{stage}.lock")
        if not Path(lock.lock_file).exists():
            return False
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        except (OSError, NotImplementedError):  # a folder of others, a file system without locks
            return False
        lock.release()
        return False

    def clear(self, stage: str) -> None:
        """Delete the results of an earlier run of a stage, so that they are not taken for new ones.

        Damaged files are kept: they may be all that is left of a training.
        """
        folder = self.path / stage
        for path in (*sorted(folder.rglob("*"), reverse=True), folder):  # contents before their folder
            if path.suffix != DAMAGED:
                with suppress(OSError):
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    @contextmanager
    def replacing(self, stage: str) -> Iterator[None]:
        """Put the results of an earlier run of a stage aside: deleted if the block ends well, else put back.

        A process that is killed leaves them in a folder ``STAGE.earlier``, from which the next one takes them.
        """
        folder, earlier = self.path / stage, self.path / f"{stage}.earlier"
        if earlier.exists():
            self.clear(stage)
        elif folder.exists():
            folder.rename(earlier)
        try:
            yield
        except BaseException:
            if earlier.exists():
                shutil.rmtree(folder, ignore_errors=True)
                earlier.rename(folder)
            raise
        shutil.rmtree(earlier, ignore_errors=True)


_BOUND = "trainer.max_epochs"


def max_epochs(config: Mapping[str, Any]) -> int | None:
    """The bound of a training's epochs; None where there is none."""
    bound = (config.get("trainer") or {}).get("max_epochs")
    return bound if isinstance(bound, int) and bound >= 0 else None


def allows_more(bound: int | None, new: int | None) -> bool:
    """Whether a new maximum number of epochs is higher than the old one; None means unlimited."""
    return bound is not None and (new is None or new > bound)


# Options that change no weight and no result.
_OF_THE_MACHINE = (
    "trainer.enable_",
    *(f"data.init_args.{option}" for option in ("num_workers", "cache_dir", "pin_memory", "resident")),
)


def _training_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a training depends on, by dotted names."""
    return settings_of(
        config, ("seed_everything", "init_from", "data", "model", "trainer", "optimizer", "lr_scheduler")
    )


def settings_of(config: Mapping[str, Any], sections: Iterable[str]) -> dict[str, Any]:
    """The settings of some sections of a configuration that change a result, by dotted names."""
    settings = _flat({section: config.get(section) for section in sections})
    return {key: value for key, value in settings.items() if not key.startswith(_OF_THE_MACHINE)}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves
