"""The callback that draws a run's figures when a stage ends."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from matplotlib.figure import Figure

from datamodules.base import PLANER_FRONT_END
from experiments.report.figures.clips import attribution_grid, choose_example, replacement_example
from experiments.report.figures.curves import curve_figures, percentile_curves
from experiments.report.figures.output import save
from experiments.report.figures.performance import learning_curves, roc_curves
from experiments.runs.config import OBJECTIVES
from experiments.runs.results import (
    has_roc,
    read_clips,
    read_examples,
    read_explanations,
    read_learning,
)
from explainers.examples import Example
from lightning_modules import ConfigurationError
from metrics.measures import CLIPS_FILE, HEADLINE_PERCENTILE, MEASURES

FOLDER = "figures"


class RunFigures(Callback):
    """Draws a stage's figures into ``figures/`` of its folder, and shows them on Weights & Biases if it is used.

    After `fit` the learning curves; after `test` and `validate` the ROC, the measures with a chance level over
    percentiles, the attribution maps of the kept clips and a replacement example; after `predict` the maps of the kept
    clips.
    Everything is drawn from the files in the stage's folder; figures whose file is missing are left out.

    Args:
        percentile: Frames at or above this percentile of a clip's curve are marked as peaks.

    Raises:
        ConfigurationError: If the percentile is not between 0 and 100.
    """

    def __init__(self, percentile: int = HEADLINE_PERCENTILE) -> None:
        super().__init__()
        if not 0 <= percentile <= 100:
            raise ConfigurationError(f"percentile={percentile} of the figures is not between 0 and 100")
        self.percentile = percentile

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the learning curves."""
        stage = _stage_folder(trainer)
        if stage is not None and (losses := read_learning(stage)) is not None:
            path = save(learning_curves({_model_name(pl_module): losses}), stage / FOLDER / "learning_curves.png")
            _show(trainer, "fit/learning_curves", [path])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the results of `validate`; the validation epochs of `fit` are skipped."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._draw(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the results of `test`."""
        self._draw(trainer, pl_module, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the explained recordings."""
        self._draw(trainer, pl_module, "predict")

    def _draw(self, trainer: Trainer, pl_module: LightningModule, key: str) -> None:
        stage = _stage_folder(trainer)
        if stage is None:
            return
        examples, model = read_examples(stage), _model_name(pl_module)
        clips = read_clips(stage) if (stage / CLIPS_FILE).is_file() else None
        if key != "predict":
            explanations = read_explanations(stage)
            figures = {
                name: percentile_curves(explanations, measures, model)
                for name, measures in curve_figures().items()
                if MEASURES[measures[0]].has_chance
            }
            figures["roc"] = roc_curves({model: (model, [clips])}) if clips is not None and has_roc(clips) else None
            for name, figure in figures.items():
                if figure is not None:
                    _show(trainer, f"{key}/{name}", [_save(trainer, figure, stage, name)])
        self._draw_clips(trainer, model, stage, key, examples)
        _show_clips(trainer, key, clips, examples)

    def _draw_clips(self, trainer: Trainer, model: str, stage: Path, key: str, examples: Sequence[Example]) -> None:
        """Draw the attribution maps, and the first clip in which an explainer finds something to replace."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        rate = float(getattr(data, "frames_per_second", PLANER_FRONT_END.frames_per_second))
        paths = []
        for example in examples:
            grid = attribution_grid(example, rate, self.percentile, model)
            paths.append(_save(trainer, grid, stage, f"attributions_{example.file_stem}"))
        _show(trainer, f"{key}/attributions", paths, [example.name for example in examples])
        chosen = choose_example(examples, self.percentile, rate) if key != "predict" else None
        if chosen is not None:
            example, explainer = chosen
            figure = replacement_example(example, rate, self.percentile, explainer, model)
            _show(trainer, f"{key}/replacement", [_save(trainer, figure, stage, "replacement")], [example.name])


def _stage_folder(trainer: Trainer) -> Path | None:
    """The stage's folder on the process that draws, None elsewhere; every process must call it."""
    folder = trainer.log_dir
    return Path(folder) if folder is not None and trainer.is_global_zero else None


def _model_name(pl_module: LightningModule) -> str:
    name = type(pl_module).__name__
    return OBJECTIVES.get(name, name)


def _save(trainer: Trainer, figure: Figure, stage: Path, name: str) -> Path:
    """Save a figure, marked if the clips of `validate` and `test` were constructed."""
    provenance = getattr(trainer.datamodule, "provenance", None)  # type: ignore[attr-defined]
    mark = provenance.mark if provenance is not None and trainer.state.fn != TrainerFn.PREDICTING else ""
    return save(figure, stage / FOLDER / f"{name}.png", mark)


def _show(trainer: Trainer, key: str, paths: Sequence[Path], captions: Sequence[str] = ()) -> None:
    """Log image files to every Weights & Biases logger, by default with their names as captions."""
    if not paths:
        return
    captions = list(captions) or [path.stem for path in paths]
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key=key, images=[str(path) for path in paths], caption=captions)


def _show_clips(trainer: Trainer, key: str, scores: pd.DataFrame | None, examples: Sequence[Example]) -> None:
    """Log the kept clips to every Weights & Biases logger, with their recordings."""
    from experiments.tracking.clips import log_clips  # noqa: PLC0415  loads W&B, which takes half a second

    data = trainer.datamodule  # type: ignore[attr-defined]
    clips = getattr(data, {"val": "labelled_val_clips", "test": "test_clips", "predict": "predict_clips"}[key], ())
    recordings = {clip.name: clip.path for clip in clips}
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            log_clips(logger, key, examples, scores, recordings, getattr(data, "channel", "mix"))
