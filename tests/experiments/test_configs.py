"""The shipped configurations by name, and the same meaning of a configuration in every command that reads it."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from experiments.cli.main import main
from experiments.cli.options import complete
from experiments.configs import ShippedConfig, config_file, shipped_configs
from experiments.runs.config import read_config
from experiments.study.definition import read_definition
from experiments.study.plan import plan_runs
from lightning_modules.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "experiments" / "configs"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def printed_config(capsys, *arguments):
    """The whole configuration of a stage."""
    with pytest.raises(SystemExit):
        main([*arguments, "--print_config"])
    return yaml.safe_load(capsys.readouterr().out)


def test_every_file_has_one_name():
    files = {path for path in CONFIGS.rglob("*") if path.suffix in (".yaml", ".sbatch")}
    assert sorted(config.path for config in shipped_configs().values()) == sorted(files)


def test_list_has_a_line_per_configuration(capsys):
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, config in shipped_configs().items():
        assert sum(line.split()[:1] == [name] and line.endswith(config.summary) for line in lines) == 1
    assert max(map(len, lines)) <= 80


def test_summary_is_the_first_comment_line(tmp_path):
    path = tmp_path / "job.sbatch"
    path.write_text("#!/bin/bash\n# Trains.\n#\n# More.\n")
    assert ShippedConfig(path, "sbatch").summary == "Trains."


def test_shows_a_configuration(capsys):
    assert main(["configs", "show", "mae"]) == 0
    assert capsys.readouterr().out == (CONFIGS / "sweeps" / "mae.yaml").read_text()


def test_copies_without_overwriting(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    assert main(["configs", "copy", "multi_node.sbatch"]) == 0
    assert main(["configs", "copy", "demo", "folder"]) == 0
    assert main(["configs", "copy", "demo", "new/own.yaml"]) == 0
    original = (CONFIGS / "demo.yaml").read_bytes()
    assert [Path(name).read_bytes() for name in ("folder/demo.yaml", "new/own.yaml")] == [original, original]
    assert Path("multi_node.sbatch").is_file()
    Path("new/own.yaml").write_text("mine")
    assert main(["configs", "copy", "demo", "new/own.yaml"]) == 2
    assert Path("new/own.yaml").read_text() == "mine"
    assert "new/own.yaml already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["configs", "show", "none"], "'none' does not exist; choose one of audio_folder, "),
        (["configs", "remove"], "'remove' is not an action of configs; choose one of show, copy"),
        (["fit", "--config", "none", "--run", "r"], "--config none is not a file; .* package: audio_folder, dcase,"),
        (["fit", "--config=paper", "--run", "r"], "--config paper is for faithful-aad study NAME;"),
        (["study", "demo"], "the study demo is for faithful-aad fit --config NAME; .*: explainer_settings,"),
        (["fit", "--config", "none.yaml", "--run", "r"], "File does not exist: .*none.yaml"),
    ],
)
def test_unknown_name_lists_those_that_exist(arguments, message, capsys):
    assert main(arguments) == 2
    assert re.search(message, capsys.readouterr().err)


def test_existing_file_wins_over_a_name(tmp_path):
    assert config_file("demo", "fit", "--config") == CONFIGS / "demo.yaml"
    (tmp_path / "dcase").mkdir()
    assert config_file("dcase", "fit", "--config") == CONFIGS / "dcase.yaml", "a folder is no configuration"
    Path("demo").write_text("trainer: {max_epochs: 3}")
    assert config_file("demo", "fit", "--config") == Path("demo")


def test_later_configuration_and_options_win(capsys):
    Path("changes.yaml").write_text("trainer: {max_epochs: 3}\ndata: {init_args: {n_frames: 80}}\n")
    config = printed_config(capsys, "fit", "-c=demo", "--config", "changes.yaml", "--trainer.max_epochs=4", "--run=r")
    assert (config["trainer"]["max_epochs"], config["data"]["init_args"]["n_frames"]) == (4, 80)
    assert config["wandb"]["group"] == "demo"


def test_copied_study_is_planned_as_the_original(tmp_path):
    assert main(["configs", "copy", "paper", "copied/mine.yaml"]) == 0
    copied, original = (
        plan_runs(read_definition(path), tmp_path / "study")
        for path in (Path("copied/mine.yaml"), CONFIGS / "studies" / "paper.yaml")
    )
    assert copied == original
    assert "--config=planer_mae" in copied[1].fit, "whichever folder the package is installed in"


def test_variant_takes_a_file_next_to_the_study():
    Path("studies").mkdir()
    Path("studies/study.yaml").write_text("variants: {AE: {config: own.yaml}}")
    Path("own.yaml").write_text("")
    with pytest.raises(ConfigurationError, match=r"variants\.AE\.config own\.yaml is not a file"):
        read_definition(Path("studies/study.yaml"))
    Path("studies/own.yaml").write_text("")
    (variant,) = read_definition(Path("studies/study.yaml"))
    assert variant.fit == {"config": "studies/own.yaml"}


def saved_run(config):
    """A run whose training has saved a configuration."""
    path = Path("trained/fit/config.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(config))
    return "trained"


def test_configuration_of_a_later_stage_changes_that_of_the_training(capsys):
    trained = printed_config(capsys, "fit", "--config", "planer_mae", "--data.n_frames", "80", "--run", "r")
    run = saved_run(trained | {"ckpt_path": None})
    Path("one.yaml").write_text(
        "data: {init_args: {batch_size: 4, seed: 4}}\nattributions: {explainers: [error_map]}\n"
    )
    Path("two.yaml").write_text(
        "data: {batch_size: 5}\nmodel: {init_args: {mask_ratio: 0.4}}\nfscore: {percentiles: [9]}\n"
    )
    config = printed_config(
        capsys, "test", "--config", "one.yaml", "--config", "two.yaml", "--run", run, "--data.root", "elsewhere"
    )
    expected = trained["data"]["init_args"] | {"batch_size": 5, "seed": 4, "root": "elsewhere"}
    assert config["data"]["init_args"] == expected
    assert config["model"]["init_args"] == trained["model"]["init_args"] | {"mask_ratio": 0.4}
    assert config["attributions"] == trained["attributions"] | {"explainers": ["error_map"]}, "a list is replaced"
    assert config["fscore"]["percentiles"] == [9]
    assert config["ckpt_path"] == "best"


def test_configuration_is_all_there_is_where_nothing_was_trained(capsys):
    config = ["--config", "demo", "--ckpt_path", "other.ckpt", "--run", "untrained"]
    assert printed_config(capsys, "test", *config)["ckpt_path"] == "other.ckpt"
    assert main(["test", "--run", "untrained"]) == 2
    assert "contains no training" in capsys.readouterr().err


def test_run_may_be_named_by_a_variable(capsys, monkeypatch):
    monkeypatch.setenv("RUN_ID", saved_run({"trainer": {"max_epochs": 2}}))
    assert complete("test", ["--run=${oc.env:RUN_ID}"])[:2] == ["--config", "trained/fit/config.yaml"]


INTERPOLATED = """
seed_everything: 7
model: {class_path: lightning_modules.Autoencoder, init_args: {backbone: cae}}
data:
  class_path: datamodules.PlanerDataModule
  init_args:
    n_frames: 80
    root: set-${seed_everything}
    seed: ${...seed_everything}
    batch_size: ${oc.decode:${oc.env:FOUR}}
