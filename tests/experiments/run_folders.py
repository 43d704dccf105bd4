"""Folders of runs with small results that can be worked out by hand."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from explainers.examples import Example

PERCENTILES = (97, 98, 99)
CLASSES = {"AE": "Autoencoder", "MAE": "MaskedAutoencoder"}
CONFIG = """\
run: {run}
model:
  class_path: lightning_modules.{name}
  init_args:
    learning_rate: 0.001
data:
  class_path: datamodules.PlanerDataModule
  init_args:
    frame_step: ${{data.init_args.frontend.hop}}
    frontend: {{sample_rate: 16000, window: 0.25, hop: 0.125}}
"""
CLIP_COLUMNS = ("index", "name", "label", "anomaly_type", "annotated", "score")
EXPLANATION_COLUMNS = ("index", "name", "anomaly_type", "explainer", "measure", "percentile", "value", "chance")
CHANCE_MEASURES = ("f1", "faithfulness_frame", "faithfulness_segment")
F1 = {
    # clips "stuck/a.wav", "broken/b.wav", "broken/c.wav" by percentiles 97, 98, 99
    "error_map": [[0.2, 0.5, 0.9], [0.4, 0.5, 0.3], [0.6, 0.2, 0.3]],
    "saliency": [[0.1, 0.1, 0.0], [0.2, 0.1, 0.0], [0.3, 0.1, 0.0]],
}


@dataclass
class RunMaker:
    """Writes a run's folder as the stages do; fields are what a test may want otherwise."""

    objective: str = "AE"
    anomalous: dict[str, float] = field(
        default_factory=lambda: {"stuck/a.wav": 5.0, "broken/b.wav": 3.5, "broken/c.wav": 2.5}
    )
    f1: dict[str, list[list[float]]] | None = field(default_factory=lambda: F1)
    segments: bool = True
    examples: bool = True
    normal: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)
    """Scores of the normal clips."""
    levels: tuple[float, ...] | None = None
    """Levels of all clips in their order, which older runs do not have."""
    every_frame: float = 0.4
    """F1 of all frames, where there is evidence."""
    evidence: bool = False
    """Chance levels, nulls, deletion curves and masked scores, which older runs do not have."""

    def write(self, run: Path) -> Path:
        """Write the folder and return it."""
        test = run / "test"
        (test / "examples").mkdir(parents=True)
        (run / "fit").mkdir()
        (run / "fit" / "config.yaml").write_text(CONFIG.format(run=run, name=CLASSES[self.objective]))
        losses = [(0, 1, 8.0, ""), (0, 1, "", 9.0), (1, 3, 4.0, ""), (1, 3, "", 5.0), (2, 5, 3.0, ""), (2, 5, "", 6.0)]
        write_rows(run / "fit" / "metrics.csv", ("epoch", "step", "train/loss", "val/loss"), losses)
        self._write_clips(test)
        if self.f1 is not None:
            write_rows(test / "explanations.csv", EXPLANATION_COLUMNS, self._explanation_rows(self.f1))
            if self.evidence:
                self._write_nulls(test, self.f1)
        if self.examples:
            for index, name in list(enumerate(self.anomalous, start=4))[:2]:
                example_clip(index, name).save(test / "examples")
        (test / "finished").write_text("{}")
        return run

    def _write_clips(self, test: Path) -> None:
        """Masked scores are twice the scores."""
        rows = [(i, f"normal/{i}.wav", 0, "", 0, score) for i, score in enumerate(self.normal)]
        for name, score in self.anomalous.items():
            rows.append((len(rows), name, 1, name.split("/")[0], int(self.f1 is not None), score))
        columns = CLIP_COLUMNS
        if self.evidence:
            columns, rows = (*columns, "masked_score"), [(*row, 2 * row[-1]) for row in rows]
        if self.levels is not None:
            rows = [(*row, level) for row, level in zip(rows, self.levels, strict=True)]
            columns = (*columns, "level")
        write_rows(test / "clips.csv", columns, rows)

    def _explanation_rows(self, f1: dict[str, list[list[float]]]) -> list[tuple]:
        """Frame-based faithfulness is half of F1, segment-based a tenth more; chance levels are half of each value."""
        rows = [row for name, values in f1.items() for row in self._rows(name, values)]
        if self.evidence:
            references = {"random_frames": [0.3, 0.2, 0.1], "all_frames": [self.every_frame] * 3, "oracle": [1.0] * 3}
            for name, values in references.items():
                rows += self._reference_rows(name, [values] * len(self.anomalous))
            for name, values in f1.items():
                for key, value in self._cells(name, values):
                    rows += [
                        (*key[:-1], "deletion", key[-1], value, ""),
                        (*key[:-1], "insertion", key[-1], 1 - value, ""),
                    ]
        return rows

    def _rows(self, explainer: str, values: list[list[float]]) -> list[tuple]:
        rows = []
        for (*clip, percentile), value in self._cells(explainer, values):
            segment = value / 2 + 0.1 if self.segments else ""
            measured = {"f1": value, "precision": value, "recall": value}
            measured |= {"faithfulness_frame": value / 2, "faithfulness_segment": segment}
            for measure, of_measure in measured.items():
                has_chance = self.evidence and measure in CHANCE_MEASURES and of_measure != ""
                rows.append((*clip, measure, percentile, of_measure, of_measure / 2 if has_chance else ""))
        return rows

    def _reference_rows(self, name: str, values: list[list[float]]) -> list[tuple]:
        """The same values of every measure that has references."""
        return [
            (*clip, measure, percentile, "" if "segment" in measure and not self.segments else value, "")
            for (*clip, percentile), value in self._cells(name, values)
            for measure in CHANCE_MEASURES
        ]

    def _write_nulls(self, test: Path, f1: dict[str, list[list[float]]]) -> None:
        """The null's other values are half of the observed one."""
        shared = {"names": np.array(list(self.anomalous)), "percentiles": np.array(PERCENTILES)}
        weights = np.array([1, 0.5, 0.5, 0.5, 0.5], np.float32)
        nulls = {name: np.array(values, np.float32)[..., None] * weights for name, values in f1.items()}
        np.savez(test / "f1_null.npz", **shared, **nulls)
        for measure in CHANCE_MEASURES[1:]:
            np.savez(test / f"{measure}_null.npz", **shared, **{name: null / 2 for name, null in nulls.items()})

    def _cells(self, explainer: str, values: list[list[float]]) -> list[tuple[tuple, float]]:
        """Each value after index, name, anomaly type, explainer and percentile."""
        return [
            ((index, name, name.split("/")[0], explainer, percentile), value)
            for index, (name, of_clip) in enumerate(zip(self.anomalous, values, strict=True), start=4)
            for percentile, value in zip(PERCENTILES, of_clip, strict=True)
        ]


