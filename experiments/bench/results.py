"""What was measured, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

import torch

from experiments.bench.counting import Work, total
from experiments.bench.machine import Machine
from experiments.bench.settings import Settings
from experiments.bench.timing import Timing
from experiments.report.tables import Cell, Table


@dataclass(frozen=True)
class Result:
    """Speed of a workload.

    Attributes:
        name: What the workload is called.
        unit: What is counted.
        amounts: Units of each turn.
        timing: Seconds of each turn.
        operators: What each operator of ours takes for one unit.
    """

    name: str
    unit: str
    amounts: tuple[float, ...]
    timing: Timing
    operators: dict[str, Work]

    @property
    def yardstick_rate(self) -> float:
        """Units a second of the yardstick, the median turn."""
        return self._rate(self.timing.yardstick)

    @property
    def our_rate(self) -> float:
        """Units a second of ours, the median turn."""
        return self._rate(self.timing.ours)

    def limit(self, machine: Machine) -> float:
        """Units a second that the machine's peaks allow for what ours computes."""
        return 1 / machine.least_seconds(self.work.flops, self.work.bytes_moved)

    @property
    def work(self) -> Work:
        """What ours takes for one unit."""
        return total(self.operators)

    def _rate(self, seconds: Sequence[float]) -> float:
        return median(amount / of_turn for amount, of_turn in zip(self.amounts, seconds, strict=True))


def results_table(results: Sequence[Result], machine: Machine, settings: Settings) -> Table:
    """Rates beside the yardstick's and the machine's."""
    rows = tuple(
        (
            Cell(result.name),
            Cell(f"{result.unit}/s"),
            Cell(_number(result.yardstick_rate)),
            Cell(_number(result.our_rate)),
            Cell(f"{result.timing.ratio:.1f}"),
            Cell(_number(limit := result.limit(machine))),
            Cell(f"{100 * result.our_rate / limit:.0f} %"),
        )
        for result in results
    )
    threads = f" on {machine.threads} thread{'s'[: machine.threads > 1]}" if settings.device == "cpu" else ""
    return Table(
        title=f"Speed on {machine.device}{threads}",
        note=_note(machine, settings),
        header=("Work", "Unit", "Yardstick", "Ours", "×", "Limit", "Of limit"),
        groups=(rows,),
        names=2,
    )


def _note(machine: Machine, settings: Settings) -> str:
    """How the table was made."""
    peak, matmul, convolution, bandwidth = (
        f"{rate / 1e9:.1f}"
        for rate in (machine.peak_flops, machine.matmul_flops, machine.convolution_flops, machine.bandwidth)
    )
    return (
        f"Clips of {settings.n_mels} × {settings.n_frames}, float32; the evaluation of {settings.clips}. Yardstick and "
        f"ours took turns, {settings.repeats} each: median rates, and the median of the turns' ratios (×). The limit: "
        f"operations of ours at {peak} GFLOP/s (matrix product {matmul}, convolution {convolution}) or the bytes that "
        f"its operators read and write at {bandwidth} GB/s, whichever takes longer."
    )


def results_json(results: Sequence[Result], machine: Machine, settings: Settings) -> str:
    """Everything that was measured, rates in units a second."""
    measured = [
        {
            **asdict(result),
            "yardstick_rate": result.yardstick_rate,
            "our_rate": result.our_rate,
            "ratio": result.timing.ratio,
            "limit": result.limit(machine),
            "work": asdict(result.work),
        }
        for result in results
    ]
    contents = {
        "torch": torch.__version__,
        "machine": asdict(machine),
        "settings": asdict(settings),
        "results": measured,
    }
    return json.dumps(contents, indent=2, ensure_ascii=False) + "\n"


def _number(rate: float) -> str:
    """A rate with three significant digits."""
    return f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"
