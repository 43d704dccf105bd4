"""Studies on a real Slurm, started for these tests on this machine."""

import getpass
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
from experiments.study.slurm import is_active, job_states, require_idle
from lightning_modules.errors import ConfigurationError

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
    capsys.readouterr()
    assert main([*command, "--status"]) == 0
    status = capsys.readouterr().out
    began = cluster.job(training)
    assert (began["JobState"], began["Partition"]) == ("RUNNING", "debug")
    assert began["GRES"].startswith("gpu:1"), "a GPU for the run alone"
    assert state(neighbours) == "PENDING", "one at a time, as asked for"
    assert state(report) == "PENDING"
    assert re.search(rf"MAE seed 0 +training, epoch \d+/12 \(Slurm job {training}\)", status), status
    assert f"neighbours seed 0  queued (Slurm job {neighbours})" in status
    assert f"report: Slurm job {report}, PENDING" in status
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


REQUESTS = """
slurm: {cpus: 2, memory: 3, gpus: 1, setup: [echo hello]}
variants:
  AE: {config: base.yaml, fit: {model: Autoencoder, model.backbone: cae}, seeds: [0, 1]}
  neighbours: {config: base.yaml, fit: {model: NearestNeighbours}, slurm: {cpus: 1, memory: 0.5, gpus: 0}}
"""