def write_rows(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    """Write a CSV file."""
    pd.DataFrame(rows, columns=list(columns)).to_csv(path, index=False)


def example_clip(index: int = 4, name: str = "stuck/a.wav", annotated: bool = True) -> Example:
    """A clip of 2 s, 8 frames each, whose error map has its peak in the second second and saliency in the first."""
    generator = np.random.default_rng(index)
    spectrogram = generator.normal(size=(4, 16)).astype(np.float32)
    annotation = np.zeros(16, dtype=bool)
    annotation[10:14] = annotated
    error_map = np.ones((4, 16), np.float32)
    error_map[:, 11] = 9
    saliency = np.zeros((4, 16), np.float32)
    saliency[:, 2] = [-1, 2, 3, 4]
    return Example(
        name=name,
        anomaly_type=name.split("/", maxsplit=1)[0],
        index=index,
        score=5.0,
        spectrogram=spectrogram,
        reconstruction=spectrogram - 100,
        annotation=annotation,
        attributions={"error_map": error_map, "saliency": saliency},
    )


@pytest.fixture
def run_maker():
    """The class that writes runs."""
    return RunMaker


@pytest.fixture
def example():
    """The function that makes clips."""
    return example_clip


@pytest.fixture
def ae_and_mae(tmp_path, monkeypatch):
    """Folders `runs/ae` and `runs/mae` in the working folder; the MAE ranks every anomaly first and explains better."""
    monkeypatch.chdir(tmp_path)
    better = {name: [[value + 0.05 for value in row] for row in rows] for name, rows in F1.items()}
    scores = {"stuck/a.wav": 5.0, "broken/b.wav": 4.5, "broken/c.wav": 6.0}
    RunMaker().write(Path("runs/ae"))
    RunMaker("MAE", scores, better).write(Path("runs/mae"))
    return ["runs/ae", "runs/mae"]