wandb:
  group: ${data.init_args.root}
  project: ${oc.env:FOUR}-${.group}
"""
VALUES = {"root": "set-7", "seed": 7, "batch_size": 4}


def values_of(config):
    return {key: config["data"]["init_args"][key] for key in VALUES}


@pytest.fixture
def interpolated(monkeypatch):
    monkeypatch.setenv("FOUR", "4")
    Path("interpolated.yaml").write_text(INTERPOLATED)
    return "interpolated.yaml"


def test_interpolations_have_the_same_values_in_every_reader(interpolated, capsys):
    fit = printed_config(capsys, "fit", "--config", interpolated, "--run", "r")
    assert values_of(fit) == VALUES
    assert fit["wandb"]["group"] == "set-7"
    assert fit["wandb"]["project"] == "4-set-7"
    read = read_config(Path(interpolated))
    assert (values_of(read), read["wandb"]) == (VALUES, {"group": "set-7", "project": "4-set-7"})
    tested = printed_config(capsys, "test", "--config", interpolated, "--run", "untrained")
    assert (values_of(tested), tested["wandb"]) == (VALUES, fit["wandb"])


def test_interpolations_follow_options_that_win(interpolated, capsys):
    options = ["--wandb.name", "of ${data.init_args.root}", "--data.root=other"]
    config = printed_config(capsys, "fit", "--config", interpolated, "--run", "r", *options)
    assert (config["wandb"]["group"], config["wandb"]["name"]) == ("other", "of other")


@pytest.mark.parametrize(
    "given",
    [
        ["--wandb.tags", '["seed ${seed_everything}"]'],
        ["--wandb={tags: ['seed ${seed_everything}']}"],
        ["--config", "{wandb: {tags: ['seed ${seed_everything}']}}"],
        ["--config", "tags.yaml"],
    ],
    ids=["option", "section", "text", "file"],
)
def test_interpolations_mean_the_same_wherever_they_are_given(given, interpolated, capsys):
    Path("tags.yaml").write_text("wandb:\n  tags:\n    - seed ${seed_everything}\n")
    config = printed_config(capsys, "fit", "--config", interpolated, *given, "--run", "r")
    assert config["wandb"]["tags"] == ["seed 7"]


def test_saved_configuration_has_values(interpolated, capsys):
    run = saved_run(printed_config(capsys, "fit", "--config", interpolated, "--run", "r"))
    config = printed_config(capsys, "test", "--run", run, "--data.root", "other")
    assert (config["data"]["init_args"]["root"], config["wandb"]["group"]) == ("other", "set-7")


def test_missing_key_is_named_as_it_was_given(interpolated, capsys):
    assert main(["fit", "--config", interpolated, "--run", "r", "--wandb.group=${no.such}"]) == 2
    assert "Interpolation key 'no.such' not found" in capsys.readouterr().err
    assert main(["fit", "--config", interpolated, "--run", "r", "--no_such=${data.init_args.root}"]) == 2
    assert "unrecognized arguments: --no_such=${data.init_args.root}" in capsys.readouterr().err


def test_options_of_a_study_are_interpolated_by_its_runs(interpolated, capsys):
    Path("study.yaml").write_text(
        "seeds: [5, 6]\n"
        "variants: {AE: {config: '${oc.env:CONFIG,interpolated.yaml}', fit: {data.batch_size: '${seed_everything}'}}}\n"
        "fit: {wandb.tags: ['seed ${seed_everything}']}\n"
    )
    (variant,) = read_definition(Path("study.yaml"))
    assert variant.fit["config"] == interpolated
    assert variant.fit["wandb.tags"] == ["seed ${seed_everything}"]
    for plan, seed in zip(plan_runs([variant], Path("study")), (5, 6), strict=True):
        config = printed_config(capsys, *plan.fit)
        assert (config["data"]["init_args"]["batch_size"], config["data"]["init_args"]["root"]) == (seed, f"set-{seed}")


def test_wheel_has_what_commands_read(tmp_path):
    """Built from a copy, as building writes into the folder, and used from an empty one."""
    source = tmp_path / "source"
    packages = [path.parent for path in ROOT.glob("*/__init__.py")]
    for package in packages:
        shutil.copytree(package, source / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools import build_meta; build_meta.build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    expected = {path.relative_to(source) for package in packages for path in (source / package.name).rglob("*.*")}
    installed = {path.relative_to(tmp_path / "installed") for path in (tmp_path / "installed").rglob("*.*")}
    assert {path for path in expected if path.suffix != ".pyc"} <= installed

    (tmp_path / "empty").mkdir()
    commands = [["configs"], ["configs", "copy", "paper"], ["fit", "--config", "demo", "--run", "r", "--print_config"]]
    script = f"from experiments.cli.main import main\nfor command in {commands}:\n    main(command)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "empty",
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "root: data/simulated" in done.stdout
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["paper.yaml"]
