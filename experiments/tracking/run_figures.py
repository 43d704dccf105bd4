"""The callback that draws a run's figures when a stage ends."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn

from datamodules.base import PLANER_FRONT_END
from experiments.report.figures import (
    attribution_grid,
    choose_example,
    learning_curves,
    percentile_curves,
    replacement_example,
    roc_curves,
    save_png,
)
from experiments.runs.config import OBJECTIVES
from experiments.runs.results import read_clip_scores, read_clip_values, read_examples, read_learning_curves
from experiments.tracking.clips import log_clips
from explainers.examples import Example
from lightning_modules import ConfigurationError
from metrics.callbacks import AnnotationFScore, DetectionAUC, ExplanationCallback, Faithfulness

FOLDER = "figures"


class RunFigures(Callback):
    """Draws a stage's figures into ``figures/`` of its folder, and shows them to Weights & Biases if it is in use.

    After `fit` the learning curves; after `test` and `validate` the ROC, F1 and faithfulness over percentiles, the
    attribution maps of the kept clips and a replacement example; after `predict` the maps of the kept clips.
    Everything is drawn from the files in the stage's folder; a figure whose file is not there is left out.

    Args:
        percentile: Frames at or above this percentile of a clip's curve are marked as peaks.

    Raises:
        ConfigurationError: If the percentile is not between 0 and 100.
    """

    def __init__(self, percentile: int = 98) -> None:
        super().__init__()
        if not 0 <= percentile <= 100:
            raise ConfigurationError(f"percentile={percentile} of the figures is not between 0 and 100")
        self.percentile = percentile

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the learning curves."""
        stage = _stage_folder(trainer)
        if stage is None:
            return
        curves = read_learning_curves(stage)
        if curves is not None:
            path = save_png(learning_curves({_model_name(pl_module): curves}), stage / FOLDER / "learning_curves.png")
            _show(trainer, "fit/learning_curves", [path])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the results of `validate`; the epochs of `fit` pass by."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._draw_evaluation(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the results of `test`."""
        self._draw_evaluation(trainer, pl_module, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the explained recordings."""
        stage = _stage_folder(trainer)
        if stage is not None:
            examples = read_examples(stage)
            self._draw_attributions(trainer, pl_module, stage, "predict", examples)
            _show_clips(trainer, "predict", stage, examples)

    def _draw_evaluation(self, trainer: Trainer, pl_module: LightningModule, key: str) -> None:
        stage = _stage_folder(trainer)
        if stage is None:
            return
        self._draw_curves(trainer, pl_module, stage, key)
        examples = read_examples(stage)
        self._draw_attributions(trainer, pl_module, stage, key, examples)
        self._draw_replacement(trainer, pl_module, stage, key, examples)
        _show_clips(trainer, key, stage, examples)

    def _draw_curves(self, trainer: Trainer, pl_module: LightningModule, stage: Path, key: str) -> None:
        model = _model_name(pl_module)
        if (stage / DetectionAUC.filename).is_file():
            clips = read_clip_scores(stage)
            if clips.has_roc:
                path = save_png(roc_curves({model: (model, [clips])}), stage / FOLDER / "roc.png", _mark(trainer))
                _show(trainer, f"{key}/roc", [path])
        measured: tuple[tuple[type[ExplanationCallback], tuple[str, ...]], ...]
        measured = ((AnnotationFScore, ("f1",)), (Faithfulness, Faithfulness.kinds))
        for callback, kinds in measured:
            values = read_clip_values(stage / callback.filename, kinds, tuple(callback.chance_columns.values()))
            if values is not None:
                name = Path(callback.filename).stem
                path = save_png(percentile_curves(values, kinds, model), stage / FOLDER / f"{name}.png", _mark(trainer))
                _show(trainer, f"{key}/{name}", [path])

    def _draw_attributions(
        self, trainer: Trainer, pl_module: LightningModule, stage: Path, key: str, examples: Sequence[Example]
    ) -> None:
        rate, model = _frames_per_second(trainer), _model_name(pl_module)
        paths = [
            save_png(
                attribution_grid(example, rate, self.percentile, model),
                stage / FOLDER / f"attributions_{example.file_stem}.png",
                _mark(trainer),
            )
            for example in examples
        ]
        _show(trainer, f"{key}/attributions", paths, [example.name for example in examples])

    def _draw_replacement(
        self, trainer: Trainer, pl_module: LightningModule, stage: Path, key: str, examples: Sequence[Example]
    ) -> None:
        """Draw the first example in which an explainer finds something to replace."""
        rate, model = _frames_per_second(trainer), _model_name(pl_module)
        chosen = choose_example(examples, self.percentile, rate)
        if chosen is not None:
            example, explainer = chosen
            figure = replacement_example(example, rate, self.percentile, explainer, model)
            path = save_png(figure, stage / FOLDER / "replacement.png", _mark(trainer))
            _show(trainer, f"{key}/replacement", [path], [example.name])


def _stage_folder(trainer: Trainer) -> Path | None:
    """The stage's folder on the process that draws, None elsewhere; every process must call it."""
    folder = trainer.log_dir
    return Path(folder) if folder is not None and trainer.is_global_zero else None


def _model_name(pl_module: LightningModule) -> str:
    name = type(pl_module).__name__
    return OBJECTIVES.get(name, name)


def _mark(trainer: Trainer) -> str:
    """That the clips of `validate` and `test` were constructed, "" for recordings as they are."""
    provenance = getattr(trainer.datamodule, "provenance", None)  # type: ignore[attr-defined]
    return provenance.mark if provenance is not None and trainer.state.fn != TrainerFn.PREDICTING else ""


def _frames_per_second(trainer: Trainer) -> float:
    data = trainer.datamodule  # type: ignore[attr-defined]
    return float(getattr(data, "frames_per_second", PLANER_FRONT_END.frames_per_second))


def _show(trainer: Trainer, key: str, paths: Sequence[Path], captions: Sequence[str] = ()) -> None:
    """Hand image files to every Weights & Biases logger, with their names where they have no captions."""
    if not paths:
        return
    captions = list(captions) or [path.stem for path in paths]
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key=key, images=[str(path) for path in paths], caption=captions)


def _show_clips(trainer: Trainer, key: str, stage: Path, examples: Sequence[Example]) -> None:
    """Hand the kept clips to every Weights & Biases logger, with the recordings that they were computed from."""
    scores = read_clip_scores(stage) if (stage / DetectionAUC.filename).is_file() else None
    data = trainer.datamodule  # type: ignore[attr-defined]
    clips = getattr(data, {"val": "labelled_val_clips", "test": "test_clips", "predict": "predict_clips"}[key], ())
    recordings = {clip.name: clip.path for clip in clips}
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            log_clips(logger, key, examples, scores, recordings, getattr(data, "channel", "mix"))
