"""The table of commands, and how a function's signature becomes a command line."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from experiments.cli.one_line_parser import OneLineParser
from lightning_modules.errors import ConfigurationError

PROGRAM = "faithful-aad"


@dataclass(frozen=True)
class Command:
    """A command of `faithful-aad`.

    Attributes:
        target: "module:function". The module is imported when the command runs: torch and Lightning take seconds.
        help: One line for the overview.
        positionals: Arguments of the function that are given without a name, and their help.
        nargs: How many values each of them takes; by default one, or none where the function has a default.
        after_dashes: Argument of the function that takes everything after ``--``, "" if none does.
    """

    target: str
    help: str
    positionals: Mapping[str, str] = field(default_factory=dict)
    nargs: str | None = None
    after_dashes: str = ""

    def run(self, name: str, arguments: list[str]) -> None:
        """Import the target and call it with the arguments that follow the command's name."""
        module, _, function = self.target.partition(":")
        target = getattr(import_module(module), function)
        if self.target == STAGE:  # Lightning parses the command line
            target(name, arguments)
        else:
            target(**self._parse(target, name, arguments))

    def _parse(self, function: Any, name: str, arguments: list[str]) -> dict[str, Any]:
        """Values of a function's arguments, of which no string is empty: most name a file or folder."""
        after: dict[str, list[str]] = {}
        hint = ""
        if self.after_dashes:
            end = arguments.index("--") if "--" in arguments else len(arguments)
            arguments, after = arguments[:end], {self.after_dashes: arguments[end + 1 :]}
            hint = f"; put options for all training runs after `--`, as in {PROGRAM} {name} FILE -- --data.root=data"
        parser = OneLineParser(
            prog=f"{PROGRAM} {name}", description=(function.__doc__ or "").partition("\n")[0], hint=hint
        )
        parameters = inspect.signature(function).parameters
        for argument, what in self.positionals.items():
            is_optional = parameters[argument].default is not inspect.Parameter.empty
            parser.add_argument(argument, nargs=self.nargs or ("?" if is_optional else None), help=what)
        parser.add_function_arguments(function, skip={*after, *self.positionals})
        values = vars(parser.instantiate(parser.parse_args(_with_values(arguments, function))))
        for argument, value in values.items():
            if not all(str(part).strip() for part in (value if isinstance(value, list) else [value])):
                option = argument.upper() if argument in self.positionals else f"--{argument}"
                raise ConfigurationError(f"{option} is empty; give a name, or . for the current folder")
        return values | after


def _with_values(arguments: list[str], function: Any) -> list[str]:
    """Give `true` to the options that switch something on, as in `--status`, where they have no value."""
    parameters = inspect.signature(function).parameters.items()
    switches = {f"--{name}" for name, parameter in parameters if isinstance(parameter.default, bool)}
    return [
        f"{word}=true" if word in switches and following not in ("true", "false") else word
        for word, following in zip(arguments, [*arguments[1:], ""], strict=False)
    ]


STAGE = "experiments.cli.stages:run_stage"
"""Target of the commands that train, evaluate or predict."""


def _download(function: str, help: str) -> Command:
    return Command(f"experiments.commands.download:{function}", help, {"root": "folder to write"})


