"""A study's YAML and the runs that follow from it."""

import json
from pathlib import Path

import pytest
from experiments.study.state import record
from experiments.study.steps import open_jobs

from experiments.study.definition import read_definition
from experiments.study.plan import plan_runs
from lightning_modules import ConfigurationError

STUDY = """
seeds: [3, 1]
variants:
  AE: {config: base.yaml, fit: {model: Autoencoder}}
  MAE:
    config: base.yaml
    seeds: [1]
    fit: {trainer.max_epochs: 7}
    grid: {model.patch_size: [4, 16]}
  forest: {config: base.yaml, detector: isolation_forest, seeds: [1]}
fit: {trainer.max_epochs: 5, data.n_frames: 80}
test: {attributions.explainers: [error_map]}
"""


@pytest.fixture
def plans(tmp_path):
    def make(study, overrides=()):
        (tmp_path / "base.yaml").touch()
        (tmp_path / "study.yaml").write_text(study)
        return plan_runs(read_definition(tmp_path / "study.yaml"), tmp_path / "out", overrides)

    return make


def finish(folder, *stages):
    for stage in stages:
        (folder / stage).mkdir(parents=True, exist_ok=True)
        (folder / stage / "finished").touch()


def test_every_variant_setting_and_seed_is_a_run(plans, tmp_path):
    root = tmp_path / "out" / "runs"
    runs = {plan.folder.relative_to(root).as_posix(): plan for plan in plans(STUDY)}
    assert list(runs) == [
        "AE/seed_1",
        "MAE/patch_size=4/seed_1",
        "MAE/patch_size=16/seed_1",
        "forest/seed_1",
        "AE/seed_3",
    ]
    assert runs["MAE/patch_size=16/seed_1"].settings == {"patch_size": 16}
    assert runs["MAE/patch_size=16/seed_1"].label == "MAE patch_size=16 seed 1"


def test_commands_hold_the_options_the_variants_own_ones_last(plans, tmp_path):
    runs = {plan.label: plan for plan in plans(STUDY, ["--data.root=x", "--wandb.mode=disabled"])}
    mae = runs["MAE patch_size=4 seed 1"]
    folder = tmp_path / "out" / "runs" / "MAE" / "patch_size=4" / "seed_1"
    assert mae.fit == [
        "fit",
        f"--config={tmp_path / 'base.yaml'}",
        "--trainer.max_epochs=7",
        "--data.n_frames=80",
        "--model.patch_size=4",
        "--seed_everything=1",
        "--wandb.group=out",
        "--wandb.job_type=MAE",
        '--wandb.tags=["MAE", "seed-1"]',
        f"--run={folder}",
        "--data.root=x",
        "--wandb.mode=disabled",
    ]
    assert mae.test == ["test", '--attributions.explainers=["error_map"]', f"--run={folder}"]
    forest = runs["forest seed 1"]
    assert forest.fit[0] == "detect"
    assert "--detector.name=isolation_forest" in forest.fit
    assert not any("max_epochs" in argument for argument in forest.fit), "a detector has no epochs"
    assert "--data.n_frames=80" in forest.fit, "but it is fitted to the same clips"
    assert forest.fit[-1] == "--data.root=x", "what W&B is told means nothing to a detector"
    assert forest.test == []


def test_settings_of_test_share_one_training(plans, tmp_path):
    varied = "variants: {AE: {config: base.yaml}}\ntest_grid: {faithfulness.shifts: {few: 1, many: 9}}"
    few, many = plans(varied)
    assert few.fit == many.fit
    assert few.fitted_in == tmp_path / "out" / "runs" / "AE" / "seed_0"
    assert f"--ckpt_path={few.fitted_in / 'fit' / 'checkpoints' / 'best.ckpt'}" in few.test
    assert "--faithfulness.shifts=9" in many.test
    (job,) = open_jobs([few, many])
    assert [step.name for step in job] == ["fit", "test", "test"], "trained once, for both"


def test_what_is_finished_is_not_run_again(plans):
    runs = plans(
        "variants: {AE: {config: base.yaml}, MAE: {config: base.yaml}, knn: {config: base.yaml, detector: knn}}"
    )
    for plan in runs:
        record(plan)
    ae, mae, knn = runs
    finish(ae.folder, "fit", "test")
    finish(mae.folder, "fit")
    assert [[step.command for step in job] for job in open_jobs(runs)] == [[mae.test], [knn.fit]]
    finish(knn.folder, "test")
    assert [[step.command for step in job] for job in open_jobs(runs)] == [[mae.test]]


