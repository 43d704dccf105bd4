"""The options of a stage, looked at before Lightning parses them, and before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.runs.folder import RunFolder
from experiments.runs.yaml_file import read_yaml
from lightning_modules.errors import ConfigurationError
from lightning_modules.wording import counted

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from datamodules import SpectrogramDataModule

_CONFIG = ("-c", "--config")
# With one of these the arguments speak for themselves.
_SELF_SUFFICIENT = (*_CONFIG, "-h", "--help")
_OPTIONAL = ("seed_everything", "init_from", "ckpt_path", "weights_only", "optimizer", "lr_scheduler")
"""What a configuration may leave empty; everything else is a section."""
_SEEDS = 2**32 - 1
_VERBS = {"train": "fit", "val": "validate", "test": "test", "predict": "predict"}
# Lightning finds these out of their range when the training has begun, or never.
_TRAINER_NUMBERS = {
    "accumulate_grad_batches": (lambda value: value >= 1, "at least 1"),
    "check_val_every_n_epoch": (lambda value: value >= 1, "at least 1, or null"),
    "val_check_interval": (lambda value: not isinstance(value, int | float) or value > 0, "above 0"),
    "gradient_clip_val": (lambda value: value >= 0, "at least 0"),
}


def complete(stage: str, arguments: list[str]) -> list[str]:
    """Put the configuration a run was trained with in front of the arguments of its later stages.

    Args:
        stage: `fit`, `validate`, `test` or `predict`.
        arguments: What follows the stage's name.

    Raises:
        ConfigurationError: If a configuration file is not valid YAML, the run holds no training, or `--init_from` is
            given to another stage than `fit`.
    """
    if stage != "fit" and _values(("--init_from",), arguments):
        raise ConfigurationError(f"--init_from is an option of fit; {stage} takes a checkpoint with --ckpt_path")
    for path in _values(_CONFIG, arguments):
        _require_settings(Path(path), f"--config {path}")
    runs = _values(("--run",), arguments)
    given = {argument.split("=")[0] for argument in arguments}
    if stage == "fit" or not runs or given & {*_SELF_SUFFICIENT} or given >= {"--model", "--data"}:
        return arguments
    run = RunFolder(runs[-1])
    run.require_no_detector(stage)
    config = run.require_fit_config()
    _require_settings(config, str(config))
    # A training that began from another's checkpoint has that in its configuration.
    return ["--config", str(config), "--ckpt_path", "best", *arguments]


def _require_settings(path: Path, name: str) -> None:
    """Check that a configuration file holds settings, in whose place the parser's own messages would lack its name."""
    settings = read_yaml(path, resolve=False) if path.is_file() else {"": path}
    if not isinstance(settings, dict) or all(value is None for value in settings.values()):
        raise ConfigurationError(f"{name} holds no settings, such as trainer: {{max_epochs: 10}}")
    empty = [key for key, value in settings.items() if value is None and key not in _OPTIONAL]
    if empty:
        raise ConfigurationError(f"{name}: {empty[0]} is empty; give its settings, or leave it out")


def check_seed(seed: int | bool) -> None:
    """Check the option `seed_everything`.

    Raises:
        ConfigurationError: If numpy can't take it.
    """
    if not 0 <= seed <= _SEEDS:
        raise ConfigurationError(f"--seed_everything is {seed}; it must be a whole number from 0 to {_SEEDS}")


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Check the trainer's numbers that Lightning does not check before it needs them.

    Args:
        settings: The trainer's options, by their names.

    Raises:
        ConfigurationError: The message names the option.
    """
    for option, (holds, expected) in _TRAINER_NUMBERS.items():
        value = settings.get(option)
        if value is not None and not holds(value):
            raise ConfigurationError(f"--trainer.{option} is {value}; it must be {expected}")


def left_out_clips(stage: str, trainer: Trainer, data: SpectrogramDataModule) -> str:
    """Of how many clips a later stage uses how many, in words, where a limit leaves some out; "" where none does."""
    kind = {"validate": "val"}.get(stage, stage)
    loaders = {"validate": data.val_dataloader, "test": data.test_dataloader, "predict": data.predict_dataloader}
    of_stage: Any = loaders[stage]()
    sets = [len(loader.dataset) for loader in (of_stage if isinstance(of_stage, list) else [of_stage])]
    per_step = data.batch_size * trainer.num_devices * trainer.num_nodes
    limit = getattr(trainer, f"limit_{kind}_batches")
    used = sum(min(clips, _limited(_batches(clips, trainer, data), limit) * per_step) for clips in sets)
    if used == sum(sets):
        return ""
    return f"--trainer.limit_{kind}_batches {limit:g} leaves {used:,} of {counted(sum(sets), 'clip')}"


def _batches(clips: int, trainer: Trainer, data: SpectrogramDataModule) -> int:
    """Batches of each process, among which the clips are shared out."""
    return math.ceil(math.ceil(clips / (trainer.num_devices * trainer.num_nodes)) / data.batch_size)


def _limited(batches: int, limit: float) -> int:
    """Of a number of batches those that are used, as Lightning counts them."""
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def require_work(stage: str, trainer: Trainer, data: SpectrogramDataModule) -> None:
    """Reject a trainer whose limits leave a stage without a step, or that Lightning would reject when it has begun.

    Raises:
        ConfigurationError: The message names the option.
    """
    loaders = {
        "fit": lambda: {"train": data.train_dataloader(), "val": data.val_dataloader()[0]},
        "validate": lambda: {"val": data.val_dataloader()[0]},
        "test": lambda: {"test": data.test_dataloader()},
        "predict": lambda: {"predict": data.predict_dataloader()},
    }[stage]()
    counts = {}
    for kind, loader in loaders.items():
        batches = _batches(len(loader.dataset), trainer, data)  # type: ignore[arg-type]
        limit = getattr(trainer, f"limit_{kind}_batches")
        counts[kind] = _limited(batches, limit)
        overfitted = trainer.overfit_batches  # type: ignore[attr-defined]
        option = "overfit_batches" if stage == "fit" and overfitted else f"limit_{kind}_batches"
        # A training without validation is one.
        if counts[kind] == 0 and (limit > 0 or kind != "val" or stage == "validate"):
            raise ConfigurationError(
                f"--trainer.{option} {limit:g} of {batches} batches leaves nothing to {_VERBS[kind]}; give a number of "
                "batches"
            )
    if stage != "fit":
        return
    for option in ("max_steps", "max_epochs"):
        if getattr(trainer, option) == 0:
            raise ConfigurationError(f"--trainer.{option} 0 trains nothing; give at least 1")
    interval = trainer.val_check_interval
    if (
        isinstance(interval, int)
        and trainer.check_val_every_n_epoch
        and 0 < counts["train"] < interval
        and counts["val"]
    ):
        raise ConfigurationError(
            f"--trainer.val_check_interval {interval} is more than the {counts['train']} training batches of an epoch; "
            "give fewer, or --trainer.check_val_every_n_epoch null to count batches across epochs"
        )


def _values(options: tuple[str, ...], arguments: list[str]) -> list[str]:
    """The values of an option, given as `--option value` or `--option=value`."""
    values = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, separator, value = argument.partition("=")
        if name in options:
            values.append(value if separator else following)
    return values
