"""Trainings that are stopped, diverge, make no step or begin with other weights, and the stages after them."""

import itertools
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from unittest.mock import MagicMock

import pytest
import torch
import yaml

from datamodules.files import write_recording
from experiments.cli.commands import Command
from experiments.cli.errors import stopped_by_signals
from experiments.cli.main import main
from experiments.runs.checkpoints import read_checkpoint
from experiments.runs.config import read_config
from experiments.runs.folder import RunFolder
from experiments.study.local import run_jobs
from experiments.study.process import Step
from lightning_modules import Autoencoder, ConfigurationError

COMMON = ["--model", "Autoencoder", "--model.backbone", "cae", "--data", "PlanerDataModule", "--data.n_frames", "80"]
COMMON += ["--data.batch_size", "4", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
COMMON += ["--trainer.enable_model_summary", "false", "--attributions.validation_explainers", "[]"]
COMMON += ["--wandb.mode", "disabled", "--trainer.max_epochs", "3"]
STEPS_OF_AN_EPOCH = 3
UNEXPLAINED = ["--attributions.explainers", "[]"]


@pytest.fixture
def train(simulated, tmp_path):
    """Train in a folder; gives the exit status and the folder."""

    def run(*options, name="run"):
        folder = tmp_path / name
        command = ["fit", "--run", folder, *COMMON, "--data.root", simulated, *options]
        return main([str(argument) for argument in command]), RunFolder(folder)

    return run


@pytest.fixture(scope="module")
def finished(simulated, tmp_path_factory):
    """The folder of a training that ran to its end."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main(["fit", "--run", str(folder), *COMMON, "--data.root", str(simulated)]) == 0
    return RunFolder(folder)


@pytest.fixture
def at_step(monkeypatch):
    """Do something once, before the loss of a training step; its result multiplies the loss."""

    def arrange(number, action):
        original, done = Autoencoder.training_loss, []

        def training_loss(module, x):
            factor = 1.0
            if module.global_step + 1 == number and not done:
                done.append(number)
                factor = action(module)
            return factor * original(module, x)

        monkeypatch.setattr(Autoencoder, "training_loss", training_loss)

    return arrange


def kill(number):
    """An action that sends a signal to this process."""
    return lambda module: os.kill(os.getpid(), number)


def epoch(path):
    """Epochs that a checkpoint has seen."""
    return read_checkpoint(path)["epoch"] + 1


def contents(folder):
    return {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in folder.rglob("*")}


def test_results_are_put_aside_until_there_are_new_ones(tmp_path):
    run, result = RunFolder(tmp_path), tmp_path / "predict/labels/a.txt"
    result.parent.mkdir(parents=True)
    result.write_text("first")
    with pytest.raises(KeyboardInterrupt), run.replacing("predict"):
        (tmp_path / "predict").mkdir()
        (tmp_path / "predict/half.csv").touch()
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "predict").rglob("*")] == ["labels", "a.txt"]

    (tmp_path / "predict").rename(tmp_path / "predict.earlier")  # by a process that was killed
    (tmp_path / "predict").mkdir()
    with pytest.raises(KeyboardInterrupt), run.replacing("predict"):
        raise KeyboardInterrupt
    assert result.read_text() == "first"

    with run.replacing("predict"):
        (tmp_path / "predict").mkdir()
        (tmp_path / "predict/new.csv").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["predict", "new.csv"]


def test_stopped_training_says_so_and_resumes(train, finished, at_step, capsys):
    before = signal.getsignal(signal.SIGTERM)
    at_step(2 * STEPS_OF_AN_EPOCH + 2, kill(signal.SIGTERM))
    status, run = train()
    assert status == 143
    assert signal.getsignal(signal.SIGTERM) is before
    *_, line = capsys.readouterr().err.splitlines()
    assert "stopped by SIGTERM in epoch 3; the same command resumes after the last whole epoch" in line
    assert not run.is_finished("fit")
    assert epoch(run.last_checkpoint) == 2
    assert train()[0] == 0
    assert (run.path / "fit/metrics.csv").read_bytes() == (finished.path / "fit/metrics.csv").read_bytes()


def test_training_stopped_in_its_first_epoch(train, at_step, capsys):
    at_step(1, kill(signal.SIGINT))
    assert train()[0] == 130
    assert "stopped by SIGINT in epoch 1; the same command begins it again" in capsys.readouterr().err


def test_results_of_an_unfinished_training_carry_a_caution(train, at_step, simulated, capsys):
    at_step(STEPS_OF_AN_EPOCH + 1, kill(signal.SIGTERM))
    _, run = train()
    caution = "training unfinished: epoch 1"
    recordings = ["--data.predict_path", str(simulated / "evaluation/normal")]
    for stage, options in {"validate": [], "predict": recordings, "test": []}.items():
        capsys.readouterr()
        assert main([stage, "--run", str(run.path), *UNEXPLAINED, *options]) == 0
        shown = capsys.readouterr()
        assert f"caution: {caution};" in shown.err
        assert (run.path / stage / "caution.txt").read_text() == f"{caution}\n"
    shown_text = " ".join(shown.out.split())
    assert f"({run.path}): {caution}. Finish it and run faithful-aad test again." in shown_text
    assert main(["report", str(run.path), "--output", str(run.path / "report.html")]) == 0
    assert caution in (run.path / "report.html").read_text()

    assert train()[0] == 0
    capsys.readouterr()
    assert main(["validate", "--run", str(run.path), *UNEXPLAINED]) == 0
    assert "training unfinished" not in "".join(capsys.readouterr())
    assert not (run.path / "validate" / "caution.txt").exists()


@pytest.mark.parametrize("lost", ["metrics.csv", "last.ckpt", "both checkpoints"])
def test_resumed_training_warns_of_damaged_files(train, at_step, finished, lost, capsys):
    at_step(2 * STEPS_OF_AN_EPOCH + 2, kill(signal.SIGTERM))
    _, run = train()
    checkpoints = run.last_checkpoint.parent
    metrics = run.path / "fit/metrics.csv"
    if lost == "metrics.csv":
        metrics.write_bytes(bytes(range(256)))
        message = (
            f"warning: {metrics} lacks 1 epoch before this one; what was there is damaged and kept as metrics.damaged"
        )
        kept = metrics
    else:
        run.last_checkpoint.write_bytes(bytes(range(256)))
        message = f"resuming from {checkpoints / 'best.ckpt'}"
        kept = run.last_checkpoint
        if lost == "both checkpoints":
            run.checkpoint("best").unlink()
            message = f"the training in {run.path} begins again with its first epoch"
    capsys.readouterr()
    assert train()[0] == 0
    assert message in capsys.readouterr().err
    assert kept.with_suffix(".damaged").read_bytes() == bytes(range(256))
    whole = (finished.path / "fit/metrics.csv").read_text().splitlines()
    assert (whole == metrics.read_text().splitlines()) == (lost != "metrics.csv")
    assert [line for line in whole if line.startswith("2,")] == [
        line for line in metrics.read_text().splitlines() if line.startswith("2,")
    ]


def test_resumed_training_warns_of_missing_scalars(train, at_step, capsys):
    at_step(2 * STEPS_OF_AN_EPOCH + 2, kill(signal.SIGTERM))
    _, run = train()
    (run.path / "fit/metrics.csv").unlink()
    assert train()[0] == 0
    assert "fit/metrics.csv lacks 1 epoch before this one" in capsys.readouterr().err


def test_results_of_some_of_the_clips_carry_a_caution(finished, simulated, tmp_path, capsys):
    run = shutil.copytree(finished.path, tmp_path / "part")
    recordings = ["--data.predict_path", str(simulated / "evaluation/normal")]
    clips = {"validate": (["--data.batch_size", "1", "--data.val_fraction", "0.25"], 1, 3)}
    clips |= {"predict": ([*recordings, "--data.batch_size", "4"], 4, 30), "test": (["--data.batch_size", "4"], 4, 14)}
    for stage, (options, used, whole) in clips.items():
        limit = f"--trainer.limit_{'val' if stage == 'validate' else stage}_batches"
        capsys.readouterr()
        assert main([stage, "--run", str(run), *UNEXPLAINED, *options, limit, "1"]) == 0
        shown = capsys.readouterr()
        caution = f"{limit} 1 leaves {used} of {whole} {'windows' if stage == 'predict' else 'clips'}"
        assert f"caution: {caution}; this holds for {run / stage}" in shown.err
        assert (run / stage / "caution.txt").read_text() == f"{caution}\n"
    assert f"{caution}. Run faithful-aad test again." in " ".join(shown.out.split())
    assert main(["test", "--run", str(run), *UNEXPLAINED, limit, "1.0"]) == 0
    assert "leaves" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "cut"),
    [
        (["--trainer.limit_train_batches", "1"], r"--trainer\.limit_train_batches 1 leaves 4 of 11 clips per epoch"),
        (["--trainer.overfit_batches", "1"], r"--trainer\.overfit_batches 1 leaves 4 of 11 clips per epoch"),
        (
            ["--trainer.max_time", "00:00:00:01"],
            r"the limit of time \(--trainer\.max_time\) ended it in epoch 2 of 3",
        ),
        (["--trainer.limit_train_batches", "1.0", "--trainer.max_time", "00:00:10:00"], ""),
    ],
)
def test_what_cut_a_training_is_a_caution_of_later_stages(train, at_step, options, cut, capsys):
    if "ended" in cut:
        at_step(STEPS_OF_AN_EPOCH + 1, lambda module: time.sleep(1.1) or 1.0)
    status, run = train(*options)
    assert status == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "trained in part" in line]
    assert len(told) == bool(cut)
    assert main(["validate", "--run", str(run.path), *UNEXPLAINED]) == 0
    assert bool(re.search(f"caution: trained in part: {cut}; this", capsys.readouterr().err)) == bool(cut)
    if cut:
        assert re.fullmatch(f"caution: trained in part: {cut}; this holds for {run.path / 'fit'} and later.*", told[0])
        assert re.fullmatch(f"trained in part: {cut}\n", (run.path / "validate" / "caution.txt").read_text())


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_trains_in_every_precision(train, precision):
    summary = ["--trainer.enable_model_summary", "true"]
    assert train("--trainer.precision", precision, "--trainer.max_epochs", "1", *summary)[0] == 0


def test_training_resumes_with_other_settings_of_the_machine(train, at_step, finished, tmp_path):
    at_step(2 * STEPS_OF_AN_EPOCH + 2, kill(signal.SIGTERM))
    assert train()[0] == 143
    machine = ["--data.num_workers", "1", "--data.cache_dir", str(tmp_path / "cache"), "--data.pin_memory", "false"]
    status, run = train(*machine, "--data.resident", "true")
    assert status == 0
    assert (run.path / "fit/metrics.csv").read_bytes() == (finished.path / "fit/metrics.csv").read_bytes()


class KilledByItsEnd:
    """Sends SIGTERM while the interpreter collects it."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signals_stop_every_command(monkeypatch, finished, capsys):
    monkeypatch.setattr(Command, "run", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["chance"]) == 143
    assert capsys.readouterr().err == (
        "faithful-aad chance: stopped by SIGTERM before the end; give the same command again\n"
    )
    monkeypatch.setattr(Command, "run", lambda *_: KilledByItsEnd())
    assert main(["chance"]) == 143, "also where the interpreter drops what the handler raises"
    monkeypatch.undo()


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_stopped_stage_says_after_how_many_batches(finished, simulated, monkeypatch, capsys, stage):
    def stop_in_second_batch(self, batch, batch_idx, dataloader_idx=0):
        if batch_idx == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, batch, batch_idx)

    step = "validation_step" if stage == "validate" else f"{stage}_step"
    original = getattr(Autoencoder, step)
    monkeypatch.setattr(Autoencoder, step, stop_in_second_batch)
    batches = ["--data.batch_size", "1", "--data.val_fraction", "0.25"]
    recordings = ["--data.predict_path", str(simulated / "evaluation/normal")]
    assert main([stage, "--run", str(finished.path), *UNEXPLAINED, *batches, *recordings]) == 130
    *_, line = capsys.readouterr().err.splitlines()
    n_batches = {"validate": 3, "test": 14, "predict": 30}[stage]
    assert line == (
        f"faithful-aad {stage}: stopped by SIGINT after 1 of {n_batches} batches; the same command begins {stage} again"
    )
    assert not finished.is_finished(stage)


