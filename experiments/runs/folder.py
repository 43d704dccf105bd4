"""The layout of a run: every run owns one folder, with a folder in it for every stage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from experiments.runs.config import read_config
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically

STAGES = ("fit", "validate", "test", "predict")
CONFIG_FILE = "config.yaml"
CAUTION_FILE = "caution.txt"
"""In a stage's folder, what a reader of its results has to know; absent where that is nothing."""
STUDY_FILE = "study.json"
DAMAGED = ".damaged"
"""The suffix of files that a training can't resume from, kept for their owner to look at."""
TEST_UNFINISHED = "test unfinished: results may be missing"
"""The caution of a run whose test stopped after it had written some of its results."""


class RunFolder:
    """Paths inside the folder of a run.

    Args:
        path: The run's folder; need not exist yet.

    Raises:
        ConfigurationError: If there can't be a folder of this name.
    """

    def __init__(self, path: str | Path) -> None:
        if not str(path).strip():
            raise ConfigurationError("--run is empty; name the folder of the run")
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
                raise ConfigurationError(f"--run {path} can't be a folder: {place} is {what}; name another")

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
            f"run faithful-aad fit --run {self.path} first, or name a configuration with --config"
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

    def require_no_fit(self) -> None:
        """Raise a ConfigurationError if the run's training has finished."""
        if self.is_finished("fit"):
            raise ConfigurationError(f"{self.path} already contains a training; give another --run, or delete it first")

    def require_same_fit(self, config: Mapping[str, Any]) -> None:
        """Raise a ConfigurationError that names the first setting unlike that of the interrupted training.

        How a run is tracked, shown and evaluated may change, and how the machine loads the clips.
        """
        began, now = (_training_settings(part) for part in (read_config(self.require_fit_config()), config))
        for key in sorted(began.keys() | now.keys()):
            if began.get(key) != now.get(key):
                raise ConfigurationError(
                    f"{self.path} contains an interrupted training with {key}={began.get(key)}, now it is "
                    f"{now.get(key)}; give the same settings to resume it, or another --run"
                )

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
                f"another process is running {stage} in --run {self.path}; wait for it, or name another folder"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"--run {self.path} can't be written ({error.strerror}); name another") from error
        except NotImplementedError:  # a file system without locks
            yield
            return
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def clear(self, stage: str) -> None:
        """Delete the results of an earlier run of a stage, so that they are not taken for new ones.

        Damaged files are kept: they may be all that is left of a training.
        """
        folder = self.path / stage
        for path in (*sorted(folder.rglob("*"), reverse=True), folder):  # contents before their folder
            if path.suffix != DAMAGED:
                with suppress(OSError):
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


# Options that change no weight.
_OF_THE_MACHINE = (
    "trainer.enable_",
    *(f"data.init_args.{option}" for option in ("num_workers", "cache_dir", "pin_memory", "resident")),
)


def _training_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a training depends on, by dotted names."""
    sections = ("seed_everything", "init_from", "data", "model", "trainer", "optimizer", "lr_scheduler")
    settings = _flat({section: config.get(section) for section in sections})
    return {key: value for key, value in settings.items() if not key.startswith(_OF_THE_MACHINE)}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves
