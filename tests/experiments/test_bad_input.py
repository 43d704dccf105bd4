"""Mistakes on the command line: one line that says what to do, status 2, nothing written."""

import errno
import io
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lightning.pytorch.utilities import rank_zero_only

from experiments.cli.errors import machine_mistake
from experiments.cli.main import main

TRAIN = ["--model", "MaskedAutoencoder", "--wandb.mode", "disabled", "--trainer.max_epochs", "1"]
MODEL_NUMBERS = ("learning_rate", "min_learning_rate", "restart_epochs", "weight_decay", "patience", "min_delta")
OWN_CHECKPOINT = "--trainer.callbacks+=ModelCheckpoint"


@pytest.fixture
def rejects(tmp_path, capsys):
    """Run a command that fails and check its message."""

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
def fit(tmp_path, rejects):
    """Fail to train on a data root."""

    def check(root, message, *options):
        arguments = ["fit", "--run", tmp_path / "run", *TRAIN, "--data", "PlanerDataModule", "--data.root", root]
        rejects([*arguments, *options], message)

    return check


def one_training_clip(root):
    return min((root / "training").rglob("*.wav"))


def test_missing_and_empty_roots(fit, tmp_path):
    fit(tmp_path / "nowhere", r"nowhere .*not a folder")
    (tmp_path / "planer_empty").mkdir()
    fit(tmp_path / "planer_empty", r"expected training/, evaluation/normal/, evaluation/anomalies/")


def test_folder_without_clips(fit, planer_copy):
    shutil.rmtree(planer_copy / "training")
    (planer_copy / "training").mkdir()
    fit(planer_copy, r"training")


def test_file_that_is_not_a_clip(fit, planer_copy):
    clip = one_training_clip(planer_copy)
    samples = 0.1 * np.random.default_rng(0).standard_normal(100_000)
    whole = clip.read_bytes()
    soundfile.write(clip, samples, 20_000)
    fit(planer_copy, rf"{re.escape(clip.name)} has 201 frames.*n_frames=201")
    soundfile.write(clip, np.zeros(100), 20_000)
    fit(planer_copy, re.escape(clip.name))
    for contents in (whole[:5000], b"not a recording"):
        clip.write_bytes(contents)
        fit(planer_copy, re.escape(clip.name))


