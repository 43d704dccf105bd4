"""The `faithful-aad` command: one entry, a subcommand for each thing to do."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version

PROGRAM = "faithful-aad"

# Subcommand: (module, function, what it does). Modules are imported when they are called for, since torch and
# Lightning take seconds to import.
_COMMANDS = {
    "fit": ("experiments.cli", "run_stage", "train an autoencoder (AE) or a masked autoencoder (MAE)"),
    "validate": ("experiments.cli", "run_stage", "evaluate a trained model on the validation clips"),
    "test": ("experiments.cli", "run_stage", "detect, explain and measure the explanations on the test clips"),
    "predict": ("experiments.cli", "run_stage", "score and explain recordings without labels"),
    "detect": ("experiments.detectors.command", "run_detect", "fit and test a reference detector: SVM, forest or kNN"),
    "study": ("experiments.commands", "run_study", "train and test variants over seeds, and report on them"),
    "report": ("experiments.commands", "run_report", "compare tested runs in a table and an HTML page"),
    "chance": ("experiments.commands", "run_chance", "print the F1 that annotations give away to chance"),
    "dashboard": ("experiments.commands", "run_dashboard", "lay out a study's comparison on Weights & Biases"),
    "download": ("experiments.commands", "run_download", "download the planer set, its annotations or DCASE data"),
    "data": (
        "experiments.commands",
        "run_data",
        "slice recordings into clips, describe a data set, compare recordings",
    ),
    "annotations": ("experiments.commands", "run_annotations", "check annotations or convert them"),
    "splice": ("experiments.commands", "run_splice", "make an annotated test set of clips that nobody annotated"),
    "bench": ("experiments.commands", "run_bench", "measure speed beside a yardstick and the machine's limits"),
    "simulate": ("experiments.commands", "run_simulate", "write recordings of a simulated planer"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: What follows the program's name; those of this process by default.

    Returns:
        The exit status: 0, 1 where a training or runs of a study failed, 2 after a mistake of the user's, 143 after
        SIGTERM and 130 after Ctrl-C; all but 0 are told in a line.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"{PROGRAM} {version(PROGRAM)}")
        return 0
    name, *rest = arguments
    if name not in _COMMANDS:
        return _fail(f"there is no command {name!r}; choose one of {', '.join(_COMMANDS)}")
    return _run(name, rest)


def _run(name: str, arguments: list[str]) -> int:
    from datamodules.errors import DataError  # noqa: PLC0415
    from experiments.exceptions import Stopped, stopped_by_signals  # noqa: PLC0415
    from experiments.study.errors import RunsFailed  # noqa: PLC0415
    from lightning_modules.errors import ConfigurationError, TrainingError  # noqa: PLC0415

    module, function, _ = _COMMANDS[name]
    with stopped_by_signals() as received:
        try:
            command: Callable[[str, list[str]], None] = getattr(import_module(module), function)
            command(name, arguments)
            sys.stdout.flush()
        except (ConfigurationError, DataError) as error:
            return _fail(str(error), name)
        except (RunsFailed, TrainingError) as error:
            return _fail(str(error), name, status=1)
        except BrokenPipeError:
            # Who reads has enough, as `head` does; what Python would still flush at the end goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except BaseException as error:
            # Others may come of a signal: Lightning makes a SystemExit of it, a broken connection is an error.
            if not received and not isinstance(error, KeyboardInterrupt):
                raise
            number = received[0] if received else signal.SIGINT
            reached = str(error) if isinstance(error, Stopped) else ""
            _say(f"stopped by {number.name}{reached or ' before the end; give the same command again'}", name)
            return 128 + number
    return 0


def _fail(message: str, command: str = "", status: int = 2) -> int:
    _say(f"error: {message}", command)
    return status


def _say(message: str, command: str) -> None:
    print(f"{PROGRAM} {command}".rstrip() + f": {' '.join(message.split())}", file=sys.stderr)


def _overview() -> str:
    width = max(map(len, _COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {what}" for name, (_, _, what) in _COMMANDS.items())
    return (
        f"usage: {PROGRAM} COMMAND [options]\n\n"
        f"Acoustic anomaly detection with explanations that are measured.\n\n"
        f"{commands}\n\n"
        f"{PROGRAM} COMMAND --help lists the options of a command, {PROGRAM} --version the version."
    )


if __name__ == "__main__":
    sys.exit(main())