@pytest.mark.parametrize(
    ("command", "module", "message"),
    [
        (
            "simulate {out} --train 12 --normal 2 --anomalies 8 --workers 1",
            "simulator.dataset",
            r"after \d+ files?, which are deleted; the same command begins {out} again",
        ),
        (
            "data slice {slider}/slider/train --output {out} --seconds 2",
            "recordings.cutting",
            r"in .*normal_id_00_00000001.wav, after 1 of 6 recordings; the same command goes on with it",
        ),
    ],
    ids=["simulate", "slice"],
)
def test_stopped_command_says_what_goes_on(monkeypatch, slider, tmp_path, capsys, command, module, message):
    n_written = itertools.count()

    def stop_before_the_second(*arguments):
        if next(n_written) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        write_recording(*arguments)

    monkeypatch.setattr(f"datamodules.{module}.write_recording", stop_before_the_second)
    assert main(command.format(slider=slider, out=tmp_path / "out").split()) == 130
    *_, line = capsys.readouterr().err.splitlines()
    assert re.search(f": stopped by SIGINT {message.format(out=tmp_path / 'out')}$", line), line


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopped_by_signals() as received:
            os.kill(os.getpid(), signal.SIGINT)
        assert received == []
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_stopped_study_ends_its_processes_and_says_where_it_was(monkeypatch, tmp_path, capsys):
    started = []
    run = RunFolder(tmp_path / "run")
    run.fit_config.parent.mkdir(parents=True)
    run.fit_config.write_text("trainer: {max_epochs: 5}")
    (run.path / "fit" / "metrics.csv").write_text("epoch,step\n0,1\n1,3\n")

    class Sleeping(Step):
        def start(self, environment):
            started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
            return started[-1]

    steps = [Sleeping(f"AE seed {seed}: fit", ["fit"], run.mark("fit"), run.path / "log.txt") for seed in range(3)]
    progress = MagicMock()
    progress.begin = lambda step: os.kill(os.getpid(), signal.SIGTERM)
    monkeypatch.setattr(Command, "run", lambda *_: run_jobs([steps[:2], steps[2:]], 1, progress))
    assert main(["study"]) == 143
    assert [process.returncode for process in started] == [-signal.SIGTERM], "no further step has started"
    assert capsys.readouterr().err == (
        "faithful-aad study: stopped by SIGTERM during AE seed 0: fit (epoch 2/5 done); the same command goes on from "
        "there\n"
    )


