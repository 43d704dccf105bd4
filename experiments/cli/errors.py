"""Errors and warnings of libraries as one line for the user, and the exception that a signal raises."""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lightning_modules.errors import ConfigurationError, first_line

_SYSTEM_ADVICE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT), "free some space or choose another folder, then give the same command again"
    ),
    errno.EFBIG: "raise the limit of file sizes (ulimit -f) or choose another folder",
    errno.EROFS: "choose a folder on a disk that can be written",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "ask for the rights to it or choose another"),
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR), "a file or a link is where a folder should be: move it away or choose another"
    ),
    errno.ENAMETOOLONG: "choose a shorter name",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files with ulimit -n"),
    errno.ENOMEM: "give a smaller batch or fewer clips",
}

SCHEDULER_NUMBERS = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT"),
    *("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_NNODES", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"),
    "JSM_NAMESPACE_RANK",
)
"""Variables from which Lightning reads which of a job's processes this one is."""

_ROOT = Path(__file__).resolve().parents[2]
_OWN = tuple(
    str(_ROOT / package) for package in ("datamodules", "explainers", "experiments", "lightning_modules", "metrics")
)
_format_warning = warnings.formatwarning

# Parts of the messages of RuntimeErrors about a machine that has too little of something.
_SHORTAGES = (
    (("DataLoader worker", "shared memory"), "the processes that load clips ended early; give --data.num_workers 0"),
    (
        ("can't allocate memory", "out of memory", "Cannot allocate memory"),
        "not enough memory; give a smaller batch or fewer clips",
    ),
    (("Could not determine home directory",), "this user has no home; set HOME to a folder that can be written"),
)


@contextmanager
def configuration_errors() -> Iterator[None]:
    """Make a ConfigurationError of the ValueError of a constructor that a configuration names."""
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(str(first_cause(error))) from error


def first_cause(error: BaseException) -> BaseException:
    """The mistake under what the parser put around it."""
    while error.__cause__ is not None and not isinstance(error, ConfigurationError):
        error = error.__cause__
    return error


def machine_mistake(error: BaseException) -> str:
    """What is wrong with the machine, its disks or its file names, and what to do; "" for any other error.

    Example:
        >>> machine_mistake(FileNotFoundError(2, "No such file or directory", "clip.wav"))
        'clip.wav: No such file or directory'
    """
    if isinstance(error, OSError):
        what = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        advice = _SYSTEM_ADVICE.get(error.errno or 0)
        return f"{what}{error.strerror or error}" + (f"; {advice}" if advice else "")
    if isinstance(error, UnicodeEncodeError):
        return (
            f"{error.object[:200]!a} can't be written in {error.encoding}; rename the file of this name, or set "
            "PYTHONUTF8=1 if the name is right"
        )
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); give a smaller batch or fewer clips".replace(" ()", "")
    message = str(error) if isinstance(error, RuntimeError) else ""
    return next((advice for signs, advice in _SHORTAGES if any(sign in message for sign in signs)), "")


@contextmanager
def scheduler_errors() -> Iterator[None]:
    """Make a ConfigurationError of Lightning's errors about the variables of a scheduler.

    A shell inside a job inherits them, but a command typed there is not one of the job's tasks.
    """
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:
        given = [f"{name}={os.environ[name]}" for name in SCHEDULER_NUMBERS if name in os.environ]
        if not given or "SLURM" not in str(error):
            raise
        raise ConfigurationError(
            f"{', '.join(given)} in the environment: {first_line(error)}; start the command with srun as these "
            "variables require, or unset them to run it by itself"
        ) from None  # messages about rejected settings show the first cause


class Stopped(KeyboardInterrupt):
    """A signal stops this process; the message says how far it came, "" where that is unknown.

    A KeyboardInterrupt, so that what cleans up after Ctrl-C does so after SIGTERM too.
    """


@contextmanager
def stopped_by_signals() -> Iterator[list[signal.Signals]]:
    """Let SIGTERM and SIGINT raise `Stopped` in the block; yields the list of those received so far.

    A signal that is ignored, as by nohup, stays ignored. In a thread nothing changes: signals reach the main thread.
    """
    received: list[signal.Signals] = []

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        received.append(signal.Signals(number))
        raise Stopped

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _format_own(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Leave the line of code out of our own warnings, which are written for users."""
    if filename.startswith(_OWN):
        return f"warning: {message}\n"
    return _format_warning(message, category, filename, lineno, line)


_IRRELEVANT = (
    ".*LightningCLI's args parameter is intended.*",
    ".*does not have many workers.*",
    # Metrics are gathered before they are logged.
    "It is recommended to use `self.log.*sync_dist=True.*",
    "Using `DistributedSampler` with the dataloaders.*",
    "The `srun` command is available.*",
    ".*The dirpath has changed from.*",
    "Checkpoint directory .* exists and is not empty.*",
    # Later stages do without some callbacks of the training; some epochs have no validation.
    ".*callbacks used to create the checkpoint need to be provided.*",
    ".*ModelCheckpoint.monitor='val/loss'.. could not find.*",
    ".*treespec, LeafSpec.*",
    ".*configure_optimizers. will be overridden by.*",  # by what --optimizer names
)


def shorten_warnings() -> None:
    """Print our own warnings in one line, and drop advice of libraries that does not apply here."""
    warnings.formatwarning = _format_own
    for message in _IRRELEVANT:
        warnings.filterwarnings("ignore", message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
