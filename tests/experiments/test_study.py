"""Studies in real processes, which are killed and started again."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.cli.main import main
from experiments.runs.folder import RunFolder
from experiments.study.definition import read_definition
from experiments.study.local import StudyProgress, environment, sharing_text
from experiments.study.plan import plan_runs
from experiments.study.process import Step

BASE = """
trainer:
  max_epochs: 3
  accelerator: cpu
  limit_val_batches: 1
  enable_model_summary: false
data:
  class_path: datamodules.PlanerDataModule
  init_args: {{root: {root}, n_frames: 80, batch_size: 4}}
attributions:
  explainers: [error_map, random]
  validation_explainers: []
sanity: {{clips: 0}}
wandb: {{mode: disabled}}
"""
RESULTS = ("clips.csv", "explanations.csv", "metrics.csv")


@pytest.fixture
def study(simulated, tmp_path):
    """Write a study; returns its YAML."""

    def write(variants):
        (tmp_path / "base.yaml").write_text(BASE.format(root=simulated))
        path = tmp_path / "study.yaml"
        path.write_text(f"variants:\n{variants}")
        return str(path)

    return write


def results(run):
    return {name: (run / "test" / name).read_bytes() for name in RESULTS}


def start(*arguments):
    """A study in a process of its own; with one thread, as the last digits depend on how many there are."""
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.cli.main", "study", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(condition, process, seconds=120):
    limit = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the study ended too early"
        assert time.monotonic() < limit
        time.sleep(0.05)


def alive(run):
    """Processes that work in a run's folder."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            commands.append(path.read_bytes().decode(errors="replace").split("\0"))
    return [command for command in commands if f"--run={run}" in command]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the steps of a killed study")
def test_killed_study_resumes_with_the_same_results(study, tmp_path):
    definition = study("  MAE: {config: base.yaml, fit: {model: MaskedAutoencoder, model.backbone: cae}}")
    (plan,) = plan_runs(read_definition(Path(definition)), tmp_path / "whole")
    assert main(plan.fit) == main(plan.test) == 0

    killed = tmp_path / "killed"
    run = killed / "runs" / "MAE" / "seed_0"
    scalars = run / "fit" / "metrics.csv"
    began = time.monotonic()
    delay = random.uniform(2, 8)  # while the first step starts, or trains already
    moments = [
        lambda: time.monotonic() > began + delay,
        lambda: scalars.is_file() and scalars.read_text().count("\n1,") > 0,  # in the middle of the training
        (run / "test").is_dir,  # in the middle of the test
    ]
    for moment in moments:
        process = start(definition, "--output", str(killed))
        wait_for(moment, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.5)
        assert not alive(run), "a step outlived its study"
    assert start(definition, "--output", str(killed)).wait() == 0

    assert results(run) == results(plan.folder)
    assert scalars.read_bytes() == (plan.folder / "fit" / "metrics.csv").read_bytes(), "resumed without a trace"
    assert (killed / "report.html").is_file()
    assert (killed / "study.yaml").read_bytes() == Path(definition).read_bytes()


