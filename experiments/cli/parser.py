"""The parser of a stage: classes are found by name, and a mistake is one line that says what is accepted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from jsonargparse import _typehints
from lightning.pytorch.cli import LightningArgumentParser

from datamodules import (
    AudioFolderDataModule,
    DCASEDataModule,
    MIMIIDataModule,
    PlanerDataModule,
    SpectrogramDataModule,
)
from experiments.cli.commands import OneLineParser
from experiments.cli.errors import first_cause
from lightning_modules import (
    AnomalyDetector,
    Autoencoder,
    IsolationForest,
    MaskedAutoencoder,
    NearestNeighbours,
    OneClassSVM,
)
from lightning_modules.backbones import flat
from lightning_modules.errors import ConfigurationError
from lightning_modules.imports import find_class, import_class
from lightning_modules.wording import TYPE_NAMES

# What `--model` and `--data` take by their short names, which are looked up among the classes imported here.
CHOICES: dict[type, tuple[type, ...]] = {
    AnomalyDetector: (Autoencoder, MaskedAutoencoder, OneClassSVM, IsolationForest, NearestNeighbours),
    SpectrogramDataModule: (PlanerDataModule, DCASEDataModule, AudioFolderDataModule, MIMIIDataModule),
}

# What `link_arguments` would override without a word.
_FROM_DATA = {"--model.n_frames": "n_frames", "--model.n_mels": "frontend.n_mels"}

_find_imported = _typehints.resolve_class_path_by_name

# Before what is wrong with a class, in the messages of a union of types, which have an error for each of them.
_CLASS_ERROR = "the class "


class UnknownClassError(ConfigurationError):
    """A class that an option names does not exist, can't be imported or is of another kind."""


def _class_path(base: Any, name: str) -> str:
    """The class path of a name: a class path, or the short name of an imported class or of a plugin."""
    found = _find_imported(base, name)
    if found != name or not isinstance(base, type):
        return str(found)
    try:
        known = {choice.__name__: choice for choice in CHOICES.get(base, ())}
        if "." not in name or isinstance(import_class(name), type):  # jsonargparse also accepts functions
            chosen: type = find_class(name, base, known, f"my_lab.My{base.__name__}")
            return f"{chosen.__module__}.{chosen.__qualname__}" if "." not in name else name
    except ConfigurationError as error:
        raise UnknownClassError(f"{_CLASS_ERROR}{error}") from error
    return name


# jsonargparse has no hook for names; its own lookup reports whatever goes wrong with an import as one more type error.
_typehints.resolve_class_path_by_name = _class_path


