"""A study's YAML and its list of runs."""

import json
from pathlib import Path

import pytest

from experiments.study.definition import read_definition
from experiments.study.plan import make_jobs, open_plans, plan_runs
from experiments.tracking.description import describe
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
  forest: {config: base.yaml, fit: {model: IsolationForest}, seeds: [1], grid: {}}
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


def open_commands(plans):
    """Commands that are still to run, by job."""
    return [[step.command for step in job] for job in make_jobs(open_plans(plans))]


def finish(folder, *stages):
    for stage in stages:
        (folder / stage).mkdir(parents=True, exist_ok=True)
        (folder / stage / "finished").touch()


def test_plans_a_run_per_variant_setting_and_seed(plans, tmp_path):
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


def test_options_of_a_variant_override_common_ones(plans, tmp_path):
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
        f"--run={folder}",
        "--data.root=x",
        "--wandb.mode=disabled",
    ]
    assert mae.test == ["test", '--attributions.explainers=["error_map"]', f"--run={folder}"]
    forest = runs["forest seed 1"]
    assert "--model=IsolationForest" in forest.fit
    assert not any("patch_size" in argument for argument in forest.fit), "its own grid is empty"


def test_pattern_stands_for_the_folders_that_match(plans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("slider_id_06", "slider_id_00", ".hidden"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / "slider.csv").touch()
    study = "variants: {AE: {config: base.yaml}}\ngrid: {data.root: data/*}\ntest_grid: {data.part: [spliced, control]}"
    found = plans(study)
    machines = ["slider_id_00", "slider_id_00", "slider_id_06", "slider_id_06"]
    assert [plan.settings for plan in found] == [
        {"root": name, "part": part} for name, part in zip(machines, ["spliced", "control"] * 2, strict=True)
    ]
    assert [f"--data.root=data/{name}" in plan.fit for plan, name in zip(found, machines, strict=True)] == [True] * 4
    assert len({plan.fitted_in for plan in found}) == 2, "one training per machine"
    found[0].record()
    config = {"seed_everything": 0, "model": {"class_path": "lightning_modules.Autoencoder"}}
    of_training, of_test = (describe(folder, "fit", config) for folder in (found[0].fitted_in, found[0].folder))
    assert of_training["name"] == "AE root=slider_id_00 seed 0", "dashboards tell the trainings of machines apart"
    assert of_test["config"]["variant"] == "AE root=slider_id_00 part=spliced"
    with pytest.raises(ConfigurationError, match=r"grid.data.root is 'other/\*', and no folder below .* matches"):
        plans("variants: {AE: {config: base.yaml}}\ngrid: {data.root: other/*}")


def test_grid_of_test_shares_one_training(plans, tmp_path):
    varied = "variants: {AE: {config: base.yaml}}\ntest_grid: {faithfulness.shifts: {few: 1, many: 9}}"
    few, many = plans(varied)
    assert few.fit == many.fit
    assert few.fitted_in == tmp_path / "out" / "runs" / "AE" / "seed_0"
    assert f"--ckpt_path={few.fitted_in / 'fit' / 'checkpoints' / 'best.ckpt'}" in few.test
    assert "--faithfulness.shifts=9" in many.test
    assert open_commands([few, many]) == [[few.fit, few.test, many.test]], "trained once, for both"


CURVES = """
variants:
  AE: {config: base.yaml, curve: {fscore.percentiles: [98]}}
  forest: {config: base.yaml, fit: {model: IsolationForest}, curve: null}
curve: {sanity.clips: 0}
"""


def test_curve_is_a_step_of_each_training(plans, tmp_path):
    ae, forest = plans(CURVES)
    assert ae.curve == ["curve", "--sanity.clips=0", "--fscore.percentiles=[98]", f"--run={ae.folder}"]
    assert "--curve_checkpoints=8" in ae.fit
    assert not forest.curve
    assert not any(argument.startswith("--curve") for argument in forest.fit)
    assert open_commands([ae, forest]) == [[ae.fit, ae.test, ae.curve], [forest.fit, forest.test]]
    (own,) = plans("variants: {AE: {config: base.yaml}}\ncurve: {}\nfit: {curve_checkpoints: 5}")
    assert "--curve_checkpoints=5" in own.fit
    few, many = plans("variants: {AE: {config: base.yaml}}\ntest_grid: {faithfulness.shifts: [1, 9]}\ncurve: {}")
    assert open_commands([few, many]) == [[few.fit, few.test, many.test, few.curve]], "once for both"


def test_curve_is_made_again_where_its_options_change(plans):
    ae, forest = plans(CURVES)
    for plan in (ae, forest):
        plan.record()
        finish(plan.folder, "fit", "test")
    assert open_commands([ae, forest]) == [[ae.curve]]
    finish(ae.folder, "curve")
    assert not open_plans([ae, forest])
    now, _ = plans(CURVES.replace("[98]", "[97]"))
    assert open_commands([now]) == [[now.curve]], "the test stays"
    now.record()
    assert not (now.folder / "curve" / "finished").exists()
    assert (now.folder / "test" / "finished").exists()


def test_skips_finished_steps(plans):
    runs = plans("variants: {AE: {config: base.yaml}, MAE: {config: base.yaml}, CAE: {config: base.yaml}}")
    for plan in runs:
        plan.record()
    ae, mae, cae = runs
    finish(ae.folder, "fit", "test")
    finish(mae.folder, "fit")
    assert open_commands(runs) == [[mae.test], [cae.fit, cae.test]]


def test_changed_options_of_test_are_tested_again(plans):
    (before,) = plans("variants: {AE: {config: base.yaml}}")
    before.record()
    finish(before.folder, "fit", "test")
    (now,) = plans("variants: {AE: {config: base.yaml}}\ntest: {faithfulness.shifts: 2}")
    assert open_commands([now]) == [[now.test]]
    now.record()
    assert not (now.folder / "test").exists(), "no result of other options is taken for one of these"
    assert json.loads((now.folder / "study.json").read_text())["test"] == now.test


def test_rejects_changed_options_of_a_training(plans):
    (before,) = plans("variants: {AE: {config: base.yaml}}")
    before.record()
    (now,) = plans("variants: {AE: {config: base.yaml, fit: {trainer.max_epochs: 9}}}")
    assert open_commands([now]) == [[now.fit, now.test]], "nothing has begun"
    (before.folder / "fit").mkdir()
    with pytest.raises(ConfigurationError, match=r"with other options \(--trainer.max_epochs was not given, is 9\)"):
        open_plans([now])


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        ("trainer.max_epochs: 30", "trainer.max_epochs: 20", "--trainer.max_epochs was 30, is 20"),
        ("data.root: data", "data.hop: 1", "--data.root was data, is not given"),
        ("data.hop: 1, wandb.group: a", "data.hop: 2, wandb.group: b", "--data.hop was 1, is 2"),
        ("data.hop: 1, data.fmin: 5", "data.fmin: 5, data.hop: 1", ""),
    ],
)
def test_a_change_is_one_of_an_option_of_the_training(plans, before, now, change):
    study = "variants: {{AE: {{config: base.yaml, fit: {{{}}}}}}}"
    (plan,) = plans(study.format(before))
    plan.record()
    (plan.folder / "fit").mkdir()
    assert plans(study.format(now))[0].change() == change


