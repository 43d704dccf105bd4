"""Checks the options of a study's steps before the first one runs: the last may start hours later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from rich.console import Console

from datamodules.layouts import require_folder
from experiments.cli.curve import require_labelled
from experiments.cli.errors import configuration_errors
from experiments.cli.options import check_callbacks, check_numbers, check_optimizer, complete, one_line_errors
from experiments.cli.stages import ExperimentCLI
from experiments.study.plan import RunPlan
from lightning_modules.errors import ConfigurationError

# The options in which the runs of one setting differ: all of these runs are valid, or none.
_OF_A_SEED = ("--seed_everything=", "--run=")


def check_plans(plans: Sequence[RunPlan], definition: Path) -> None:
    """Parse each distinct command line of some runs as their steps will, and build what it describes.

    Of the data only the folder is looked up, no checkpoint is read, and no trainer is built: it may need the devices of
    another machine.

    Args:
        plans: The runs.
        definition: The study's YAML.

    Raises:
        ConfigurationError: If a step would reject its options; the message names YAML, variant, step and option.
    """
    distinct: dict[tuple[str, ...], tuple[RunPlan, list[str]]] = {}
    for plan in plans:
        steps = [*([] if plan.is_fitted() else [plan.fit]), plan.whole_test, plan.whole_curve]
        for command in filter(None, steps):
            setting = tuple(argument for argument in command if not argument.startswith(_OF_A_SEED))
            distinct.setdefault(setting, (plan, command))
    stages = _Stages()
    with Console(stderr=True).status("Checking the options of all steps"):
        for plan, command in distinct.values():
            mistake = stages.mistake(command)
            if mistake:
                culprit = _culprit(stages, command, mistake)
                raise ConfigurationError(f"{definition}: variants.{plan.variant}, {command[0]}{culprit}: {mistake}")


def _culprit(stages: _Stages, command: list[str], mistake: str) -> str:
    """The option without which nothing would be wrong; "" where the mistake names it, or there is none."""
    for argument in reversed(command):
        option, given, _ = argument.partition("=")
        if not given or not option.startswith("--") or option in ("--run", "--config"):
            continue
        if option.removeprefix("--") in mistake:
            return ""
        if not stages.mistake([other for other in command if other != argument]):
            return f" {argument}"
    return ""


class _Stages(ExperimentCLI):
    """The parsers of the stages, built once, without a stage that runs."""

    def __init__(self) -> None:
        super().__init__([])

    def mistake(self, command: list[str]) -> str:
        """What is wrong with a command line, "" if nothing is."""
        try:
            with one_line_errors():
                self._check(command[0], command[1:])
        except ValueError as error:  # ConfigurationError and DataError are
            return str(error)
        return ""

    def _check(self, stage: str, arguments: list[str]) -> None:
        """Parse a stage's arguments and build its data, model and callbacks."""
        config = self.parser.parse_args([stage, *complete(stage, arguments)])
        check_numbers(config[stage])
        if config[stage]["trainer"]["fast_dev_run"]:
            raise ConfigurationError("trainer.fast_dev_run keeps no results, which a study compares; remove it")
        del config[stage]["trainer"]
        with configuration_errors():
            built = self.parser.instantiate(config)[stage]
        check_optimizer(config[stage], built.model)
        check_callbacks((built.attributions, built.faithfulness), built.model, built.data, stage)
        if stage == "curve":
            require_labelled(built.data)
        require_folder(built.data.root)

    def parse_arguments(self, parser: Any, args: Any) -> None:
        """Parse nothing yet."""
        self.config = Namespace(subcommand=None)

    def _set_seed(self) -> None:
        """Draw nothing."""

    def instantiate_classes(self) -> None:
        """Build nothing yet."""

    def after_instantiate_classes(self) -> None:
        """Touch no folder."""
