"""What exceptions of libraries say, for the messages of ours, and the exception that a signal raises."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
"""Variables from which Lightning takes which of a job's processes this one is."""

# What libraries say, in a RuntimeError, about a machine that has too little of something.
_SHORTAGES = (
    (("DataLoader worker", "shared memory"), "the processes that load clips ended early; give --data.num_workers 0"),
    (
        ("can't allocate memory", "out of memory", "Cannot allocate memory"),
        "not enough memory; give a smaller batch or fewer clips",
    ),
    (("Could not determine home directory",), "this user has no home; set HOME to a folder that can be written"),
)


@contextmanager
def refusals_are_mistakes() -> Iterator[None]:
    """Make a ConfigurationError of what the constructors refuse that a configuration names."""
    try:
        yield
    except ValueError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # under what the parser put around it
            cause = cause.__cause__
        raise ConfigurationError(str(cause)) from error


def machine_mistake(error: BaseException) -> str:
    """What is wrong with the machine, its disks or its names, and what to do; "" where an error means something else.

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
            f"{error.object[:200]!a} can't be written in {error.encoding}; rename the file that is called so, or set "
            "PYTHONUTF8=1 if the name is right"
        )
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); give a smaller batch or fewer clips".replace(" ()", "")
    said = str(error) if isinstance(error, RuntimeError) else ""
    return next((advice for signs, advice in _SHORTAGES if any(sign in said for sign in signs)), "")


@contextmanager
def scheduler_mistakes() -> Iterator[None]:
    """Make a ConfigurationError of what Lightning finds wrong with the variables of a scheduler.

    A shell inside a job inherits them, and a command that is given there is not one of the job's tasks.
    """
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:
        given = [f"{name}={os.environ[name]}" for name in SCHEDULER_NUMBERS if name in os.environ]
        if not given or "SLURM" not in str(error):
            raise
        raise ConfigurationError(
            f"{', '.join(given)} in the environment: {first_line(error)}; start the command with srun as these "
            "variables say, or unset them to run it by itself"
        ) from None  # messages about rejected settings show the first cause


class Stopped(KeyboardInterrupt):
    """A signal stops this process; the message says what was reached, and is empty where nothing is known of it.

    A KeyboardInterrupt, so that whatever cleans up after Ctrl-C does so after SIGTERM too.
    """


@contextmanager
def stopped_by_signals() -> Iterator[list[signal.Signals]]:
    """Let SIGTERM and SIGINT raise `Stopped` in the block; gives the list that tells which have come.

    A signal that is ignored, as by nohup, stays so. In a thread nothing changes, because signals come to the main one.
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
