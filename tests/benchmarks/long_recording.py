"""Time and memory of `predict` and `watch` on a long recording, the delays of `watch`, and whether both find the same.

For example, with PYTHONPATH=tests, an hour through both, and ten hours through `predict`:

    python -m benchmarks.long_recording runs/mine recordings/test --alarms "[--calibrate, recordings/normal]"
    python -m benchmarks.long_recording runs/mine recordings/test --seconds 36000 --commands "[predict]"
"""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import soundfile
from jsonargparse import auto_cli

_MAIN = [sys.executable, "-m", "experiments.cli.main"]


def main(
    run: str,
    recordings: str,
    model: str | None = None,
    seconds: int = 3600,
    early: int = 600,
    hop: float = 5.0,
    alarms: list[str] | None = None,
    commands: Sequence[Literal["watch", "predict"]] = ("watch", "predict"),
    output: str | None = None,
) -> None:
    """Send recordings through a pipe to `watch`, as fast as it reads, and give them to `predict` as a file.

    Args:
        run: Folder of a trained run.
        recordings: Folder of WAV files with 16 bits and one channel, which are joined by name, again and again.
        model: Exported file that watches in place of the run.
        seconds: Length of the joined recording.
        early: Second of the recording after which the memory of `watch` is read for the first time.
        hop: Seconds from window to window.
        alarms: Further options of both commands, such as "[--calibrate, recordings/normal]".
        commands: Commands to run; events are compared if both are.
        output: JSON file to write.
    """
    found: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        joined, rate = Path(folder, "joined.wav"), _join(Path(recordings), seconds, Path(folder, "joined.wav"))
        options = ["--hop", str(hop), *(alarms or [])]
        if "watch" in commands:
            source = ["--run", run] if model is None else ["--model", model]
            lines, found = _watch([*source, "--rate", str(rate), *options], joined, early)
        if "predict" in commands:
            predicted = Path(folder, "run", "predict")
            found |= _predict(Path(run), joined, predicted.parent, options)
            found["size_of_the_page_MB"] = round((predicted / "page.html").stat().st_size / 1e6, 1)
            if "watch" in commands:
                found |= _compare(lines, predicted / "events.csv")
    for name, value in found.items():
        print(f"{name.replace('_', ' ')}: {value}")
    if output is not None:
        Path(output).write_text(json.dumps(found, indent=1), encoding="utf-8")


def _predict(run: Path, recording: Path, output: Path, options: Sequence[str]) -> dict[str, Any]:
    """Predict a recording with the best weights of a run, into another folder, and say what it took."""
    command = ["predict", "--config", str(run / "fit" / "config.yaml"), "--run", str(output), *options]
    command += ["--ckpt_path", str(run / "fit" / "checkpoints" / "best.ckpt"), "--data.predict_path", str(recording)]
    begin = time.perf_counter()
    process = subprocess.Popen([*_MAIN, *command, "--wandb.mode", "disabled"], stdout=sys.stderr)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit("predict failed")
    events = _events(output / "predict" / "events.csv")
    return {
        "seconds_of_predict": round(time.perf_counter() - begin, 1),
        "CPU_seconds_of_predict": round(used.ru_utime + used.ru_stime, 1),
        "peak_memory_of_predict_MB": round(used.ru_maxrss / 1024, 1),
        "events_of_predict": len(events),
    }


def _events(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _join(folder: Path, seconds: int, path: Path) -> int:
    """Write a recording of some seconds from the WAV files of a folder, and return its sample rate."""
    files = sorted(folder.rglob("*.wav"))
    rate = int(soundfile.info(files[0]).samplerate)
    left = seconds * rate
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as joined:
        for file in islice(cycle(files), seconds * rate):
            samples = soundfile.read(file, dtype="int16")[0][:left]
            joined.write(samples)
            left -= len(samples)
            if not left:
                break
    return rate


def _watch(options: list[str], recording: Path, early: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Pipe a recording into `watch`; its lines, and what was measured."""
    begin = time.perf_counter()
    errors: list[str] = []
    found: dict[str, Any] = {}
    with subprocess.Popen([*_MAIN, "watch", *options], stdin=-1, stdout=-1, stderr=-1) as process:
        pipes = process.stdin, process.stdout, process.stderr
        stdin, stdout, stderr = (pipe for pipe in pipes if pipe is not None)

        def send() -> None:
            with stdin:
                for block in soundfile.blocks(recording, blocksize=1 << 15, dtype="int16"):
                    stdin.write(block.tobytes())

        threads = [
            threading.Thread(target=send),
            threading.Thread(target=lambda: errors.extend(map(bytes.decode, stderr))),
        ]
        for thread in threads:
            thread.start()
        lines: list[dict[str, Any]] = []
        peak = 0.0
        for line in map(json.loads, stdout):
            lines.append(line)
            peak = _peak_megabytes(process.pid) or peak
            if line["end"] >= early:
                found.setdefault(f"peak_memory_after_{early}_s_MB", peak)
        found["peak_memory_at_the_end_MB"] = peak
        for thread in threads:
            thread.join()
    if process.returncode:
        sys.exit("".join(errors))
    print("".join(errors), file=sys.stderr)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    kinds = [line["type"] for line in lines]
    return lines, {
        "windows": kinds.count("window"),
        "events": kinds.count("event"),
        "seconds_of_watch": round(time.perf_counter() - begin, 1),
        "CPU_seconds_of_watch": round(used.ru_utime + used.ru_stime, 1),
        **found,
        "delays": errors[-1].partition("events. ")[2].strip() or errors[-1].strip(),
    }


def _peak_megabytes(process: int) -> float | None:
    """Highest resident memory of a process so far; None if it has ended."""
    try:
        status = Path("/proc", str(process), "status").read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(r"VmHWM:\s*(\d+)", status)
    return None if match is None else round(int(match[1]) / 1024, 1)


def _compare(lines: list[dict[str, Any]], events: Path) -> dict[str, Any]:
    """How events differ from the rows of `predict`."""
    rows = _events(events)
    written = [line for line in lines if line["type"] == "event"]
    same = [
        abs(line[key] - float(row[key])) for line, row in zip(written, rows, strict=False) for key in ("start", "end")
    ]
    scores = [abs(line["score"] / float(row["score"]) - 1) for line, row in zip(written, rows, strict=False)]
    return {
        "largest_difference_of_a_time_s": max(same, default=0.0),
        "largest_relative_difference_of_a_score": max(scores, default=0.0),
    }


if __name__ == "__main__":
    auto_cli(main)
