"""The options of a stage: completed from its run, parsed, and checked before anything is written."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from jsonargparse import get_loader, set_loader
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError, dump

from datamodules import SpectrogramDataModule
from datamodules.errors import DataError, require
from datamodules.frontend import FrontEndSettings
from experiments.cli.errors import configuration_errors
from experiments.configs import config_file
from experiments.runs.config import read_yaml
from experiments.runs.folder import RunFolder
from explainers import AttributionMaps
from lightning_modules import AnomalyDetector, BaselineDetector
from lightning_modules.autoencoders import RECIPE_HPARAMS
from lightning_modules.errors import ConfigurationError, first_line
from lightning_modules.imports import OWN_PACKAGES
from lightning_modules.wording import counted
from metrics.callbacks import Faithfulness
from metrics.measures import MEASURES, REFERENCES

PARSER_MODE = "omegaconf+"
"""Resolves interpolations when all files and options are merged, so that they follow options that win."""

_CONFIG = ("-c", "--config")
# Not a resolver such as ${oc.env:HOME}, nor relative as ${.key}.
_ABSOLUTE_KEY = re.compile(r"\$\{(?=[A-Za-z_][\w.\[\]-]*[}$])")
_BACKBONE = "--model.backbone"
_LONG_NAMES = {
    "--hop": "--data.predict_hop",
    "--calibrate": "--data.calibration_path",
    **{
        f"--{name}": f"--predictions.{name}"
        for name in ("alpha", "false_alarms_per_day", "persistence", "alarm_score", "block", "condition")
    },
}
"""What the short options of `predict` stand for."""

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
# What `fit` logs without labels; with labelled validation, names that begin like these too.
_LOGGED = {"train": ("loss", "learning_rate"), "val": ("loss",)}
_MEASURED = (*MEASURES, "auc", "pauc", "convergence_delta")
_LOG_NOTHING_ELSE = ("lightning.", *(f"{package}." for package in OWN_PACKAGES))
_OTHER_NAMES = "which is not logged; train/loss and val/loss are"
# Nothing else in the trainer's options is overridden.
_UNUSED_BY_RUNS = {
    "default_root_dir": "all that a stage writes is in the folder of --run",
    "barebones": "a stage logs its results",
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
    if stage == "curve" and _values(("--ckpt_path",), arguments):
        raise ConfigurationError("curve evaluates all checkpoints that fit kept for it; leave out --ckpt_path")
    if stage == "predict":
        arguments = [_LONG_NAMES.get(name, name) + value for name, value in map(_split_value, arguments)]
    arguments = _class_before_arguments(_with_config_files(_interpolated_in(stage, arguments)))
    runs = _values(("--run",), arguments)
    given = {argument.split("=")[0] for argument in arguments}
    if stage == "fit" or not runs or given & {"-h", "--help"}:
        return arguments
    # As the parser resolves it, which happens after the configuration is known: from variables such as ${oc.env:HOME}.
    run = RunFolder(OmegaConf.create([runs[-1]])[0])
    if not run.fit_config.is_file() and _sections(arguments) >= {"model", "data"}:
        return arguments
    config = run.require_fit_config()
    _require_settings(config, str(config))
    # Also in place of the --ckpt_path of a training that began with another run's checkpoint.
    return ["--config", _without_removed(config), "--ckpt_path", "best", *arguments]


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


def _sections(arguments: list[str]) -> set[str]:
    """The sections that options and configuration files give; a file that is not there, for the parser, gives all."""
    sections = {argument.partition("=")[0].removeprefix("--").partition(".")[0] for argument in arguments}
    for value in _values(_CONFIG, arguments):
        sections |= set(read_yaml(Path(value), resolve=False)) if Path(value).is_file() else {"model", "data"}
    return sections


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


def _without_removed(config: Path) -> str:
    """What `--config` takes for the configuration of a run: its file, or its text without options that are gone."""
    settings = read_yaml(config, resolve=False)
    removed = [
        section.pop(option)
        for section, option in (
            ((settings.get("data") or {}).get("init_args") or {}, "crop"),
            (settings.get("predictions") or {}, "percentile"),
        )
        if option in section
    ]
    return dump(settings) if removed else str(config)


def _split_value(argument: str) -> tuple[str, str]:
    """The name of an option and, if it is in the same argument, `=` and its value."""
    name, separator, value = argument.partition("=")
    return name, separator + value


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


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Make a ConfigurationError of the errors of Lightning and OmegaConf about a configuration."""
    try:
        yield
    except ConfigurationError as error:
        written = re.sub(r"\$\{\[\w+\]\.", "${", str(error))  # as `_interpolated_in` found it
        for short, long in _LONG_NAMES.items():
            written = re.sub(rf"^{re.escape(long)}(?=[=: ])", short, written)
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
    """Check what Lightning does not check of a stage's parsed options before it needs them, or never.

    Raises:
        ConfigurationError: The message names the option.
    """
    seed = config.seed_everything
    if not 0 <= seed <= _MAX_SEED:
        raise ConfigurationError(f"--seed_everything is {seed}; it must be a whole number from 0 to {_MAX_SEED}")
    # Before the model, which gets the sizes of the spectrograms.
    data = config.data.init_args
    try:
        if data.get("frontend") is not None:
            FrontEndSettings(**data.frontend)
        if data.get("n_frames") is not None:
            require(data.n_frames >= 1, "n_frames", data.n_frames, "at least 1")
    except DataError as error:
        raise ConfigurationError(f"--data.{error}") from error
    for option, reason in _UNUSED_BY_RUNS.items():
        if config.get("trainer", {}).get(option):
            raise ConfigurationError(f"--trainer.{option} can't be used: {reason}; leave it out")
    for option, (holds, expected) in _TRAINER_NUMBERS.items():
        value = config.get("trainer", {}).get(option)
        if value is not None and not holds(value):
            raise ConfigurationError(f"--trainer.{option} is {value}; it must be {expected}")


