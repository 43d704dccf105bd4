"""Every mistake of a user's, from the command line: one line that says what to do, status 2, nothing written."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from experiments.main import main

TRAIN = ["--model", "MaskedAutoencoder", "--wandb.mode", "disabled", "--trainer.max_epochs", "1"]
OWN_CHECKPOINT = ["--trainer.callbacks+=ModelCheckpoint"]


@pytest.fixture
def refuses(tmp_path, capsys):
    """Run a command and check how it refuses."""

    def check(arguments, message):
        before = {path for path in tmp_path.rglob("*") if "planer" not in str(path)}
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
        error = capsys.readouterr().err.splitlines()
        assert status == 2, error
        assert len(error) == 1, error
        assert re.search(message, error[0]), error[0]
        assert {path for path in tmp_path.rglob("*") if "planer" not in str(path)} == before, "something was written"

    return check


@pytest.fixture
def fit(tmp_path, refuses):
    """Refuse to train on a data root."""

    def check(root, message, *options):
        arguments = ["fit", "--run", tmp_path / "run", *TRAIN, "--data", "PlanerDataModule", "--data.root", root]
        refuses([*arguments, *options], message)

    return check


def one_training_clip(root):
    return min((root / "training").rglob("*.wav"))


def test_missing_and_empty_roots(fit, tmp_path):
    fit(tmp_path / "nowhere", r"--data\.root .*nowhere .*not a folder")
    (tmp_path / "planer_empty").mkdir()
    fit(tmp_path / "planer_empty", r"looked for training/, evaluation/normal/, evaluation/anomalies/")


def test_folder_without_clips(fit, planer_copy):
    shutil.rmtree(planer_copy / "training")
    (planer_copy / "training").mkdir()
    fit(planer_copy, r"training")


def test_truncated_recording(fit, planer_copy):
    clip = one_training_clip(planer_copy)
    clip.write_bytes(clip.read_bytes()[:5000])
    fit(planer_copy, re.escape(clip.name))


def test_file_that_is_no_audio(fit, planer_copy):
    clip = one_training_clip(planer_copy)
    clip.write_text("not a recording")
    fit(planer_copy, re.escape(clip.name))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"spectrogram": torch.zeros(80, 401)}, "tensor"),
        (torch.full((80, 401), float("nan")), "NaN"),
        (torch.zeros(64, 401), r"64.*80|80.*64"),
    ],
)
def test_spectrogram_files_that_are_none(fit, planer_copy, content, message):
    path = one_training_clip(planer_copy).with_name("MPD_bad_1.pt")
    torch.save(content, path)
    fit(planer_copy, rf"MPD_bad_1\.pt.*({message})|({message}).*MPD_bad_1\.pt")


def test_pickle_is_not_executed(fit, planer_copy, tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",))

    torch.save(Trap(), one_training_clip(planer_copy).with_name("MPD_trap_1.pt"))
    fit(planer_copy, r"MPD_trap_1\.pt")
    assert not (tmp_path / "executed").exists()


def test_short_clips_are_refused_or_cropped_by_an_option(fit, planer_copy):
    clip = one_training_clip(planer_copy)
    soundfile.write(clip, 0.1 * np.random.default_rng(0).standard_normal(100_000), 20_000)
    fit(planer_copy, rf"{re.escape(clip.name)} has 201 frames.*--data\.n_frames 201")
    soundfile.write(clip, np.zeros(100), 20_000)
    fit(planer_copy, re.escape(clip.name))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"MPD_[^,]*_(\d)\.pt", "MPD_unknown_1.pt", "MPD_unknown_1"),
        (r"\[\(\d+, ?\d+\)[^\]]*\]\"(\r?\n)", r'[(900,940)]"\1', "22.5 s to 23.5 s .* out of range"),
        (r"\[\(\d+, ?\d+\)[^\]]*\]\"(\r?\n)", r'[(80,40)]"\1', "80"),
        (r"\[\(\d+, ?\d+\)[^\]]*\]\"(\r?\n)", r'[(soon)]"\1', "soon"),
    ],
)
def test_annotations_that_make_no_sense(refuses, planer_copy, fitted_run, old, new, message):
    path = planer_copy / "annotations.csv"
    text, changed = re.subn(old, new, path.read_bytes().decode(), count=1)
    assert changed
    path.write_bytes(text.encode())
    refuses(["test", "--run", fitted_run, "--data.root", planer_copy], rf"annotations\.csv.*{message}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.patch_size", "7"], "patch_size=7 does not divide the input of 80 mel bands × 400 frames"),
        (["--data.n_frames", "10"], "n_frames=10"),
        (["--model.num_heads", "7"], "num_heads=7 .* set num_heads to one of 1, 2, 4, 5, 10, 20, 25"),
        (["--model.backbone", "resnet"], "'resnet' does not exist; choose one of skip_cae_transformer"),
        (["--attributions.explainers", "[lime]"], "'lime' does not exist; choose from error_map, saliency"),
        (["--model", "Autoencoda"], "--model Autoencoda does not exist; choose one of Autoencoder, MaskedAutoencoder"),
        (["--data", "Planer"], "--data Planer does not exist; choose one of PlanerDataModule, DCASEDataModule"),
        (["--fscore.percentiles", "[101]"], "101"),
        (["--trainer.max_epoch", "1"], "max_epoch"),
        (["--data.annotations", "nowhere.csv"], r"--data\.annotations nowhere\.csv is not a file"),
        (["--init_from", "nowhere.ckpt"], r"nowhere\.ckpt does not exist"),
        (["--trainer.accelerator", "cpu", "--trainer.devices", "0"], "devices="),
        (["--trainer.max_epochs", "many"], r"trainer\.max_epochs"),
        (["--data.no_such_option", "1"], "no_such_option"),
        (["--config", "nowhere.yaml"], r"nowhere\.yaml"),
        (["--wandb.group", "${no.such.key}"], r"no\.such\.key"),
        (["--trainer.enable_checkpointing", "false"], "enable_checkpointing false would leave nothing to test"),
        (["--trainer.max_steps", "0"], "--trainer.max_steps 0 trains nothing"),
        (["--trainer.max_epochs", "0"], "--trainer.max_epochs 0 trains nothing"),
        (["--trainer.limit_train_batches", "0"], "limit_train_batches 0 of 1 batches leaves nothing to fit"),
        (["--trainer.limit_train_batches", "0.01"], r"limit_train_batches 0\.01 of 1 batches leaves nothing to fit"),
        (["--trainer.limit_val_batches", "0.01"], r"limit_val_batches 0\.01 of 1 batches leaves nothing"),
        (["--trainer.overfit_batches", "0.01"], r"--trainer\.overfit_batches 0\.01 of 1 batches leaves nothing"),
        (["--trainer.val_check_interval", "9"], "val_check_interval 9 is more than the 1 training batches of an epoch"),
        ([*OWN_CHECKPOINT, "--trainer.callbacks.save_last=true"], "would write over best.ckpt or last.ckpt"),
        ([*OWN_CHECKPOINT, "--trainer.callbacks.filename=best"], "would write over best.ckpt or last.ckpt"),
        ([*OWN_CHECKPOINT, "--trainer.callbacks.monitor=val_loss"], "monitors val_loss, which is not logged"),
        (
            ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val_loss"],
            "EarlyStopping of trainer.callbacks monitors val_loss, which is not logged",
        ),
    ],
)
def test_options_that_cannot_be(fit, simulated, options, message):
    fit(simulated, message, *options)


def test_checkpoint_of_other_dimensions(refuses, fitted_run, tmp_path, simulated):
    checkpoint = fitted_run / "fit" / "checkpoints" / "best.ckpt"
    options = ["--config", fitted_run / "fit" / "config.yaml", "--ckpt_path", checkpoint, "--data.n_frames", "160"]
    message = r"best\.ckpt was trained with n_frames=80, but the configuration says n_frames=160"
    refuses(["test", "--run", tmp_path / "other", *options], message)


def test_checkpoint_that_is_none(refuses, fitted_run, tmp_path):
    config = ["--config", fitted_run / "fit" / "config.yaml"]
    refuses(["test", "--run", tmp_path / "other", *config], r"best\.ckpt does not exist; run faithful-aad fit")
    refuses(
        ["test", "--run", tmp_path / "other", *config, "--ckpt_path", tmp_path / "x.ckpt"], r"x\.ckpt does not exist"
    )
    (tmp_path / "planer.ckpt").write_text("no weights")
    refuses(["test", "--run", tmp_path / "other", *config, "--ckpt_path", tmp_path / "planer.ckpt"], "not a checkpoint")


def test_checkpoint_of_another_objective(refuses, fitted_run, tmp_path):
    checkpoint = ["--ckpt_path", fitted_run / "fit" / "checkpoints" / "best.ckpt"]
    options = ["--config", fitted_run / "fit" / "config.yaml", "--model", "Autoencoder", *checkpoint]
    message = r"best\.ckpt is of a MaskedAutoencoder, but the configuration says Autoencoder"
    refuses(["test", "--run", tmp_path / "other", *options], message)


def test_run_folders_that_cannot_be(refuses, simulated, tmp_path):
    options = [*TRAIN, "--data", "PlanerDataModule", "--data.root", simulated]
    (tmp_path / "file").write_text("in the way")
    refuses(["fit", "--run", tmp_path / "file" / "run", *options], "file is a file; name another")
    refuses(["fit", "--run", "", *options], "--run is empty")


def test_broken_configuration(refuses, simulated, tmp_path):
    (tmp_path / "broken.yaml").write_text("trainer:\n  max_epochs: [1}\n")
    options = [*TRAIN, "--data", "PlanerDataModule", "--data.root", simulated, "--config", tmp_path / "broken.yaml"]
    refuses(["fit", "--run", tmp_path / "run", *options], r"broken\.yaml is not a readable .*: line 2, column 17")
    (tmp_path / "broken.yaml").write_text("trainer:\n  max_epochs: 1\n  max_epochs: 2\n")
    refuses(["fit", "--run", tmp_path / "run", *options], r"line 3, column 3: found duplicate key max_epochs")


def test_a_second_training_in_one_folder(refuses, fitted_run, simulated):
    options = [*TRAIN, "--data", "PlanerDataModule", "--data.root", simulated]
    refuses(["fit", "--run", fitted_run, *options], "holds a training already; give another --run")


def test_an_interrupted_training_under_other_settings(refuses, fitted_run, tmp_path):
    run = tmp_path / "planer_interrupted"
    shutil.copytree(fitted_run, run)
    (run / "fit" / "finished").unlink()
    arguments = ["fit", "--run", run, "--config", run / "fit" / "config.yaml", "--model.learning_rate", "0.5"]
    refuses(arguments, r"interrupted training with model.init_args.learning_rate=0.001, now it is 0.5; give the same")


def test_an_explainer_that_the_network_cannot_have(refuses, fitted_run, simulated, tmp_path):
    options = [*TRAIN, "--data", "PlanerDataModule", "--data.root", simulated, "--model.backbone", "dense"]
    grad_cam = ["--attributions.validation_explainers", "[grad_cam]"]
    refuses(["fit", "--run", tmp_path / "run", *options, *grad_cam], "dense.*explainers")


@pytest.mark.parametrize("limit", ["0", "0.001"])
def test_stages_that_are_left_nothing_to_do(refuses, fitted_run, simulated, limit):
    refuses(["test", "--run", fitted_run, "--trainer.limit_test_batches", limit], "leaves nothing to test")
    refuses(["validate", "--run", fitted_run, "--trainer.limit_val_batches", limit], "leaves nothing to validate")


def test_recordings_longer_than_a_clip(refuses, fitted_run, simulated):
    path = simulated / "evaluation" / "normal"
    message = r"6 of 6 recordings are longer than the 2 s of a clip .* 10\.0 s; cut them .*data slice, or .*crop true"
    refuses(["predict", "--run", fitted_run, "--data.predict_path", path], message)


def test_prediction_without_recordings(refuses, fitted_run, tmp_path):
    refuses(["predict", "--run", fitted_run], r"--data\.predict_path")
    refuses(["predict", "--run", fitted_run, "--data.predict_path", tmp_path / "nowhere"], "nowhere")


def test_unknown_command_and_missing_options(refuses):
    refuses(["train"], "no command 'train'; choose one of fit, validate, test, predict")
    refuses(["fit", "--model", "Autoencoder", "--data", "PlanerDataModule", "--data.root", "x"], "required: --run")
    refuses(["simulate"], "root")
    refuses(["report"], "runs")


def test_simulate_and_report_refuse(refuses, simulated, tmp_path):
    refuses(["simulate", simulated], "planer")
    refuses(["simulate", tmp_path / "new", "--train", "-1"], "--train")
    refuses(["report", tmp_path / "nowhere"], "nowhere")


def test_a_reader_that_leaves_is_no_mistake(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text("file,start,end\n" + "x.wav,2,1\n" * 1000)
    command = [sys.executable, "-m", "experiments.main", "annotations", "check", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
