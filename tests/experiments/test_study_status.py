"""The states of a study's runs, and which of them are made again."""

import re
import shutil
import subprocess
import sys

import pytest

from experiments.cli.main import main
from experiments.runs.folder import RunFolder
from experiments.study.command import conclude
from experiments.study.definition import read_definition
from experiments.study.plan import open_plans, plan_runs
from experiments.study.process import Step
from experiments.study.selection import deletions, discard, select
from experiments.study.status import run_state
from lightning_modules.errors import TrainingError

STUDY = """
seeds: [0, 1]
variants:
  AE: {config: base.yaml, fit: {trainer.max_epochs: 5}}
  MAE: {config: base.yaml, seeds: [0], fit: {trainer.max_epochs: 5}}
"""


@pytest.fixture
def plans(tmp_path):
    """Plan a study; returns its runs."""

    def make(study=STUDY):
        (tmp_path / "base.yaml").touch()
        (tmp_path / "study.yaml").write_text(study)
        return plan_runs(read_definition(tmp_path / "study.yaml"), tmp_path / "out")

    return make


def train(plan, epochs, bound=5, finished=False):
    """Write what a training leaves of so many epochs."""
    plan.record()
    run = RunFolder(plan.fitted_in)
    run.fit_config.parent.mkdir(parents=True, exist_ok=True)
    run.fit_config.write_text(f"trainer: {{max_epochs: {bound}}}\n")
    rows = "".join(f"{epoch},1.0\n" for epoch in range(epochs))
    (run.path / "fit" / "metrics.csv").write_text(f"epoch,train/loss\n{rows}")
    if finished:
        run.mark("fit").touch()


def evaluate(plan):
    (plan.folder / "test").mkdir(parents=True)
    RunFolder(plan.folder).mark("test").touch()


def test_state_of_a_run_from_its_folder(plans):
    plan, *_ = plans()
    run = RunFolder(plan.folder)
    assert run_state(plan) == ("waiting", "")
    train(plan, 2)
    assert run_state(plan) == ("interrupted", ", epoch 2/5")
    with run.alone("fit"):
        assert run_state(plan) == ("training", ", epoch 2/5")
    train(plan, 5, finished=True)
    assert run_state(plan) == ("fitted", "")
    with run.alone("test"):
        assert run_state(plan) == ("testing", "")
    evaluate(plan)
    assert run_state(plan) == ("tested", "")
    more, *_ = plans(STUDY.replace("max_epochs: 5", "max_epochs: 8"))
    assert run_state(more) == ("to go on", ", epoch 5/5")
    other, *_ = plans(STUDY.replace("AE: {config: base.yaml, fit: {", "AE: {config: base.yaml, fit: {data.hop: 1, "))
    assert run_state(other) == ("changed", ": was made with other options (--data.hop was not given, is 1)")


def test_state_of_a_run_with_a_slurm_job(plans):
    plan, *_ = plans()
    assert run_state(plan, "7_0", "PENDING") == ("queued", " (Slurm job 7_0)")
    assert run_state(plan, "7_0", "RUNNING") == ("training", " (Slurm job 7_0)")
    train(plan, 3)
    assert run_state(plan, "7_0", "PENDING") == ("queued", " (Slurm job 7_0), epoch 3/5"), "it was requeued"
    assert run_state(plan, "7_0", "COMPLETING") == ("ending", " (Slurm job 7_0), epoch 3/5")
    assert run_state(plan, "7_0", "CANCELLED") == ("cancelled", ", epoch 3/5 (Slurm job 7_0)")
    assert run_state(plan, "7_0", "OUT_OF_MEMORY") == ("failed", ": Slurm job 7_0 ended as OUT_OF_MEMORY")
    assert run_state(plan, "7_0", "") == ("interrupted", ", epoch 3/5"), "Slurm has forgotten the job"
    train(plan, 5, finished=True)
    assert run_state(plan, "7_0", "RUNNING") == ("testing", " (Slurm job 7_0)")
    assert run_state(plan, "7_0", "CANCELLED") == ("cancelled", " (Slurm job 7_0)")


