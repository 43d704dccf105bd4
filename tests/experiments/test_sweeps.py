"""The shipped sweeps, with command lines expanded as W&B's agent does."""

import csv
from pathlib import Path

import pytest
import wandb
import yaml
from offline_runs import offline_runs
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from experiments.cli.main import main
from experiments.tracking.metrics import direction

ROOT = Path(__file__).resolve().parents[2]
SWEEPS = sorted((ROOT / "experiments" / "configs" / "sweeps").glob("*.yaml"))
TINY = ["--data.n_frames", "80", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1"]
TINY += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--wandb.mode", "offline"]
TINY += ["--trainer.enable_model_summary", "false"]


def expand(sweep, values):
    """The command line of a run; W&B's agent replaces the parts that are a macro from end to end."""
    arguments = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    macros = {**arguments, "env": ["/usr/bin/env"], "interpreter": ["python"], "program": [sweep["program"]]}
    line = []
    for part in create_sweep_command(list(sweep["command"])):
        line += macros[part[2:-1]] if part.startswith("${") and part.endswith("}") else [part]
    return line


def extreme(parameter, last):
    """The first or the last of a parameter's values."""
    return parameter["values"][-last] if "values" in parameter else parameter["max" if last else "min"]


@pytest.mark.parametrize("last", [0, 1], ids=["lowest", "highest"])
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_run_of_a_sweep_trains_with_its_parameters(path, last, simulated, tmp_path, monkeypatch):
    sweep = yaml.safe_load(path.read_text())
    values = {name: extreme(parameter, last) for name, parameter in sweep["parameters"].items()}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SWEEP_ID", "abcdefgh")
    program, *arguments = expand(sweep, values)[1:]
    monkeypatch.setenv("WANDB_RUN_ID", f"run{last}")  # known to the process that the agent starts, not to the agent
    wandb.teardown()  # W&B reads its variables once a process
    assert program == "faithful-aad"
    assert main([*arguments, "--data.root", str(simulated), *TINY]) == 0

    (folder,) = (tmp_path / "runs" / "sweep").iterdir()
    assert folder.name == f"run{last}"
    config = yaml.safe_load((folder / "fit" / "config.yaml").read_text())
    for name, value in values.items():
        part, key = name.split(".")
        assert config[part]["init_args"][key] == value
    with (folder / "fit" / "metrics.csv").open(newline="") as file:
        assert any(row[sweep["metric"]["name"]] for row in csv.DictReader(file))
    assert sweep["metric"]["goal"] == {"min": "minimize", "max": "maximize"}[direction(sweep["metric"]["name"])]
    (run,) = offline_runs(folder)
    assert (run.run.run_id, run.run.sweep_id) == (f"run{last}", "abcdefgh")