def assert_diverged(status, run, message, capsys):
    """One line, status 1, and the checkpoints of the first epoch."""
    assert status == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line
    assert "try a lower learning_rate (now 0.001)" in line
    assert "precision" not in line, "which is 32 already"
    assert "The same options would fail again" in line
    assert not run.is_finished("fit")
    assert epoch(run.last_checkpoint) == 1, "read_checkpoint rejects weights that are not finite"
    assert not list(run.path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("factor", "options", "message"),
    [
        (math.nan, [], r"the validation loss is nan in epoch 2, after 6 steps .*not finite since step 5"),
        (math.nan, ["--model.weight_decay", "2000"], r"a lower weight_decay \(now 2000\)"),
        (math.inf, ["--trainer.limit_val_batches", "0"], r"the training loss is (inf|nan) in epoch 2.* since step 5"),
    ],
)
def test_diverging_training_fails_and_keeps_good_checkpoints(train, at_step, capsys, factor, options, message):
    at_step(STEPS_OF_AN_EPOCH + 2, lambda module: factor)
    assert_diverged(*train(*options), message, capsys)


def test_does_not_save_weights_that_are_not_finite(train, monkeypatch, capsys):
    def spoil(module, *_):
        if module.global_step == 2 * STEPS_OF_AN_EPOCH:
            with torch.no_grad():
                next(module.parameters()).fill_(math.nan)

    monkeypatch.setattr(Autoencoder, "on_train_batch_end", spoil)
    assert_diverged(*train("--trainer.limit_val_batches", "0"), "weights are NaN or infinite in epoch 2", capsys)


