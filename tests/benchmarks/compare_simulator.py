"""How like the real planer the simulated one is: tables and a figure (`make likeness REFERENCE=normal.wav`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from benchmarks.likeness import (
    FRAME_HZ,
    PULSES_HZ,
    bands_alike,
    measure_broken_board,
    modulation_peak,
    modulation_spectrum,
    reference_clip,
)
from jsonargparse import auto_cli
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from datamodules.annotations import read_annotations
from datamodules.errors import DataError
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.simulator.dataset import published_plan
from datamodules.simulator.render import N_BANDS, SAMPLE_RATE, Array
from datamodules.spectrograms import load_spectrogram

COLOURS = {"real": "#bb5566", "simulated": "#004488"}
WORST_BANDS = 5
LEAST_SECONDS = 4.0  # for the two last ones to be the empty running
FRONTEND = LogMelFrontEnd(FrontEndSettings())

Row = tuple[str, str, str]


def compare(
    reference: Path,
    broken_board: Path | None = None,
    annotations: Path | None = None,
    output: Path = Path("likeness.png"),
    clips: int = 5,
    seed: int = 0,
) -> None:
    """Compare the simulated planer with recordings of a real one.

    Args:
        reference: Recording or spectrogram of normal running: .wav, .flac, .pt or .npy.
        broken_board: One in which a board breaks and the machine runs empty at the end.
        annotations: CSV of annotations, whose anomalies are compared with a simulated set's.
        output: Figure to write, .png or .pdf.
        clips: Simulated clips to measure; the figure shows the first.
        seed: Seed of the first simulated clip.

    Raises:
        DataError: If a file can't be read or is not a spectrogram of the planer's front end.
    """
    console, seeds = Console(highlight=False), range(seed, seed + clips)
    normal = load(reference)
    pairs = {"Normal running": (normal, simulate(seed))}
    print_rows(console, f"Normal running, {clips} simulated clips", normal_rows(normal, [simulate(i) for i in seeds]))
    if broken_board is not None:
        broken = load(broken_board)
        pairs["Broken board"] = (broken, simulate(seed, broken=True))
        print_rows(console, f"Broken board, {clips} simulated clips", broken_board_rows(broken, normal, seeds))
    if annotations is not None:
        print_rows(console, "Anomalies, a simulated set of the published size", anomaly_rows(annotations, seed))
    draw(pairs).savefig(output, dpi=150)
    console.print(output)


def load(path: Path) -> Array:
    """A clip's spectrogram (80, T) in dB."""
    spectrogram = np.load(path) if path.suffix == ".npy" else load_spectrogram(path, FRONTEND)[0].numpy()
    if spectrogram.ndim != 2 or len(spectrogram) != N_BANDS:
        raise DataError(f"{path} is not a spectrogram of {N_BANDS} bands, (bands, frames) in dB")
    if spectrogram.shape[1] < LEAST_SECONDS * FRAME_HZ or not np.isfinite(spectrogram).all():
        raise DataError(f"{path} must last {LEAST_SECONDS:g} s or longer and hold finite levels in dB")
    return spectrogram.astype(np.float32)


def simulate(seed: int, broken: bool = False) -> Array:
    """A simulated clip's spectrogram (80, 400) in dB."""
    samples = torch.from_numpy(reference_clip(seed, broken=broken))
    return FRONTEND(samples, SAMPLE_RATE)[:, :-1].numpy()


def normal_rows(real: Array, simulated: Sequence[Array]) -> Iterator[Row]:
    """Levels, spread and pulses of normal running, and the bands that differ most."""
    alike = np.array([bands_alike(clip, real) for clip in simulated])
    for column, name in enumerate(("mean is within 3 dB of the real one", "standard deviation is within 2 dB")):
        yield f"Bands whose {name}", f"of {N_BANDS}", f"{alike[:, column].min()} to {alike[:, column].max()}"
    mean = np.mean([clip.mean(axis=1) for clip in simulated], axis=0)
    spread = np.mean([clip.std(axis=1) for clip in simulated], axis=0)
    for first, last in ((10, 44), (50, 79)):
        bands = slice(first, last + 1)
        yield f"Level of bands {first} to {last}, dB", f"{real[bands].mean():.1f}", f"{mean[bands].mean():.1f}"
    ends = [f"{values.min():.1f}, {values.max():.1f}" for values in (real.std(axis=1), spread)]
    yield "Standard deviation over time, lowest and highest band, dB", ends[0], ends[1]
    for hz in PULSES_HZ:
        peaks = modulation_peak(real, hz), np.mean([modulation_peak(clip, hz) for clip in simulated], axis=0)
        found = [f"{rate:.1f} Hz, {height:.0f} dB" for rate, height in peaks]
        yield f"Modulation near {hz} Hz: peak, height", found[0], found[1]
    for band in np.argsort(-np.abs(mean - real.mean(axis=1)))[:WORST_BANDS]:
        yield f"Mean of band {band}, dB", f"{real[band].mean():.1f}", f"{mean[band]:.1f}"


