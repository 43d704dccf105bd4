"""Where the time goes: the share of each kind of operator."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from experiments.bench.counting import Work, total
from experiments.bench.results import Result
from experiments.report.tables import MISSING, Cell, Table

_KINDS = {
    "Matrix products": re.compile(r"(add|b|badd)?mm|.*scaled_dot_product.*"),
    "Convolutions": re.compile(r".*convolution.*"),
    "Norms": re.compile(r".*(batch|layer)_norm.*"),
    "Random numbers": re.compile(r".*(bernoulli|dropout|rand|normal_|uniform_).*"),
    "The rest": re.compile(r".*"),
}
"""Kinds of operators, and what they are called in torch; the first that fits counts."""

_MULTIPLYING = ("Matrix products", "Convolutions")


def kind_of(operator: str) -> str:
    """The kind of an operator: what works on single cells, moves or resizes them is the rest.

    Example:
        >>> kind_of("convolution_backward"), kind_of("addmm"), kind_of("add")
        ('Convolutions', 'Matrix products', 'The rest')
    """
    return next(kind for kind, names in _KINDS.items() if names.fullmatch(operator))


def shares_table(results: Sequence[Result]) -> Table:
    """Shares of the operators' time, and the rates of arithmetic of those that have formulas."""
    return Table(
        title="Where the time goes",
        note=(
            "Shares of the time of all operators of ours, run once more on one thread; GF/s: GFLOP/s of matrix "
            "products and of convolutions. Random: drawing random numbers. The rest works on single cells, moves or "
            "resizes them. Reading files is not in it."
        ),
        header=("Work", "Matmul", "GF/s", "Conv.", "GF/s", "Norms", "Random", "Rest"),
        groups=(tuple(_row(result) for result in results),),
        names=1,
    )


def _row(result: Result) -> tuple[Cell, ...]:
    """A workload's shares and rates."""
    of_kind: dict[str, Work] = defaultdict(Work)
    for operator, work in result.operators.items():
        of_kind[kind_of(operator)] += work
    whole = total(result.operators).seconds
    cells = [Cell(result.name)]
    for kind in _KINDS:
        work = of_kind[kind]
        cells.append(Cell(f"{100 * work.seconds / whole:.0f} %"))
        if kind in _MULTIPLYING:
            cells.append(Cell(f"{work.flops / work.seconds / 1e9:.3g}" if work.seconds else MISSING))
    return tuple(cells)