class Trap:
    """Creates a file in the current folder where it is unpickled."""

    def __reduce__(self):
        return (exec, ("open('executed', 'w')",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"spectrogram": torch.zeros(80, 401)}, "tensor"),
        (torch.full((80, 401), float("nan")), "NaN"),
        (torch.zeros(64, 401), r"64.*80|80.*64"),
        (Trap(), ""),
    ],
)
def test_invalid_spectrogram_files(fit, planer_copy, tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    torch.save(content, one_training_clip(planer_copy).with_name("MPD_bad_1.pt"))
    fit(planer_copy, rf"MPD_bad_1\.pt.*({message})|({message}).*MPD_bad_1\.pt")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"MPD_[^,]*_(\d)\.pt", "MPD_unknown_1.pt", "MPD_unknown_1"),
        (r"\[\(\d+, ?\d+\)[^\]]*\]\"(\r?\n)", r'[(900,940)]"\1', "22.5 s to 23.5 s .* out of range"),
        (r"\[\(\d+, ?\d+\)[^\]]*\]\"(\r?\n)", r'[(80,40)]"\1', "80"),
        (r"\[\(\d+, ?\d+\)[^\]]*\]\"(\r?\n)", r'[(soon)]"\1', "soon"),
    ],
)
def test_invalid_annotations(rejects, planer_copy, fitted_run, old, new, message):
    path = planer_copy / "annotations.csv"
    text, changed = re.subn(old, new, path.read_bytes().decode(), count=1)
    assert changed
    path.write_bytes(text.encode())
    rejects(["test", "--run", fitted_run, "--data.root", planer_copy], rf"annotations\.csv.*{message}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--model.patch_size 7", "patch_size=7 does not divide the input of 80 mel bands × 400 frames"),
        ("--data.n_frames 10", "n_frames=10"),
        ("--model.backbone.num_heads 7", "num_heads=7 .* set num_heads to one of 1, 2, 4, 5, 10, 20, 25"),
        ("--model.backbone resnet", "'resnet' does not exist; choose one of skip_cae_transformer"),
        ("--model Autoencoda", "--model 'Autoencoda' does not exist; choose one of Autoencoder, MaskedAutoencoder"),
        *((f"--model.{name} -1", rf"{name}=-1(\.0)? is not valid; it must be ") for name in MODEL_NUMBERS),
        ("--model.learning_rate 0", r"learning_rate=0\.0 is not valid; it must be above 0"),
        ("--model.restart_epochs 0", "restart_epochs=0 is not valid; it must be at least 1"),
        ("--data Planer", "--data 'Planer' does not exist; choose one of PlanerDataModule, DCASEDataModule"),
        ("--data.annotations nowhere.csv", r"annotations=nowhere\.csv is not a file"),
        ("--data.no_such_option 1", "no_such_option"),
        ("--data.batch_size 100000000000000000000", r"batch_size is 10*; it must be from 1 to"),
        ("--data.num_workers 5000", r"num_workers is 5000; it must be from 0 to 256"),
        ("--data.reference_level 1e38", r"reference_level is 1e\+38; it must be from -200 to 200 dB"),
        *((f"--data.{name}=", rf"{name} is empty") for name in ("annotations", "cache_dir", "predict_path")),
        ("--attributions.explainers [lime]", "'lime' does not exist; choose one of error_map, saliency"),
        ("--attributions.explainers [error_map,error_map]", "explainer 'error_map' is named twice"),
        (
            "--model.backbone dense --attributions.validation_explainers [grad_cam]",
            "grad_cam needs a convolution, and DenseAutoencoder has none",
        ),
        ("--fscore.percentiles [101]", "101"),
        ("--faithfulness.shifts 1000000", "shifts: 1000000 of 400 frames can't be drawn; choose from 0 to 399"),
        ("--predictions.alpha 1", r"--alpha=1\.0 is not valid; it must be above 0 and below 1"),
        ("--init_from nowhere.ckpt", r"--init_from 'nowhere\.ckpt' does not exist; name"),
        ("--init_from=", "--init_from '' does not exist; name a checkpoint"),
        ("--config nowhere.yaml", r"nowhere\.yaml"),
        ("--wandb.group ${no.such.key}", r"no\.such\.key"),
        ("--seed_everything -1", "--seed_everything is -1; it must be a whole number from 0 to 4294967295"),
        ("--seed_everything 4294967296", "--seed_everything is 4294967296; it must be a whole number from 0 to"),
        ("--trainer.max_epoch 1", "max_epoch"),
        ("--trainer.max_epochs many", r"--trainer\.max_epochs is many; it must be a whole number or null"),
        ("--trainer.max_epochs 0", "--trainer.max_epochs is 0; it must be at least 1"),
        ("--trainer.max_steps 0", "--trainer.max_steps is 0; it must be at least 1"),
        ("--trainer.enable_checkpointing false", "enable_checkpointing false would leave nothing to test"),
        ("--trainer.limit_train_batches 0", "limit_train_batches 0 of 1 batches leaves nothing to fit"),
        ("--trainer.limit_val_batches 0.01", r"limit_val_batches 0\.01 of 1 batches leaves nothing to validate"),
        ("--trainer.overfit_batches 0.01", r"--trainer\.overfit_batches 0\.01 of 1 batches leaves nothing to fit"),
        (
            "--trainer.overfit_batches 0.5 --data.batch_size 3",
            r"overfit_batches 0\.5 of 1 batches leaves nothing to validate",
        ),
        ("--trainer.accumulate_grad_batches 0", "--trainer.accumulate_grad_batches is 0; it must be at least 1"),
        ("--trainer.check_val_every_n_epoch 0", "--trainer.check_val_every_n_epoch is 0; it must be at least 1"),
        ("--trainer.val_check_interval 0", "--trainer.val_check_interval is 0; it must be above 0"),
        ("--trainer.val_check_interval 9", "val_check_interval 9 is more than the 1 training batches of an epoch"),
        ("--trainer.gradient_clip_val -1", "--trainer.gradient_clip_val is -1; it must be at least 0"),
        ("--trainer.accelerator cpu --trainer.devices 0", r"--trainer\.devices: .*devices="),
        ("--trainer.limit_train_batches 1.5", r"--trainer\.limit_train_batches: "),
        pytest.param(
            "--trainer.accelerator gpu",
            r"--trainer\.accelerator: No supported gpu",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        ("--data.frontend.n_mels 0", r"--data\.frontend\.n_mels is 0; it must be from 1 to half the window's samples"),
        ("--data.n_frames 0", r"--data\.n_frames is 0; it must be at least 1"),
        ("--data.batch_size 0", r"--data\.batch_size is 0; it must be from 1"),
        ("--data.labelled_validation 2", r"--data\.labelled_validation is 2\.0; it must be at least 0"),
        ("--deletion.percentiles [150]", r"--deletion\.percentiles: 150 is not a whole number from 0 to 100"),
        ("--fscore.percentiles [150]", r"--fscore\.percentiles: 150 is not a whole number"),
        ("--trainer.accelerator cpu --trainer.devices -3", r"--trainer\.devices -3.*int > 0"),
        ("--trainer.accelerator cpu --trainer.devices abc", r"--trainer\.devices abc.*int > 0"),
        ("--trainer.accelerator tpu", r"--trainer\.accelerator tpu.*torch_xla"),
        ("--trainer.precision transformer-engine", r"--trainer\.precision transformer-engine.*'transformer_engine"),
        (f"{OWN_CHECKPOINT} --trainer.callbacks.save_last=true", "would overwrite best.ckpt or last.ckpt"),
        (f"{OWN_CHECKPOINT} --trainer.callbacks.filename=best", "would overwrite best.ckpt or last.ckpt"),
        (f"{OWN_CHECKPOINT} --trainer.callbacks.monitor=val_loss", "monitors val_loss, which is not logged"),
        (
            "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val_loss",
            "EarlyStopping of trainer.callbacks monitors val_loss, which is not logged",
        ),
        *(
            (f"--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor={name} {more}", f"monitors {name}, {why}")
            for name, more, why in (
                ("val/los", "", "which is not logged; train/loss and val/loss are"),
                ("train/lss", "", "which is not logged; train/loss and val/loss are"),
                ("val/auc", "", "which is not logged; train/loss and val/loss are"),
                ("val/acu", "--data.labelled_validation 0.5", "which is not logged"),
                ("val/loss", "--trainer.limit_val_batches 0", "which is not logged without validation; train/loss is"),
            )
        ),
        (
            "--optimizer Adam --lr_scheduler ReduceLROnPlateau --lr_scheduler.monitor val/los",
            "--lr_scheduler.monitor is val/los, which is not logged; train/loss and val/loss are",
        ),
    ],
)
def test_invalid_options_of_fit(fit, simulated, options, message):
    fit(simulated, message, *options.split())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("{config} --ckpt_path {best} --data.n_frames 160", "trained with n_frames=80, but the .* says n_frames=160"),
        ("{config}", r"best\.ckpt does not exist; run faithful-aad fit"),
        ("{config} --ckpt_path x.ckpt", r"x\.ckpt does not exist"),
        ("{config} --ckpt_path {config_file}", r"config\.yaml is not a checkpoint"),
    ],
)
def test_checkpoints_that_do_not_fit(rejects, fitted_run, tmp_path, command, message):
    config = fitted_run / "fit" / "config.yaml"
    best = fitted_run / "fit" / "checkpoints" / "best.ckpt"
    command = command.format(config=f"--config {config}", config_file=config, best=best)
    rejects(["test", "--run", tmp_path / "other", *command.split()], message)


def test_incomplete_configurations(rejects, tmp_path):
    config = tmp_path / "planer.yaml"
    config.write_text("trainer: {max_epochs: 1}\n")
    for options in ([], ["--config", config], ["--config", config, "--model", "Autoencoder"]):
        for stage in ("validate", "test", "predict"):
            rejects([stage, "--run", tmp_path / "nothing", *options], "--run .*nothing contains no training")
    rejects(
        ["fit", "--run", tmp_path / "nothing"],
        "required: --data, --model; give them, or a whole configuration with --config$",
    )


def test_invalid_run_folders(rejects, simulated, tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("run", "linked"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "fit").write_text("in the way")
    (tmp_path / "linked" / "fit").symlink_to(tmp_path / "nowhere")
    for folder, message in {
        "file/run": "file is a file; name another",
        "link": "link is a dangling link; name another",
        "link/run": "link is a dangling link; name another",
        "run": "run/fit is a file, but a stage needs a folder there; move it away or name another --run",
        "linked": "linked/fit is a dangling link, but a stage needs a folder there",
    }.items():
        data = ["--data", "PlanerDataModule", "--data.root", simulated]
        rejects(["fit", "--run", tmp_path / folder, *TRAIN, *data], message)
        rejects(["report", tmp_path / folder], "contains no test results|not a folder")
    rejects(["fit", "--run", "", *TRAIN, *data], "--run is empty")


CONTENTS = [
    ("trainer:\n  max_epochs: [1}\n", "is not a readable YAML mapping: line 2, column 17"),
    ("trainer:\n  max_epochs: 1\n  max_epochs: 2\n", ".*line 3, column 3: found duplicate key max_epochs"),
    ("trainer: {}".encode("utf-16"), "is not .*: it is not UTF-8 text"),
    ("seed_everything:\ntrainer:\ndata: {}\n", ": trainer is empty; give its settings"),
    *((text, "contains no settings") for text in ("- 1\n", "", "text")),
]


@pytest.mark.parametrize(("content", "message"), CONTENTS)
def test_invalid_configuration(rejects, simulated, fitted_run, tmp_path, content, message):
    run = shutil.copytree(fitted_run, tmp_path / "planer_run")
    for path in (tmp_path / "broken.yaml", run / "fit" / "config.yaml"):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = [*TRAIN, "--data", "PlanerDataModule", "--data.root", simulated, "--config", tmp_path / "broken.yaml"]
    rejects(["fit", "--run", tmp_path / "run", *options], rf"broken\.yaml ?{message}")
    rejects(["test", "--run", run], rf"planer_run/fit/config\.yaml ?{message}")


def test_incomplete_run(rejects, fitted_run, tmp_path):
    run = shutil.copytree(fitted_run, tmp_path / "planer_run")
    (run / "fit" / "finished").unlink()
    config = (run / "fit" / "config.yaml").rename(tmp_path / "planer.yaml")
    rejects(
        ["fit", "--run", run, "--config", config],
        r"last\.ckpt can't be used without .*config\.yaml, which is missing; r",
    )
    shutil.copy(config, run / "fit" / "config.yaml")
    shutil.rmtree(run / "fit" / "checkpoints")
    rejects(["test", "--run", run], r"best\.ckpt does not exist; run faithful-aad fit, again if it was interrupted")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("test --faithfulness.shifts 80", "shifts: 80 of 80 frames can't be drawn"),
        ("test --ckpt_path=", "--ckpt_path is empty"),
        ("test --model Autoencoder", r"best\.ckpt is of a MaskedAutoencoder, but the configuration says Autoencoder"),
        *((f"test --trainer.limit_test_batches {few}", "leaves nothing to test") for few in (0, 0.001)),
        *((f"validate --trainer.limit_val_batches {few}", "leaves nothing to validate") for few in (0, 0.001)),
        ("predict --data.predict_path=", r"predict_path is empty"),
        ("predict", "predict needs predict_path"),
        ("predict --data.predict_path nowhere", "nowhere"),
        ("predict --hop 3", r"--hop is 3\.0; it must be above 0 and at most the 2 s of a window"),
        ("predict --data.predict_path {data}/evaluation --persistence 4/3", r"persistence=4/3 is not valid; .* 2/3"),
    ],
)
def test_invalid_options_of_later_stages(rejects, fitted_run, simulated, command, message):
    before = files_below(fitted_run)
    rejects([*command.format(data=simulated).split(), "--run", fitted_run], message)
    assert files_below(fitted_run) == before, "earlier results are kept"


