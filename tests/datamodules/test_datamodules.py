"""From a data set on disk to batches, through a real Trainer."""

import logging
import re
import shutil
import subprocess
import sys

import pytest
import torch
from lightning import LightningModule, Trainer, seed_everything

from datamodules import DCASEDataModule, PlanerDataModule, SpectrogramDataModule


class Recorder(LightningModule):
    """Learns nothing and remembers the batches of every step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches = {}

    def _record(self, step, batch):
        self.batches.setdefault(step, []).append(batch)
        return (self.weight * batch["spectrogram"]).mean()

    def training_step(self, batch, batch_idx):
        return self._record("train", batch)

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self._record(f"val{dataloader_idx}", batch)

    def test_step(self, batch, batch_idx):
        self._record("test", batch)

    def predict_step(self, batch, batch_idx):
        self._record("predict", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def names(self, step):
        return [name for batch in self.batches.get(step, ()) for name in batch["name"]]


@pytest.fixture
def trainer(tmp_path):
    return Trainer(
        default_root_dir=tmp_path / "run",
        accelerator="cpu",
        max_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.fixture
def planer(planer_root, tmp_path):
    """A DataModule over the session's planer set."""

    def build(**settings):
        return PlanerDataModule(str(planer_root), cache_dir=str(tmp_path / "cache"), **settings)

    return build


@pytest.fixture
def planer_copy(planer_root, tmp_path):
    """A planer set to break."""
    return shutil.copytree(planer_root, tmp_path / "planer")


def names(clips):
    return {clip.name for clip in clips}


def test_batch_has_documented_keys_shapes_and_types(planer, planer_root):
    datamodule = planer(batch_size=18)
    (batch,) = datamodule.test_dataloader()
    assert batch["spectrogram"].shape == (18, 80, 400)
    assert batch["spectrogram"].dtype == torch.float32
    assert batch["label"].dtype == batch["index"].dtype == torch.int64
    assert batch["label"].tolist() == [0] * 10 + [1] * 8
    assert batch["index"].tolist() == list(range(18))
    assert batch["annotation"].shape == (18, 400)
    assert batch["annotation"].dtype == batch["annotated"].dtype == torch.bool
    assert batch["name"] == [clip.name for clip in datamodule.test_clips]
    assert batch["anomaly_type"] == [""] * 10 + ["Uneven_thick_wood"] * 4 + ["broken_board"] * 4
    for spectrogram, name in zip(batch["spectrogram"], batch["name"], strict=True):
        assert torch.equal(spectrogram, torch.load(planer_root / name, weights_only=True)[:, :400])


def test_annotations_reach_the_batch(planer):
    (batch,) = planer(batch_size=18).test_dataloader()
    marked = {
        name.rpartition("/")[2]: annotation.nonzero().flatten().tolist()
        for name, annotation, annotated in zip(batch["name"], batch["annotation"], batch["annotated"], strict=True)
        if annotated
    }
    assert marked == {
        "MPD_19-12-04_0848_00006_1.pt": [*range(40, 80)],
        "MPD_19-12-04_1115_00153_4.pt": [*range(240, 399)],
        "MPD_19-12-04_1118_00156_3.pt": [*range(80, 120), *range(280, 320), *range(360, 400)],
        "MPD_19-12-05_0949_00008_4.pt": [*range(200, 399)],
        "MPD_19-12-05_0949_00008_5.pt": [*range(160, 320)],
    }
    assert not batch["annotation"][~batch["annotated"]].any()


def test_clip_whose_annotations_are_cropped_away_is_not_annotated(planer):
    (batch,) = planer(batch_size=18, n_frames=100).test_dataloader()
    assert batch["annotated"].sum() == 2


def test_fit_trains_on_ninety_percent_and_watches_the_rest(planer, trainer):
    model, datamodule = Recorder(), planer(batch_size=8)
    trainer.fit(model, datamodule)
    assert len(model.names("train")) == 18
    assert len(model.names("val0")) == 2
    assert set(model.names("train")) == names(datamodule.train_clips)
    assert set(model.names("val0")) == names(datamodule.val_clips)
    assert not names(datamodule.train_clips) & names(datamodule.val_clips)
    assert "val1" not in model.batches


def test_warns_of_a_mean_level_far_from_zero(planer, trainer, recwarn):
    trainer.fit(Recorder(), planer())
    assert not [str(warning.message) for warning in recwarn if "mean level" in str(warning.message)]
    with pytest.warns(UserWarning, match=r"is -50\.\d dB, .* reference_level=-?0 makes the mean 0"):
        trainer.fit(Recorder(), planer(reference_level=50.0))


