"""The comparison in sentences: what was compared and what the numbers are, nothing more."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.figures import MAX_FPR, detection_areas
from experiments.figures.style import explainer_label, readable
from experiments.report.comparison import Comparison
from experiments.report.tables import best_f1, measured_at

_KINDS = {"f1": "F1", "frame": "frame-based faithfulness", "segment": "segment-based faithfulness"}


def summarise(comparison: Comparison) -> list[str]:
    """Sentences on the clips, detection and explanations."""
    sentences = [clips_in_words(comparison)]
    if comparison.first.clips.has_both_classes:
        sentences.append(_detection(comparison))
    if comparison.f1:
        sentences.append(_best_explainers(comparison))
    if len(comparison.runs) == 2 and comparison.measures:
        sentences.append(_head_to_head(comparison))
    spread = "Every number is that of one training run and says nothing of the spread between runs."
    chance = " Frames drawn at random reach an F1 well above 0, so F1 is not to be read against 0."
    return [*sentences, spread + (chance if comparison.f1 else "")]


def clips_in_words(comparison: Comparison) -> str:
    """Which runs were tested on how many clips of which kind."""
    runs = join([f"{label} ({run.folder})" if str(run.folder) not in label else label
                 for label, run in comparison.runs.items()])  # fmt: skip
    clips = comparison.first.clips
    n_anomalous = int(clips.labels.sum())
    types = join([f"{n} {readable(kind) or 'of unknown type'}" for kind, n in sorted(comparison.anomaly_types.items())])
    of_types = f" ({types})" if n_anomalous else ""
    together = "were tested on the same" if len(comparison.runs) > 1 else "was tested on"
    return (
        f"{runs} {together} {len(clips.names)} clips: {len(clips.names) - n_anomalous} normal and "
        f"{n_anomalous} anomalous{of_types}; {int(clips.annotated.sum())} have annotated intervals."
    )


def join(parts: Sequence[str]) -> str:
    """Parts of an enumeration.

    Example:
        >>> join(["one", "two", "three"])
        'one, two and three'
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _detection(comparison: Comparison) -> str:
    areas = {label: detection_areas(run.clips) for label, run in comparison.runs.items()}
    auc = join([f"{auc:.3f} for {label}" for label, (auc, _) in areas.items()])
    pauc = join([f"{pauc:.3f} for {label}" for label, (_, pauc) in areas.items()])
    return f"The AUC is {auc}; the partial AUC up to a false-positive rate of {MAX_FPR:g} is {pauc}."


def _best_explainers(comparison: Comparison) -> str:
    parts = []
    for label, values in comparison.f1.items():
        (score, percentile), name = max((best_f1(values, name), name) for name in values.explainers)
        parts.append(f"{score:.3f} for {label} ({explainer_label(name)} at the {percentile}th percentile)")
    n_clips = len(next(iter(comparison.f1.values())).names)
    return f"Against the annotation of {n_clips} clips, the highest F1 is {join(parts)}."


def _head_to_head(comparison: Comparison) -> str:
    """For how many explainers the second run's value is the higher one."""
    percentile = comparison.percentile
    assert percentile is not None
    first, second = comparison.runs
    parts = []
    for kind, name in _KINDS.items():
        values = comparison.f1 if kind == "f1" else comparison.faithfulness
        pairs = [
            [measured_at(values.get(label), kind, explainer, percentile, None) for label in (first, second)]
            for explainer in comparison.explainers
        ]
        pairs = [pair for pair in pairs if pair[0] == pair[0] and pair[1] == pair[1]]
        if pairs:
            parts.append(f"in {name} for {sum(b > a for a, b in pairs)} of {len(pairs)} explainers")
    if not parts:
        return "No explainer was measured on both runs."
    return f"At the {percentile}th percentile, {second} scores higher than {first} {join(parts)}."