def test_a_moved_or_renamed_study_stays_finished(tmp_path, monkeypatch):
    """Also with configurations in its folder, and runs that test the training of another."""
    monkeypatch.chdir(tmp_path)
    study = Path("b")
    study.mkdir()
    (study / "base.yaml").touch()
    (study / "mine.yaml").write_text("variants: {AE: {config: base.yaml}}\ntest_grid: {faithfulness.shifts: [1, 9]}")
    runs = plan_runs(read_definition(study / "mine.yaml"), study)
    for plan in runs:
        plan.record()
        finish(plan.folder, "test")
    finish(runs[0].fitted_in, "fit")
    study.rename("b2")
    for folder in (Path("b2"), tmp_path / "b2"):
        moved = plan_runs(read_definition(folder / "mine.yaml"), folder)
        assert [plan.study for plan in moved] == ["b2", "b2"]
        assert [plan.change() for plan in moved] == ["", ""]
        assert open_plans(moved) == []
    monkeypatch.chdir("b2")
    assert open_plans(plan_runs(read_definition(Path("mine.yaml")), Path())) == []
    others = plan_runs(read_definition(Path("mine.yaml")), Path(), ["--data.root", "data"])
    assert others[0].change() == "--data.root was not given, is data"


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("seeds: [0]", "variants is missing"),
        ("variants: {AE: {config: none.yaml}}", "variants.AE.config none.yaml is not a file"),
        ("variants: {AE: {}}", "variants.AE.config is missing"),
        ("variants: {AE: {config: base.yaml, sed: 1}}", "variants.AE.sed does not exist; choose from config"),
        ("varants: {}", "varants does not exist; choose from variants"),
        ("variants: {AE: 3}", "variants.AE is 3, not a mapping"),
        ("variants: {AE: {config: base.yaml, detector: knn}}", "variants.AE.detector does not exist; choose from"),
        ("variants: {../AE: {config: base.yaml}}", "can't be the name of a folder"),
        ("variants: {AE: {config: base.yaml}}\nseeds: [0, 0]", r"seeds \[0, 0\] contain a duplicate"),
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
            r"\['4', '4'\] contain a duplicate",
        ),
        ("variants:\n  AE: {config: [base.yaml}", r"line 2, column 26: .* that begins in line 2, column 16"),
        ("variants:\n  AE: {}\n  AE: {}", "line 3, column 3: found duplicate key AE"),
        ("variants: {AE: {config: base.yaml}}\nseeds: ${no.such}", "seeds: Interpolation key 'no.such' not found"),
        ("- AE", "the file is .* not a mapping"),
    ],
)
def test_invalid_study_names_its_key(plans, study, message):
    with pytest.raises(ConfigurationError, match=message):
        plans(study)


@pytest.mark.parametrize("path", sorted(Path("experiments/configs/studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_plans_shipped_studies(path, tmp_path, monkeypatch):
    path = path.resolve()
    monkeypatch.chdir(tmp_path)
    Path("data/spliced/fan").mkdir(parents=True)
    assert plan_runs(read_definition(path), tmp_path)