def test_a_failed_step_is_remembered_until_it_starts_again(plans):
    plan, *_ = plans()
    step = Step("a step", ["no-such-command"], RunFolder(plan.folder).mark("fit"), plan.log)
    failure = step.end(step.start({}).wait())
    assert "'no-such-command' does not exist" in failure
    assert run_state(plan) == ("failed", f": {failure}")
    process = step.start({})
    assert run_state(plan) == ("waiting", "")
    process.kill()
    assert step.end(process.wait()) == "killed by SIGKILL", "whatever it printed last"
    assert run_state(plan) == ("failed", ": killed by SIGKILL")


def test_advice_after_failures_depends_on_whether_the_same_options_would_fail_again(plans, tmp_path):
    diverged, killed, _ = runs = plans()

    def advice(*failed):
        with pytest.raises(TrainingError) as raised:
            conclude(failed, tmp_path / "out")
        return str(raised.value).rpartition("log.txt); ")[2]

    assert advice(*runs) == "the same command tries them again"
    for plan, failure in (
        (diverged, "the training loss is nan in epoch 2. The same options would fail again"),  # as `fit` prints it
        (killed, "killed by SIGKILL"),
    ):
        plan.folder.mkdir(parents=True)
        (plan.folder / "failed.txt").write_text(failure)
    assert advice(killed) == "the same command tries them again"
    assert advice(diverged).startswith("their training diverged, and the same options would fail again: change")
    assert advice(*runs).startswith("the same command tries them again, except those whose training diverged and")
    assert "(AE seed 0): change their options" in advice(*runs)


