"""Time, memory and delays of `watch` on a long recording, whose events are compared with those of `predict`.

For example: PYTHONPATH=tests python -m benchmarks.watch runs/mine recordings/test --calibrate recordings/normal
"""

from __future__ import annotations

import csv
import json
import re
import resource
import subprocess
import sys
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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
    output: str | None = None,
) -> None:
    """Send recordings through a pipe to `watch`, as fast as it reads.

    Args:
        run: Folder of a trained run.
        recordings: Folder of WAV files with 16 bits and one channel, which are joined by name, again and again.
        model: Exported file that watches in place of the run; its events are those of no `predict`.
        seconds: Length of the joined recording.
        early: Second of the recording after which memory is read for the first time.
        hop: Seconds from window to window.
        alarms: Further options of both commands, such as "[--calibrate, recordings/normal]".
        output: JSON file to write.
    """
    with TemporaryDirectory() as folder:
        joined, rate = Path(folder, "joined.wav"), _join(Path(recordings), seconds, Path(folder, "joined.wav"))
        options = ["--hop", str(hop), *(alarms or [])]
        source = ["--run", run] if model is None else ["--model", model]
        lines, found = _watch([*source, "--rate", str(rate), *options], joined, early)
        if model is None:
            predicted = ["--run", f"{folder}/run", "--config", f"{run}/fit/config.yaml"]
            predicted += ["--ckpt_path", f"{run}/fit/checkpoints/best.ckpt", "--wandb.mode", "disabled"]
            predicted += ["--data.predict_path", str(joined), "--attributions.explainers", "[]", *options]
            subprocess.run([*_MAIN, "predict", *predicted], check=True, stdout=subprocess.DEVNULL)
            found |= _compare(lines, Path(folder, "run/predict/events.csv"))
    for name, value in found.items():
        print(f"{name.replace('_', ' ')}: {value}")
    if output is not None:
        Path(output).write_text(json.dumps(found, indent=1), encoding="utf-8")


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
        "seconds_in_all": round(time.perf_counter() - begin, 1),
        "CPU_seconds": round(used.ru_utime + used.ru_stime, 1),
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
    with events.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    written = [line for line in lines if line["type"] == "event"]
    same = [
        abs(line[key] - float(row[key])) for line, row in zip(written, rows, strict=False) for key in ("start", "end")
    ]
    scores = [abs(line["score"] / float(row["score"]) - 1) for line, row in zip(written, rows, strict=False)]
    return {
        "events_of_predict": len(rows),
        "largest_difference_of_a_time_s": max(same, default=0.0),
        "largest_relative_difference_of_a_score": max(scores, default=0.0),
    }


if __name__ == "__main__":
    auto_cli(main)