def broken_board_rows(broken: Array, normal: Array, seeds: Sequence[int]) -> Iterator[Row]:
    """Bursts, the cutters' line, and the empty running."""
    real = measure_broken_board(broken, normal)
    simulated = [measure_broken_board(simulate(seed, broken=True), simulate(seed)) for seed in seeds]
    lengths = [real.burst_frames, [frames for clip in simulated for frames in clip.burst_frames]]
    yield "Bursts", f"{len(lengths[0])}", f"{len(lengths[1]) / len(simulated):.1f}"
    quartiles = ["{1:.0f}, {0:.0f} to {2:.0f}".format(*np.percentile(frames, [25, 50, 75])) for frames in lengths]
    yield "Frames of a burst: median, middle half", quartiles[0], quartiles[1]
    for name, attribute in {
        "Bursts above the pauses, bands 46 to 79, dB": "excess_db",
        "Cutters' line: lowest band": "lowest_band",
        "Cutters' line: band when running empty": "last_band",
        "Empty running, dB below normal running": "quieter_db",
    }.items():
        mean = np.mean([getattr(clip, attribute) for clip in simulated])
        yield name, f"{getattr(real, attribute):.1f}", f"{mean:.1f}"


def anomaly_rows(path: Path, seed: int) -> Iterator[Row]:
    """How many anomalies of which type there are, and how long."""
    real: dict[str, tuple[str, list[tuple[float, float]]]] = {}
    for row in read_annotations(path):
        real.setdefault(row.file, (row.anomaly_type, []))[1].extend(row.intervals)
    planned = [clip for clip in published_plan(seed) if clip.anomaly_type]
    simulated = [(clip.anomaly_type, clip.intervals if clip.annotated else ()) for clip in planned]
    columns = [anomaly_facts(list(real.values())), anomaly_facts(simulated)]
    for name in dict.fromkeys(name for column in columns for name in column):
        yield name, *(column.get(name, "-") for column in columns)


def anomaly_facts(clips: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> dict[str, str]:
    """Counts and lengths of anomalous clips, of which each is a type and annotated intervals in seconds."""
    annotated = [intervals for _, intervals in clips if intervals]
    facts = {"Anomalous clips": f"{len(clips)}", "of them annotated": f"{len(annotated)}"}
    for name in sorted({name for name, _ in clips if name}):
        of_type = [intervals for of_name, intervals in clips if of_name == name]
        facts[f"{name}: clips, annotated"] = f"{len(of_type)}, {sum(map(bool, of_type))}"
    if annotated:
        seconds = [sum(stop - start for start, stop in intervals) for intervals in annotated]
        facts["Annotated seconds of a clip"] = f"{np.mean(seconds):.1f} ± {np.std(seconds):.1f}"
        counts = np.bincount([min(len(intervals), 4) for intervals in annotated], minlength=5)[1:]
        facts["Clips with 1, 2, 3, more intervals"] = ", ".join(map(str, counts))
    return facts


def print_rows(console: Console, title: str, rows: Iterator[Row]) -> None:
    """Print a table of names, real and simulated values."""
    table = Table("", "Real", "Simulated", title=title)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def draw(pairs: dict[str, tuple[Array, Array]]) -> Figure:
    """Draw pairs of spectrograms, a row each, and below them bands and modulation of the first pair."""
    figure = Figure(figsize=(9, 2.2 * (len(pairs) + 1)), layout="constrained")
    axes = figure.subplots(len(pairs) + 1, 2)
    for row, (title, pair) in zip(axes, pairs.items(), strict=False):
        low, high = np.percentile(pair[0], [0.5, 99.9])
        for panel, name, spectrogram in zip(row, COLOURS, pair, strict=True):
            extent = (0, spectrogram.shape[1] / FRAME_HZ, 0, len(spectrogram))
            scale = {"vmin": low, "vmax": high, "cmap": "inferno", "extent": extent}
            image = panel.imshow(spectrogram, origin="lower", aspect="auto", **scale)
            panel.set(title=f"{title}, {name}", xlabel="Time (s)", ylabel="Mel band")
        figure.colorbar(image, ax=row, label="dB")
    bands, modulation = axes[-1]
    for (name, colour), spectrogram in zip(COLOURS.items(), next(iter(pairs.values())), strict=True):
        mean, spread = spectrogram.mean(axis=1), spectrogram.std(axis=1)
        bands.fill_between(range(len(mean)), mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)
        bands.plot(mean, color=colour, label=name)
        hz, power = modulation_spectrum(spectrogram)
        modulation.plot(hz[1:], power[1:], color=colour, label=name)
    bands.set(xlabel="Mel band", ylabel="Level (dB)", title="Mean and standard deviation over time")
    modulation.set(xlabel="Modulation frequency (Hz)", ylabel="dB", title="Modulation spectrum", xlim=(0, FRAME_HZ / 4))
    for hz in PULSES_HZ:
        modulation.axvline(hz, color="#7b8794", lw=0.7, ls=":")
    bands.legend()
    return figure


if __name__ == "__main__":
    auto_cli(compare)
