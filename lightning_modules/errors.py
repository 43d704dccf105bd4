"""Errors that a user can correct."""

from __future__ import annotations

import inspect
import re
import traceback
from pathlib import Path

WOULD_FAIL_AGAIN = "The same options would fail again"
"""In what `fit` prints last of a training that diverged."""


class ConfigurationError(ValueError):
    """A model, explainer or checkpoint setting is wrong; the message is one line that says what to do."""


class TrainingError(RuntimeError):
    """A training can't go on; the message is one line with the step and what to try."""


def told_by_class(error: Exception, owner: type) -> str:
    """What the code of a user's class raised, with the last line of the class's file that it came from."""
    path = inspect.getfile(owner)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return first_line(error) + (f" ({Path(path).name}, line {lines[-1]})" if lines else "")


def first_line(error: Exception) -> str:
    """The first line of an exception's message, its type where it has none.

    Example:
        >>> first_line(ValueError("This file contains pickled (object) data. If you trust the file you can load it"))
        'it is not what its name says'
    """
    if re.search("pickle|weights.only", str(error), re.IGNORECASE):
        return "it is not what its name says"  # what NumPy and torch advise would run what is in the file
    return (str(error) or type(error).__name__).splitlines()[0]
