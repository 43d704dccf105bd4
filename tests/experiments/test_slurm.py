"""Studies on a real Slurm, started for these tests on this machine."""

import re
import sys
from pathlib import Path

import pytest
from slurm_cluster import NoCluster, SlurmCluster

from experiments.cli.main import main
from experiments.runs.folder import RunFolder
from experiments.study.definition import read_definition
from experiments.study.plan import plan_runs
from experiments.study.process import ClusterJob, Step

CONFIGS = Path(__file__).resolve().parents[2] / "experiments" / "configs"
STUDY = """
variants:
  MAE: {config: base.yaml, fit: {model: MaskedAutoencoder, model.backbone: cae}}
  neighbours: {config: base.yaml, fit: {model: NearestNeighbours}}
"""
BASE = """
trainer:
  max_epochs: 12 # so many that the training is at work while it is looked at
  accelerator: cpu
  limit_val_batches: 1
  enable_model_summary: false
  enable_progress_bar: false
data:
  class_path: datamodules.PlanerDataModule
  init_args: {{root: {root}, n_frames: 80, batch_size: 4}}
attributions:
  explainers: [error_map]
  validation_explainers: []
  examples: 0
sanity: {{clips: 0}}
deletion: {{percentiles: [0, 100]}}
wandb: {{mode: disabled}}
"""
RESULTS = ("fit/metrics.csv", "test/clips.csv", "test/explanations.csv", "test/metrics.csv")


@pytest.fixture(scope="module")
def cluster():
    """A Slurm of one node with two cores and two pretended GPUs."""
    try:
        cluster = SlurmCluster()
    except NoCluster as error:
        pytest.skip(f"no Slurm can be started here: {error}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield cluster
    cluster.stop()


@pytest.fixture
def definition(simulated, tmp_path):
    (tmp_path / "base.yaml").write_text(BASE.format(root=simulated))
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def test_preempted_study_resumes_with_the_same_results(cluster, definition, tmp_path, capsys):
    folder = tmp_path / "study"
    command = ["study", str(definition), "--output", str(folder), "--launcher", "slurm"]
    options = ["--slurm.partition", "debug", "--slurm.gpus", "1", "--slurm.array_parallelism", "1"]
    assert main([*command, *options]) == 0
    array, report = re.search(r"submitted job (\d+) for 2 trainings, and job (\d+),", capsys.readouterr().out).groups()
    training, neighbours = f"{array}_0", f"{array}_1"

    def state(number):
        return cluster.job(number).get("JobState", "")

    run = RunFolder(folder / "runs" / "MAE" / "seed_0")
    cluster.wait(lambda: run.last_checkpoint.is_file() or state(training) == "FAILED", 200)
    began = cluster.job(training)
    assert (began["JobState"], began["Partition"]) == ("RUNNING", "debug")
    assert began["GRES"].startswith("gpu:1"), "a GPU for the run alone"
    assert state(neighbours) == "PENDING", "one at a time, as asked for"
    assert state(report) == "PENDING"
    assert main([*command, *options]) == 2, "two studies would write into one folder"
    assert f"scancel {array} {report}" in capsys.readouterr().err

    cluster.call("scancel", "--signal=TERM", training)  # Slurm's notice, after which it gives a grace time
    cluster.call("scancel", "--signal=USR2", training)
    cluster.wait(lambda: cluster.job(training)["Restarts"] == "1" and state(training) == "PENDING")
    assert not run.is_finished("fit"), "preempted in the middle of the training"
    cluster.call("scontrol", "update", f"jobid={training}", "StartTime=now")  # not in two minutes
    cluster.wait(lambda: state(report) in {"COMPLETED", "FAILED"}, 900)  # seconds on a quiet machine
    assert [state(number) for number in (training, neighbours, report)] == 3 * ["COMPLETED"]
    print(cluster.history())  # for `pytest -rP`  # noqa: T201

    assert (folder / "report.html").is_file()
    assert (folder / "runs" / "neighbours" / "seed_0" / "test" / "clips.csv").is_file()
    straight = tmp_path / "straight"
    (plan,) = plan_runs(read_definition(definition)[:1], straight)
    assert main(plan.fit) == main(plan.test) == 0
    for name in RESULTS:
        assert (run.path / name).read_bytes() == (plan.folder / name).read_bytes(), name


def test_rejects_an_unknown_partition(cluster, definition, tmp_path, capsys):
    command = ["study", str(definition), "--output", str(tmp_path / "out"), "--launcher", "slurm"]
    assert main([*command, "--slurm.partition", "nowhere"]) == 2
    message = capsys.readouterr().err
    assert "Slurm rejects the jobs:" in message
    assert "invalid partition" in message
    assert message.count("\n") == 1


def test_job_skips_finished_steps_and_stops_at_a_failure(tmp_path):
    done, failing, after = (tmp_path / name for name in ("done", "failing", "after"))
    done.touch()
    steps = [Step(f"{mark.name} step", [mark.name], mark, mark.with_suffix(".txt")) for mark in (done, failing, after)]
    with pytest.raises(
        ChildProcessError, match=r"failing step failed: .*the command 'failing' does not exist.*failing.txt"
    ):
        ClusterJob(steps)()
    assert not done.with_suffix(".txt").exists()
    assert not after.with_suffix(".txt").exists()


def test_without_a_cluster(definition, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["study", str(definition), "--output", str(tmp_path / "out"), "--launcher", "slurm"]) == 2
    assert "finds no srun" in capsys.readouterr().err


def test_without_submitit(definition, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert main(["study", str(definition), "--output", str(tmp_path / "out"), "--launcher", "slurm"]) == 2
    assert "needs submitit; call pip install faithful-aad[cluster]" in capsys.readouterr().err


def test_trains_in_several_processes_of_one_job(cluster, simulated, tmp_path):
    """What multi_node.sbatch does with nodes and GPUs, with two processes of one node."""
    command = tmp_path / "bin" / "faithful-aad"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m experiments.cli.main "$@"\n')
    command.chmod(0o755)
    environment = {"PATH": f"{command.parent}:{cluster.environment['PATH']}", "PYTHONPATH": str(CONFIGS.parents[1])}
    run, log = tmp_path / "run", tmp_path / "log.txt"
    asked = ["--wait", "--nodes=1", "--ntasks-per-node=2", "--gpus-per-node=0", "--cpus-per-task=1"]
    options = ["--config", "demo.yaml", "--trainer.num_nodes", "1", "--trainer.devices", "2"]
    options += ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--trainer.sync_batchnorm", "false"]
    options += ["--model.backbone", "cae"]
    options += ["--data.root", str(simulated), "--data.n_frames", "80", "--wandb.mode", "disabled", "--run", str(run)]
    options += ["--trainer.enable_progress_bar", "false", "--attributions.validation_explainers", "[]"]
    cluster.call(
        "sbatch", *asked, f"--output={log}", "cluster/multi_node.sbatch", *options, folder=CONFIGS, **environment
    )
    output = log.read_text()
    assert "MEMBER: 1/2" in output, output
    assert "MEMBER: 2/2" in output
    assert RunFolder(run).is_finished("fit"), output
    assert (run / "fit" / "metrics.csv").read_text().count("\n") == 3, "a line for training and one for validation"
