"""A study's options, checked before its first step."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments.cli.main import main
from experiments.study.checks import check_plans
from experiments.study.definition import read_definition
from experiments.study.plan import plan_runs

ROOT = Path(__file__).resolve().parents[2]

BASE = """
data:
  class_path: datamodules.PlanerDataModule
  init_args: {root: ., n_frames: 80}
model: {class_path: lightning_modules.MaskedAutoencoder}
wandb: {mode: disabled}
"""


@pytest.fixture
def rejects(tmp_path, capsys):
    """Start a study with invalid options; returns the error after the name of its YAML."""

    def start(options, *overrides):
        (tmp_path / "base.yaml").write_text(BASE)
        path = tmp_path / "study.yaml"
        path.write_text(f"seeds: [0, 1, 2]\nvariants:\n  MAE: {{config: base.yaml, seeds: [0]}}\n{options}\n")
        assert main(["study", str(path), "--output", str(tmp_path / "out"), *overrides]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert not (tmp_path / "out").exists(), "something was written"
        program, _, message = line.partition(f"{path}: ")
        assert program == "faithful-aad study: error: "
        return message

    return start


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "test: {attributions.explainers: [lime], sanity.clips: 0}",
            "variants.MAE, test --attributions.explainers=[\"lime\"]: explainer 'lime' does not exist; choose one of ",
        ),
        (
            "curve: {}",
            "variants.MAE, curve: curve needs labelled clips that are not in the test set; hold out a share of them "
            "with --data.labelled_validation 0.3, in fit and test as well",
        ),
        (
            "test_grid: {fscore.percentiles: {all: [90, 98], wrong: [101]}}",
            "variants.MAE, test --fscore.percentiles=[101]: percentiles: 101 is not a whole number from 0 to 100",
        ),
        (
            "test: {faithfulness.shift: 1}",
            "variants.MAE, test: unrecognized arguments: --faithfulness.shift=1; did you mean --faithfulness.shifts?",
        ),
        ("test: {data.nframes: 1}", "variants.MAE, test: --data.nframes does not exist: datamodules.PlanerDataModule"),
        (
            "grid: {model.backbone: [skip_cae, dense]}\ntest: {attributions.explainers: [grad_cam]}",
            "variants.MAE, test: grad_cam needs a convolution, and DenseAutoencoder has none; name other --a",
        ),
        ("grid: {model.patchsize: [4]}", "variants.MAE, fit: --model.patchsize does not exist: lightning_modules.Mask"),
        ("grid: {model.patch_size: [4, 7]}", "variants.MAE, fit --model.patch_size=7: patch_size=7 does not divide"),
        ("fit: {data.root: nope}", "variants.MAE, fit --data.root=nope: nope is not a folder"),
        (
            "fit: {model.learning_rate: -1}",
            "variants.MAE, fit --model.learning_rate=-1: learning_rate=-1.0 is not valid; it must",
        ),
        ("fit: {trainer.accumulate_grad_batches: 0}", "variants.MAE, fit: --trainer.accumulate_grad_batches is 0; it"),
        (
            "test: {faithfulness.shifts: 80}",
            "variants.MAE, test --faithfulness.shifts=80: shifts: 80 of 80 frames can't",
        ),
        ("  seed: {config: base.yaml, seeds: [4294967296]}", "variants.seed.seeds is [4294967296]; list whole numbers"),
        ("  kNN: {config: base.yaml, fit: {data.root: nope}}", "variants.kNN, fit --data.root=nope: nope is"),
        (
            "fit: {trainer.max_epoch: 1}",
            "variants.MAE, fit: unrecognized arguments: --trainer.max_epoch=1; did you mean --trainer.max_epochs?",
        ),
        ("fit: {trainer.fast_dev_run: true}", "variants.MAE, fit: trainer.fast_dev_run keeps no results, which"),
        ("test: {trainer: {fast_dev_run: 2}}", "variants.MAE, test: trainer.fast_dev_run keeps no results, which"),
        ("  svm: {config: base.yaml, fit: {model: svm}}", "variants.svm, fit: --model 'svm' does not exist; choose"),
    ],
)
def test_rejects_options_of_any_step(rejects, options, message):
    assert rejects(options).startswith(message)


def test_rejects_invalid_configurations_and_overrides(rejects, tmp_path):
    assert rejects("", "--", "--data.batch_size=0").startswith(
        "variants.MAE, fit --data.batch_size=0: batch_size is 0;"
    )
    message = rejects("", "--", "--trainer.fast_dev_run", "true")
    assert message.startswith("variants.MAE, fit: trainer.fast_dev_run keeps no results")
    (tmp_path / "twice.yaml").write_text("wandb: {}\nwandb: {}\n")
    message = rejects("  AE: {config: twice.yaml}")
    assert message.startswith(f"variants.AE, fit: {tmp_path / 'twice.yaml'} is not a readable YAML mapping: line 2")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--seed_everything=3"], "--seed_everything after -- is given by the study; list seeds"),
        (["--data.root", ".", "--seed_everything", "3"], "--seed_everything after -- is given by the study; list"),
        (["--run=x"], "--run after -- is given by the study; remove it"),
        (["--run", "x"], "--run after -- is given by the study; remove it"),
        (["--config=x.yaml"], "--config after -- is given by the study; remove it"),
        (["-c", "x.yaml"], "-c after -- is given by the study; remove it"),
        (["--model.patch_size=8"], "--model.patch_size after -- would replace the values that grid gives variants.MAE"),
        (["--model.init_args.patch_size", "8"], "--model.init_args.patch_size after -- would replace the values that"),
    ],
)
def test_rejects_overrides_that_make_runs_alike(tmp_path, capsys, overrides, message):
    (tmp_path / "base.yaml").write_text(BASE)
    path, folder = tmp_path / "study.yaml", tmp_path / "out"
    path.write_text("variants: {MAE: {config: base.yaml}}\ngrid: {model.patch_size: [4, 16]}\n")
    for mode in ([], ["--status"], ["--dry_run"]):
        assert main(["study", str(path), "--output", str(folder), *mode, "--", *overrides]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"faithful-aad study: error: {message}")
    assert not folder.exists()


def test_accepts_the_study_of_the_documentation(tmp_path, monkeypatch):
    (definition,) = re.findall(r"```yaml\n(seeds:.*?)```", (ROOT / "docs" / "clusters.md").read_text(), re.DOTALL)
    (tmp_path / "studies").mkdir()
    shutil.copy(ROOT / "experiments" / "configs" / "demo.yaml", tmp_path)
    path = tmp_path / "studies" / "study.yaml"
    path.write_text(definition)
    monkeypatch.chdir(tmp_path)
    demo = yaml.safe_load((tmp_path / "demo.yaml").read_text())
    Path(demo["data"]["init_args"]["root"]).mkdir(parents=True)  # as the command before it does
    plans = plan_runs(read_definition(path), tmp_path / "out")
    assert len(plans) == 13, "two objectives, two settings, three seeds, and a detector"
    check_plans(plans, path)


def test_variant_name_outside_the_locale(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "study.yaml").write_text("variants: {A×: {config: base.yaml, seeds: [0]}}\n", encoding="utf-8")
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "experiments.cli.main", "study", str(tmp_path / "study.yaml"), "--output"]
    done = subprocess.run([*command, str(tmp_path / "out")], env=plain, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "can't be written in ascii" in line
    assert "PYTHONUTF8=1" in line
    assert "delete" not in line, "nothing is wrong with the folder"


def test_dry_run_prints_the_commands_in_order(tmp_path, capsys):
    (tmp_path / "base.yaml").write_text(BASE.replace("root: .", f"root: {tmp_path}"))
    path, folder = tmp_path / "study.yaml", tmp_path / "my study"
    path.write_text("seeds: [0, 1]\nvariants: {MAE: {config: base.yaml}}\n")
    (first, second) = plan_runs(read_definition(path), folder)
    (folder / "runs" / "MAE" / "seed_1" / "test").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    assert main(["study", str(path), "--output", str(folder), "--dry_run", "--redo", "MAE seed 1"]) == 0
    comment, *lines = capsys.readouterr().out.splitlines()
    assert comment == f"# deletes test of {second.folder}"
    assert [shlex.split(line) for line in lines] == [
        *(["faithful-aad", *command] for command in (first.fit, first.test, second.fit, second.test)),
        ["faithful-aad", "report", str(folder), "--output", str(folder / "report.html")],
    ]
    assert sorted(tmp_path.rglob("*")) == before
