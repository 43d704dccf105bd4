"""The parser of a stage: classes are found by name, and a mistake is one line that says what is accepted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn, Union, get_args

from jsonargparse import _typehints
from lightning.pytorch.cli import LightningArgumentParser

from datamodules import (
    AudioFolderDataModule,
    DCASEDataModule,
    MIMIIDataModule,
    PlanerDataModule,
    SpectrogramDataModule,
    SplicedDataModule,
)
from experiments.cli.errors import first_cause
from experiments.cli.one_line_parser import OneLineParser, only_classes, option_keys, wrong_value
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

# What `--model` and `--data` take by their short names, which are looked up among the classes imported here.
CHOICES: dict[type, tuple[type, ...]] = {
    AnomalyDetector: (Autoencoder, MaskedAutoencoder, OneClassSVM, IsolationForest, NearestNeighbours),
    SpectrogramDataModule: (
        PlanerDataModule,
        DCASEDataModule,
        AudioFolderDataModule,
        MIMIIDataModule,
        SplicedDataModule,
    ),
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
    """A LightningArgumentParser that raises a mistake as one line, and finds classes by their short names."""

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
        message = self.with_accepted(message)
        cause = None if ex is None else first_cause(ex)
        if self.exit_on_error and isinstance(cause, ConfigurationError) and not isinstance(cause, UnknownClassError):
            message = str(cause)
        elif self.exit_on_error:
            message = wrong_value(message) or _class_mistake(message)
        super().error(message, ex)

    def with_accepted(self, message: str) -> str:
        """The message with what the option accepts, unless it says what is wrong with a class."""
        accepted = super().with_accepted(message)
        if accepted == message or _CLASS_ERROR not in message:
            return accepted
        value = accepted.rpartition(": ")[2]
        return message if only_classes(accepted) or "." in value else accepted


# Classes that have options only once a subclass is named.
_BASES = ("torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler", "lightning.Callback")


def _class_mistake(message: str) -> str:
    """What is wrong with a class that an option names, or with its options; any other message as it is."""
    keys = option_keys(message)
    section = f"--{next(iter(keys), '')}"
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
        return f"--{'.'.join(keys)} {unknown[1]}"
    required = re.search(r"arguments are required: (.*)", message)
    if required:  # of which the parser knows some as `fit.run`
        options = [f"--{name.strip().removeprefix('--').rpartition('.')[2]}" for name in required[1].split(",")]
        hint = "; give them, or a whole configuration with --config" if {"--model", "--data"} & {*options} else ""
        return f"the following arguments are required: {', '.join(options)}{hint}"
    return message