def test_a_second_training_in_one_folder(rejects, fitted_run, simulated):
    options = [*TRAIN, "--data", "PlanerDataModule", "--data.root", simulated]
    rejects(["fit", "--run", fitted_run, *options], "already contains a training with .*; give another --run")


def test_resuming_with_other_settings(rejects, fitted_run, tmp_path):
    run = tmp_path / "planer_interrupted"
    shutil.copytree(fitted_run, run)
    (run / "fit" / "finished").unlink()
    arguments = ["fit", "--run", run, "--config", run / "fit" / "config.yaml", "--model.learning_rate", "0.5"]
    rejects(
        arguments,
        r"interrupted training with model.init_args.learning_rate=0.001, now it is 0.5; give the same .* or delete it",
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("fit --model Autoencoder --model.num_heads 10", r"--model\.num_heads does not exist: .* has no such option"),
        ("fit --model OneClassSVM --model.nu abc", "error: --model.nu is abc; it must be a number$"),
        ("train", "the command 'train' does not exist; choose one of fit, validate, curve, test, predict"),
        ("fit --model Autoencoder --data PlanerDataModule --data.root x", "required: --run"),
        ("simulate", "root"),
        ("simulate {data}", "planer"),
        ("simulate {tmp}/new --train -1", "train is -1"),
        ("report", "runs"),
        ("report {tmp}/nowhere", "nowhere"),
        *(
            (f"{command} ''", "[A-Z]+ is empty; give a name")
            for command in ("report", "simulate", "data describe", "study")
        ),
        ("data slice {data} --output ''", "--output is empty; give a name"),
    ],
)
def test_invalid_commands_and_folders(rejects, simulated, tmp_path, command, message):
    rejects(shlex.split(command.format(data=simulated, tmp=tmp_path)), message)