COMMANDS: dict[str, Command] = {
    "fit": Command(STAGE, "train an autoencoder (AE), a masked autoencoder (MAE) or a baseline detector"),
    "validate": Command(STAGE, "evaluate a trained model on the validation clips"),
    "curve": Command(STAGE, "evaluate checkpoints spread over a training, to see quality against its length"),
    "test": Command(STAGE, "detect, explain and measure the explanations on the test clips"),
    "predict": Command(STAGE, "score and explain recordings without labels"),
    "watch": Command(
        "experiments.commands.watch.command:watch",
        "score sound while it is recorded, with alarms and events as JSON lines",
    ),
    "export": Command(
        "experiments.commands.export.command:export", "write a trained autoencoder as an ONNX file that takes audio"
    ),
    "study": Command(
        "experiments.study.command:study",
        "train and test variants over seeds, and report on them",
        {"definition": "YAML of the study, or a name that configs lists; options after -- are for every training run"},
        after_dashes="overrides",
    ),
    "report": Command(
        "experiments.report.command:report",
        "compare tested runs in a table and an HTML page",
        {"runs": "folders of tested runs, or of studies"},
        nargs="+",
    ),
    "dashboard": Command(
        "experiments.tracking.dashboard:dashboard", "lay out a study's comparison on Weights & Biases"
    ),
    "configs": Command("experiments.commands.configs:list_configs", "list the configurations of the package"),
    "configs show": Command("experiments.commands.configs:show", "print one", {"name": "its name"}),
    "configs copy": Command(
        "experiments.commands.configs:copy",
        "copy one for editing",
        {"name": "its name", "file": "file or folder to write; the current folder by default"},
    ),
    "chance": Command(
        "experiments.commands.chance:chance",
        "print the chance-level F1 of an annotation file",
        {"annotations": "CSV of annotations"},
    ),
    "data slice": Command(
        "experiments.commands.slice:data_slice",
        "cut recordings into clips",
        {"sources": "recordings, and folders of recordings"},
        nargs="+",
    ),
    "data testset": Command(
        "experiments.commands.testset:data_testset",
        "cut recordings into normal and anomalous test clips, by labels on them",
        {
            "recordings": "a recording, or a folder of recordings",
            "labels": "CSV in seconds, label track, or folder of label tracks",
            "output": "root of an audio folder to write test clips, annotations and manifest to",
        },
    ),
    "data describe": Command(
        "experiments.commands.describe.command:describe",
        "describe a data set and check it for problems",
        {"folder": "folder of the data set"},
    ),
    "annotations check": Command(
        "experiments.commands.annotations:check",
        "check annotations and count what they annotate",
        {"files": "annotations, each file or folder of label tracks a set"},
        nargs="+",
    ),
    "annotations convert": Command(
        "experiments.commands.annotations:convert",
        "convert annotations to another format",
        {"file": "annotations to convert"},
    ),
    "splice": Command(
        "datamodules.splicing:splice",
        "make an annotated test set from clips without annotations",
        {"source": "folder of DCASE data (with --machine), or an audio folder", "output": "folder to write"},
    ),
    "simulate": Command(
        "datamodules.simulator:simulate", "write recordings of a simulated planer", {"root": "folder to write"}
    ),
    "download planer": _download("download_planer", "download the planer spectrograms"),
    "download annotations": _download("download_annotations", "download the annotations of the planer set"),
    "download dcase2020": _download("download_dcase2020", "download a machine of DCASE 2020 Task 2"),
    "download dcase2022": _download("download_dcase2022", "download a machine of DCASE 2022 Task 2"),
}
"""Every command by its name, whose second word is an action, as in `faithful-aad data describe`."""


def overview(group: str = "") -> str:
    """The text of `faithful-aad --help` or, for a group of actions such as `data`, of `faithful-aad data --help`."""
    commands = {name: command for name, command in COMMANDS.items() if group in ("", name.partition(" ")[0])}
    width = max(map(len, commands))
    listed = "\n".join(f"  {name:{width}}  {command.help}" for name, command in commands.items())
    if group:
        return f"usage: {PROGRAM} {group} ACTION [options]\n\n{listed}\n\nEach has a --help of its own."
    return (
        f"usage: {PROGRAM} COMMAND [options]\n\n"
        f"Acoustic anomaly detection with explanations that are measured.\n\n"
        f"{listed}\n\n"
        f"{PROGRAM} COMMAND --help lists the options of a command, {PROGRAM} --version the version."
    )


def find_command(arguments: list[str]) -> tuple[str, list[str]]:
    """The name of the command that a command line begins with, and the arguments after it.

    The name is that of a group of actions, which is not in `COMMANDS`, where the command line asks for its help.

    Raises:
        ConfigurationError: If the command or action does not exist.
    """
    first, *rest = arguments
    actions = [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{first} ")]
    if first in COMMANDS and not (actions and rest and not rest[0].startswith("-")):
        return first, rest
    if not actions:
        names = dict.fromkeys(name.partition(" ")[0] for name in COMMANDS)
        raise ConfigurationError(f"the command {first!r} does not exist; choose one of {', '.join(names)}")
    action, *rest = rest or [""]
    if action in actions:
        return f"{first} {action}", rest
    if action in ("-h", "--help"):
        return first, rest
    given = f"{action!r} is not an action of {first}" if action else f"{first} needs an action"
    raise ConfigurationError(f"{given}; choose one of {', '.join(actions)}")
