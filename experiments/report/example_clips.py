"""Clips that several models explained, to look at them side by side."""

from __future__ import annotations

from collections import defaultdict

from experiments.report.comparison import Comparison
from explainers.examples import Example


def common_examples(comparison: Comparison) -> list[dict[str, Example]]:
    """Clips kept by the first run of every group that kept any, by the group's label.

    One of each type of anomaly first, then a second of each, and so on.
    """
    kept = {
        label: {example.name: example for example in group.runs[0].examples}
        for label, group in comparison.groups.items()
        if group.runs[0].examples
    }
    if not kept:
        return []
    common = set.intersection(*(set(examples) for examples in kept.values()))
    first = next(iter(kept.values()))
    by_type: dict[str, list[str]] = defaultdict(list)
    for name, example in first.items():
        if name in common:
            by_type[example.anomaly_type].append(name)
    ranked = sorted((rank, kind, name) for kind, names in by_type.items() for rank, name in enumerate(names))
    return [{label: examples[name] for label, examples in kept.items()} for _, _, name in ranked]