@contextmanager
def largest_file(n_bytes):
    """Let no file grow beyond a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder):
    """A disk of 2 MB in a folder, too small for a checkpoint."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root mounts a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def small_training(simulated):
    options = ["--data", "PlanerDataModule", "--data.root", str(simulated), *TRAIN, "--data.n_frames", "80"]
    options += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    return [*options, "--trainer.enable_model_summary", "false", "--trainer.limit_train_batches", "1"]


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def last_line(captured):
    return captured.err.splitlines()[-1]


def test_training_on_a_full_disk_resumes_when_there_is_space(simulated, tmp_path, capfd):
    command = ["fit", "--run", str(tmp_path / "run"), *small_training(simulated)]
    with largest_file(1_000_000):
        assert main(command) == 2
    assert re.search(r"best\.ckpt: File too large; raise the limit", last_line(capfd.readouterr()))
    left = files_below(tmp_path / "run")
    assert "fit/config.yaml" in left
    assert not [name for name in left if "ckpt" in name or "tmp" in name]
    assert main(command) == 0
    assert (tmp_path / "run" / "fit" / "checkpoints" / "best.ckpt").is_file()


def test_training_on_a_disk_of_two_megabytes(simulated, tmp_path, capfd):
    with small_disk(tmp_path / "disk"):
        assert main(["fit", "--run", str(tmp_path / "disk" / "run"), *small_training(simulated)]) == 2
        assert re.search(r"best\.ckpt: No space left on device; free some space", last_line(capfd.readouterr()))
        assert not [name for name in files_below(tmp_path / "disk") if "ckpt" in name or "tmp" in name]