def test_stages_reject_weights_that_are_not_finite(train, finished, tmp_path, simulated, capsys):
    path = tmp_path / "spoilt.ckpt"
    checkpoint = torch.load(finished.checkpoint("best"), weights_only=True)
    next(iter(checkpoint["state_dict"].values())).view(-1)[0] = math.inf
    torch.save(checkpoint, path)
    for stage in ("validate", "predict", "test"):
        options = [
            "--data.predict_path",
            str(simulated / "evaluation"),
            "--ckpt_path",
            str(path),
        ]
        assert main([stage, "--run", str(finished.path), *options]) == 2
        assert "spoilt.ckpt has weights that are NaN or infinite" in capsys.readouterr().err
    assert train("--init_from", path)[0] == 2


def test_training_that_stopped_early_is_not_resumed(train):
    """Of one that was killed between its last checkpoint and the mark of its end."""
    options = ["--model.patience", "1", "--model.min_delta", "1e9", "--trainer.max_epochs", "9"]
    _, run = train(*options)
    assert epoch(run.last_checkpoint) == 2
    logged = (run.path / "fit/metrics.csv").read_bytes()
    run.mark("fit").unlink()
    assert train(*options)[0] == 0
    assert run.is_finished("fit")
    assert epoch(run.last_checkpoint) == 2
    assert (run.path / "fit/metrics.csv").read_bytes() == logged


