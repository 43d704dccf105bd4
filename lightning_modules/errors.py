"""Errors that a user can correct."""

from __future__ import annotations

import re

WOULD_FAIL_AGAIN = "The same options would fail again"
"""In what `fit` prints last of a training that diverged."""


class ConfigurationError(ValueError):
    """A model, explainer or checkpoint setting is wrong; the message is one line that says what to do."""


class TrainingError(RuntimeError):
    """A training can't go on; the message is one line with the step and what to try."""


def first_line(error: Exception) -> str:
    """The first line of an exception's message, its type where it has none.

    Example:
        >>> first_line(ValueError("This file contains pickled (object) data. If you trust the file you can load it"))
        'it is not what its name says'
    """
    if re.search("pickle|weights.only", str(error), re.IGNORECASE):
        return "it is not what its name says"  # what NumPy and torch advise would run what is in the file
    return (str(error) or type(error).__name__).splitlines()[0]
