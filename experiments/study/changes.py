"""The options that a run was made with, compared with those that the study gives it now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

MAX_EPOCHS = "--trainer.max_epochs"
_RUN = "--run"


def options_of(command: Sequence[str], study: Path) -> dict[str, str]:
    """The options of a step, without the run's folder; paths in the study's folder are relative to it.

    A study that was moved or renamed has the same options as before. Of an option that is given twice, the last value
    counts, and both of one that appends.

    Args:
        command: The step's command line, beginning with `fit` or `test`.
        study: The study's folder, as the command line has it.

    Example:
        >>> command = ["fit", "--data.n_mels=64", "--data.n_mels", "128", "--config=runs/b/a.yaml", "--run=runs/b/r"]
        >>> options_of(command, Path("runs/b"))
        {'--data.n_mels': '128', '--config': 'a.yaml'}
    """
    options: dict[str, str] = {}
    for word, following in zip_longest(command[1:], command[2:], fillvalue=""):
        name, given, value = word.partition("=")
        if not name.startswith("--") or name == _RUN:
            continue
        if not given and not following.startswith("--"):
            value = following
        earlier = options.get(name, "") if name.endswith("+") else ""
        options[name] = earlier + value.removeprefix(f"{study}/")
    return options


def study_of(command: Sequence[str], inside: Path) -> Path:
    """The study's folder when a step was recorded.

    Args:
        command: The step's command line.
        inside: The run's folder, relative to that of the study.

    Example:
        >>> study_of(["test", "--run=runs/b/runs/AE/seed_0"], Path("runs/AE/seed_0"))
        PosixPath('runs/b')
    """
    run = Path(next((word for word in command if word.startswith(f"{_RUN}=")), "").partition("=")[2])
    depth = len(inside.parts)
    return run.parents[depth - 1] if run.parts[-depth:] == inside.parts else run


def differing(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What has changed of the options of a training, in words by option; how it is tracked changes no weight.

    Example:
        >>> differing({"--data.root": "a", "--wandb.group": "b"}, {"--data.root": "c", "--data.hop": "1"})
        {'--data.root': '--data.root was a, is c', '--data.hop': '--data.hop was not given, is 1'}
    """
    names = [name for name in dict.fromkeys([*before, *now]) if name.partition(".")[0] != "--wandb"]
    return {
        name: f"{name} was {before.get(name, 'not given')}, is {now.get(name, 'not given')}"
        for name in names
        if before.get(name) != now.get(name)
    }


def max_epochs_of(options: Mapping[str, str]) -> int | None:
    """The bound of the epochs; None where the options leave it to the configuration."""
    bound = options.get(MAX_EPOCHS, "")
    return int(bound) if bound.isdecimal() else None
