"""A command-line parser whose mistakes are one line: the option, its value, and what it accepts."""

from __future__ import annotations

import os
import re
from argparse import ArgumentError
from collections.abc import Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from jsonargparse import ArgumentParser

from lightning_modules.errors import ConfigurationError
from lightning_modules.wording import TYPE_NAMES, join

# Between the option and what it accepts, in the messages of one parser inside another.
_ACCEPTS = "must be "
_CLASS = "a class path of "
_NEARLY = 0.85  # of two names' letters are the same; sections such as `--trainer.` are a large part already
_KINDS: dict[tuple[type, ...], str] = {
    (str, os.PathLike): TYPE_NAMES[str],
    (Mapping,): TYPE_NAMES[dict],
    (Iterable,): TYPE_NAMES[list],
    (timedelta,): "a duration such as 00:12:00:00 (days, hours, minutes and seconds)",
}


class OneLineParser(ArgumentParser):
    """Accepts no abbreviations, and raises what is wrong with the command line, for `main` to print.

    Args:
        hint: Added to the message about an unknown option that is not nearly one of the parser's own.
    """

    def __init__(self, *args: Any, hint: str = "", **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self._hint = hint

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the message without the usage, which `--help` shows."""
        message = self.with_accepted(message)
        if not self.exit_on_error:  # jsonargparse uses this parser inside another one, which expects its exception
            raise ArgumentError(None, message) from ex
        hint = self._unknown_hint(message) if message.startswith("unrecognized arguments") else ""
        raise ConfigurationError(" ".join((wrong_value(message) or message).split()) + hint) from ex

    def _unknown_hint(self, message: str) -> str:
        """The options that were probably meant by unknown ones, and the parser's hint where there are none."""
        unknown = re.findall(r"(?<!\S)--[\w.]+", message)
        known = list(self._option_string_actions)
        meant = [get_close_matches(option, known, n=1, cutoff=_NEARLY) for option in unknown]
        names = list(dict.fromkeys(name for near in meant for name in near))
        found = f"; did you mean {join(names)}?" if names else ""
        return found + ("" if meant and all(meant) else self._hint)

    def with_accepted(self, message: str) -> str:
        """The message about a value of an option of this parser with what it accepts; any other message as it is.

        A parser of the settings of a class that an option names raises it within the message about that option.
        """
        key, *inner = option_keys(message)[:2] or [""]
        found = re.search(r"(?:Got|Given) value: (.*)", message) or re.search(r"Unable to load config '(.*?)'", message)
        action = next((action for action in self._actions if action.dest == key), None)
        if action is None or not found or inner or "class_path '" in message:
            return message
        accepted = accepted_values(getattr(action, "_typehint", None) or dict)
        return f'Parser key "{key}":\n  {_ACCEPTS}{accepted}. Got value: {found[1].strip()}'


def option_keys(message: str) -> list[str]:
    """The options that a message of jsonargparse names, the outer one first."""
    return list(dict.fromkeys(re.findall(r'Parser key "([\w.]+)"', message)))


def wrong_value(message: str) -> str:
    """A message of `OneLineParser.with_accepted` as one line, "" for any other message."""
    found = re.search(rf"{_ACCEPTS}(.+?)\. Got value: (.*)", message)
    if not found:
        return ""
    accepted, value = found.groups()
    shown = value if len(value) <= 60 else f"{value[:57]}..."
    return f"--{'.'.join(option_keys(message.partition(_ACCEPTS)[0]))} is {shown}; it must be {accepted}"


def only_classes(message: str) -> bool:
    """Whether the option in a message of `OneLineParser.with_accepted` accepts only classes, and lists of them."""
    accepted = message.partition(_ACCEPTS)[2].partition(". Got value: ")[0]
    others = set(accepted.split(" or ")) - {"a list of them", TYPE_NAMES[type(None)]}
    return all(choice.startswith(_CLASS) for choice in others)


def accepted_values(kind: Any) -> str:
    """What an option of a type accepts.

    Example:
        >>> accepted_values(list[int] | Literal["all", "none"] | None)
        'a list (each a whole number) or one of all, none or null'
    """
    origin, members = get_origin(kind), get_args(kind)
    base = origin or kind
    if origin in (Union, UnionType):
        return " or ".join(_choices(members))
    if origin is Literal:
        values = list(dict.fromkeys(map(str, members)))
        return f"one of {', '.join(values)}" if values[1:] else values[0]
    if kind in TYPE_NAMES or not isinstance(base, type):
        return TYPE_NAMES.get(kind, str(kind))
    words = next((words for kinds, words in _KINDS.items() if issubclass(base, kinds)), "")
    each = f" (each {accepted_values(members[0])})" if words == TYPE_NAMES[list] and members else ""
    return f"{words}{each}" if words else f"{_CLASS}{base.__name__}"


def _choices(members: tuple[Any, ...]) -> Iterable[str]:
    """What an option accepts that takes any of some types."""
    literals = tuple(choice for member in members if get_origin(member) is Literal for choice in get_args(member))
    classes = [member.__name__ for member in members if accepted_values(member).startswith(_CLASS)]
    words: dict[str, None] = {}
    for member in members:
        accepted = accepted_values(member)
        if get_origin(member) is Literal:
            accepted = accepted_values(Literal[literals])
        elif accepted.startswith(_CLASS):
            accepted = f"{_CLASS}{', '.join(classes)}"
        elif classes and f"(each {_CLASS}" in accepted:
            accepted = "a list of them"
        words[accepted] = None
    return sorted(words, key=lambda accepted: not accepted.startswith(_CLASS))  # what "them" means comes first