@pytest.mark.parametrize(
    ("command", "limit", "message"),
    [
        ("simulate {out}/set --train 6 --normal 1 --anomalies 4", 100_000, "{out}/set cannot be written: File too"),
        ("data slice {data}/training --output {out}/clips --seconds 5", 100_000, "{out}/clips cannot be written: File"),
        ("data describe {data} --output {out}/data.html", 10_000, "{out}/data.html cannot be written .File too large"),
        ("report runs/ae --output {out}/report.html", 10_000, "{out}/report.* cannot be written .File too large"),
        ("dashboard --output {out}/dashboard.json", 1_000, r"{out}/dashboard\.json: File too large; raise the limit"),
    ],
)
def test_results_on_a_full_disk(command, limit, message, simulated, ae_and_mae, tmp_path, capfd):
    names = {"out": tmp_path / "out", "data": simulated}
    with largest_file(limit):
        assert main(command.format(**names).split()) == 2
    told = capfd.readouterr()
    assert re.search(message.format(**names), last_line(told))
    assert all(told.err.splitlines()), "a progress bar has left an empty line"
    left = list((tmp_path / "out").rglob("*"))
    assert not [path for path in left if path.name.startswith(".")], "something half-written is left"
    assert not [path for path in left if path.is_file() and path.stat().st_size >= limit]


def test_stage_on_a_full_disk_is_not_finished(fitted_run, tmp_path, capfd):
    run = shutil.copytree(fitted_run, tmp_path / "run")
    command = ["test", "--run", str(run), "--sanity.clips", "0", "--attributions.explainers"]
    assert main([*command, "[]"]) == 0
    with largest_file(15_000):
        assert main([*command, "[error_map]"]) == 2
    assert "File too large; raise the limit" in last_line(capfd.readouterr())
    assert not (run / "test" / "finished").exists()
    assert not [name for name in files_below(run) if "tmp" in name]


def test_temporarily_unreadable_checkpoint_is_kept(fitted_run, tmp_path, capfd, monkeypatch):
    run = shutil.copytree(fitted_run, tmp_path / "run")
    (run / "fit" / "finished").unlink()

    def too_many(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr("zipfile.ZipFile", too_many)
    before = files_below(run)
    assert main(["fit", "--run", str(run), "--config", str(run / "fit" / "config.yaml")]) == 2
    assert re.search(r"last\.ckpt: Too many open files; allow more", last_line(capfd.readouterr()))
    assert files_below(run) == before, "the training resumes there when the file can be read"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("report runs/ae", "runs/ae/fit/config.yaml"),
        ("report runs/ae", "runs/ae/test/clips.csv"),
        ("report runs/ae", "runs/ae/test/examples/000004_a.npz"),
        ("fit --config c.yaml", "c.yaml"),
        ("study c.yaml", "c.yaml"),
        ("test --run {fitted}", "{fitted}/fit/config.yaml"),
        ("test --run {fitted}", "{fitted}/fit/checkpoints/best.ckpt"),
    ],
)
def test_files_without_permission_are_not_called_damaged(command, name, ae_and_mae, fitted_run, monkeypatch, capfd):
    Path("c.yaml").write_text("trainer: {max_epochs: 1}")
    names = {"fitted": fitted_run}
    name, opened = name.format(**names), open

    def forbidden(path, *arguments, **options):  # root may read everything
        if str(path).endswith(name):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr("io.open", forbidden)
    monkeypatch.setattr("builtins.open", forbidden)
    assert main(command.format(**names).split()) == 2
    assert last_line(capfd.readouterr()).endswith(
        f"{name}: Permission denied; ask for the rights to it or choose another"
    )


def test_shortages_of_the_machine():
    assert "fewer clips" in machine_mistake(MemoryError("Unable to allocate 74.5 GiB"))
    assert "num_workers 0" in machine_mistake(RuntimeError("unable to allocate shared memory(shm) for file"))
    assert "set HOME" in machine_mistake(RuntimeError("Could not determine home directory."))
    assert machine_mistake(RuntimeError("shapes differ")) == "", "an error of our own is not hidden"