def test_reference_level_is_the_mean_of_the_training_clips_if_not_given(planer_copy, tmp_path):
    files = sorted((planer_copy / "training").rglob("*.pt"))
    for path in files:
        torch.save(torch.load(path) - 20, path)
    mean = torch.stack([torch.load(path)[:, :400] for path in files]).mean().item()

    def first_test_clips(**settings):
        data = PlanerDataModule(str(planer_copy), cache_dir=str(tmp_path / "cache"), **settings)
        data.setup("test")
        return data, next(iter(data.test_dataloader()))["spectrogram"]

    data, shifted = first_test_clips(reference_level=None, seed=5)
    assert data.signal_settings["reference_level"] == data.reference_level == round(mean, 1)
    torch.testing.assert_close(shifted, first_test_clips()[1] - round(mean, 1))


def test_fit_tells_the_level_it_has_chosen(planer, trainer, caplog):
    data, logger = planer(reference_level=None), logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addHandler(caplog.handler)
    try:
        trainer.fit(Recorder(), data)
    finally:
        logger.removeHandler(caplog.handler)
    assert f"reference_level: {data.reference_level} dB, the mean of the training clips" in caplog.text


def test_labelled_validation_leaves_the_test_set(planer, trainer):
    model, datamodule = Recorder(), planer(labelled_validation=0.3)
    trainer.validate(model, datamodule, verbose=False)
    trainer.test(model, datamodule, verbose=False)
    everything = names(planer().test_clips)
    assert set(model.names("val1")) == names(datamodule.labelled_val_clips)
    assert set(model.names("test")) == names(datamodule.test_clips)
    assert names(datamodule.labelled_val_clips) | names(datamodule.test_clips) == everything
    assert not names(datamodule.labelled_val_clips) & names(datamodule.test_clips)
    assert {clip.anomaly_type for clip in datamodule.labelled_val_clips} == {"", "Uneven_thick_wood", "broken_board"}


def test_split_is_the_seeds(planer):
    assert planer(seed=1).val_clips == planer(seed=1).val_clips
    assert planer(seed=1).val_clips != planer(seed=2).val_clips


def test_shuffling_is_the_global_seeds(planer):
    orders = []
    for seed in (5, 5, 6):
        seed_everything(seed, verbose=False)
        orders.append([name for batch in planer(batch_size=4).train_dataloader() for name in batch["name"]])
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("form", ["file", "folder"])
def test_predict_reads_files_without_labels(planer, planer_root, trainer, form):
    folder = planer_root / "evaluation/anomalies"
    path = folder if form == "folder" else next(folder.rglob("*.pt"))
    model = Recorder()
    trainer.predict(model, planer(predict_path=str(path)), return_predictions=False)
    (batch,) = model.batches["predict"]
    assert len(batch["name"]) == len(set(batch["name"])) == (8 if form == "folder" else 1)
    assert not batch["label"].any()
    assert not batch["annotated"].any()
    assert batch["anomaly_type"][0] == ""


@pytest.mark.parametrize(
    ("n_frames", "hop", "first_frames"),
    [
        (400, None, [0]),  # of 401 frames; less than 0.1 s are left
        (397, None, [0]),
        (396, None, [0, 5]),
        (200, None, [0, 200]),
        (200, 2.5, [0, 100, 200]),
        (150, None, [0, 150, 251]),
    ],
)
def test_predict_cuts_recordings_into_windows(planer, planer_root, trainer, recwarn, n_frames, hop, first_frames):
    path = next((planer_root / "evaluation/anomalies").rglob("*.pt"))
    model = Recorder()
    data = planer(predict_path=str(path), n_frames=n_frames, predict_hop=hop)
    trainer.predict(model, data, return_predictions=False)
    (batch,) = model.batches["predict"]
    assert batch["first_frame"].tolist() == first_frames
    assert batch["index"].tolist() == list(range(len(first_frames)))
    assert set(batch["name"]) == {path.name}
    whole = torch.load(path)
    for first, window in zip(first_frames, batch["spectrogram"], strict=True):
        assert torch.equal(window, whole[:, first : first + n_frames])
    assert not [warning for warning in recwarn if "longer" in str(warning.message)]


def test_predict_leaves_out_shorter_recordings_and_says_so(planer, write_spectrogram, tmp_path, data_error):
    for name, n_frames in {"long": 401, "short": 300, "shorter": 200}.items():
        write_spectrogram(tmp_path / f"{name}.pt", n_frames=n_frames)
    with pytest.warns(UserWarning, match=r"2 of 3 recordings are shorter than the 10 s .* shorter\.pt with 5\.0 s"):
        assert names(planer(predict_path=str(tmp_path)).predict_clips) == {"long.pt"}
    (tmp_path / "long.pt").unlink()
    with data_error(f"predict_path={tmp_path}: no recording is as long as the 10 s of a window"):
        planer(predict_path=str(tmp_path)).setup("predict")