def check_optimizer(config: Any, model: AnomalyDetector) -> None:
    """Check `--optimizer` and `--lr_scheduler` against each other and the model.

    Raises:
        ConfigurationError: If one of them or an option of the model would have no effect, or nothing logs the metric
            that the scheduler monitors.
    """
    optimizer, scheduler = config.get("optimizer"), config.get("lr_scheduler")
    if optimizer is None and scheduler is None:
        return
    name = type(model).__name__
    if isinstance(model, BaselineDetector):
        raise ConfigurationError(f"{name} learns without gradients; leave out --optimizer and --lr_scheduler")
    if optimizer is None:
        raise ConfigurationError(
            "--lr_scheduler needs --optimizer, such as --optimizer AdamW --optimizer.lr 0.001; without both, the "
            "model's options set AdamW and its schedule"
        )
    for option in RECIPE_HPARAMS:
        if option in model.hparams and model.hparams[option] != _default(type(model), option):
            raise ConfigurationError(
                f"--model.{option} {model.hparams[option]} has no effect with --optimizer; leave it out, and give the "
                "options of --optimizer and --lr_scheduler"
            )
    monitor = scheduler.init_args.get("monitor") if scheduler is not None else None
    if monitor is not None and (wrong := _not_logged(monitor, config.get("trainer"), config.data, model)):
        raise ConfigurationError(f"--lr_scheduler.monitor is {monitor}, {wrong}")


def check_monitors(callbacks: Iterable[Callback], trainer: Any, data: Any, model: AnomalyDetector) -> None:
    """Check that what callbacks of the user's monitor is logged.

    Args:
        callbacks: The callbacks.
        trainer: Parsed options of the trainer.
        data: Parsed class of the data and its options.
        model: The model.

    Raises:
        ConfigurationError: The message names callback and metric.
    """
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint | EarlyStopping):
            monitor = str(callback.monitor or "epoch")
            if monitor not in ("epoch", "step") and (wrong := _not_logged(monitor, trainer, data, model)):
                raise ConfigurationError(
                    f"the {type(callback).__name__} of trainer.callbacks monitors {monitor}, {wrong}"
                )


def _not_logged(monitor: str, trainer: Any, data: Any, model: AnomalyDetector) -> str:
    """Why a metric is not there to be monitored; "" where it is, or a class of the user's may log it."""
    kind, _, name = monitor.partition("/")
    if kind not in _LOGGED:
        return _OTHER_NAMES
    trainer = trainer or {}
    if kind == "val" and trainer.get("limit_val_batches") == 0:
        return "which is not logged without validation; train/loss is"
    callbacks = trainer.get("callbacks") or []
    paths = [each.class_path for each in (callbacks if isinstance(callbacks, list) else [callbacks])]
    if any(not path.startswith(_LOG_NOTHING_ELSE) for path in (f"{type(model).__module__}.", *paths)):
        return ""
    is_measured = kind == "val" and data.init_args.get("labelled_validation") and name.startswith(_MEASURED)
    return "" if name in _LOGGED[kind] or is_measured else _OTHER_NAMES


