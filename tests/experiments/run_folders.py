"""Folders of runs with small results that can be worked out by hand."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from explainers.examples import Example
from metrics.callbacks import AnnotationFScore, DetectionAUC, Faithfulness
from lightning_modules.files import write_rows

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
LEADING = ("index", "name", "anomaly_type", "explainer", "percentile")
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
            self._write_measures(test, self.f1)
            if self.evidence:
                self._write_evidence(test, self.f1)
        if self.examples:
            for index, name in list(enumerate(self.anomalous, start=4))[:2]:
                example_clip(index, name).save(test / "examples")
        (test / "finished").touch()
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
        write_rows(test / DetectionAUC.filename, columns, rows)

    def _write_measures(self, test: Path, f1: dict[str, list[list[float]]]) -> None:
        """Frame-based faithfulness is half of F1, segment-based a tenth more; chance levels are half of each value."""
        scores, shares = [], []
        for key, value in self._cells(f1):
            frame, segment = value / 2, value / 2 + 0.1 if self.segments else ""
            chance = (frame / 2, segment and segment / 2) if self.evidence else ()
            scores.append((*key, value, value, value, *([value / 2] if self.evidence else [])))
            shares.append((*key, frame, segment, *chance))
        for callback, rows in ((AnnotationFScore, scores), (Faithfulness, shares)):
            chance_columns = callback.chance_columns.values() if self.evidence else ()
            write_rows(test / callback.filename, (*LEADING, *callback.kinds, *chance_columns), rows)

    def _write_evidence(self, test: Path, f1: dict[str, list[list[float]]]) -> None:
        """References and deletion curves; the null's other values are half of the observed one."""
        n = len(self.anomalous)
        references = {
            "random_frames": [[0.3, 0.2, 0.1]] * n,
            "all_frames": [[self.every_frame] * 3] * n,
            "oracle": [[1.0] * 3] * n,
        }
        cells = self._cells(references)
        write_rows(test / AnnotationFScore.references_filename, (*LEADING, "f1"), [(*key, v) for key, v in cells])
        rows = [(*key, v, v if self.segments else "") for key, v in cells]
        write_rows(test / Faithfulness.references_filename, (*LEADING, *Faithfulness.kinds), rows)
        rows = [(*key, v, 1 - v) for key, v in self._cells(f1)]
        write_rows(test / "deletion.csv", (*LEADING, "deletion", "insertion"), rows)
        shared = {"names": np.array(list(self.anomalous)), "percentiles": np.array(PERCENTILES)}
        weights = np.array([1, 0.5, 0.5, 0.5, 0.5], np.float32)
        nulls = {name: np.array(values, np.float32)[..., None] * weights for name, values in f1.items()}
        np.savez(test / AnnotationFScore.null_filename, **shared, **{f"f1/{k}": v for k, v in nulls.items()})
        halves = {f"{kind}/{k}": v / 2 for k, v in nulls.items() for kind in Faithfulness.kinds}
        np.savez(test / Faithfulness.null_filename, **shared, **halves)

    def _cells(self, values: dict[str, list[list[float]]]) -> list[tuple[tuple, float]]:
        """Each value with the leading columns of its row."""
        return [
            ((index, name, name.split("/")[0], explainer, percentile), value)
            for explainer, of_clips in values.items()
            for index, (name, of_clip) in enumerate(zip(self.anomalous, of_clips, strict=True), start=4)
            for percentile, value in zip(PERCENTILES, of_clip, strict=True)
        ]


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