def test_ascii_terminal(simulated, tmp_path, monkeypatch):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="ascii"))
    assert main(["data", "describe", str(simulated), "--output", str(tmp_path / "r×.html")]) == 0
    sys.stdout.flush()
    text = printed.getvalue().decode("ascii")
    assert "rx.html" in text
    assert re.search(r" -\d", text), "a minus is shown"
    assert "−" in (tmp_path / "r×.html").read_text(encoding="utf-8"), "files don't depend on the terminal"


def test_closed_streams(tmp_path):
    command = [sys.executable, "-m", "experiments.cli.main", "simulate", str(tmp_path / "set"), "--train", "6"]
    command += ["--normal", "1", "--anomalies", "4", "--duration", "4"]
    assert subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], check=False).returncode == 0
    assert (tmp_path / "set" / "annotations.csv").is_file()


def test_deleted_current_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["report", "run"]) == 2
    assert "the current folder does not exist any more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "options", "message"),
    [
        ({"SLURM_NTASKS": "4"}, [], r"SLURM_NTASKS=4 in the environment: .*ntasks.*unset them"),
        ({"SLURM_NTASKS": "many"}, [], "SLURM_NTASKS=many in the environment is not a number; unset it"),
        ({"LOCAL_RANK": "x"}, [], "LOCAL_RANK=x in the environment is not a number"),
        (
            dict.fromkeys(("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE"), "2")
            | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"},
            ["--trainer.devices", "2", "--trainer.strategy", "ddp"],
            "SLURM_NTASKS=2.*2 in all, and this process is not one of them",
        ),
    ],
)
def test_invalid_variables_of_a_scheduler(variables, options, message, fit, simulated, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    fit(simulated, message, "--trainer.accelerator", "cpu", *options)


def test_ignores_the_rank_of_another_job(simulated, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as Lightning reads it when it is imported
    assert main(["fit", "--run", str(tmp_path / "run"), *small_training(simulated)]) == 0
    assert {"fit/metrics.csv", "fit/figures/learning_curves.png"} <= files_below(tmp_path / "run")


def test_ignores_the_matplotlib_backend_of_the_shell():
    """Matplotlib looks at the variable when it is imported."""
    command = "from experiments.cli.main import main; main(['report', 'nowhere']); import matplotlib"
    found = subprocess.run(
        [sys.executable, "-c", f"{command}; print(matplotlib.get_backend())"],
        env=os.environ | {"MPLBACKEND": "nonsense", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines()[-1].lower() == "agg"


def test_other_commands_ignore_a_scheduler(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert main(["dashboard", "--output", str(tmp_path / "dashboard.json")]) == 0
    assert "SLURM_NTASKS" not in os.environ


def test_file_name_that_is_not_utf8(fit, planer_copy):
    clip = os.fsencode(one_training_clip(planer_copy))
    os.rename(clip, clip.replace(b"MPD", b"M\xfcD"))  # noqa: PTH104  of bytes
    fit(planer_copy, r"M\\udcfcD.*wav': the name is not UTF-8")


def test_names_with_special_characters(fitted_run, simulated, tmp_path):
    recordings, run = tmp_path / "a [b] {c}", tmp_path / "run [r] $x % ü"
    recordings.mkdir()
    samples, rate = soundfile.read(one_training_clip(simulated))
    for name in ("[red]$x %d {y}\nü.wav", "n" * 240 + ".wav"):
        soundfile.write(recordings / name, samples[: 2 * rate], rate)
    shutil.copytree(fitted_run, run)
    options = ["--data.predict_path", str(recordings), "--attributions.explainers", "[error_map]"]
    assert main(["predict", "--run", str(run), *options]) == 0
    assert len(list((run / "predict" / "figures").glob("*.png"))) == 2


def test_closed_pipe_is_not_an_error(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text("file,start,end\n" + "x.wav,2,1\n" * 1000)
    command = [sys.executable, "-m", "experiments.cli.main", "annotations", "check", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
