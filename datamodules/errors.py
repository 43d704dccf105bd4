"""The one exception that mistakes in data and data options raise."""

from __future__ import annotations


class DataError(ValueError):
    """A file or an option that cannot be used.

    The message is one line, names the file or the option, and says what to do about it, so that a command can
    print it as it stands.
    """