def test_predict_scores_calibration_recordings_after_the_others(planer, write_spectrogram, tmp_path, trainer):
    for seed, name in enumerate(("new/a", "normal/b", "normal/c")):
        write_spectrogram(tmp_path / f"{name}.pt", n_frames=801, seed=seed)
    model = Recorder()
    model.predict_step = lambda batch, batch_idx, dataloader_idx: model._record(dataloader_idx, batch)
    paths = {"predict_path": str(tmp_path / "new"), "calibration_path": str(tmp_path / "normal")}
    trainer.predict(model, planer(**paths), return_predictions=False)
    assert model.names(0) == ["a.pt", "a.pt"]
    assert model.names(1) == ["b.pt", "b.pt", "c.pt", "c.pt"]


@pytest.mark.parametrize("hop", [0, -1, 10.2])
def test_rejects_a_hop_that_leaves_sound_out(planer, data_error, hop):
    with data_error(f"predict_hop is {hop}", "at most the 10 s of a window"):
        planer(predict_hop=hop)


def test_other_stages_warn_of_parts_that_are_left_out(planer, trainer):
    datamodule = planer(n_frames=200)
    message = r"18 of 18 test clips .* 5 s of n_frames=200: 90\.[45] of 180\.[45] s of audio"  # 18 × 401 frames
    with pytest.warns(UserWarning, match=message):
        trainer.test(Recorder(), datamodule, verbose=False)


def test_predict_without_a_path(planer, trainer, data_error):
    with data_error("predict_path"):
        trainer.predict(Recorder(), planer())


def test_workers_give_the_same_batches(planer):
    for alone, worker in zip(planer().test_dataloader(), planer(num_workers=1).test_dataloader(), strict=True):
        assert alone["name"] == worker["name"]
        assert torch.equal(alone["spectrogram"], worker["spectrogram"])


def test_clips_of_400_and_401_frames_together(planer_copy, write_spectrogram, tmp_path):
    write_spectrogram(planer_copy / "evaluation/normal/MPD_19-12-03_1000_00000_2.pt", n_frames=400)
    datamodule = PlanerDataModule(str(planer_copy), cache_dir=str(tmp_path / "cache"))
    assert next(iter(datamodule.test_dataloader()))["spectrogram"].shape == (18, 80, 400)


def test_rejects_shorter_clips_with_advice(planer_copy, write_spectrogram, tmp_path, data_error):
    write_spectrogram(planer_copy / "training/2x3/a_short.pt", n_frames=300)
    write_spectrogram(planer_copy / "training/2x3/b_shorter.pt", n_frames=200)

    def module(n_frames):
        return PlanerDataModule(str(planer_copy), n_frames, cache_dir=str(tmp_path / "cache"))

    with data_error("has 300 frames", "n_frames=400", "n_frames=200 crops"):
        module(400).setup("fit")
    assert len(module(200).train_clips) == 20


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_data_errors_precede_any_output_of_a_run(planer_copy, tmp_path, trainer, data_error, stage):
    part = "evaluation/normal" if stage == "test" else "training/2x3"
    broken = next((planer_copy / part).iterdir())
    broken.write_bytes(b"not a tensor")
    datamodule = PlanerDataModule(str(planer_copy), cache_dir=str(tmp_path / "cache"))
    with data_error(str(broken)):
        getattr(trainer, stage)(Recorder(), datamodule)
    assert not (tmp_path / "run").exists()


def test_stage_reads_only_its_own_clips(planer_copy, tmp_path, trainer):
    next((planer_copy / "evaluation/normal").iterdir()).write_bytes(b"not a tensor")
    trainer.fit(Recorder(), PlanerDataModule(str(planer_copy), cache_dir=str(tmp_path / "cache")))


def test_annotation_mistake_names_file_and_row(planer_copy, write_published_csv, tmp_path, data_error):
    rows = {"MPD_19-12-05_0949_00008_5": ("broken_board", "[(160,420)]")}
    path = write_published_csv(planer_copy / "annotations.csv", rows)
    datamodule = PlanerDataModule(str(planer_copy), cache_dir=str(tmp_path / "cache"))
    with data_error(f"{path} row 2", "out of range"):
        datamodule.prepare_data()


def test_missing_annotation_file_option(planer, tmp_path, data_error):
    with data_error(str(tmp_path / "gone.csv")):
        planer(annotations=str(tmp_path / "gone.csv")).prepare_data()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("n_frames", 0),
        ("batch_size", 0),
        ("val_fraction", 0.0),
        ("val_fraction", 1.0),
        ("labelled_validation", 1.0),
        ("labelled_validation", -0.1),
        ("num_workers", -1),
        ("reference_level", float("nan")),
    ],
)
def test_option_out_of_range(planer, data_error, option, value):
    with data_error(f"{option} is {value}"):
        planer(**{option: value})


