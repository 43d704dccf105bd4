"""Numbers of things in sentences."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "clip"), counted(4327, "clip")
        ('1 clip', '4,327 clips')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
