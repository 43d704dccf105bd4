"""`faithful-aad data compare`: how like the real planer the simulated one is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from datamodules.annotations import read_annotations
from datamodules.errors import DataError
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.simulator.dataset import published_plan
from datamodules.simulator.likeness import (
    FRAME_HZ,
    PULSES_HZ,
    BrokenBoard,
    bands_alike,
    measure_broken_board,
    modulation_peak,
    reference_clip,
)
from datamodules.simulator.render import N_BANDS, SAMPLE_RATE, Array
from datamodules.spectrograms import load_spectrogram
from experiments.report.figures.likeness import Pair, likeness_figure
from experiments.report.figures.output import save_pdf, save_png
from experiments.report.tables import MISSING, Cell, Table
from experiments.report.terminal import print_table
from lightning_modules.errors import ConfigurationError, first_line

_WORST = 5
_LEAST_SECONDS = 4.0  # for the two last ones to be the empty running
_Intervals = Sequence[tuple[float, float]]


def compare(
    reference: str,
    broken_board: str | None = None,
    annotations: str | None = None,
    output: str = "likeness.png",
    clips: int = 5,
    seed: int = 0,
) -> None:
    """Compare the simulated planer with recordings of a real one, in tables and a figure.

    Args:
        reference: Recording or spectrogram of normal running.
        broken_board: One in which a board breaks and the machine runs empty at the end.
        annotations: CSV of annotations, whose anomalies are compared with a simulated set's.
        output: Figure to write, .png or .pdf.
        clips: Simulated clips to measure; the figure shows the first.
        seed: Seed of the first simulated clip.

    Raises:
        ConfigurationError: If an option is out of range.
        DataError: If a file can't be read, or is no planer spectrogram.
    """
    if clips < 1 or seed < 0:
        raise ConfigurationError("--clips must be at least 1, and --seed at least 0")
    save = {".png": save_png, ".pdf": save_pdf}.get(Path(output).suffix.lower())
    if save is None:
        raise ConfigurationError(f"--output {output} is neither a .png nor a .pdf; name it so")
    frontend = LogMelFrontEnd(FrontEndSettings())
    normal = _load(Path(reference), frontend)
    pairs = [Pair("Normal running", normal, _simulated(seed, frontend))]
    seeds = range(seed, seed + clips)
    tables = [_normal_table(normal, [_simulated(of_clip, frontend) for of_clip in seeds])]
    if broken_board is not None:
        broken = _load(Path(broken_board), frontend)
        pairs.append(Pair("Broken board", broken, _simulated(seed, frontend, broken=True)))
        measured = [
            measure_broken_board(_simulated(of_clip, frontend, broken=True), _simulated(of_clip, frontend))
            for of_clip in seeds
        ]
        try:
            tables.append(_broken_board_table(measure_broken_board(broken, normal), measured))
        except DataError as error:
            raise DataError(f"{broken_board}: {error}") from None
    if annotations is not None:
        tables.append(_anomaly_table(Path(annotations), seed))
    console = Console(highlight=False)
    for table in tables:
        print_table(console, table)
    try:
        print(save(likeness_figure(pairs), Path(output)))
    except OSError as error:
        raise ConfigurationError(f"--output {output} can't be written ({error.strerror}); name another") from None


def _load(path: Path, frontend: LogMelFrontEnd) -> Array:
    """A clip's spectrogram (80, T)."""
    if path.suffix.lower() != ".npy":
        spectrogram = load_spectrogram(path, frontend).numpy()
    else:
        try:
            spectrogram = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be loaded as an array: {first_line(error)}") from None
    if not isinstance(spectrogram, np.ndarray) or spectrogram.ndim != 2 or spectrogram.shape[0] != N_BANDS:
        raise DataError(f"{path} is no spectrogram of {N_BANDS} bands, (bands, frames) in dB")
    if spectrogram.shape[1] < _LEAST_SECONDS * FRAME_HZ or not np.isfinite(spectrogram).all():
        raise DataError(f"{path} must last {_LEAST_SECONDS:g} s or longer and hold finite levels in dB")
    return spectrogram.astype(np.float32)


def _simulated(seed: int, frontend: LogMelFrontEnd, broken: bool = False) -> Array:
    """A simulated clip's spectrogram (80, 400)."""
    samples = reference_clip(seed, broken=broken)
    spectrogram: Array = frontend(torch.from_numpy(samples), SAMPLE_RATE)[:, :-1].numpy()
    return spectrogram