def test_other_options_of_test_are_tested_anew(plans):
    (before,) = plans("variants: {AE: {config: base.yaml}}")
    record(before)
    finish(before.folder, "fit", "test")
    (now,) = plans("variants: {AE: {config: base.yaml}}\ntest: {faithfulness.shifts: 2}")
    assert [[step.name for step in job] for job in open_jobs([now])] == [["test"]]
    record(now)
    assert not (now.folder / "test").exists(), "no result of other options passes for one of these"
    assert json.loads((now.folder / "study.json").read_text())["test"] == now.test


def test_other_options_of_training_are_refused(plans):
    (before,) = plans("variants: {AE: {config: base.yaml}}")
    record(before)
    (now,) = plans("variants: {AE: {config: base.yaml, fit: {trainer.max_epochs: 9}}}")
    assert [[step.command for step in job] for job in open_jobs([now])] == [[now.fit, now.test]], "nothing has begun"
    (before.folder / "fit").mkdir()
    with pytest.raises(ConfigurationError, match=r"made with other options \(was without, is --trainer.max_epochs=9\)"):
        open_jobs([now])


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("seeds: [0]", "variants is missing"),
        ("variants: {AE: {config: none.yaml}}", "variants.AE.config none.yaml is not a file"),
        ("variants: {AE: {}}", "variants.AE.config is missing"),
        ("variants: {AE: {config: base.yaml, sed: 1}}", "variants.AE.sed does not exist; choose from config"),
        ("varants: {}", "varants does not exist; choose from seeds"),
        ("variants: {AE: 3}", "variants.AE is 3, not a mapping"),
        ("variants: {../AE: {config: base.yaml}}", "can't be the name of a folder"),
        ("variants: {AE: {config: base.yaml}}\nseeds: [0, 0]", r"seeds \[0, 0\] name one twice"),
        ("variants: {AE: {config: base.yaml}}\nseeds: 3", "seeds is 3; list whole numbers"),
        ("variants: {AE: {config: base.yaml, seeds: [-1]}}", r"variants.AE.seeds is \[-1\]"),
        ("variants: {AE: {config: base.yaml}}\ngrid: {model.patch_size: 4}", "grid.model.patch_size is 4; give a list"),
        ("variants: {AE: {config: base.yaml}}\nfit: {seed_everything: 4}", "fit.seed_everything is given by the study"),
        ("variants: {AE: {config: base.yaml, fit: {run: x}}}", "variants.AE.fit.run is given by the study"),
        ("variants: {AE: {config: base.yaml}}\nseeds: [true]", r"seeds is \[True\]; list whole numbers"),
        ("variants: {AE: {config: base.yaml}}\nseeds: [1.5]", r"seeds is \[1.5\]; list whole numbers"),
        ("variants: {AE: {config: base.yaml}}\ngrid: {seed_everything: [1]}", "grid.seed_everything .* list seeds"),
        ("variants: {AE: {config: base.yaml, grid: {run: [x]}}}", "variants.AE.grid.run is given by the study"),
        ("variants: {AE: {config: base.yaml}}\ntest_grid: {config: [x]}", "test_grid.config is given by the study"),
        ("variants: {AE: {config: base.yaml, test: {run: x}}}", "variants.AE.test.run is given by the study"),
        (
            "variants: {AE: {config: base.yaml}}\ngrid: {model.patch_size: [4, 4]}",
            r"\['4', '4'\] name a value",
        ),
        ("variants:\n  AE: {config: [base.yaml}", r"line 2, column 26: .* that begins in line 2, column 16"),
        ("variants:\n  AE: {}\n  AE: {}", "line 3, column 3: found duplicate key AE"),
        ("variants: {AE: {config: base.yaml}}\nseeds: ${no.such}", "seeds: Interpolation key 'no.such' not found"),
        ("- AE", "the file is .* not a mapping"),
    ],
)
def test_a_wrong_study_is_refused_by_its_key(plans, study, message):
    with pytest.raises(ConfigurationError, match=message):
        plans(study)


@pytest.mark.parametrize("path", sorted(Path("experiments/configs/studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_can_be_planned(path, tmp_path):
    assert plan_runs(read_definition(path), tmp_path)
