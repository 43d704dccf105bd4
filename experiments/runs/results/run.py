"""A tested run, read whole from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.provenance import Provenance, read_provenance
from experiments.runs.config import frames_per_second, objective_name, read_config
from experiments.runs.folder import CAUTION_FILE, TEST_UNFINISHED, RunFolder
from experiments.runs.results.detection import ClipScores, read_clip_scores
from experiments.runs.results.evidence import ClipNulls, SanityRow, read_clip_nulls, read_sanity
from experiments.runs.results.explanations import ClipValues, read_clip_values, read_examples
from experiments.runs.results.learning import LearningCurves, read_learning_curves
from experiments.runs.results.membership import StudyMembership, read_membership
from experiments.runs.results.reading import unfinished
from explainers.examples import Example
from lightning_modules.errors import ConfigurationError
from metrics.callbacks import AnnotationFScore, Faithfulness


@dataclass(frozen=True)
class Run:
    """A tested run; what older runs did not write is None.

    Attributes:
        folder: As it was named.
        config: The configuration it was trained with, or tested with if it was not trained here.
        clips: Detection results.
        f1: F1, precision and recall of explanations, and F1's chance level, if annotated clips were explained.
        faithfulness: Frame-based and segment-based faithfulness and their chance levels, if clips were explained.
        learning: Losses, if it was trained here.
        f1_references: F1 of random frames, all frames and an oracle.
        faithfulness_references: Frame-based and segment-based faithfulness of the same.
        deletion: Deletion and insertion curves.
        sanity: Sanity checks of explanations.
        membership: The study it belongs to.
        provenance: How its test set was constructed, None if it was recorded as it is.
        caution: What is to be known of the network that was tested, and of the test, "" for nothing.
    """

    folder: Path
    config: dict[str, Any]
    clips: ClipScores
    f1: ClipValues | None = None
    faithfulness: ClipValues | None = None
    learning: LearningCurves | None = None
    f1_references: ClipValues | None = None
    faithfulness_references: ClipValues | None = None
    deletion: ClipValues | None = None
    sanity: list[SanityRow] | None = None
    membership: StudyMembership | None = None
    provenance: Provenance | None = None
    caution: str = ""

    @property
    def objective(self) -> str:
        """AE, MAE, the name of another class, or of a reference detector."""
        return objective_name(self.config)

    @property
    def frames_per_second(self) -> float:
        """Frame rate of the spectrograms."""
        return frames_per_second(self.config)

    @cached_property
    def f1_null(self) -> ClipNulls | None:
        """F1 under all circular shifts of the curves, read at the first use."""
        return read_clip_nulls(self.folder / "test" / AnnotationFScore.null_filename)

    @cached_property
    def faithfulness_null(self) -> ClipNulls | None:
        """Faithfulness under the sampled circular shifts of the curves, read at the first use."""
        return read_clip_nulls(self.folder / "test" / Faithfulness.null_filename)

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """The explained clips kept by `test`, read at the first use."""
        return read_examples(self.folder / "test")


def read_run(folder: Path) -> Run:
    """Read a run that was tested.

    Args:
        folder: The run's folder, with `test` and, if it was trained here, `fit` in it.

    Raises:
        ConfigurationError: If there is no such folder, no test results or one of its files is damaged, cut or gone;
            the message says which, and the command that makes it.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder; name run folders made by faithful-aad fit and test")
    test = folder / "test"
    configs = [path for stage in ("fit", "test") if (path := folder / stage / "config.yaml").is_file()]
    if not configs:
        raise unfinished(folder, test / "config.yaml")
    run = RunFolder(folder)
    run.require_whole("test")
    cautions = [path.read_text(encoding="utf-8").strip()] if (path := test / CAUTION_FILE).is_file() else []
    if not run.is_finished("test"):
        cautions.append(TEST_UNFINISHED)
    fscore, faithfulness = AnnotationFScore, Faithfulness
    return Run(
        folder=folder,
        config=read_config(configs[0]),
        clips=read_clip_scores(test),
        f1=read_clip_values(test / fscore.filename, fscore.kinds, tuple(fscore.chance_columns.values())),
        faithfulness=read_clip_values(
            test / faithfulness.filename, faithfulness.kinds, tuple(faithfulness.chance_columns.values())
        ),
        learning=read_learning_curves(folder / "fit"),
        f1_references=read_clip_values(test / fscore.references_filename, tuple(fscore.chance_columns)),
        faithfulness_references=read_clip_values(
            test / faithfulness.references_filename, tuple(faithfulness.chance_columns)
        ),
        deletion=read_clip_values(test / "deletion.csv", ("deletion", "insertion")),
        sanity=read_sanity(test / "sanity.csv"),
        membership=read_membership(folder),
        provenance=read_provenance(test),
        caution="; ".join(cautions),
    )