def test_best_and_last_checkpoint_also_in_a_moved_folder(train, at_step, monkeypatch, tmp_path):
    monkeypatch.setattr(
        Autoencoder, "validation_loss", lambda module, x, *_: torch.full((len(x),), 1.0 + module.current_epoch)
    )
    at_step(2 * STEPS_OF_AN_EPOCH + 1, kill(signal.SIGTERM))
    _, run = train()
    assert [epoch(run.checkpoint(name)) for name in ("best", "last")] == [1, 2], "the first epoch validates best"
    shutil.move(run.path, tmp_path / "moved")
    status, moved = train(name="moved")
    assert status == 0
    assert [epoch(moved.checkpoint(name)) for name in ("best", "last")] == [1, 3]


OWN = [
    "--trainer.callbacks+=ModelCheckpoint",
    "--trainer.callbacks.monitor=val/loss",
    "--trainer.callbacks.filename=own",
]


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        (["--trainer.limit_val_batches", "0"], 3),
        (["--trainer.max_steps", "1", "--trainer.num_sanity_val_steps", "0"], 1),
        (["--trainer.check_val_every_n_epoch", "2", "--trainer.overfit_batches", "1"], 3),
        (["--trainer.val_check_interval", "0.5", "--trainer.accumulate_grad_batches", "9"], 3),
        (OWN, 3),
    ],
)
def test_unusual_trainings_keep_usable_checkpoints(train, options, epochs):
    status, run = train(*options)
    assert status == 0
    assert run.is_finished("fit")
    assert epoch(run.last_checkpoint) == epochs
    assert 1 <= epoch(run.checkpoint("best")) <= epochs
    assert (run.path / "fit/checkpoints/own.ckpt").is_file() == (options is OWN)


def test_training_without_a_step_is_not_finished(train, capsys):
    status, run = train("--trainer.max_time", "00:00:00:00")
    assert status == 2
    assert "the training made no step" in capsys.readouterr().err
    assert not run.is_finished("fit")


