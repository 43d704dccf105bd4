"""A small labelled set, a model and explanations."""

import csv

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader

from metrics import AnomalyAUROC, FaithfulnessScore, SegmentFScore
from metrics.callbacks import AnnotationFScore, DetectionAUC, Faithfulness

N_CLIPS, N_BANDS, N_FRAMES = 11, 3, 22
PERCENTILES, FRAMES_PER_SECOND = (50, 90), 4


def toy_clips(annotate=True):
    """Anomalous clips stand at even positions, so that one of two processes meets none of them."""
    generator = torch.Generator().manual_seed(1)
    types = {2: "stuck", 4: "broken", 6: "broken", 8: "stuck", 10: "broken"}
    clips = []
    for i in range(N_CLIPS):
        x = torch.randn(N_BANDS, N_FRAMES, generator=generator)
        annotation = torch.zeros(N_FRAMES, dtype=torch.bool)
        if i in types:
            start = int(torch.randint(0, 15, (1,), generator=generator))
            x[:, start : start + 6] += 0.5
            annotation[start : start + 6] = annotate and i != 10
        clips.append(
            {
                "spectrogram": x,
                "label": int(i in types),
                "index": 2**40 - i,  # not to be kept in anything less than int64
                "annotation": annotation,
                "annotated": bool(annotation.any()),
                "name": f"clip, {i}.wav",
                "anomaly_type": types.get(i, ""),
            }
        )
    return clips


def collate(clips):
    batch = {key: [clip[key] for clip in clips] for key in clips[0]}
    for key in {"spectrogram", "annotation", "level"} & set(batch):
        batch[key] = torch.stack(batch[key])
    return batch | {key: torch.tensor(batch[key]) for key in ("label", "index", "annotated")}


def loader(clips):
    return DataLoader(clips, batch_size=4, collate_fn=collate)


class ToyModule(LightningModule):
    """Averages neighbouring frames; a learning rate of 0 keeps it so."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False)
        nn.init.constant_(self.conv.weight, 1 / 3)

    def forward(self, x):
        return self.conv(x.unsqueeze(1)).squeeze(1)

    def training_step(self, batch, batch_idx):
        return (self(batch["spectrogram"]) - batch["spectrogram"]).square().mean()

    def evaluate(self, batch):
        reconstruction = self(batch["spectrogram"])
        score = (reconstruction - batch["spectrogram"]).square().mean((1, 2))
        return {"score": score, "reconstruction": reconstruction}

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        return self.evaluate(batch)

    def test_step(self, batch, batch_idx):
        return self.evaluate(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class ToyMaps(Callback):
    """Two explanations of the anomalous clips, NaN for the others."""

    def explain(self, outputs, batch):
        x, reconstruction = batch["spectrogram"], outputs["reconstruction"]
        explained = batch["label"] == 1
        maps = {"error_map": (x - reconstruction).square(), "level": x}
        unknown = ~explained[:, None, None]
        outputs["attributions"] = {k: v.masked_fill(unknown, torch.nan) for k, v in maps.items()}
        outputs["explained"] = explained

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if dataloader_idx == 1:
            self.explain(outputs, batch)

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.explain(outputs, batch)


def metric_callbacks():
    return [
        DetectionAUC(max_fpr=0.4),
        AnnotationFScore(PERCENTILES, FRAMES_PER_SECOND),
        Faithfulness(PERCENTILES, FRAMES_PER_SECOND, batch_size=7),
    ]


def toy_trainer(folder, callbacks, **options):
    return Trainer(
        accelerator="cpu",
        logger=CSVLogger(folder, name="", version=""),
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        max_epochs=2,
        log_every_n_steps=1,
        **{"devices": 1, **options},
    )


def update_metrics(positions):
    """Metrics fed with some toy clips, one batch for every two."""
    clips, module = toy_clips(), ToyModule()
    auroc = AnomalyAUROC()
    fscore = SegmentFScore(PERCENTILES, FRAMES_PER_SECOND)
    faithfulness = FaithfulnessScore(PERCENTILES, FRAMES_PER_SECOND)
    for start in range(0, len(positions), 2):
        batch = collate([clips[i] for i in positions[start : start + 2]])
        x, annotation, index = batch["spectrogram"], batch["annotation"], batch["index"]
        auroc.update(x.mean((1, 2)), batch["label"], index)
        fscore.update(x.sum(1), annotation, index)
        faithfulness.update(module, x, x.sum(1), annotation, index)
    return {"auroc": auroc, "fscore": fscore, "faithfulness": faithfulness}


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def explanations(folder, measure, explainer, column="value"):
    """A column of ``explanations.csv``, clips by percentiles; NaN where a cell is empty."""
    rows = [r for r in read_csv(folder / "explanations.csv") if (r["measure"], r["explainer"]) == (measure, explainer)]
    percentiles = {row["percentile"] for row in rows}
    return np.reshape([float(row[column] or "nan") for row in rows], (-1, len(percentiles)))
