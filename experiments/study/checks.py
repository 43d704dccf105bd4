"""The options of a study's steps, looked at before the first one: the last may be hours behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from rich.console import Console

from datamodules.layouts import require_folder
from experiments.cli.arguments import check_seed, check_trainer, complete
from experiments.cli.errors import refusals_are_mistakes
from experiments.cli.stages import ExperimentCLI, check_callbacks, one_line_errors
from experiments.detectors.arguments import parse
from experiments.detectors.command import build_data, build_detector
from experiments.runs.folder import RunFolder
from experiments.study.steps import Step
from lightning_modules.errors import ConfigurationError

# What tells apart the runs of one setting, which are all right or all wrong.
_OF_A_SEED = ("--seed_everything=", "--run=", "--wandb.tags=")


def check_steps(jobs: Sequence[Sequence[Step]], definition: Path) -> None:
    """Parse each distinct command line of a study as its step will, and build what it describes.

    Of the data only the folder is looked for, nothing is read of checkpoints, and no trainer is built: it may need the
    devices of another machine.

    Args:
        jobs: The steps.
        definition: The study's YAML.

    Raises:
        ConfigurationError: If a step would refuse its options; the message names YAML, variant, step and option.
    """
    distinct: dict[tuple[str, ...], tuple[Step, list[str]]] = {}
    for step in (step for job in jobs for step in job):
        command = _whole_command(step)
        setting = tuple(argument for argument in command if not argument.startswith(_OF_A_SEED))
        distinct.setdefault(setting, (step, command))
    stages = _Stages()
    with Console(stderr=True).status("Checking the options of all steps"):
        for step, command in distinct.values():
            check = _check_detector if step.name == "detect" else stages.check
            mistake = _mistake(check, command)
            if mistake:
                culprit = _culprit(check, command, mistake)
                raise ConfigurationError(f"{definition}: variants.{step.plan.variant}, {step.name}{culprit}: {mistake}")


def _whole_command(step: Step) -> list[str]:
    """The step's command line, with the options of the training where that has not begun."""
    trained_in = step.plan.fitted_in
    if step.name != "test" or trained_in is None or RunFolder(trained_in).fit_config.is_file():
        return step.command
    return step.plan.untrained_test


Check = Callable[[str, list[str]], None]


def _mistake(check: Check, command: list[str]) -> str:
    """What is wrong with a command line, "" if nothing is."""
    try:
        with one_line_errors():
            check(command[0], command[1:])
    except ValueError as error:  # ConfigurationError and DataError are
        return str(error)
    return ""


def _culprit(check: Check, command: list[str], mistake: str) -> str:
    """The option without which nothing would be wrong; "" where the mistake names it, or there is none."""
    for argument in reversed(command):
        option, given, _ = argument.partition("=")
        if not given or not option.startswith("--") or option in ("--run", "--config"):
            continue
        if option.removeprefix("--") in mistake:
            return ""
        if not _mistake(check, [other for other in command if other != argument]):
            return f" {argument}"
    return ""


def _check_detector(name: str, arguments: list[str]) -> None:
    parser, settings = parse(name, arguments)
    build_detector(settings.detector.as_dict(), settings.seed_everything)
    require_folder(build_data(parser, settings).root)


class _Stages(ExperimentCLI):
    """The parsers of the four stages, made once, without a stage that runs."""

    def __init__(self) -> None:
        super().__init__([])

    def parse_arguments(self, parser: Any, args: Any) -> None:
        """Leave the parser to :meth:`check`."""
        self.config = Namespace(subcommand=None)

    def _set_seed(self) -> None:
        """Draw nothing."""

    def instantiate_classes(self) -> None:
        """Build nothing yet."""

    def after_instantiate_classes(self) -> None:
        """Touch no folder."""

    def check(self, stage: str, arguments: list[str]) -> None:
        """Parse a stage's arguments and build its data, model and callbacks."""
        config = self.parser.parse_args([stage, *complete(stage, arguments)])
        check_seed(config[stage].seed_everything)
        check_trainer(config[stage].trainer)
        del config[stage]["trainer"]
        with refusals_are_mistakes():
            built = self.parser.instantiate(config)[stage]
        check_callbacks((built.attributions, built.faithfulness), built.model, built.data, stage)
        require_folder(built.data.root)