def test_training_begins_with_the_weights_of_another(train, finished, capsys):
    best = finished.checkpoint("best")
    barely = ["--trainer.max_steps", "1", "--model.learning_rate", "1e-9", "--model.min_learning_rate", "1e-9"]
    status, run = train("--init_from", best, *barely)
    assert status == 0
    begun, given = (read_checkpoint(path) for path in (run.last_checkpoint, best))
    assert (begun["epoch"], begun["global_step"]) == (0, 1), "epochs and optimiser are new"
    for name, value in begun["state_dict"].items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(value, given["state_dict"][name], rtol=0, atol=1e-6)
    assert main(["validate", "--run", str(run.path), *UNEXPLAINED]) == 0, "with the configuration and its --init_from"

    for options, message in {
        ("--init_from", best, "--data.reference_level", "-9"): "with data.reference_level=0.0, but .*=-9.0",
        ("--init_from", best, "--model", "MaskedAutoencoder"): "is of an Autoencoder, but .* MaskedAutoencoder",
        ("--init_from", finished.path): "is a folder; name a checkpoint, such as fit/checkpoints/best.ckpt",
        ("--ckpt_path", best): "fit takes no --ckpt_path: .*--init_from",
    }.items():
        capsys.readouterr()
        status, other = train(*options, name="other")
        assert status == 2
        assert re.search(message, capsys.readouterr().err)
        assert not other.path.exists()
    assert main(["test", "--run", str(run.path), "--init_from", str(best)]) == 2


def test_checkpoint_needs_the_spectrograms_it_was_trained_on(finished, tmp_path, capsys, recwarn):
    before = contents(finished.path)
    for option, value, was in [("reference_level", "-10.0", "0.0"), ("frontend.f_max", "8000.0", "10000.0")]:
        assert main(["test", "--run", str(finished.path), f"--data.{option}", value]) == 2
        message = f"trained with data.{option}={was}, but the configuration says data.{option}={value}"
        assert message in capsys.readouterr().err
    assert contents(finished.path) == before

    checkpoint = torch.load(finished.checkpoint("best"), weights_only=True)
    assert checkpoint["signal_settings"]["frontend.hop"] == 0.025
    without = {key: value for key, value in checkpoint.items() if key not in ("signal_settings", "package_version")}
    other = tmp_path / "other.ckpt"
    for saved, message in [
        (checkpoint | {"package_version": "0.0.0"}, "is of version 0.0.0 of faithful-aad"),
        (without, "doesn't say which front end and reference level it was trained with"),
    ]:
        torch.save(saved, other)
        recwarn.clear()
        command = ["validate", "--run", str(tmp_path / "run"), "--config", str(finished.fit_config)]
        assert main([*command, "--ckpt_path", str(other)]) == 0
        assert any(message in str(warning.message) for warning in recwarn)
        Autoencoder.load_from_checkpoint(other)

    signal = {key: value for key, value in checkpoint["signal_settings"].items() if key != "channel"}
    torch.save(checkpoint | {"signal_settings": signal}, other)
    assert main([*command, "--ckpt_path", str(other)]) == 2, "a setting that did not exist then may have been another"
    assert "trained with data.channel=unknown, but the configuration says data.channel=mix" in capsys.readouterr().err


def test_options_that_are_gone_do_not_keep_a_run_from_later_stages(finished, tmp_path):
    run = shutil.copytree(finished.path, tmp_path / "earlier")
    config = run / "fit/config.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["data"]["init_args"]["crop"] = False
    settings["predictions"]["percentile"] = 98
    config.write_text(yaml.safe_dump(settings))
    assert main(["validate", "--run", str(run), *UNEXPLAINED]) == 0
    assert "crop" not in (run / "validate/config.yaml").read_text()


