"""The options of a stage, looked at before Lightning parses them, and before anything is written."""

from __future__ import annotations

import math
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.run_folder import RunFolder
from experiments.yaml_file import read_yaml
from lightning_modules.errors import ConfigurationError

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from datamodules import SpectrogramDataModule

_CONFIG = ("-c", "--config")
# With one of these the arguments speak for themselves.
_SELF_SUFFICIENT = (*_CONFIG, "-h", "--help", "--model")


def complete(stage: str, arguments: list[str]) -> list[str]:
    """Put the configuration a run was trained with in front of the arguments of its later stages.

    Args:
        stage: `fit`, `validate`, `test` or `predict`.
        arguments: What follows the stage's name.

    Raises:
        ConfigurationError: If a configuration file is no YAML, the run holds no training, or `--init_from` is given
            to another stage than `fit`.
    """
    if stage != "fit" and _values(("--init_from",), arguments):
        raise ConfigurationError(f"--init_from is an option of fit; {stage} takes a checkpoint with --ckpt_path")
    for path in _values(_CONFIG, arguments):
        # The parser's own messages lack the name.
        settings = read_yaml(Path(path), resolve=False) if Path(path).is_file() else {"": path}
        if not isinstance(settings, dict) or all(value is None for value in settings.values()):
            raise ConfigurationError(f"--config {path} holds no settings, such as trainer: {{max_epochs: 10}}")
    runs = _values(("--run",), arguments)
    if stage == "fit" or not runs or any(argument.split("=")[0] in _SELF_SUFFICIENT for argument in arguments):
        return arguments
    run = RunFolder(runs[-1])
    run.require_no_detector(stage)
    # A training that began from another's checkpoint has that in its configuration.
    return ["--config", str(run.require_fit_config()), "--ckpt_path", "best", *arguments]


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
        of_process = math.ceil(len(loader.dataset) / (trainer.num_devices * trainer.num_nodes))  # type: ignore[arg-type]
        batches = math.ceil(of_process / data.batch_size)
        limit = getattr(trainer, f"limit_{kind}_batches")
        counts[kind] = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        overfitted = trainer.overfit_batches  # type: ignore[attr-defined]
        option = "overfit_batches" if stage == "fit" and overfitted else f"limit_{kind}_batches"
        # A training without validation is one.
        if counts[kind] == 0 and (limit > 0 or kind != "val" or stage == "validate"):
            raise ConfigurationError(
                f"--trainer.{option} {limit:g} of {batches} batches leaves nothing to {stage}; give a number of batches"
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
