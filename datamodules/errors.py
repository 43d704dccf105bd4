"""The one exception that mistakes in data and data options raise."""

from __future__ import annotations

_LONGEST_QUOTE = 80


class DataError(ValueError):
    """A file or an option that cannot be used.

    The message is one line, names the file or the option, and says what to do about it, so that a command can
    print it as it stands.
    """


def quoted(text: str) -> str:
    """Text from a file as a message can show it: on one line, its end left out if it is long.

    Example:
        >>> len(quoted("x" * 1000))
        83
    """
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…")