def test_trial_run_writes_nothing(train, finished, simulated, tmp_path, monkeypatch, capsys):
    run = shutil.copytree(finished.path, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert main(["test", "--run", str(run), *UNEXPLAINED]) == 0
    before = contents(tmp_path)
    trial = ["--trainer.fast_dev_run", "true"]
    assert train(*trial, name="new")[0] == train(*trial)[0] == 0
    recordings = ["--data.predict_path", str(simulated / "evaluation/normal")]
    for stage, options in {"validate": [], "test": [], "predict": recordings}.items():
        few = ["--attributions.explainers", "[error_map]", "--attributions.examples", "1", "--sanity.clips", "0"]
        assert main([stage, "--run", str(run), *trial, *options, *few]) == 0, capsys.readouterr().err
    assert contents(tmp_path) == before


def test_one_process_runs_a_stage(train, tmp_path, capsys):
    run = RunFolder(tmp_path / "run")
    with run.alone("fit"):
        assert train()[0] == 2
        assert "another process is running fit" in capsys.readouterr().err
        assert {path.name for path in run.path.iterdir()} == {".fit.lock"}
        with run.alone("test"), pytest.raises(ConfigurationError, match="is running test"), run.alone("test"):
            pass
    assert train()[0] == 0
    assert not list(run.path.glob(".*"))


def test_rejects_a_checkpoint_as_run(finished, capsys):
    assert main(["test", "--run", str(finished.last_checkpoint)]) == 2
    assert "is a checkpoint; name the folder of its run" in capsys.readouterr().err


def weights(run):
    """Weights, optimiser and schedule at the end of a training, and its best weights."""
    last, best = (torch.load(run.checkpoint(name), weights_only=True) for name in ("last", "best"))
    return [last["state_dict"], last["optimizer_states"], last["lr_schedulers"], best["state_dict"]]


@pytest.mark.parametrize("options", [[], ["--trainer.limit_val_batches", "0"]], ids=["validated", "not validated"])
def test_finished_training_goes_on_to_a_higher_bound(train, options, capsys):
    _, straight = train(*options, "--trainer.max_epochs", "4", name="straight")
    status, run = train(*options, "--trainer.max_epochs", "2")
    validated = ["validate", "--run", str(run.path), *UNEXPLAINED, "--trainer.limit_val_batches", "1.0"]
    assert main(validated) == status == 0
    capsys.readouterr()
    assert train(*options, "--trainer.max_epochs", "4")[0] == 0
    assert f"{run.path} goes on after epoch 2" in capsys.readouterr().err
    assert run.is_finished("fit")
    assert run.epochs() == (4, 4)
    assert (run.path / "fit/metrics.csv").read_bytes() == (straight.path / "fit/metrics.csv").read_bytes()
    torch.testing.assert_close(weights(run), weights(straight), rtol=0, atol=0)
    caution = (run.path / "validate" / "caution.txt").read_text()
    assert caution == "made after epoch 2 of a training that went on\n"


def test_training_that_goes_on_can_be_interrupted(train, finished, at_step):
    _, run = train("--trainer.max_epochs", "1")
    at_step(2 * STEPS_OF_AN_EPOCH + 2, kill(signal.SIGTERM))
    assert train()[0] == 143
    assert not run.is_finished("fit")
    assert train()[0] == 0
    assert (run.path / "fit/metrics.csv").read_bytes() == (finished.path / "fit/metrics.csv").read_bytes()


def test_finished_training_rejects_other_changes(train, finished, capsys):
    def rejected(run, *options):
        before = contents(run.path)
        command = ["fit", "--run", str(run.path), *COMMON, "--data.root", root, *options]
        assert main(command) == 2
        assert contents(run.path) == before
        return capsys.readouterr().err

    _, stopped = train("--model.patience", "1", "--model.min_delta", "1e9", "--trainer.max_epochs", "9")
    root = read_config(finished.fit_config)["data"]["init_args"]["root"]
    assert "already contains a training; give another --run" in rejected(finished)
    more = ["--trainer.max_epochs", "20"]
    changed = rejected(finished, *more, "--model.learning_rate", "0.1")
    assert "with model.init_args.learning_rate=0.001, now it is 0.1;" in changed
    assert "with trainer.max_epochs=3, now it is 2; give another" in rejected(finished, "--trainer.max_epochs", "2")
    early = rejected(stopped, *more, "--model.patience", "1", "--model.min_delta", "1e9")
    assert "which ended after 2 of 9 epochs; a higher max_epochs does not change that" in early