class ExperimentParser(OneLineParser, LightningArgumentParser):
    """A LightningArgumentParser that accepts no abbreviations and raises a mistake as one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def add_lightning_class_args(self, *args: Any, **kwargs: Any) -> list[str]:
        """Add a class's arguments; where one takes whole numbers as well as others, 1 is a whole number.

        The members of a union are tried in order, and `typing` may change that order: of unions that are equal it
        keeps the one that any library made first. A limit of 1 batch became a share of 1.0, all of them.
        """
        added: list[str] = super().add_lightning_class_args(*args, **kwargs)
        for action in self._actions:
            members = get_args(getattr(action, "_typehint", None))
            if {int, float} <= set(members):
                in_order = [each for member in members for each in ((int, float) if member is float else (member,))]
                action._typehint = Union[tuple(dict.fromkeys(in_order))]  # noqa: UP007
        return added

    def parse_args(self, args: Any = None, namespace: Any = None, **kwargs: Any) -> Any:
        """Parse options; one that sets an argument of a backbone keeps its class and other arguments.

        jsonargparse parses the settings of a model with a parser of that model's own, one option at a time.
        """
        for word in args or ():
            option = word.partition("=")[0]
            if option in _FROM_DATA:
                self.error(f"{option} follows from the data; give --data.{_FROM_DATA[option]}")
        if namespace is not None and "backbone" in namespace and args and args[0].startswith("--backbone."):
            namespace = namespace.clone()
            namespace["backbone"] = flat(namespace["backbone"])
        return super().parse_args(args, namespace=namespace, **kwargs)

    def parse_object(self, cfg_obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Parse settings; jsonargparse would look up a `class_path` with `init_args` itself, without short names."""
        backbone = cfg_obj.get("backbone")
        if isinstance(backbone, Mapping) and backbone.keys() == {"class_path", "init_args"}:
            cfg_obj = {**vars(cfg_obj), "backbone": flat(backbone)}
        for section in {action.dest.rpartition(".")[0] for action in self._actions}:
            if isinstance(cfg_obj.get(section), list):  # jsonargparse only finds out when it calls the class
                self.error(f"Parser key \"{section}\": Unable to load config '{cfg_obj[section]}'")
        return super().parse_object(cfg_obj, *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise one line that names the option, and what it accepts."""
        message = self._accepted(message) or message
        if not self.exit_on_error:
            super().error(message, ex)
        option = "--" + ".".join(_keys(message.partition(_ACCEPTS)[0]))
        cause = None if ex is None else first_cause(ex)
        if isinstance(cause, ConfigurationError) and not isinstance(cause, UnknownClassError):
            super().error(str(cause), ex)
        super().error(_mistake(message, option), ex)

    def _accepted(self, message: str) -> str:
        """The message about an option of this parser with what it accepts in words; "" for any other message.

        A parser of the settings of a class that an option names raises it within the message about that option.
        """
        key, *inner = _keys(message)[:2] or [""]
        found = re.search(r"(?:Got|Given) value: (.*)", message) or re.search(r"Unable to load config '(.*?)'", message)
        action = next((action for action in self._actions if action.dest == key), None)
        if action is None or not found or inner or "class_path '" in message:
            return ""
        accepted = accepted_values(getattr(action, "_typehint", None) or dict)
        others = set(accepted.split(" or ")) - {"a list of them", TYPE_NAMES[type(None)]}
        only_classes = all(choice.startswith(_CLASS) for choice in others)
        if _CLASS_ERROR in message and (only_classes or "." in found[1]):
            return ""
        return f'Parser key "{key}":\n  {_ACCEPTS}{accepted}. Got value: {found[1].strip()}'


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


_CLASS = "a class path of "
_KINDS: dict[tuple[type, ...], str] = {
    (str, os.PathLike): TYPE_NAMES[str],
    (Mapping,): TYPE_NAMES[dict],
    (Iterable,): TYPE_NAMES[list],
    (timedelta,): "a duration such as 00:12:00:00 (days, hours, minutes and seconds)",
}

# Classes that have options only once a subclass is named.
_BASES = ("torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler", "lightning.Callback")

# Between the option and what it accepts, in the messages of one parser inside another.
_ACCEPTS = "must be "


def _keys(message: str) -> list[str]:
    """The options that a message of jsonargparse names, the outer one first."""
    return list(dict.fromkeys(re.findall(r'Parser key "([\w.]+)"', message)))


def _mistake(message: str, option: str) -> str:
    """A message of the parser as one line with the option."""
    wrong = re.search(rf"{_ACCEPTS}(.+?)\. Got value: (.*)", message)
    if wrong:
        return f"{option} is {_shortened(wrong[2])}; it must be {wrong[1]}"
    section = f"--{next(iter(_keys(message)), '')}"
    unaccepted = re.search(r"class_path '([\w.]+)':.*?Option '([\w.]+)' is not accepted", message, re.DOTALL)
    if unaccepted:
        first = f"; name another class with {section} first" if unaccepted[1] in _BASES else ""
        return f"{section}.{unaccepted[2]} does not exist: {unaccepted[1]} has no such option{first}"
    lacking = re.search(r"class_path '([\w.]+)':\s*the following arguments are required: ([\w., ]+)", message)
    if lacking:
        needed = ", ".join(f"{section}.{name}" for name in lacking[2].split(", "))
        return f"{section} {lacking[1]} needs {needed}"
    unknown = re.search(f"{_CLASS_ERROR}(.*)", message)
    if unknown:
        return f"{option} {unknown[1]}"
    # The parser knows the run's folder as `fit.run`.
    return re.sub(r"(?<=required: )\w+\.(\w+)", r"--\1", message)


def _shortened(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}..."
