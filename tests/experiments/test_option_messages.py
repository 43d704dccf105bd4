"""A value of a wrong type is told in one short line that names the option, for every option of every command."""

import inspect
from importlib import import_module

import pytest

from datamodules import AudioFolderDataModule, SpectrogramDataModule
from experiments.cli.commands import COMMANDS, STAGE
from experiments.cli.main import main
from experiments.cli.one_line_parser import accepted_values
from experiments.study.checks import _Stages
from lightning_modules import MaskedAutoencoder, ReconstructionModule

STAGES = ("fit", "validate", "test", "predict")
WRONG = "[{a: 1}]"
# Any text is one of these until the trainer is built: names of accelerators, of files and folders, of runs.
TEXTS = {
    *(f"--trainer.{name}" for name in ("accelerator", "strategy", "devices", "max_time", "val_check_interval")),
    *(f"--trainer.{name}" for name in ("gradient_clip_algorithm", "profiler", "default_root_dir", "model_registry")),
    *(f"--wandb.{name}" for name in ("project", "name", "group", "job_type")),
    *("--run", "--init_from", "--ckpt_path", "--predictions.persistence", "--predictions.condition"),
}
# Messages say the short options of predict.
SHORT = {"--data.predict_hop": "--hop", "--data.calibration_path": "--calibrate"}
SHORT |= {f"--predictions.{name}": f"--{name}" for name in ("alpha", "false_alarms_per_day", "alarm_score", "block")}
NO_VALUES = {"--help", "--config", "--print_config"}
MODEL = (MaskedAutoencoder, ReconstructionModule)
DATA = (AudioFolderDataModule, SpectrogramDataModule)


@pytest.fixture(scope="module")
def stages():
    """The parsers of all stages, which take a second to build."""
    return _Stages()


def options(parser):
    """Every option of a stage, and those of a model and a data set."""
    for action in parser._actions:
        yield from (name for name in action.option_strings if name.startswith("--") and name[-1] != "+")
    for section, classes in (("model", MODEL), ("data", DATA)):
        for each in classes:
            yield from (f"--{section}.{name}" for name in inspect.signature(each).parameters if name != "settings")


