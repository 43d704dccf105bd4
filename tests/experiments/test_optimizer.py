"""--optimizer and --lr_scheduler: what trains, what is saved, and what a resumed training checks."""

import shutil

import pytest
import torch
import yaml

from experiments.cli.main import main
from experiments.study.process import Step

RATE = 0.5
CHOSEN = ["--optimizer", "SGD", "--optimizer.lr", str(RATE), "--lr_scheduler", "ReduceLROnPlateau"]
CHOSEN += ["--lr_scheduler.monitor", "val/loss", "--lr_scheduler.patience", "0", "--lr_scheduler.threshold", "1e9"]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """A training of three epochs on six spectrograms of 16 bands × 16 frames."""
    root = tmp_path_factory.mktemp("clips")
    for folder, count in (("train", 6), ("test/normal", 1), ("test/anomaly", 1)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            torch.save(torch.randn(16, 16), root / folder / f"{folder.replace('/', '_')}{number}.pt")
    options = ["--data", "AudioFolderDataModule", "--data.root", str(root), "--data.n_frames", "16"]
    options += ["--data.frontend.n_mels", "16", "--trainer.max_epochs", "3", "--trainer.accelerator", "cpu"]
    options += ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
    return [*options, "--model", "Autoencoder", "--model.backbone", "cae", "--wandb.mode", "disabled"]


@pytest.fixture(scope="module")
def run(arguments, tmp_path_factory):
    """The folder of a training with another optimiser."""
    folder = tmp_path_factory.mktemp("runs") / "sgd"
    assert main(["fit", "--run", str(folder), *arguments, *CHOSEN]) == 0
    return folder


def test_trains_with_the_chosen_optimiser_and_schedule(run):
    last = torch.load(run / "fit" / "checkpoints" / "last.ckpt", weights_only=True)
    (group,) = last["optimizer_states"][0]["param_groups"]
    assert "betas" not in group, "not AdamW"
    # The loss never falls by 1e9, so each epoch after the first has a tenth of the rate.
    assert group["lr"] == pytest.approx(RATE / 100)


def test_one_place_says_the_learning_rate(run):
    config = yaml.safe_load((run / "fit" / "config.yaml").read_text())
    assert config["optimizer"]["class_path"] == "torch.optim.SGD"
    assert config["optimizer"]["init_args"]["lr"] == RATE
    assert config["lr_scheduler"]["init_args"]["monitor"] == "val/loss"
    ignored = {"learning_rate", "min_learning_rate", "restart_epochs", "weight_decay"}
    assert not ignored & config["model"]["init_args"].keys()
    best = torch.load(run / "fit" / "checkpoints" / "best.ckpt", weights_only=True)
    assert not ignored & best["hyper_parameters"].keys()
    assert main(["test", "--run", str(run), "--attributions.explainers", "[]"]) == 0


def test_resuming_checks_the_optimiser(run, arguments, tmp_path, capsys):
    interrupted = shutil.copytree(run, tmp_path / "interrupted")
    (interrupted / "fit" / "finished").unlink()
    command = ["fit", "--run", str(interrupted), *arguments]
    assert main([*command, *CHOSEN, "--optimizer.momentum", "0.9"]) == 2
    assert "interrupted training with optimizer.init_args.momentum=0" in capsys.readouterr().err
    assert main(command) == 2
    assert "interrupted training with " in capsys.readouterr().err
    assert main([*command, *CHOSEN]) == 0


def state(folder):
    """Weights and optimiser at the end of a training, its scheduler, and what it logged."""
    last = torch.load(folder / "fit" / "checkpoints" / "last.ckpt", weights_only=True)
    logged = (folder / "fit" / "metrics.csv").read_text()
    return [last["state_dict"], last["optimizer_states"]], last["lr_schedulers"], logged


@pytest.fixture(scope="module")
def plateau(arguments):
    """The arguments of a training whose rate falls to a tenth in each epoch but the first."""
    return [*arguments, *CHOSEN, "--optimizer.lr", "0.01"]


@pytest.fixture(scope="module")
def uninterrupted(plateau, tmp_path_factory):
    """The end of such a training of five epochs."""
    folder = tmp_path_factory.mktemp("runs") / "straight"
    assert main(["fit", "--run", str(folder), *plateau, "--trainer.max_epochs", "5"]) == 0
    return state(folder)


@pytest.mark.parametrize("how", ["interrupted", "interrupted, with a damaged last.ckpt", "finished"])
def test_resumed_training_keeps_every_step_of_a_plateau_scheduler(plateau, uninterrupted, tmp_path, how):
    more = ["--trainer.max_epochs", "5"]
    if how == "finished":
        assert main(["fit", "--run", str(tmp_path), *plateau]) == 0
    else:
        more += ["--trainer.callbacks+=interruptions.InterruptOnce"]
        more += [f"--trainer.callbacks.marker={tmp_path / 'marker'}"]
        assert main(["fit", "--run", str(tmp_path), *plateau, *more]) == 130
        if how != "interrupted":
            (tmp_path / "fit" / "checkpoints" / "last.ckpt").write_bytes(b"damaged")
    assert main(["fit", "--run", str(tmp_path), *plateau, *more]) == 0
    (resumed, *others), (whole, *expected) = state(tmp_path), uninterrupted
    assert others == expected
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)
    assert resumed[1][0]["param_groups"][0]["lr"] == pytest.approx(1e-2 / 10**4), "a tenth in each epoch but the first"


def test_rejects_settings_that_the_optimiser_does(arguments, tmp_path, capsys):
    assert main(["fit", "--run", str(tmp_path), *arguments, "--optimizer", "SGD", "--optimizer.lr", "-1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "faithful-aad fit: error: --optimizer torch.optim.SGD: Invalid learning rate: -1.0"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["plugins+=TorchCheckpointIO", "strategy=foo", "profiler=foo", "max_time=soon"])
def test_names_the_trainer_option_that_lightning_rejects(arguments, tmp_path, capsys, option):
    assert main(["fit", "--run", str(tmp_path), *arguments, f"--trainer.{option}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"faithful-aad fit: error: --trainer.{option.partition('=')[0].rstrip('+')}")


def test_a_step_is_not_misled_by_folders_of_the_user(tmp_path, monkeypatch):
    for name in ("experiments", "metrics", "datamodules"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('imported the {name} of the user')")
    monkeypatch.chdir(tmp_path)
    step = Step("chance", ["chance", "nowhere.csv", "--seconds", "10"], tmp_path / "mark", tmp_path / "log.txt")
    assert step.start({"PATH": ""}).wait() == 2
    assert step.end(2).startswith("faithful-aad chance: error: nowhere.csv cannot be read")
