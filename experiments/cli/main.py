"""The entry of the `faithful-aad` command: standard streams, signals, and an exit status for every ending."""

from __future__ import annotations

import codecs
import os
import signal
import sys
import unicodedata
from collections.abc import Sequence
from importlib.metadata import version

from datamodules.errors import DataError
from experiments.cli.commands import COMMANDS, PROGRAM, STAGE, find_command, overview
from experiments.cli.errors import SCHEDULER_NUMBERS, Stopped, machine_mistake, shorten_warnings, stopped_by_signals
from lightning_modules.errors import ConfigurationError, TrainingError
from lightning_modules.imports import search_current_folder_last

# What tables and sentences contain beyond ASCII, for terminals that can't show it.
_TRANSLITERATED = str.maketrans(
    {"—": "-", "–": "-", "−": "-", "×": "x", "·": ".", "…": "...", "•": "*", "▪": "*", "±": "+/-", "≥": ">=", "≤": "<="}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What follows the program's name; those of this process by default.

    Returns:
        The exit status: 0, 1 if a training run or runs of a study failed, 2 after a mistake of the user's, 143 after
        SIGTERM and 130 after Ctrl-C. One line on standard error explains each but 0.
    """
    _prepare_streams()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"{PROGRAM} {version(PROGRAM)}")
        return 0
    name = ""
    try:
        name, rest = find_command(arguments)
        if name in COMMANDS:
            _prepare_environment(is_stage=COMMANDS[name].target == STAGE)
    except ConfigurationError as error:
        return _fail(str(error), name)
    if name not in COMMANDS:
        print(overview(name))
        return 0
    return _run(name, rest)


def _run(name: str, arguments: list[str]) -> int:
    shorten_warnings()
    with stopped_by_signals() as received:
        try:
            COMMANDS[name].run(name, arguments)
            sys.stdout.flush()
            if received:  # inside a callback of the interpreter, which drops exceptions
                raise Stopped(" when the command had ended")
        except (ConfigurationError, DataError) as error:
            return _fail(str(error), name)
        except TrainingError as error:
            return _fail(str(error), name, status=1)
        except BrokenPipeError:
            _drop_output()  # the reader has closed the pipe, as `head` does
            return 1
        except BaseException as error:
            # Others may result from a signal, which Lightning turns into SystemExit and connections into errors.
            if not received and not isinstance(error, KeyboardInterrupt):
                mistake = machine_mistake(error)
                if not mistake:
                    raise
                return _fail(mistake, name)
            number = received[0] if received else signal.SIGINT
            reached = str(error) if isinstance(error, KeyboardInterrupt) else ""
            _report(f"stopped by {number.name}{reached or ' before the end; give the same command again'}", name)
            return 128 + number
    return 0


def _prepare_environment(*, is_stage: bool) -> None:
    """Check and set what libraries read while they are imported; only a stage may be one of a job's processes."""
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        raise ConfigurationError("the current folder does not exist any more; change to one that does") from None
    search_current_folder_last()
    os.environ["MPLBACKEND"] = "Agg"  # Figures are files; what a shell names instead may not exist
    for variable in SCHEDULER_NUMBERS:
        if not os.environ.get(variable, "0").isdecimal():
            raise ConfigurationError(f"{variable}={os.environ[variable]} in the environment is not a number; unset it")
        if not is_stage:
            os.environ.pop(variable, None)


def _fail(message: str, command: str = "", status: int = 2) -> int:
    _report(f"error: {message}", command)
    return status


def _report(message: str, command: str) -> None:
    try:
        sys.stdout.flush()
        print(f"{PROGRAM} {command}".rstrip() + f": {' '.join(message.split())}", file=sys.stderr, flush=True)
    except OSError:  # a terminal that went away, or a log on a full disk
        _drop_output()


def _prepare_streams() -> None:
    """Make sure that the standard streams are open, and that no character stops what is printed."""
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
    """Discard what Python still flushes when it exits, instead of failing again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # noqa: PERF203  there are two
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
