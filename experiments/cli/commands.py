"""The commands that train nothing, each a function whose signature is its command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from experiments.cli.main import PROGRAM
from experiments.cli.parser import OneLineErrors
from lightning_modules.errors import ConfigurationError

Action = Callable[[str, list[str]], None]
"""Runs a command, given its name and what follows it."""

_POSITIONALS = {
    "runs": "folders of tested runs, or of studies",
    "root": "folder to write",
    "reference": "recording or spectrogram of a planer in normal running: .wav, .flac, .pt or .npy",
    "source": "folder of DCASE data (with --machine), or an audio folder",
    "output": "folder to write",
    "annotations": "CSV of annotations",
    "sources": "recordings, and folders of recordings",
    "files": "annotations, each file or folder of label tracks a set",
    "file": "annotations to convert",
    "folder": "folder of the data set",
    "definition": "YAML of the study; options that follow -- are added to every training",
}


def run_report(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad report RUN…`."""
    from experiments.report import report  # noqa: PLC0415

    _run(report, name, arguments, positional="runs", nargs="+")


def run_dashboard(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad dashboard`."""
    from experiments.tracking.dashboard import dashboard  # noqa: PLC0415

    _run(dashboard, name, arguments)


def run_download(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad download NAME [ROOT]`."""
    from experiments.commands.download import DOWNLOADS  # noqa: PLC0415

    def action(function: Callable[..., Any]) -> Action:
        return lambda name, rest: _run(function, name, rest, positional="root", nargs="?")

    _run_action(name, arguments, {data_set: action(function) for data_set, function in DOWNLOADS.items()})


def run_simulate(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad simulate ROOT`."""
    from datamodules.simulator import simulate  # noqa: PLC0415

    _run(simulate, name, arguments, positional="root")


def run_splice(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad splice SOURCE OUTPUT`."""
    from datamodules.splicing import splice  # noqa: PLC0415

    _run(splice, name, arguments, positional=("source", "output"))


def run_chance(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad chance ANNOTATIONS`."""
    from experiments.commands.chance import chance  # noqa: PLC0415

    _run(chance, name, arguments, positional="annotations")


def _compare(name: str, arguments: list[str]) -> None:
    from experiments.commands.likeness import compare  # noqa: PLC0415

    _run(compare, name, arguments, positional="reference")


def run_bench(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad bench`."""
    from experiments.bench.command import bench  # noqa: PLC0415

    _run(bench, name, arguments)


def run_study(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad study STUDY [options] [-- options of every training]`."""
    from experiments.study.command import study  # noqa: PLC0415

    end = arguments.index("--") if "--" in arguments else len(arguments)
    hint = "; options of every training stand behind --, as in study.yaml -- --data.root=data"
    _run(study, name, arguments[:end], positional="definition", given={"overrides": arguments[end + 1 :]}, hint=hint)


def run_data(name: str, arguments: list[str]) -> None:
    """Run an action of `faithful-aad data`."""
    _run_action(
        name,
        arguments,
        {
            "slice": _slice,
            "describe": _describe,
            "compare": _compare,
        },
    )


def _slice(name: str, arguments: list[str]) -> None:
    from experiments.commands.slice import data_slice  # noqa: PLC0415

    _run(data_slice, name, arguments, positional="sources", nargs="+")


def run_annotations(name: str, arguments: list[str]) -> None:
    """Run an action of `faithful-aad annotations`."""
    _run_action(
        name,
        arguments,
        {
            "check": _check_annotations,
            "convert": _convert_annotations,
        },
    )


def _check_annotations(name: str, arguments: list[str]) -> None:
    from experiments.commands.annotations.check import check  # noqa: PLC0415

    _run(check, name, arguments, positional="files", nargs="+")


def _convert_annotations(name: str, arguments: list[str]) -> None:
    from experiments.commands.annotations.convert import convert  # noqa: PLC0415

    _run(convert, name, arguments, positional="file")


def _describe(name: str, arguments: list[str]) -> None:
    from experiments.commands.describe.command import describe  # noqa: PLC0415

    _run(describe, name, arguments, positional="folder")


def _run_action(name: str, arguments: list[str], actions: Mapping[str, Action]) -> None:
    """Run the one of a command's actions that the first argument names, as in `faithful-aad data describe`."""
    action, *rest = arguments or [""]
    if action in actions:
        actions[action](f"{name} {action}", rest)
    elif action in ("-h", "--help"):
        print(f"usage: {PROGRAM} {name} {{{','.join(actions)}}} …\n\nEach has a --help of its own.")
    else:
        given = f"{action!r} is not among its actions" if action else "it needs an action"
        raise ConfigurationError(f"{given}; choose one of {', '.join(actions)}")


def _run(
    function: Callable[..., Any],
    name: str,
    arguments: list[str],
    positional: str | tuple[str, ...] = (),
    nargs: str | None = None,
    given: Mapping[str, Any] | None = None,
    hint: str = "",
) -> None:
    """Call a function with what its command line says.

    Args:
        function: Its arguments are options but for the positional and the given ones.
        name: The command's name.
        arguments: What follows it.
        positional: The argument, or the arguments, that are given without a name.
        nargs: How many values each takes, one by default.
        given: Arguments with values that do not come from the command line.
        hint: What is added to the message of an unknown option.

    Raises:
        ConfigurationError: If the command line is wrong; nothing is a name for a file or a folder.
    """
    parser = OneLineErrors(prog=f"{PROGRAM} {name}", description=(function.__doc__ or "").partition("\n")[0], hint=hint)
    positionals = (positional,) if isinstance(positional, str) else positional
    for argument in positionals:
        parser.add_argument(argument, nargs=nargs, help=_POSITIONALS[argument])
    given = dict(given or {})
    parser.add_function_arguments(function, skip={*given, *positionals})
    values = vars(parser.instantiate(parser.parse_args(arguments)))
    for argument, value in values.items():
        if not all(str(part).strip() for part in (value if isinstance(value, list) else [value])):
            option = argument.upper() if argument in positionals else f"--{argument}"
            raise ConfigurationError(f"{option} is empty; give a name, or . for the current folder")
    function(**values, **given)