def test_failing_run_does_not_stop_others(study, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    definition = study(
        f"  broken: {{config: base.yaml, fit: {{model: Autoencoder, data.root: {tmp_path / 'empty'}}}}}\n"
        "  neighbours: {config: base.yaml, fit: {model: NearestNeighbours}}"
    )
    folder = tmp_path / "study"
    assert main(["study", definition, "--output", str(folder), "--jobs", "2"]) == 1
    output = capsys.readouterr()
    assert "broken seed 0: fit failed" in output.out
    assert "does not have the planer layout" in " ".join(output.out.split())
    assert "1 of 2 runs failed: broken seed 0" in " ".join(output.err.split())
    assert (folder / "runs" / "neighbours" / "seed_0" / "test" / "clips.csv").is_file()
    assert not (folder / "runs" / "broken" / "seed_0" / "test").exists()


def test_finished_study_is_reported_again_also_from_its_copy(study, tmp_path, capsys):
    definition, folder = study("  neighbours: {config: base.yaml, fit: {model: NearestNeighbours}}"), tmp_path / "study"
    (plan,) = plan_runs(read_definition(Path(definition)), folder)
    plan.record()
    assert main(plan.fit) == main(plan.test) == 0
    failure = plan.folder / "failed.txt"
    failure.write_text("of an earlier try")
    for path in (definition, str(folder / "study.yaml")):  # the configuration is next to the first one only
        (folder / "report.html").unlink(missing_ok=True)
        capsys.readouterr()
        assert main(["study", path, "--output", str(folder)]) == 0
        output = capsys.readouterr().out
        assert "1 run in" in output
        assert "all finished" in output
        assert "study (steps)" not in output, "a bar of no steps"
        assert (folder / "report.html").is_file()
        assert (folder / "study.yaml").read_text() == Path(definition).read_text()
        assert not failure.exists(), "the run has its results"


def test_only_one_process_works_on_a_study(study, tmp_path, capsys):
    definition = study("  AE: {config: base.yaml, fit: {model: Autoencoder}}")
    folder = tmp_path / "study"
    command = ["study", definition, "--output", str(folder)]
    with RunFolder(folder).alone("study"):
        before = list(folder.rglob("*"))
        for options in ([], ["--redo", "AE seed 0"]):
            assert main([*command, *options]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert f"another process is running study in --output {folder}; wait for it, or name another" in line
        assert main([*command, "--status"]) == main([*command, "--dry_run"]) == 0
        assert list(folder.rglob("*")) == before


def test_runs_take_turns_on_gpus_and_share_cores(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    environments = [environment(slot, slots=3) for slot in range(3)]
    assert [found["CUDA_VISIBLE_DEVICES"] for found in environments] == ["2", "5", "2"]
    assert {found["OMP_NUM_THREADS"] for found in environments} == {"2"}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert environment(0, slots=1)["OMP_NUM_THREADS"] == "1", "what the user chose stays"


@pytest.mark.parametrize(
    ("gpus", "jobs", "text"),
    [
        ("2,5", 3, "3 runs at a time, 2 CPU threads each, on GPUs in turn: 2, 5, 2"),
        ("2,5", 1, "1 run at a time, 6 CPU threads each, on GPUs in turn: 2"),
        ("1", 3, "3 runs at a time, 2 CPU threads each, on GPU 1, which they share"),
        ("1,-1,0", 1, "1 run at a time, 6 CPU threads each, on GPU 1"),
        ("", 2, "2 runs at a time, 3 CPU threads each, no GPU"),
        ("-1", 2, "2 runs at a time, 3 CPU threads each, no GPU"),
    ],
)
def test_says_how_runs_share_the_machine(monkeypatch, gpus, jobs, text):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert sharing_text(jobs) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "nowhere.yaml is not a file; name the YAML of a study"),
        (["{study}", "--output", "{study}"], "--output {study} can't be a folder: {study} is a file; name another"),
        (["{study}", "--jobs", "0"], "--jobs 0 is not a positive number"),
        (["{study}", "--slurm.cpu", "2"], "unrecognized arguments: --slurm.cpu 2; did you mean --slurm.cpus?\n"),
        (["{study}", "--satus", "--job=3"], "--satus --job=3; did you mean --status and --jobs?\n"),
        (["{study}", "--satus", "--data.hop=3"], "did you mean --status?; put options for all training runs after"),
        (["{study}", "--data.root=x"], "--data.root=x; put options for all training runs after `--`"),
    ],
)
def test_rejects_invalid_arguments(study, tmp_path, capsys, arguments, message):
    definition = study("  AE: {config: base.yaml}")
    arguments = [argument.format(study=definition) for argument in arguments]
    assert main(["study", "--output", str(tmp_path / "out"), *arguments]) == 2
    assert message.format(study=definition) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_steps_end_while_their_epochs_are_read(tmp_path):
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "config.yaml").write_text("trainer: {max_epochs: 3}")
    (tmp_path / "fit" / "metrics.csv").write_text("epoch\n" + "0\n" * 20_000)  # takes longer to read than a step
    progress = StudyProgress(5)

    def run_steps():
        for i in range(5):
            step = Step(f"{i}: fit", ["fit"], tmp_path / "fit" / "finished", tmp_path / "log.txt")
            progress.begin(step)
            time.sleep(0.01)
            progress.end(step, "")

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_steps)
        while not running.done():
            progress.update_epochs()
            time.sleep(0.001)
        running.result()
    assert progress.tasks[0].completed == 5