def _normal_table(real: Array, simulated: Sequence[Array]) -> Table:
    alike = np.array([bands_alike(clip, real) for clip in simulated])
    rows = [
        ("Bands whose mean is within 3 dB of the real one", f"of {N_BANDS}", _count_range(alike[:, 0])),
        ("Bands whose standard deviation is within 2 dB", f"of {N_BANDS}", _count_range(alike[:, 1])),
    ]
    mean = np.mean([clip.mean(axis=1) for clip in simulated], axis=0)
    spread = np.mean([clip.std(axis=1) for clip in simulated], axis=0)
    rows += [
        ("Level of bands 10 to 44, dB", f"{real[10:45].mean():.1f}", f"{mean[10:45].mean():.1f}"),
        ("Level of bands 50 to 79, dB", f"{real[50:].mean():.1f}", f"{mean[50:].mean():.1f}"),
        ("Standard deviation over time, lowest and highest band, dB", _low_high(real.std(axis=1)), _low_high(spread)),
    ]
    for hz in PULSES_HZ:
        peaks = np.array([modulation_peak(clip, hz) for clip in simulated]).mean(axis=0)
        rows.append((f"Modulation near {hz} Hz: peak, height", _peak(modulation_peak(real, hz)), _peak(peaks)))
    difference = mean - real.mean(axis=1)
    for band in np.argsort(-np.abs(difference))[:_WORST]:
        rows.append((f"Mean of band {band}, dB", f"{real[band].mean():.1f}", f"{mean[band]:.1f}"))
    note = f"{len(simulated)} simulated clips: their range, or their mean. The bands are those that differ most."
    return _table("Normal running", note, rows)


def _broken_board_table(real: BrokenBoard, simulated: Sequence[BrokenBoard]) -> Table:
    def mean(name: str) -> str:
        return f"{np.mean([getattr(clip, name) for clip in simulated]):.1f}"

    lengths = [frames for clip in simulated for frames in clip.burst_frames]
    rows = [
        ("Bursts", f"{len(real.burst_frames)}", f"{len(lengths) / len(simulated):.1f}"),
        ("Frames of a burst: median, middle half", _middle(real.burst_frames), _middle(lengths)),
        ("Bursts above the pauses, bands 46 to 79, dB", f"{real.excess_db:.1f}", mean("excess_db")),
        ("Cutters' line: lowest band", f"{real.lowest_band}", mean("lowest_band")),
        ("Cutters' line: band when running empty", f"{real.last_band}", mean("last_band")),
        ("Empty running, dB below normal running", f"{real.quieter_db:.1f}", mean("quieter_db")),
    ]
    return _table("Broken board", f"Mean of {len(simulated)} simulated clips.", rows)


def _anomaly_table(path: Path, seed: int) -> Table:
    real: dict[str, tuple[str, list[tuple[float, float]]]] = {}
    for row in read_annotations(path):
        real.setdefault(row.file, (row.anomaly_type, []))[1].extend(row.intervals)
    planned = [clip for clip in published_plan(seed) if clip.anomaly_type]
    simulated = [(clip.anomaly_type, clip.intervals if clip.annotated else ()) for clip in planned]
    columns = [_anomaly_facts(list(real.values())), _anomaly_facts(simulated)]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, *(column.get(name, MISSING) for column in columns)) for name in names]
    return _table("Anomalies", "A simulated set of the published size.", rows)


def _anomaly_facts(clips: Sequence[tuple[str, _Intervals]]) -> dict[str, str]:
    """Counts of anomalous clips, of which each is a type and annotated intervals, and how long those are."""
    annotated = [intervals for _, intervals in clips if intervals]
    facts = {"Anomalous clips": f"{len(clips)}", "of them annotated": f"{len(annotated)}"}
    for name in sorted({name for name, _ in clips if name}):
        of_type = [intervals for of_name, intervals in clips if of_name == name]
        facts[f"{name}: clips, annotated"] = f"{len(of_type)}, {sum(map(bool, of_type))}"
    if annotated:
        positive = [sum(stop - start for start, stop in intervals) for intervals in annotated]
        facts["Annotated seconds of a clip"] = f"{np.mean(positive):.1f} ± {np.std(positive):.1f}"
        counts = np.bincount([min(len(intervals), 4) for intervals in annotated], minlength=5)[1:]
        facts["Clips with 1, 2, 3, more intervals"] = ", ".join(map(str, counts))
    return facts


def _table(title: str, note: str, rows: Sequence[tuple[str, ...]]) -> Table:
    cells = tuple(tuple(map(Cell, row)) for row in rows)
    return Table(title=title, note=note, header=("", "Real", "Simulated"), groups=(cells,), names=1)


def _count_range(counts: Array) -> str:
    return f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"


def _low_high(values: Array) -> str:
    return f"{values.min():.1f}, {values.max():.1f}"


def _peak(peak: Sequence[float]) -> str:
    return f"{peak[0]:.1f} Hz, {peak[1]:.0f} dB"


def _middle(frames: Sequence[int]) -> str:
    low, median, high = np.percentile(frames, [25, 50, 75])
    return f"{median:.0f}, {low:.0f} to {high:.0f}"
