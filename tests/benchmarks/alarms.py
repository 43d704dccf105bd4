"""How often alarms are false, and how well events meet what is placed, on real recordings (`make alarms`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import soundfile
from jsonargparse import auto_cli
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lightning_modules.errors import ConfigurationError
from metrics.functional import conformal_threshold, needed_scores

ALPHAS = (0.1, 0.05)
HALVES = 200
SCORES = ("score", "masked_score")


@dataclass(frozen=True)
class Joined:
    """Clips one after the other, as one recording.

    Attributes:
        anomalies: Start and end of each anomalous clip in s.
        duration: Seconds of the recording.
    """

    anomalies: tuple[tuple[float, float], ...]
    duration: float


def measure(
    runs: list[Path],
    normal: Path,
    anomalous: Path,
    hop: float = 5.0,
    alpha: float = 0.05,
    recordings: int = 6,
    anomalies: int = 14,
    seed: int = 0,
    output: Path | None = None,
) -> None:
    """Measure the alarms of trained runs on clips that none of them was trained on.

    False alarms: one random half of the normal clips calibrates, the other half is tested, 200 times. Events: half of
    the normal clips are joined to a recording that calibrates; the others, with anomalous clips among them, to
    recordings in which events are looked for.

    Args:
        runs: Folders of runs with a trained model.
        normal: Pattern of normal clips, all of one length, which is that of a window: data/test/normal_*.wav.
        anomalous: Pattern of anomalous clips.
        hop: Seconds from window to window in the joined recordings.
        alpha: Highest probability of a false alarm per clip's length of normal sound.
        recordings: Joined recordings.
        anomalies: Anomalous clips in each.
        seed: Draws halves and orders.
        output: JSON file for the numbers.

    Raises:
        ConfigurationError: There are too few clips, or a prediction fails.
    """
    console, rng = Console(highlight=False), np.random.default_rng(seed)
    normal_clips, anomalous_clips = (
        sorted(normal.parent.glob(normal.name)),
        sorted(anomalous.parent.glob(anomalous.name)),
    )
    if len(normal_clips) < 2 * needed_scores(alpha) or len(anomalous_clips) < anomalies:
        raise ConfigurationError(
            f"{normal} and {anomalous} name {len(normal_clips)} and {len(anomalous_clips)} clips; at least "
            f"{2 * needed_scores(alpha)} and {anomalies} are needed"
        )
    results: list[dict[str, object]] = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "normal").mkdir()
        for clip in normal_clips:
            (folder / "normal" / clip.name).symlink_to(clip.resolve())
        order = rng.permutation(len(normal_clips))
        calibrating, others = np.array_split(order, 2)
        block = join([normal_clips[i] for i in calibrating], (), folder / "calibration" / "normal.wav").duration
        block /= len(calibrating)
        joined = {}
        for number in range(recordings):
            chosen = rng.choice(len(anomalous_clips), anomalies, replace=False)
            clips = [normal_clips[i] for i in others] + [anomalous_clips[i] for i in chosen]
            mixed = [clips[i] for i in rng.permutation(len(clips))]
            name = f"joined_{number}.wav"
            joined[name] = join(mixed, set(anomalous_clips), folder / "joined" / name)
        for run in track(runs, "Runs", console=Console(stderr=True)):
            of_clips = predict(run, folder / "normal", folder / "of_clips" / str(len(results)))["windows"]
            for score in SCORES:
                if of_clips[score].isna().any():
                    continue
                false = {each: false_alarms(of_clips[score].to_numpy(), each, rng) for each in ALPHAS}
                calibrate = ("--calibrate", folder / "calibration", "--block", block, "--hop", hop)
                decide = ("--alpha", alpha, "--alarm_score", score)
                out = folder / "of_joined" / str(len(results))
                tables = predict(run, folder / "joined", out, *calibrate, *decide)
                row: dict[str, object] = {"run": str(run), "score": score, "n": len(order) - len(order) // 2}
                results.append(row | {"false_alarms": false} | meet(tables["events"], joined))
    print_tables(console, results, alpha)
    if output is not None:
        output.write_text(json.dumps(results, indent=1))


def join(clips: Sequence[Path], anomalous: set[Path] | tuple[()], path: Path) -> Joined:
    """Write clips, one after the other, as one recording.

    Args:
        clips: Clips of one sample rate and number of channels.
        anomalous: Those of them that are anomalous.
        path: The recording.
    """
    path.parent.mkdir(exist_ok=True)
    intervals, samples, rate = [], 0, soundfile.info(clips[0]).samplerate
    with soundfile.SoundFile(path, "w", rate, soundfile.info(clips[0]).channels) as recording:
        for clip in clips:
            sound, _ = soundfile.read(clip, dtype="int16", always_2d=True)
            recording.write(sound)
            if clip in anomalous:
                intervals.append((samples / rate, (samples + len(sound)) / rate))
            samples += len(sound)
    return Joined(tuple(intervals), samples / rate)


def predict(run: Path, recordings: Path, output: Path, *options: object) -> dict[str, pd.DataFrame]:
    """The tables of `faithful-aad predict` with the best weights of a run, in a folder of its own."""
    command = [sys.executable, "-m", "experiments.cli.main", "predict", "--config", run / "fit" / "config.yaml"]
    command += ["--ckpt_path", run / "fit" / "checkpoints" / "best.ckpt", "--data.predict_path", recordings]
    command += ["--run", output, "--attributions.explainers=[]", "--wandb.mode=disabled", *options]
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    if done.returncode:
        raise ConfigurationError(f"predict of {run} failed: {done.stderr.strip().splitlines()[-1]}")
    return {path.stem: pd.read_csv(path) for path in (output / "predict").glob("*.csv")}


def false_alarms(scores: NDArray[np.float64], alpha: float, rng: np.random.Generator) -> dict[str, float]:
    """Share of normal clips that raise an alarm, where a random half of them calibrates and the other is tested.

    Returns:
        Mean over 200 halves and its standard error, and the mean over all halves, which is ⌊alpha (n + 1)⌋ / (n + 1)
        with n scores that calibrate, if no two are equal.
    """
    n = len(scores) // 2
    shares = []
    for _ in range(HALVES):
        order = rng.permutation(len(scores))
        shares.append(float((scores[order[n:]] > conformal_threshold(scores[order[:n]], alpha)).mean()))
    promised = np.floor(alpha * (n + 1) + 1e-9) / (n + 1)
    return {"mean": float(np.mean(shares)), "error": float(np.std(shares) / HALVES**0.5), "promised": float(promised)}


def meet(events: pd.DataFrame, joined: dict[str, Joined]) -> dict[str, object]:
    """How well events meet the anomalous clips of joined recordings, counted in tenths of a second.

    Returns:
        The share of anomalous clips with an event inside, of normal time inside events, and the F-score of the time of
        events, with its mean over all rotations of the events in time, which is what events would reach by chance.
    """
    found, placed, scores, chances, false = 0, 0, [], [], []
    for name, recording in joined.items():
        truth, flagged = np.zeros((2, round(10 * recording.duration)), bool)
        for start, end in recording.anomalies:
            truth[round(10 * start) : round(10 * end)] = True
        for start, end in events.loc[events["name"] == name, ["start", "end"]].itertuples(index=False):
            flagged[round(10 * start) : round(10 * end)] = True
        found += sum(bool(flagged[round(10 * start) : round(10 * end)].any()) for start, end in recording.anomalies)
        placed += len(recording.anomalies)
        hits = np.fft.irfft(np.fft.rfft(truth).conj() * np.fft.rfft(flagged), len(truth)).round()
        f_scores = 2 * hits / max(1, truth.sum() + flagged.sum())
        scores.append(f_scores[0])
        chances.append(f_scores.mean())
        false.append(flagged[~truth].mean())
    means = {"f_score": scores, "chance": chances, "normal_time_in_events": false}
    return {"found": found, "placed": placed} | {key: float(np.mean(values)) for key, values in means.items()}


def print_tables(console: Console, results: list[dict[str, object]], alpha: float) -> None:
    """Print false alarms and events."""
    table = Table(
        "Run",
        "Score",
        *(f"α = {each:g}" for each in ALPHAS),
        title="False alarms: mean ± standard error, of how many promised",
    )
    for row in results:
        false: dict[float, dict[str, float]] = row["false_alarms"]  # type: ignore[assignment]
        cells = (
            f"{each['mean']:.4f} ± {each['error']:.4f}, promised {each['promised']:.4f}" for each in false.values()
        )
        table.add_row(str(row["run"]), str(row["score"]), *cells)
    console.print(table)
    names = ("Anomalies found", "F-score", "by chance", "Normal time in events")
    table = Table("Run", "Score", *names, title=f"Events in joined recordings, α = {alpha:g}")
    for row in results:
        cells = (f"{row[key]:.3f}" for key in ("f_score", "chance", "normal_time_in_events"))
        table.add_row(str(row["run"]), str(row["score"]), f"{row['found']} of {row['placed']}", *cells)
    console.print(table)


if __name__ == "__main__":
    try:
        auto_cli(measure, as_positional=False)
    except ConfigurationError as error:
        sys.exit(f"error: {error}")