def test_submits_what_the_dry_run_shows_with_the_requests_of_each_variant(cluster, definition, tmp_path, capsys):
    definition.write_text(REQUESTS)
    folder = tmp_path / "study"
    command = ["study", str(definition), "--output", str(folder), "--launcher", "slurm", "--slurm.gpus", "2"]
    command += ["--slurm.options", '{"hold": true, "gres_flags": "enforce-binding", "nodelist": "localhost"}']
    assert main([*command, "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert not folder.exists()
    assert main(command) == 0
    found = re.search(r"submitted job (\d+) and (\d+) for 3 trainings, and job (\d+),", capsys.readouterr().out)
    submitted = found.groups()
    try:
        assert main([*command, "--status"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"AE seed 0          queued (Slurm job {submitted[0]}_0)",
            f"neighbours seed 0  queued (Slurm job {submitted[1]})",
            f"AE seed 1          queued (Slurm job {submitted[0]}_1)",
            f"3 runs in {folder}: 3 queued",
            f"report: Slurm job {submitted[2]}, PENDING",
        ]
        scripts = [(folder / "slurm" / f"{job}_submission.sh").read_text() for job in submitted]
        titles = ("2 jobs of AE", "1 job of neighbours", "the job that reports")
        told = "\n".join(f"# {title}\n{script}" for title, script in zip(titles, scripts, strict=True))
        dependency = f"afterany:{submitted[0]}:{submitted[1]}"
        assert shown.rstrip() == told.replace(dependency, "afterany:ARRAY1:ARRAY2").rstrip()
        fields = ("NumCPUs", "MinMemoryNode", "TresPerNode")
        asked = [tuple(cluster.job(job).get(field) for field in fields) for job in submitted]
        assert asked == [("2", "3G", "gres:gpu:2"), ("1", "512M", None), ("1", "8G", None)]
        assert "--array=0-1%2" in scripts[0]
        assert not any(word in scripts[2] for word in ("array", "gpu", "gres", "nodelist"))
        assert main(command) == 2, "held jobs are in the queue"
    finally:
        cluster.call("scancel", *submitted)
    capsys.readouterr()
    assert main([*command, "--status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"AE seed 0          cancelled (Slurm job {submitted[0]}_0)",
        f"neighbours seed 0  cancelled (Slurm job {submitted[1]})",
        f"AE seed 1          cancelled (Slurm job {submitted[0]}_1)",
        f"3 runs in {folder}: 3 cancelled",
        f"report: Slurm job {submitted[2]}, CANCELLED",
    ]


def test_a_job_that_ends_after_scancel_is_waited_for(cluster, tmp_path):
    submit = ["sbatch", "--parsable", f"--output={tmp_path / 'log.txt'}", "--wrap"]
    job = cluster.call(*submit, "trap '' TERM; echo begun; sleep 3").strip()
    submitted = tmp_path / "slurm" / "jobs.json"
    submitted.parent.mkdir()
    submitted.write_text(f'{{"{job}": ["runs/AE/seed_0"]}}')
    cluster.wait(lambda: (tmp_path / "log.txt").is_file() and "begun" in (tmp_path / "log.txt").read_text())
    with pytest.raises(ConfigurationError, match=rf"^job {job} of .* is queued or running; wait for it, or call scan"):
        require_idle(tmp_path)
    cluster.call("scancel", job)
    with pytest.raises(ConfigurationError, match=rf"^job {job} of .* is ending; give the same command again"):
        require_idle(tmp_path)
    cluster.wait(lambda: not is_active(job_states([job])[job]))
    require_idle(tmp_path)


def test_a_rejected_array_leaves_none_in_the_queue(cluster, definition, tmp_path, capsys):
    definition.write_text(REQUESTS.replace("gpus: 0", "gpus: 0, partition: nowhere"))
    held = ["--slurm.options", '{"hold": true}']
    command = ["study", str(definition), "--output", str(tmp_path / "out"), "--launcher", "slurm", *held]
    assert main(command) == 2
    assert "Slurm rejects 1 job of neighbours: " in capsys.readouterr().err
    cluster.wait(lambda: not cluster.call("squeue", "--noheader", "--user", getpass.getuser()))


def test_scripts_have_account_qos_and_constraint(cluster, definition, tmp_path, capsys):
    """What the cluster of these tests does not have."""
    definition.write_text(REQUESTS.replace("gpus: 0", 'gpus: 0, qos: low, constraint: ""'))
    command = ["study", str(definition), "--output", str(tmp_path / "out"), "--launcher", "slurm", "--dry_run"]
    given = ["--slurm.account", "sound", "--slurm.qos", "high", "--slurm.constraint", "a100|h100"]
    assert main([*command, *given, "--slurm.array_parallelism", "1"]) == 0
    ae, neighbours, report = (
        set(re.findall(r"#SBATCH --((?:account|qos|constraint|gpus|array).*)", script))
        for script in capsys.readouterr().out.split("\n# ")[::1]
        if "#SBATCH" in script
    )
    assert ae == {"account=sound", "qos=high", "constraint='a100|h100'", "gpus-per-node=1", "array=0-1%1"}
    assert neighbours == {"account=sound", "qos=low"}
    assert report == {"account=sound", "qos=high"}


@pytest.mark.parametrize(
    ("slurm", "message"),
    [
        ("{gpu: 1}", "slurm.gpu does not exist; choose from partition, account, qos"),
        ("{time: 4h}", "slurm.time is '4h'; it must be a whole number of minutes, such as 240"),
        ("{cpus: 0}", "slurm.cpus 0 is too small; give at least 1"),
        ("{memory: 4G}", "slurm.memory is '4G'; it must be a number of GB, such as 16"),
        ("{options: [hold]}", r"slurm.options is \['hold'\]; it must be a mapping"),
        ("{account: 7}", "slurm.account is 7; it must be text"),
        ("[gpus]", r"slurm is \['gpus'\], not a mapping"),
    ],
)
def test_invalid_requests_name_their_key(definition, slurm, message):
    for study, key in (
        (f"slurm: {slurm}\nvariants: {{AE: {{config: base.yaml}}}}", ""),
        (f"variants: {{AE: {{config: base.yaml, slurm: {slurm}}}}}", "variants.AE."),
    ):
        definition.write_text(study)
        with pytest.raises(ConfigurationError, match=f"study.yaml: {key}{message}"):
            read_definition(definition)


def test_state_of_jobs_that_slurm_does_not_know(cluster):
    assert job_states(["999999"]) == {}
    assert job_states([]) == {}


def test_a_cluster_that_does_not_answer_is_an_error(cluster, tmp_path, monkeypatch):
    submitted = tmp_path / "slurm" / "jobs.json"
    submitted.parent.mkdir()
    submitted.write_text('{"7_0": ["runs/AE/seed_0"], "8": []}')
    configuration = (cluster.folder / "slurm.conf").read_text() + "MessageTimeout=2\n"
    (tmp_path / "slurm.conf").write_text(re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=1", configuration))
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    with pytest.raises(ConfigurationError, match="squeue does not list the jobs 7,8: "):
        require_idle(tmp_path)


def test_rejects_an_unknown_partition(cluster, definition, tmp_path, capsys):
    command = ["study", str(definition), "--output", str(tmp_path / "out"), "--launcher", "slurm"]
    assert main([*command, "--slurm.partition", "nowhere"]) == 2
    message = capsys.readouterr().err
    assert "Slurm rejects 2 jobs of MAE and neighbours:" in message
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
