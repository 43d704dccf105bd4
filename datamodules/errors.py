"""The one exception that mistakes in data and data options raise."""

from __future__ import annotations

_LONGEST_QUOTE = 80


class DataError(ValueError):
    """A file or an option that cannot be used.

    The message is one line, names the file or the option (as the argument of the Python API, for example
    ``n_frames``), and says what to do about it, so that a command can print it as it stands.
    """


def require(condition: bool, option: str, value: float | str, expected: str) -> None:
    """Check that the value of an option is in its range.

    Raises:
        DataError: It is not.

    Example:
        >>> require(False, "n_frames", 0, "at least 1")
        Traceback (most recent call last):
        datamodules.errors.DataError: n_frames is 0; it must be at least 1
    """
    if not condition:
        raise DataError(f"{option} is {value}; it must be {expected}")


def quoted(text: str) -> str:
    """Text from a file on one line for a message, shortened if it is long.

    Example:
        >>> len(quoted("x" * 1000))
        83
    """
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…")