def test_hyperparameters_survive_a_checkpoint_of_plain_values(planer, tmp_path):
    trainer = Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_steps=1, logger=False, enable_progress_bar=False
    )
    trainer.fit(Recorder(), planer(batch_size=4))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    saved = torch.load(tmp_path / "run.ckpt", weights_only=True)["datamodule_hyper_parameters"]
    assert saved["batch_size"] == 4
    assert saved["frontend"]["n_mels"] == 80


def test_base_class_has_no_layout(tmp_path):
    with pytest.raises(NotImplementedError):
        SpectrogramDataModule(str(tmp_path)).prepare_data()


def test_simulator_imports_neither_torch_nor_lightning():
    code = "import sys, datamodules.simulator; sys.exit(bool({'torch', 'lightning', 'torchaudio'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_test_batches_hold_the_level_that_a_description_has(planer, planer_root):
    datamodule = planer(batch_size=18, reference_level=-14.0, n_frames=100)
    (batch,) = datamodule.test_dataloader()
    levels = [torch.load(planer_root / name, weights_only=True).double().mean().item() for name in batch["name"]]
    assert batch["level"].tolist() == pytest.approx(levels, abs=1e-6)
    assert batch["level"].dtype == torch.float32  # some devices have no other
    assert "level" not in next(iter(datamodule.train_dataloader()))


def silence(planer_copy, names):
    """Replace training clips by digital silence."""
    for name in names:
        torch.save(torch.full((80, 401), -100.0), planer_copy / name)


def test_rejects_silent_training_clips_only(planer_copy, tmp_path, data_error):
    datamodule = PlanerDataModule(str(planer_copy), cache_dir=str(tmp_path / "cache"))
    silence(planer_copy, names(datamodule.train_clips))
    with data_error("all 18 training clips are silent", f"check the files in {planer_copy}"):
        PlanerDataModule(str(planer_copy), cache_dir=str(tmp_path / "cache")).setup("fit")


def test_warns_of_silent_training_clips(planer_copy, tmp_path, recwarn):
    datamodule = PlanerDataModule(str(planer_copy), cache_dir=str(tmp_path / "cache"))
    datamodule.setup("fit")
    assert not [warning for warning in recwarn if "silent" in str(warning.message)]
    silence(planer_copy, names(datamodule.train_clips[4:6]))
    first = datamodule.train_clips[4].name
    with pytest.warns(UserWarning, match=rf"silent training clips .* 2 of 18, such as {re.escape(first)}"):
        PlanerDataModule(str(planer_copy), cache_dir=str(tmp_path / "cache")).setup("fit")


def test_warns_of_silent_test_clips(planer_copy, tmp_path, trainer, recwarn):
    options = {"cache_dir": str(tmp_path / "cache"), "predict_path": str(planer_copy / "evaluation")}
    trainer.predict(Recorder(), PlanerDataModule(str(planer_copy), **options), return_predictions=False)
    trainer.test(Recorder(), PlanerDataModule(str(planer_copy), **options))
    assert not [warning for warning in recwarn if "silent" in str(warning.message)]
    names_of = sorted(names(PlanerDataModule(str(planer_copy), **options).test_clips))
    silence(planer_copy, names_of[2:3])
    with pytest.warns(UserWarning, match=rf"silent test clips .* 1 of {len(names_of)}, such as {names_of[2]};"):
        trainer.test(Recorder(), PlanerDataModule(str(planer_copy), **options))
    with pytest.warns(UserWarning, match=rf"silent windows of recordings .* 1 of {len(names_of)}, such as "):
        trainer.predict(Recorder(), PlanerDataModule(str(planer_copy), **options), return_predictions=False)


def test_warns_of_fewer_training_clips_than_a_batch(planer, trainer, recwarn):
    trainer.fit(Recorder(), planer(batch_size=18))
    assert not [warning for warning in recwarn if "fewer than" in str(warning.message)]
    with pytest.warns(UserWarning, match=r"18 training clips are fewer than batch_size=19"):
        trainer.fit(Recorder(), planer(batch_size=19))


@pytest.mark.parametrize(("kept", "missing"), [("normal", "anomalous"), ("anomaly", "normal")])
def test_warns_of_a_test_set_with_one_class(tmp_path, write_noise, kept, missing):
    names = [f"train/normal_id_00_{i:08}.wav" for i in range(2)] + [f"test/{kept}_id_00_{i:08}.wav" for i in range(2)]
    for seed, name in enumerate(names):
        write_noise(tmp_path / "slider" / name, sample_rate=16_000, seed=seed)
    datamodule = DCASEDataModule(str(tmp_path), "slider", n_frames=20, cache_dir=str(tmp_path / "cache"))
    with pytest.warns(UserWarning, match=f"the test set has no {missing} clips"):
        datamodule.setup("test")
