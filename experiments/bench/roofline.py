"""The roofline: what the machine allows at each ratio of arithmetic to traffic, and what is reached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.bench.machine import Machine
from experiments.bench.results import Result
from experiments.report.figures.style import INK, MUTED, TEXT_WIDTH, styled, verbatim
from explainers.registry import explainer_label

_OURS = "#004488"
_DECADES_AROUND = 0.5  # of the axis beyond the points


@styled
def roofline(results: Sequence[Result], machine: Machine) -> Figure:
    """Draw the rate of arithmetic over operations a byte (Williams, Waterman & Patterson, 2009).

    The yardstick does the same job with more operations; its points show the operations that the job needs, so that
    the height between two points is the ratio of their speeds.

    Args:
        results: What was measured.
        machine: The peaks that make the roof.
    """
    figure = Figure(figsize=(TEXT_WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    with_arithmetic = [result for result in results if result.work.flops]
    intensities = np.array([result.work.flops / result.work.bytes_moved for result in with_arithmetic])
    ridge = machine.peak_flops / machine.bandwidth
    low, high = min(intensities.min(), ridge), max(intensities.max(), ridge)
    x = np.array([low / 10**_DECADES_AROUND, ridge, high * 10**_DECADES_AROUND])  # straight in between
    axes.plot(x, np.minimum(machine.peak_flops, x * machine.bandwidth) / 1e9, color=INK)
    for number, (intensity, result) in enumerate(zip(intensities, with_arithmetic, strict=True), start=1):
        flops = [rate * result.work.flops / 1e9 for rate in (result.yardstick_rate, result.our_rate)]
        axes.plot([intensity] * 2, flops, color=MUTED, lw=0.7)
        axes.plot(intensity, flops[0], marker="o", ms=5, mfc="white", mec=MUTED, ls="")
        axes.plot(intensity, flops[1], marker="o", ms=5, color=_OURS, ls="", label=f"{number}  {_label(result)}")
        side = 1 if number % 2 else -1  # neighbours in the list are neighbours in the figure
        axes.annotate(
            str(number), (intensity, flops[1]), (6 * side, 0), textcoords="offset points", fontsize=7,
            ha="left" if side > 0 else "right", va="center",
        )  # fmt: skip
    axes.plot([], [], marker="o", ms=5, mfc="white", mec=MUTED, ls="", label="    yardstick, same job")
    axes.set(xscale="log", yscale="log", xlabel="Operations per byte (FLOP/B)", ylabel="Rate (GFLOP/s)")
    axes.set_title(verbatim(machine.device), loc="left", fontweight="bold")
    axes.grid(which="major")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1)
    return figure


def _label(result: Result) -> str:
    """The workload's name as figures have it."""
    return explainer_label(result.name) if result.unit == "maps" else result.name