def _default(model: type[AnomalyDetector], option: str) -> Any:
    """The default of an option that a class, or else a class that it is derived from, takes."""
    signatures = (inspect.signature(base).parameters for base in model.__mro__ if issubclass(base, AnomalyDetector))
    return next((parameters[option].default for parameters in signatures if option in parameters), None)


def check_callbacks(
    callbacks: Iterable[Callback], model: AnomalyDetector, data: SpectrogramDataModule, stage: str
) -> str:
    """Check the settings of callbacks against the model and its data.

    Returns:
        A caution about explainers that the stage leaves out, "" where it leaves out none. Of those that `test` would
        leave out, `fit` warns.

    Raises:
        ConfigurationError: If they do not fit, or no explainer is left.
    """
    left_out = []
    for callback in callbacks:
        if isinstance(callback, AttributionMaps):
            obstacles = callback.obstacles(model, stage)
            left_out = [f"{name} {obstacle}" for name, obstacle in obstacles.items()]
            if obstacles and len(obstacles) == len(callback.names(stage)):
                option = "--attributions.validation_explainers" if stage == "fit" else "--attributions.explainers"
                raise ConfigurationError(f"{'; '.join(left_out)}; name other {option}")
            references = [name for name in callback.names("fit") + callback.names("test") if name in REFERENCES]
            if references:
                raise ConfigurationError(f"explainer {references[0]!r} has the name of a reference; rename its class")
            later = callback.obstacles(model, "test") if stage == "fit" else {}
            for name, obstacle in later.items():
                rank_zero_warn(f"test will leave out {name}: it {obstacle}")
            if later and len(later) == len(callback.names("test")):
                rank_zero_warn("test will fail, since no explainer is left; give it other --attributions.explainers")
        if isinstance(callback, Faithfulness) and model.reconstructs:
            with configuration_errors():
                callback.check(data.n_frames)
    return f"left out: {'; '.join(left_out)}" if left_out else ""


def check_limits(stage: str, trainer: Trainer, data: SpectrogramDataModule) -> str:
    """Check that a trainer's limits leave a stage something to do, before it begins.

    Returns:
        A caution about clips that the limits leave out, of `fit` those to train on; "" where they leave out none.

    Raises:
        ConfigurationError: If nothing is left, or Lightning would reject a limit later; the message names the option.
    """

    def listed(loaders: Any) -> list[Any]:
        return loaders if isinstance(loaders, list) else [loaders]

    loaders: dict[str, list[Any]] = {
        "fit": lambda: {"train": [data.train_dataloader()], "val": data.val_dataloader()[:1]},
        "validate": lambda: {"val": data.val_dataloader()},
        "curve": lambda: {"val": data.val_dataloader()},
        "test": lambda: {"test": [data.test_dataloader()]},
        "predict": lambda: {"predict": listed(data.predict_dataloader())},
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
        option = f"--trainer.{'overfit_batches' if overfitted else f'limit_{kind}_batches'} {limit:g}"
        # `fit` may do without validation.
        if limited[0] == 0 and (limit > 0 or stage != "fit" or kind != "val"):
            verb = {"train": "fit", "val": "validate"}.get(kind, kind)
            raise ConfigurationError(
                f"{option} of {batches[0]} batches leaves nothing to {verb}; give a number of batches"
            )
        n_used = sum(min(n, m * data.batch_size * processes) for n, m in zip(clips, limited, strict=True))
        if n_used < sum(clips) and (stage != "fit" or kind == "train"):
            noun = "window" if kind == "predict" else "clip"
            per_epoch = " per epoch" if stage == "fit" else ""
            cautions.append(f"{option} leaves {n_used:,} of {counted(sum(clips), noun)}{per_epoch}")
    interval = trainer.val_check_interval
    if (
        stage == "fit"
        and isinstance(interval, int)
        and trainer.check_val_every_n_epoch
        and 0 < used["train"] < interval
        and used["val"]
    ):
        raise ConfigurationError(
            f"--trainer.val_check_interval {interval} is more than the {used['train']} training batches of an epoch; "
            "give fewer, or --trainer.check_val_every_n_epoch null to count batches across epochs"
        )
    return "; ".join(cautions)
