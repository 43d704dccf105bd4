"""What exceptions of libraries say, for the messages of ours, and the exception that a signal raises."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from lightning_modules.errors import ConfigurationError


def first_line(error: Exception) -> str:
    """The first line of what an exception says, its type where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]


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
