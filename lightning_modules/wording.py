"""Numbers and lists as sentences have them."""

from __future__ import annotations

from collections.abc import Sequence

TYPE_NAMES: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}
"""What messages call a value of a type."""


def counted(number: int, noun: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "clip"), counted(4327, "clip")
        ('1 clip', '4,327 clips')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def join(parts: Sequence[str]) -> str:
    """Parts of an enumeration.

    Example:
        >>> join(["one", "two", "three"])
        'one, two and three'
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
