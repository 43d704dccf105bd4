"""The callback of the sanity checks in real trainer runs."""

import csv
from copy import deepcopy

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from explainers import AttributionMaps, ErrorMap, SanityChecks
from explainers.sanity import (
    infidelity,
    max_sensitivity,
    parameter_randomisation,
    stages,
)
from lightning_modules import ConfigurationError


def labelled(count=5):
    """Anomalous clips in descending order of index, the one of index 1 without annotation."""
    for index in reversed(range(count)):
        annotation = torch.zeros(24, dtype=torch.bool)
        annotation[:4] = index != 1
        yield {
            "spectrogram": 10 * torch.randn(16, 24, generator=torch.Generator().manual_seed(index)),
            "label": 1,
            "index": index,
            "annotation": annotation,
            "annotated": index != 1,
            "name": f"clip, {index}.wav",
            "anomaly_type": "stuck",
        }


LOADER = DataLoader(list(labelled()), batch_size=2)


def evaluator(tmp_path, checks, **settings):
    return Trainer(
        accelerator="cpu",
        logger=CSVLogger(tmp_path, name="", version=""),
        callbacks=[AttributionMaps(["error_map", "random"]), checks],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **settings,
    )


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("stage", "prefix"), [("test", "test"), ("validate", "val")])
def test_first_explained_clips_are_checked(tmp_path, module, stage, prefix):
    before = deepcopy(module.state_dict())
    trainer = evaluator(tmp_path, SanityChecks(clips=2))
    loaders = LOADER if stage == "test" else [LOADER, LOADER]
    getattr(trainer, stage)(module, loaders, verbose=False)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())

    rows = read(tmp_path / "sanity.csv")
    assert list(rows[0]) == ["index", "name", "explainer", "check", "step", "value"]
    assert [(int(row["index"]), row["name"]) for row in rows] == [
        (i, f"clip, {i}.wav") for i in (0, 2) for _ in range(22)
    ]
    steps = [
        row["step"]
        for row in rows
        if (row["index"], row["explainer"], row["check"]) == ("2", "random", "randomisation")
    ]
    assert steps == [name for name, _ in stages(module)]

    x = torch.stack([clip["spectrogram"] for clip in labelled() if clip["index"] in {0, 2}]).flip(0)
    explainer = ErrorMap(module)
    maps = explainer.attribute(x)
    expected = {
        "infidelity": infidelity(explainer, x, maps),
        "max_sensitivity": max_sensitivity(explainer, x, maps),
        "randomisation": parameter_randomisation(module, {"it": explainer}, x, {"it": maps})["it"]["encoder1"],
    }
    for check, values in expected.items():
        of_clips = [
            float(row["value"])
            for row in rows
            if (row["explainer"], row["check"]) == ("error_map", check) and row["step"] in {"", "encoder1"}
        ]
        assert of_clips == pytest.approx(values.tolist(), rel=1e-3)
        logged = trainer.callback_metrics[f"{prefix}/sanity/{check}/error_map"]
        assert logged.item() == pytest.approx(np.mean(of_clips), rel=1e-5)
    assert trainer.callback_metrics[f"{prefix}/sanity/randomisation/random"].item() == pytest.approx(1)


def test_nothing_is_checked_where_nothing_is_asked_or_explained(tmp_path, module):
    trainer = evaluator(tmp_path, SanityChecks(clips=0))
    trainer.test(module, LOADER, verbose=False)
    normal = [{**clip, "annotated": False} for clip in labelled()]
    trainer = evaluator(tmp_path, SanityChecks())
    trainer.test(module, DataLoader(normal), verbose=False)
    trainer = evaluator(tmp_path, SanityChecks(), max_epochs=1)
    trainer.fit(module, LOADER, [LOADER, LOADER])
    assert not any("sanity" in name for name in trainer.callback_metrics)
    assert not (tmp_path / "sanity.csv").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clips": -1}, "clips=-1 is not valid; it must be at least 0"),
        ({"noise_samples": 0}, "noise_samples=0 is not a positive whole number"),
        ({"radius_samples": 0}, "radius_samples=0 is not a positive whole number"),
        ({"noise_std": 0.0}, "noise_std=0.0 is not valid; it must be above 0 dB"),
        ({"radius": -0.1}, "radius=-0.1 is not valid; it must be above 0 dB"),
    ],
)
def test_rejects_settings_out_of_range(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        SanityChecks(**settings)


def test_rejects_a_trainer_without_maps_before_the_checks(tmp_path, module):
    maps, checks = AttributionMaps(["error_map"]), SanityChecks()
    for callbacks in ([checks], [checks, maps]):
        trainer = evaluator(tmp_path, checks)
        trainer.callbacks = callbacks
        with pytest.raises(ConfigurationError, match="SanityChecks needs AttributionMaps, which has to come before it"):
            trainer.test(module, LOADER, verbose=False)
    trainer = evaluator(tmp_path, SanityChecks(clips=0))
    trainer.callbacks = trainer.callbacks[1:]
    trainer.test(module, LOADER, verbose=False)
