"""Figures that the callback draws in real runs."""

from pathlib import Path

import pytest
import torch
from lightning import LightningDataModule
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from torch.utils.data import DataLoader

from experiments.report.figures.curves import curve_figures
from experiments.runs.results import read_learning
from experiments.tracking.run_figures import RunFigures
from explainers import AttributionMaps
from lightning_modules import Autoencoder, ConfigurationError
from metrics.callbacks import AnnotationFScore, DetectionAUC, Faithfulness
from metrics.measures import MEASURES


class Clips(LightningDataModule):
    """Eight clips of 2 s, every other one anomalous, with or without annotation."""

    frames_per_second = 8.0

    def __init__(self, annotate=True):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.clips = []
        for i in range(8):
            annotation = torch.zeros(16, dtype=torch.bool)
            annotation[4:12] = annotate and i % 2 == 1
            clip = {"spectrogram": torch.randn(16, 16, generator=generator), "label": i % 2, "index": i}
            clip |= {"annotation": annotation, "annotated": bool(annotation.any())}
            self.clips.append(clip | {"name": f"clip_{i}.wav", "anomaly_type": "stuck" if i % 2 else ""})

    def loader(self):
        return DataLoader(self.clips, batch_size=4, collate_fn=self.collate)

    @staticmethod
    def collate(clips):
        batch = {key: [clip[key] for clip in clips] for key in clips[0]}
        tensors = {key: torch.stack(batch[key]) for key in ("spectrogram", "annotation")}
        return batch | tensors | {key: torch.tensor(batch[key]) for key in ("label", "index", "annotated")}

    def val_dataloader(self):
        return [self.loader(), self.loader()]

    train_dataloader = test_dataloader = predict_dataloader = loader


class Explain(Callback):
    """Explains two windows at the end of a prediction, and keeps the maps."""

    def on_predict_epoch_end(self, trainer, pl_module):
        maps = next(each for each in trainer.callbacks if isinstance(each, AttributionMaps))
        clips = trainer.datamodule.clips[:2]
        for example in maps.explain(trainer, pl_module, [Clips.collate(clips)]):
            example.save(Path(trainer.log_dir) / "examples")


@pytest.fixture
def run_stage(tmp_path):
    """Runs a stage of a small autoencoder with every callback and returns the names of its figures."""

    def run(stage, annotate=True, clips="annotated", loggers=()):
        seed_everything(0, verbose=False)
        names = ["error_map", "saliency"]
        callbacks = [RunFigures(), AttributionMaps(names, clips=clips, examples=1), DetectionAUC(), Explain()]
        callbacks += [kind((90, 98), frames_per_second=8) for kind in (AnnotationFScore, Faithfulness)]
        trainer = Trainer(
            accelerator="cpu", max_epochs=2, callbacks=callbacks, logger=[CSVLogger(tmp_path, stage, ""), *loggers],
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, log_every_n_steps=1,
        )  # fmt: skip
        module = Autoencoder(n_mels=16, n_frames=16, backbone={"num_heads": 2})
        getattr(trainer, stage)(module, datamodule=Clips(annotate))
        return sorted(path.name for path in (tmp_path / stage / "figures").glob("*"))

    return run


def test_fit_draws_its_learning_curves_alone(run_stage, tmp_path):
    assert run_stage("fit") == ["learning_curves.png"]
    assert read_learning(tmp_path / "fit")["epoch"].tolist() == [0, 1], "the last epoch was on disk in time"


@pytest.mark.parametrize("stage", ["test", "validate"])
def test_evaluation_draws_every_figure(run_stage, stage):
    grid = "attributions_000001_clip_1.png"
    curves = [name for name, measures in curve_figures().items() if MEASURES[measures[0]].has_chance]
    assert {"f1", "faithfulness"} <= set(curves)
    assert run_stage(stage) == sorted([grid, *(f"{name}.png" for name in curves), "replacement.png", "roc.png"])


def test_without_annotation_there_is_no_f1(run_stage):
    grid = "attributions_000001_clip_1.png"
    drawn = run_stage("test", annotate=False, clips="anomalous")
    assert drawn == [grid, "faithfulness.png", "replacement.png", "roc.png"]


def test_without_explained_clips_there_is_the_roc_alone(run_stage):
    assert run_stage("test", annotate=False) == ["roc.png"]


def test_predict_draws_the_maps_of_explained_windows(run_stage):
    assert run_stage("predict") == [f"attributions_00000{index}_clip_{index}.png" for index in range(2)]


def test_figures_reach_an_offline_wandb_run(run_stage, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run_stage("test", loggers=[WandbLogger(save_dir=tmp_path, offline=True)])
    wandb.finish()
    media = next(tmp_path.glob("wandb/offline-run-*/files/media/images/test"))
    sent = {path.name.split("_")[0]: path for path in media.glob("*.png")}
    assert {"attributions", "f1", "faithfulness", "replacement", "roc"} <= set(sent)
    assert sent["roc"].read_bytes() == (tmp_path / "test" / "figures" / "roc.png").read_bytes()


def test_rejects_percentiles_outside_their_range():
    with pytest.raises(ConfigurationError, match="101"):
        RunFigures(percentile=101)
