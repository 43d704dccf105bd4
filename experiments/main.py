"""The `faithful-aad` command: one entry, a subcommand for each thing to do."""

from __future__ import annotations

import codecs
import errno
import os
import sys
import unicodedata
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

# What tables and sentences hold beyond ASCII, for terminals that can't show it.
_TRANSLITERATED = str.maketrans(
    {"—": "-", "–": "-", "−": "-", "×": "x", "·": ".", "…": "...", "•": "*", "▪": "*", "±": "+/-", "≥": ">=", "≤": "<="}
)

_DISK_ADVICE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT), "free some space or choose another folder, then give the same command again"
    ),
    errno.EFBIG: "raise the limit of file sizes (ulimit -f) or choose another folder",
    errno.EROFS: "choose a folder on a disk that can be written",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "ask for the rights to it or choose another"),
    errno.ENAMETOOLONG: "choose a shorter name",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files with ulimit -n"),
    errno.ENOMEM: "give the machine more memory, or the command less to do",
}

# What libraries say, in a RuntimeError, about a machine that has too little of something.
_SHORTAGES = (
    (("DataLoader worker", "shared memory"), "the workers that load clips ended; give --data.num_workers 0"),
    (("can't allocate memory", "out of memory", "Cannot allocate memory"), "not enough memory; give a smaller batch"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: What follows the program's name; those of this process by default.

    Returns:
        The exit status: 0, 1 where runs of a study failed, or 2 after a mistake of the user's; both are told in a line.
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
    return _run(name, rest)


def _run(name: str, arguments: list[str]) -> int:
    try:
        os.getcwd()  # noqa: PTH109  libraries look it up while they are imported
    except OSError:
        return _fail("the current folder does not exist any more; change to one that does", name)
    from datamodules.errors import DataError  # noqa: PLC0415
    from experiments.study.errors import RunsFailed  # noqa: PLC0415
    from lightning_modules.errors import ConfigurationError  # noqa: PLC0415

    module, function, _ = _COMMANDS[name]
    command: Callable[[str, list[str]], None] = getattr(import_module(module), function)
    try:
        command(name, arguments)
        sys.stdout.flush()
    except (ConfigurationError, DataError) as error:
        return _fail(str(error), name)
    except RunsFailed as error:
        return _fail(str(error), name, status=1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()  # who reads has enough, as `head` does
        return 1
    except OSError as error:
        return _fail(_disk_mistake(error), name)
    except UnicodeEncodeError as error:
        return _fail(
            f"{error.object[:200]!a} can't be written in {error.encoding}; rename what is called so, "
            "or set PYTHONUTF8=1 if the name is right",
            name,
        )
    except (MemoryError, RuntimeError) as error:
        shortage = _shortage(error)
        if not shortage:
            raise
        return _fail(shortage, name)
    return 0


def _fail(message: str, command: str = "", status: int = 2) -> int:
    line = f"{PROGRAM} {command}".rstrip() + f": error: {' '.join(message.split())}"
    try:
        sys.stdout.flush()
        print(line, file=sys.stderr, flush=True)
    except OSError:  # a terminal that went away, or a log on a full disk
        _drop_output()
    return status


def _disk_mistake(error: OSError) -> str:
    """Which file couldn't be read or written, why, and what to do."""
    what = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    advice = _DISK_ADVICE.get(error.errno or 0)
    return f"{what}{error.strerror or error}" + (f"; {advice}" if advice else "")


def _shortage(error: MemoryError | RuntimeError) -> str:
    """What the machine is short of, and what to do; "" where an error means something else."""
    said = str(error)
    if isinstance(error, MemoryError):
        return f"not enough memory{said and f' ({said})'}; give a smaller batch or fewer clips"
    return next((advice for signs, advice in _SHORTAGES if any(sign in said for sign in signs)), "")


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
        except OSError:
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
