"""The options of a stage: completed from its run, parsed, and checked before anything is written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn, Union, get_args

from jsonargparse import get_loader, set_loader
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from datamodules import (
    AudioFolderDataModule,
    DCASEDataModule,
    MIMIIDataModule,
    PlanerDataModule,
    SpectrogramDataModule,
)
from experiments.cli.commands import OneLineParser
from experiments.cli.errors import configuration_errors, first_cause
from experiments.configs import config_file
from experiments.runs.config import read_yaml
from experiments.runs.folder import RunFolder
from explainers import AttributionMaps
from lightning_modules import (
    AnomalyDetector,
    Autoencoder,
    IsolationForest,
    MaskedAutoencoder,
    NearestNeighbours,
    OneClassSVM,
)
from lightning_modules.backbones import flat
from lightning_modules.errors import ConfigurationError, first_line
from lightning_modules.wording import TYPE_NAMES, counted
from metrics.callbacks import Faithfulness

# What `--model` and `--data` take by their short names, which are looked up among the classes imported here.
CHOICES = {
    "model": (Autoencoder, MaskedAutoencoder, OneClassSVM, IsolationForest, NearestNeighbours),
    "data": (PlanerDataModule, DCASEDataModule, AudioFolderDataModule, MIMIIDataModule),
}

PARSER_MODE = "omegaconf+"
"""Resolves interpolations when all files and options are merged, so that they follow options that win."""

_CONFIG = ("-c", "--config")
# Not a resolver such as ${oc.env:HOME}, nor relative as ${.key}.
_ABSOLUTE_KEY = re.compile(r"\$\{(?=[A-Za-z_][\w.\[\]-]*[}$])")
_BACKBONE = "--model.backbone"
# What a configuration may leave empty; everything else is a section.
_OPTIONAL = ("seed_everything", "init_from", "ckpt_path", "weights_only", "optimizer", "lr_scheduler")
_MAX_SEED = 2**32 - 1  # of numpy
# Lightning finds these out of their range when the training has begun, or never.
_TRAINER_NUMBERS = {
    "max_epochs": (lambda value: value != 0, "at least 1, or -1 for no limit"),
    "max_steps": (lambda value: value != 0, "at least 1, or -1 for no limit"),
    "accumulate_grad_batches": (lambda value: value >= 1, "at least 1"),
    "check_val_every_n_epoch": (lambda value: value >= 1, "at least 1, or null"),
    "val_check_interval": (lambda value: not isinstance(value, int | float) or value > 0, "above 0"),
    "gradient_clip_val": (lambda value: value >= 0, "at least 0"),
}


def complete(stage: str, arguments: list[str]) -> list[str]:
    """Replace the names of shipped configurations by their files, and begin a later stage with what `fit` saved.

    Where a run was trained, its saved configuration comes first, and the arguments change it, configurations included.
    Where it was not, the arguments have to be all there is: another run's training is tested there.

    A backbone's class comes before its arguments, in whichever order they are given, as it replaces a backbone.
    Interpolations such as ``${data.init_args.root}`` name keys of the stage's whole configuration, wherever they stand.

    Raises:
        ConfigurationError: If a configuration does not exist or is not valid YAML, the run has no training and no other
            configuration is given, or `--init_from` is given to another stage than `fit`.
    """
    if stage != "fit" and _values(("--init_from",), arguments):
        raise ConfigurationError(f"--init_from is an option of fit; {stage} takes a checkpoint with --ckpt_path")
    arguments = _class_before_arguments(_with_config_files(_interpolated_in(stage, arguments)))
    runs = _values(("--run",), arguments)
    given = {argument.split("=")[0] for argument in arguments}
    if stage == "fit" or not runs or given & {"-h", "--help"}:
        return arguments
    # As the parser resolves it, which happens after the configuration is known: from variables such as ${oc.env:HOME}.
    run = RunFolder(OmegaConf.create([runs[-1]])[0])
    if not run.fit_config.is_file() and (given & {*_CONFIG} or given >= {"--model", "--data"}):
        return arguments
    config = run.require_fit_config()
    _require_settings(config, str(config))
    # Also in place of the --ckpt_path of a training that began with another run's checkpoint.
    return ["--config", str(config), "--ckpt_path", "best", *arguments]


def _interpolated_in(stage: str, arguments: list[str]) -> list[str]:
    """Make interpolations of arguments, and of the files read from now on, those of a stage's configuration.

    To the parser, the keys of all stages begin with the stage's name.
    """

    def of_stage(text: str) -> str:
        return _ABSOLUTE_KEY.sub(f"${{[{stage}].", text)

    load_yaml = get_loader("yaml")
    set_loader(PARSER_MODE, lambda text: load_yaml(of_stage(text)), (YAMLError,))
    return [of_stage(argument) for argument in arguments]


def _with_config_files(arguments: list[str]) -> list[str]:
    """Replace each name that is given as `--config` by the file that comes with the package, and check the files."""
    completed = []
    words = iter(arguments)
    for word in words:
        completed.append(word)
        option, separator, value = word.partition("=")
        if option in _CONFIG and (separator or (value := next(words, ""))):
            path = config_file(value, "fit", "--config")
            if path.is_file():  # the parser reports others, and takes YAML itself
                _require_settings(path, f"--config {value}")
                value = str(path)
            completed[-1:] = [f"{option}={value}"]
    return completed


def _class_before_arguments(arguments: list[str]) -> list[str]:
    """Move the options of the backbone to the end, and the one that names its class before those of its arguments."""
    others: list[str] = []
    named: list[str] = []
    settings: list[str] = []
    words = iter(arguments)
    for word in words:
        name, separator, value = word.partition("=")
        if name != _BACKBONE and not name.startswith(f"{_BACKBONE}."):
            others.append(word)
            continue
        value = value if separator else next(words, "")
        is_class = name in (_BACKBONE, f"{_BACKBONE}.class_path")
        (named if is_class else settings).append(f"{_BACKBONE if is_class else name}={value}")
    return others + named + settings


def _values(options: tuple[str, ...], arguments: list[str]) -> list[str]:
    """The values of an option, given as `--option value` or `--option=value`."""
    values = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, separator, value = argument.partition("=")
        if name in options:
            values.append(value if separator else following)
    return values


def _require_settings(path: Path, name: str) -> None:
    """Check that a configuration file has settings; the parser's own messages would not name the file."""
    settings = read_yaml(path, resolve=False)
    if not isinstance(settings, dict) or all(value is None for value in settings.values()):
        raise ConfigurationError(f"{name} contains no settings, such as trainer: {{max_epochs: 10}}")
    empty = [key for key, value in settings.items() if value is None and key not in _OPTIONAL]
    if empty:
        raise ConfigurationError(f"{name}: {empty[0]} is empty; give its settings, or leave it out")


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
        if namespace is not None and "backbone" in namespace and args and args[0].startswith("--backbone."):
            namespace = namespace.clone()
            namespace["backbone"] = flat(namespace["backbone"])
        return super().parse_args(args, namespace=namespace, **kwargs)

    def parse_object(self, cfg_obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Parse settings; jsonargparse would look up a `class_path` with `init_args` itself, without short names."""
        backbone = cfg_obj.get("backbone")
        if isinstance(backbone, Mapping) and backbone.keys() == {"class_path", "init_args"}:
            cfg_obj = {**vars(cfg_obj), "backbone": flat(backbone)}
        return super().parse_object(cfg_obj, *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise one line; for a class that does not exist, it lists those that do."""
        if not self.exit_on_error:
            super().error(message, ex)
        for option, classes in CHOICES.items():
            unknown = re.search(rf'Parser key "{option}":\s+- Expected a path but (\S+) either', message)
            if unknown:
                names = ", ".join(choice.__name__ for choice in classes)
                message = f"--{option} {unknown[1]} does not exist; choose one of {names}"
        unaccepted = re.search(
            r"Parser key \"(\w+)\":.*?class_path '([\w.]+)':.*?Option '([\w.]+)' is not accepted", message, re.DOTALL
        )
        if unaccepted:
            section, path, name = unaccepted.groups()
            message = f"--{section}.{name} does not exist: {path} has no such option"
        message = _wrong_type(message) or message
        if ex is not None and isinstance(cause := first_cause(ex), ConfigurationError):
            message = str(cause)
        # The parser knows the run's folder as `fit.run`.
        super().error(re.sub(r"(?<=required: )\w+\.(\w+)", r"--\1", message), ex)


def _wrong_type(message: str) -> str:
    """Jsonargparse's message about a value of a wrong type as one line with the option, "" for any other message."""
    expected = {accepted.__name__: name for accepted, name in TYPE_NAMES.items()}
    option = ".".join(re.findall(r'Parser key "([\w.]+)":', message))
    reason = message.rpartition("Parser key")[2]
    found = re.search(r"(Expected a <class '\w+'>)\. Got value: (.*)", reason) or re.search(
        r"Errors:(.*?)Given value type: .*?Given value: (.*?)\n", f"{reason}\n", re.DOTALL
    )
    types = re.findall(r"<class '(\w+)'>", found[1]) if found else []
    if not found or {*types} <= {"NoneType"} or not {*types} <= expected.keys():
        return ""
    return f"--{option} is {found[2].strip()}; it must be {' or '.join(expected[name] for name in types)}"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Make a ConfigurationError of the errors of Lightning and OmegaConf about a configuration."""
    try:
        yield
    except ConfigurationError as error:
        written = re.sub(r"\$\{\[\w+\]\.", "${", str(error))  # as `_interpolated_in` found it
        if written == str(error):
            raise
        raise ConfigurationError(written) from error
    except OmegaConfBaseException as error:
        reason = re.sub(r"(?<=Interpolation key ')\[\w+\]\.", "", first_line(error))  # without the stage
        raise ConfigurationError(f"an interpolation in the configuration can't be resolved: {reason}") from error
    except (MisconfigurationException, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("Early stopping conditioned on metric"):
            raise
        raise ConfigurationError(str(error)) from error


def check_numbers(config: Any) -> None:
    """Check the numbers of a stage's parsed options that Lightning does not check before it needs them.

    Raises:
        ConfigurationError: The message names the option.
    """
    seed = config.seed_everything
    if not 0 <= seed <= _MAX_SEED:
        raise ConfigurationError(f"--seed_everything is {seed}; it must be a whole number from 0 to {_MAX_SEED}")
    for option, (holds, expected) in _TRAINER_NUMBERS.items():
        value = config.get("trainer", {}).get(option)
        if value is not None and not holds(value):
            raise ConfigurationError(f"--trainer.{option} is {value}; it must be {expected}")


def check_callbacks(
    callbacks: Iterable[Callback], model: AnomalyDetector, data: SpectrogramDataModule, stage: str
) -> None:
    """Raise a ConfigurationError if the model or its data do not fit the settings of a callback."""
    for callback in callbacks:
        if isinstance(callback, AttributionMaps):
            callback.check(model, stage)
        if isinstance(callback, Faithfulness) and model.reconstructs:
            with configuration_errors():
                callback.check(data.n_frames)


def check_limits(stage: str, trainer: Trainer, data: SpectrogramDataModule) -> str:
    """Check that a trainer's limits leave a stage something to do, before it begins.

    Returns:
        A caution about a later stage's clips that the limits leave out, "" where they leave out none.

    Raises:
        ConfigurationError: If nothing is left, or Lightning would reject a limit later; the message names the option.
    """
    loaders: dict[str, list[Any]] = {
        "fit": lambda: {"train": [data.train_dataloader()], "val": data.val_dataloader()[:1]},
        "validate": lambda: {"val": data.val_dataloader()},
        "test": lambda: {"test": [data.test_dataloader()]},
        "predict": lambda: {"predict": [data.predict_dataloader()]},
    }[stage]()
    processes = trainer.num_devices * trainer.num_nodes
    used, cautions = {}, []
    for kind, of_kind in loaders.items():
        limit = getattr(trainer, f"limit_{kind}_batches")
        clips = [len(loader.dataset) for loader in of_kind]
        batches = [math.ceil(math.ceil(n / processes) / data.batch_size) for n in clips]  # per process
        # As Lightning counts them.
        limited = [min(n, limit) if isinstance(limit, int) else int(n * limit) for n in batches]
        used[kind] = limited[0]
        overfitted = stage == "fit" and trainer.overfit_batches  # type: ignore[attr-defined]
        # `fit` may do without validation.
        if limited[0] == 0 and (limit > 0 or kind != "val" or stage == "validate"):
            verb = {"train": "fit", "val": "validate"}.get(kind, kind)
            raise ConfigurationError(
                f"--trainer.{'overfit_batches' if overfitted else f'limit_{kind}_batches'} {limit:g} of {batches[0]} "
                f"batches leaves nothing to {verb}; give a number of batches"
            )
        n_used = sum(min(n, m * data.batch_size * processes) for n, m in zip(clips, limited, strict=True))
        if n_used < sum(clips):
            cautions.append(
                f"--trainer.limit_{kind}_batches {limit:g} leaves {n_used:,} of {counted(sum(clips), 'clip')}"
            )
    if stage != "fit":
        return "; ".join(cautions)
    interval = trainer.val_check_interval
    if isinstance(interval, int) and trainer.check_val_every_n_epoch and 0 < used["train"] < interval and used["val"]:
        raise ConfigurationError(
            f"--trainer.val_check_interval {interval} is more than the {used['train']} training batches of an epoch; "
            "give fewer, or --trainer.check_val_every_n_epoch null to count batches across epochs"
        )
    return ""