def test_every_option_says_what_it_accepts(stages):
    given = ["--run=r", "--model=MaskedAutoencoder", "--data=AudioFolderDataModule", "--data.root=x"]
    told: dict[str, str] = {}
    for stage in STAGES:
        for name in set(options(stages._subcommand_parsers[stage])) - told.keys() - NO_VALUES:
            if not name.endswith(".help"):
                told[name] = stages.mistake([stage, *given, f"{name}={WRONG}"])
    assert len(told) > 100
    shown = {name: SHORT.get(name, name) for name in told}
    silent = {
        name
        for name, message in told.items()
        if not message.startswith((f"{shown[name]} ", f"{name}.a does not exist"))
    }
    assert silent <= TEXTS
    assert {name: message for name, message in told.items() if len(message) > 250 or "\n" in message} == {}


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.target != STAGE])
def test_every_option_of_other_commands_says_what_it_accepts(name, capsys):
    module, _, function = COMMANDS[name].target.partition(":")
    given = [*name.split(), *("x" for _ in COMMANDS[name].positionals)]
    for option, parameter in inspect.signature(getattr(import_module(module), function)).parameters.items():
        if option in (*COMMANDS[name].positionals, COMMANDS[name].after_dashes) or "str" in str(parameter.annotation):
            continue
        assert main([*given, f"--{option}={WRONG}"]) == 2
        message = capsys.readouterr().err
        assert message.startswith(f"faithful-aad {name}: error: --{option}"), "named"
        assert message.count("\n") == 1
        assert len(message) < 250


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--trainer.precision 12", "--trainer.precision is 12; it must be one of 64, 32, 16, transformer-engine, "),
        ("--trainer.logger [x]", "--trainer.logger is ['x']; it must be a class path of Logger or a list of them or"),
        ("--wandb.mode dry", "--wandb.mode is dry; it must be one of offline, online, disabled or null"),
        ("--data.channel x", "--data.channel is x; it must be a whole number or mix"),
        ("--data.frontend [1]", "--data.frontend is [1]; it must be a mapping"),
        ("--wandb x.yaml", "--wandb is x.yaml; it must be a mapping"),
        ("--model.n_frames 3", "--model.n_frames follows from the data; give --data.n_frames"),
        ("--optimizer AdmW", "--optimizer 'AdmW' does not exist; give a class path such as my_lab.MyOptimizer"),
        (
            "--optimizer.lr 1",
            "--optimizer.lr does not exist: torch.optim.Optimizer has no such option; name another cla",
        ),
        (
            "--trainer.callbacks my.X",
            "--trainer.callbacks 'my.X' can't be imported: there is no module my; run the com",
        ),
        (
            "--trainer.callbacks [my.X]",
            "--trainer.callbacks 'my.X' can't be imported: there is no module my; run the c",
        ),
        ("--optimizer AdamW --optimizer.lr x", "--optimizer.lr is x; it must be a number or a list"),
        (
            "--optimizer AdamW --optimizer.rate 1",
            "--optimizer.rate does not exist: torch.optim.AdamW has no such option",
        ),
        ("--lr_scheduler StepLR", "--lr_scheduler torch.optim.lr_scheduler.StepLR needs --lr_scheduler.step_size"),
        (
            "--lr_scheduler pathlib.Path",
            "--lr_scheduler 'pathlib.Path' is not a subclass of torch.optim.lr_scheduler.LR",
        ),
        (
            "--trainer.callbacks+=my.X",
            "--trainer.callbacks 'my.X' can't be imported: there is no module my; run the com",
        ),
        ("--trainer.callbacks+=EarlyStopping --trainer.callbacks.patience=x", "--trainer.callbacks.patience is x; it"),
        (
            "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitr=x",
            "--trainer.callbacks.monitr does not exist",
        ),
        ("--model pathlib.Path", "--model 'pathlib.Path' is not a subclass of lightning_modules.base.AnomalyDetector"),
        (
            "--data lightning_modules.CAE",
            "--data 'lightning_modules.CAE' is not a subclass of datamodules.base.Spectrog",
        ),
        (
            "--trainer.default_root_dir x",
            "--trainer.default_root_dir can't be used: all that a stage writes is in the f",
        ),
        ("--trainer.barebones true", "--trainer.barebones can't be used: a stage logs its results; leave it out"),
        (
            "--lr_scheduler StepLR --lr_scheduler.step_size 2",
            "--lr_scheduler needs --optimizer, such as --optimizer Ad",
        ),
        (
            "--optimizer Adam --model.weight_decay 0",
            "--model.weight_decay 0.0 has no effect with --optimizer; leave it",
        ),
        ("--optimizer Adam --model OneClassSVM", "OneClassSVM learns without gradients; leave out --optimizer"),
        (
            "--optimizer Adam --lr_scheduler ReduceLROnPlateau --lr_scheduler.monitor val_loss",
            "--lr_scheduler.monitor is val_loss, which is not logged; train/loss and val/loss are",
        ),
    ],
)
def test_messages_about_classes_and_choices(stages, options, message):
    given = ["--run=r", "--model=MaskedAutoencoder", "--data=AudioFolderDataModule", "--data.root=x"]
    assert stages.mistake(["fit", *given, *options.split()]).startswith(message)


def test_types_in_words():
    assert accepted_values(dict[str, int]) == "a mapping"
    assert accepted_values(list[float] | None) == "a list (each a number) or null"
    assert accepted_values(MaskedAutoencoder) == "a class path of MaskedAutoencoder"


def test_a_plugin_is_named_like_a_class_of_the_package(stages, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "u_kinds.py").write_text(
        "from lightning.pytorch import Callback\nfrom lightning_modules import Autoencoder\n"
        "from explainers import ErrorMap\n"
        "class Twice(Autoencoder): ...\nclass Spy(Callback): ...\nclass Oracle(ErrorMap): ...\n"
    )
    metadata = tmp_path / "u_kinds-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: u-kinds\nVersion: 1.0\n")
    entries = "twice = u_kinds:Twice\nspy = u_kinds:Spy\ngone = u_kinds:Gone\n"
    (metadata / "entry_points.txt").write_text(f"[faithful_aad.plugins]\n{entries}")
    given = ["fit", "--run=r", "--data=AudioFolderDataModule", "--data.root=x"]
    parsed = stages.parser.parse_args([*given, "--model=twice", "--trainer.callbacks+=spy"]).fit
    assert parsed.model.class_path == "u_kinds.Twice"
    assert [callback.class_path for callback in parsed.trainer.callbacks] == ["u_kinds.Spy"]
    assert stages.parser.parse_args([*given, "--model=Twice"]).fit.model.class_path == "u_kinds.Twice"
    wrong = stages.mistake([*given, "--model=spy"])
    assert wrong.startswith("--model 'spy', a plugin of u-kinds (u_kinds:Spy), is not a subclass of lightning_modules.")
    assert stages.mistake([*given, "--model=gone"]).startswith(
        "--model 'gone', a plugin of u-kinds (u_kinds:Gone), can't"
    )
    clash = stages.mistake([*given, "--model=twice", "--attributions.validation_explainers=[u_kinds.Oracle]"])
    assert clash == "explainer 'oracle' has the name of a reference; rename its class"