def test_status_starts_nothing_and_imports_no_lightning(plans, tmp_path):
    first, second, third = plans()
    train(first, 5, finished=True)
    evaluate(first)
    train(second, 1)
    before = sorted(tmp_path.rglob("*"))
    command = ["study", str(tmp_path / "study.yaml"), "--output", str(tmp_path / "out"), "--status"]
    script = f"""if True:
        import sys
        from experiments.cli.main import main
        status = main({command})
        sys.exit(status or " ".join({{"lightning", "matplotlib"}} & sys.modules.keys()) or 0)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "AE seed 0   tested",
        "MAE seed 0  interrupted, epoch 1/5",
        "AE seed 1   waiting",
        f"3 runs in {tmp_path / 'out'}: 1 tested, 1 interrupted, 1 waiting",
    ]
    assert sorted(tmp_path.rglob("*")) == before
    assert run_state(third) == ("waiting", "")


def test_trainings_that_ended_at_their_bound_go_on_to_a_higher_one(plans):
    at_bound, early, lower = plans()
    train(at_bound, 5, finished=True)
    train(early, 3, finished=True)
    for plan in (at_bound, early):
        evaluate(plan)
    raised = {plan.label: plan for plan in plans(STUDY.replace("max_epochs: 5", "max_epochs: 8"))}
    again, stopped, _ = raised.values()
    assert [plan.label for plan in open_plans([again, stopped])] == ["AE seed 0"]
    assert (again.is_fitted(), again.is_tested()) == (False, False)
    assert (stopped.is_fitted(), stopped.is_tested()) == (True, True), "it ended early and stays as it is"
    again.record()
    assert not (again.folder / "test").exists(), "results of fewer epochs are not taken for those of more"
    assert (again.folder / "fit").is_dir()

    implied, *_ = plans(STUDY.replace("trainer.max_epochs: 5", "data.hop: 1"))
    shutil.rmtree(again.folder)
    train(implied, 5, finished=True)
    for bound, label in ((5, []), (8, ["AE seed 0"])):
        now, *_ = plans(STUDY.replace("trainer.max_epochs: 5", f"data.hop: 1, trainer.max_epochs: {bound}"))
        assert [plan.label for plan in open_plans([now]) if not plan.is_fitted()] == label, "5 is of the configuration"

    train(lower, 5, finished=True)
    fewer = plans(STUDY.replace("max_epochs: 5", "max_epochs: 2"))[2]
    with pytest.raises(ValueError, match=r"\(--trainer.max_epochs was 5, is 2\); discard it with"):
        fewer.is_fitted()


def test_other_tracking_is_no_change(plans):
    plan, *_ = plans()
    train(plan, 5, finished=True)
    evaluate(plan)
    tracked, *_ = plans(STUDY.replace("max_epochs: 5", "max_epochs: 5, wandb.project: other"))
    assert tracked.fit != plan.fit
    assert open_plans([tracked]) == []


def test_redo_discards_a_training_and_its_results(plans):
    runs = plans()
    for plan in runs:
        train(plan, 5, finished=True)
        evaluate(plan)
    assert open_plans(runs) == []
    for name in ("MAE seed 0", str(runs[1].folder)):
        (again,) = open_plans(discard(runs, [name]))
        assert again.label == "MAE seed 0"
        assert not again.is_fitted()
        assert (again.folder / "test").is_dir(), "nothing is deleted before it is recorded"
    with RunFolder(again.folder).alone("test"), pytest.raises(ValueError, match="another process is running test"):
        again.record()
    assert (again.folder / "fit").is_dir()
    (again.folder / "wandb-id").write_text("abc")
    (again.folder / "wandb" / "offline-run-1-abc").mkdir(parents=True)
    assert deletions([again]) == [f"deletes fit, test and wandb of {again.folder}"], "all of it is announced"
    again.record()
    assert [path.name for path in again.folder.iterdir()] == ["study.json"]
    assert runs[0].is_tested(), "others stay"


def test_redo_of_a_changed_run_is_no_error(plans):
    plan, *_ = plans()
    train(plan, 5, finished=True)
    changed, *_ = plans(STUDY.replace("max_epochs: 5", "max_epochs: 2"))
    (again,) = discard([changed], [changed.label])
    assert open_plans([again]) == [again]
    assert again.whole_test[1:3] == again.fit[1:3], "as of a training that has not begun"


def test_redo_of_runs_that_share_a_training(plans):
    few, many = plans("variants: {AE: {config: base.yaml}}\ntest_grid: {faithfulness.shifts: {few: 1, many: 9}}")
    train(few, 5, finished=True)
    for plan in (few, many):
        plan.record()
        evaluate(plan)
    (again,) = open_plans(discard([few, many], [few.label]))
    assert again.is_fitted(), "only its test is made again"
    again.record()
    assert RunFolder(few.fitted_in).is_finished("fit")
    evaluate(few)
    few.record()
    both = open_plans(discard([few, many], [str(few.fitted_in)]))
    assert [plan.label for plan in both] == [few.label, many.label]
    assert not both[0].is_fitted()


def test_only_some_variants(plans):
    runs = plans()
    assert [plan.label for plan in select(runs, ["MAE"])] == ["MAE seed 0"]
    assert select(runs, ["MAE", "AE"]) == runs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "[AE, VAE]"], "--only VAE is not a variant; choose from AE, MAE"),
        (["--redo", "AE seed 7"], "--redo AE seed 7 is not a run; choose from AE seed 0, MAE seed 0, AE seed 1, or"),
        (["--only", "MAE", "--redo", "AE seed 0"], "--redo AE seed 0 is not a run; choose from MAE seed 0, or name"),
    ],
)
def test_rejects_names_that_do_not_exist(plans, tmp_path, capsys, options, message):
    plans()
    assert main(["study", str(tmp_path / "study.yaml"), "--output", str(tmp_path / "out"), *options]) == 2
    assert re.search(re.escape(message), capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
