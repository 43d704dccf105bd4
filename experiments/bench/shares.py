"""Where the time goes: the share of each kind of operator."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from experiments.bench.counting import Work, total
from experiments.bench.results import Result
from experiments.report.tables import Cell, Table

_KINDS = {
    "Matrix products": re.compile(r"(add|b|badd)?mm|.*scaled_dot_product.*"),
    "Convolutions": re.compile(r".*convolution.*"),
    "Norms": re.compile(r".*(batch|layer)_norm.*"),
    "Random numbers": re.compile(r".*(bernoulli|dropout|rand|normal_|uniform_).*"),
    "The rest": re.compile(r".*"),
}
"""Kinds of operators, and what they are called in torch; the first that fits counts."""


def kind_of(operator: str) -> str:
    """The kind of an operator: what works on single cells, moves or resizes them is the rest.

    Example:
        >>> kind_of("convolution_backward"), kind_of("addmm"), kind_of("add")
        ('Convolutions', 'Matrix products', 'The rest')
    """
    return next(kind for kind, names in _KINDS.items() if names.fullmatch(operator))


def shares_table(results: Sequence[Result]) -> Table:
    """Shares of the operators' time, and the arithmetic rate of those that have formulas."""
    rows = []
    for result in results:
        of_kind: dict[str, Work] = defaultdict(Work)
        for operator, work in result.operators.items():
            of_kind[kind_of(operator)] += work
        whole = total(result.operators).seconds
        rows.append((Cell(result.name), *(Cell(_share(of_kind[kind], whole)) for kind in _KINDS)))
    return Table(
        title="Where the time goes",
        note=(
            "Shares of the time of all operators of ours, run once more on one thread, and the GFLOP/s of those that "
            "multiply. The rest works on single cells, moves or resizes them, and waits for memory."
        ),
        header=("Work", *_KINDS),
        groups=(tuple(rows),),
        names=1,
    )


def _share(work: Work, whole: float) -> str:
    """Per cent of the time, and the arithmetic rate where there is any."""
    percent = f"{100 * work.seconds / whole:.0f} %"
    return f"{percent} at {work.flops / work.seconds / 1e9:.3g}" if work.flops else percent
