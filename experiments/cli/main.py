"""The `faithful-aad` command: one entry, a subcommand for each thing to do."""

from __future__ import annotations

import codecs
import os
import signal
import sys
import unicodedata
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version

PROGRAM = "faithful-aad"

# Subcommand: (module, function, what it does). Modules are imported when they are called for, since torch and
# Lightning take seconds to import.
_COMMANDS = {
    "fit": ("experiments.cli.stages", "run_stage", "train an autoencoder (AE) or a masked autoencoder (MAE)"),
    "validate": ("experiments.cli.stages", "run_stage", "evaluate a trained model on the validation clips"),
    "test": ("experiments.cli.stages", "run_stage", "detect, explain and measure the explanations on the test clips"),
    "predict": ("experiments.cli.stages", "run_stage", "score and explain recordings without labels"),
    "detect": ("experiments.detectors.command", "run_detect", "fit and test a reference detector: SVM, forest or kNN"),
    "study": ("experiments.cli.commands", "run_study", "train and test variants over seeds, and report on them"),
    "report": ("experiments.cli.commands", "run_report", "compare tested runs in a table and an HTML page"),
    "chance": ("experiments.cli.commands", "run_chance", "print the F1 that annotations give away to chance"),
    "dashboard": ("experiments.cli.commands", "run_dashboard", "lay out a study's comparison on Weights & Biases"),
    "download": ("experiments.cli.commands", "run_download", "download the planer set, its annotations or DCASE data"),
    "data": (
        "experiments.cli.commands",
        "run_data",
        "slice recordings into clips, describe a data set, compare recordings",
    ),
    "annotations": ("experiments.cli.commands", "run_annotations", "check annotations or convert them"),
    "splice": ("experiments.cli.commands", "run_splice", "make an annotated test set of clips that nobody annotated"),
    "bench": ("experiments.cli.commands", "run_bench", "measure speed beside a yardstick and the machine's limits"),
    "simulate": ("experiments.cli.commands", "run_simulate", "write recordings of a simulated planer"),
}

# What tables and sentences hold beyond ASCII, for terminals that can't show it.
_TRANSLITERATED = str.maketrans(
    {"—": "-", "–": "-", "−": "-", "×": "x", "·": ".", "…": "...", "•": "*", "▪": "*", "±": "+/-", "≥": ">=", "≤": "<="}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: What follows the program's name; those of this process by default.

    Returns:
        The exit status: 0, 1 where a training or runs of a study failed, 2 after a mistake of the user's, 143 after
        SIGTERM and 130 after Ctrl-C; all but 0 are told in a line.
    """
    _prepare_streams()
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
    try:
        os.getcwd()  # noqa: PTH109  libraries look it up while they are imported
    except OSError:
        return _fail("the current folder does not exist any more; change to one that does", name)
    os.environ["MPLBACKEND"] = "Agg"  # Figures are files; what a shell names instead may not exist
    wrong = _read_scheduler(is_stage=_COMMANDS[name][1] == "run_stage")
    if wrong:
        return _fail(wrong, name)
    return _run(name, rest)


def _run(name: str, arguments: list[str]) -> int:
    from datamodules.errors import DataError  # noqa: PLC0415
    from experiments.cli.errors import Stopped, machine_mistake, stopped_by_signals  # noqa: PLC0415
    from experiments.cli.quiet import quieten  # noqa: PLC0415
    from experiments.study.errors import RunsFailed  # noqa: PLC0415
    from lightning_modules.errors import ConfigurationError, TrainingError  # noqa: PLC0415

    module, function, _ = _COMMANDS[name]
    quieten()
    with stopped_by_signals() as received:
        try:
            command: Callable[[str, list[str]], None] = getattr(import_module(module), function)
            command(name, arguments)
            sys.stdout.flush()
            if received:  # in a callback of the interpreter's, which drops what is raised
                raise Stopped(" when the command had ended")
        except (ConfigurationError, DataError) as error:
            return _fail(str(error), name)
        except (RunsFailed, TrainingError) as error:
            return _fail(str(error), name, status=1)
        except BrokenPipeError:
            _drop_output()  # the reader has closed the pipe, as `head` does
            return 1
        except BaseException as error:
            # Others may come of a signal: Lightning makes a SystemExit of it, a broken connection is an error.
            if not received and not isinstance(error, KeyboardInterrupt):
                mistake = machine_mistake(error)
                if not mistake:
                    raise
                return _fail(mistake, name)
            number = received[0] if received else signal.SIGINT
            reached = str(error) if isinstance(error, Stopped) else ""
            _say(f"stopped by {number.name}{reached or ' before the end; give the same command again'}", name)
            return 128 + number
    return 0


def _read_scheduler(*, is_stage: bool) -> str:
    """What is wrong with a scheduler's variables, "" for nothing; only stages may be one of a job's processes."""
    from experiments.cli.errors import SCHEDULER_NUMBERS  # noqa: PLC0415

    for variable in SCHEDULER_NUMBERS:
        # Some libraries read them while they are imported.
        if not os.environ.get(variable, "0").isdecimal():
            return f"{variable}={os.environ[variable]} in the environment is not a number; unset it"
        if not is_stage:
            os.environ.pop(variable, None)
    return ""


def _fail(message: str, command: str = "", status: int = 2) -> int:
    _say(f"error: {message}", command)
    return status


def _say(message: str, command: str) -> None:
    try:
        sys.stdout.flush()
        print(f"{PROGRAM} {command}".rstrip() + f": {' '.join(message.split())}", file=sys.stderr, flush=True)
    except OSError:  # a terminal that went away, or a log on a full disk
        _drop_output()


def _prepare_streams() -> None:
    """Make sure that standard streams are there, and that no character stops what is printed."""
    # A file opened later would take the place of a closed stream, and get what is meant for that.
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(lowest)
    codecs.register_error(PROGRAM, _transliterate)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115, PTH123  as long as the process lives
            setattr(sys, name, stream)
        if mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=PROGRAM)


def _transliterate(error: UnicodeError) -> tuple[str, int]:
    """Plain characters that look alike, "?" where there are none; a codec's error handler."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_TRANSLITERATED)
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return plain.encode("ascii", "replace").decode("ascii"), error.end


def _drop_output() -> None:
    """Let what Python still flushes at its end go nowhere, instead of failing again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # noqa: PERF203  there are two
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


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
