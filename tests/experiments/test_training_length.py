"""What a report says of the length of trainings: cautions, a table, and quality against steps."""

import json
import shutil
from pathlib import Path

import pytest
from read_axes import titled
from run_folders import write_rows
from study_folders import write_study

from experiments.cli.main import main
from experiments.report.evidence import compute_evidence
from experiments.report.findings import sentences, warnings
from experiments.report.loading import load_comparison
from experiments.report.paper_figures import length_figures
from experiments.report.tables import all_tables
from experiments.report.training import training_of
from experiments.runs.results import CURVE_COLUMNS, read_run

COLUMNS = ("epoch", "step", "train/loss", "val/loss")
MODEL = "  init_args:\n    patience: {patience}\n    min_delta: {min_delta}\n"
FALLING = [100.0 / (1 + epoch) for epoch in range(40)]


def train(run, losses, steps_per_epoch=10, patience=30, min_delta=0.0, **trainer):
    """Give a run another training, with these validation losses and options."""
    rows = [(epoch, steps_per_epoch * (epoch + 1) - 1, "", loss) for epoch, loss in enumerate(losses)]
    write_rows(run / "fit" / "metrics.csv", COLUMNS, rows)
    config = run / "fit" / "config.yaml"
    text = config.read_text().replace("  init_args:\n", MODEL.format(patience=patience, min_delta=min_delta), 1)
    config.write_text(f"{text}trainer: {json.dumps({'max_epochs': len(losses), **trainer})}\n")
    (run / "fit" / "finished").touch()
    return run


@pytest.fixture
def cautions(run_maker, tmp_path):
    def of(losses, **settings):
        run = train(run_maker().write(tmp_path / "run"), losses, **settings)
        comparison = load_comparison([run])
        found = warnings(comparison, compute_evidence(comparison))
        return [warning for warning in found if "trained too briefly" in warning]

    return of


def test_counts_epochs_and_steps(run_maker, tmp_path):
    (run,) = load_comparison([run_maker().write(tmp_path / "run")]).runs.values()
    training = training_of(run)  # two steps per epoch, the lowest loss in the second of three
    assert (training.epochs, training.steps, training.best_epochs, training.best_steps) == (3, 6, 2, 4)
    assert training.best_loss == 5.0


@pytest.mark.parametrize(
    ("losses", "settings", "said"),
    [
        ([9.0, 8.0], {"steps_per_epoch": 3}, "its best epoch is its last (2 epochs, 6 steps)"),
        (FALLING, {}, "its best epoch is its last (40 epochs, 400 steps)"),
        ([9.0, 8.0, 8.5], {}, "it is shorter (3 epochs, 30 steps) than the patience of its early stopping, 30"),
        # The lowest of the first 26 is 1 / 26 of 100, that of the last 14 is 1 / 39: a third less.
        ([*FALLING[:39], 4.0], {}, "its validation loss fell by 33 % over the last third (40 epochs, 400 steps)"),
    ],
)
def test_warns_of_a_training_that_is_too_short(cautions, losses, settings, said):
    (warning,) = cautions(losses, **settings)
    assert warning.startswith(f"AE may be trained too briefly: {said}")


@pytest.mark.parametrize(
    ("losses", "settings"),
    [
        ([*FALLING[:10], *[20.0] * 30], {}),  # out of patience
        ([*FALLING[:10], 9.9, 9.8, 9.7, 9.6, 9.55], {"patience": 5, "min_delta": 0.5}),  # better by less
        ([9.0, 8.0, 8.5], {"max_epochs": 500}),  # stopped by a callback
        ([*FALLING[:26], 3.8, *[3.9] * 13], {}),  # 1 % better over the last third
    ],
)
def test_says_nothing_of_a_training_that_has_settled(cautions, losses, settings):
    assert not cautions(losses, **settings)


def test_time_and_steps_are_bounds_too(cautions):
    (warning,) = cautions([9.0, 8.0, 8.5], max_epochs=500, max_steps=30)
    assert "shorter (3 epochs, 30 steps)" in warning


def test_claims_about_two_models_carry_the_caution(ae_and_mae):
    train(Path(ae_and_mae[0]), [9.0, *[9.5] * 30], steps_per_epoch=10)
    train(Path(ae_and_mae[1]), [9.0, 8.0, 7.0, 6.0, *[9.5] * 30], steps_per_epoch=10)
    comparison = load_comparison(list(map(Path, ae_and_mae)))
    evidence = compute_evidence(comparison)
    reason = "MAE had 4.0 times as many steps as AE up to its best epoch (40 and 10)"
    assert f"(premature: {reason})" in sentences(comparison, evidence)[-1]
    assert f"{reason}: what differs between them may come from the length of training." in warnings(
        comparison, evidence
    )
    tables = {table.name: table for of_section in all_tables(comparison, evidence).values() for table in of_section}
    assert f"Premature: {reason}." in tables["paired"].legend
    rows = [[cell.text for cell in row] for row in tables["training"].rows]
    assert rows == [
        ["AE", "early stopping", "31", "310", "1", "10", "9"],
        ["MAE", "early stopping", "34", "340", "4", "40", "6"],
    ]


def test_models_of_equal_length_are_compared_without_a_caution(ae_and_mae):
    for run, n in zip(ae_and_mae, (1, 3), strict=True):  # three times as many steps are not too many
        train(Path(run), [9.0 - epoch for epoch in range(n)] + [9.5] * 30)
    comparison = load_comparison(list(map(Path, ae_and_mae)))
    assert "premature" not in sentences(comparison, compute_evidence(comparison))[-1]


CURVE = {
    # epochs and steps: F1 of the error map and its chance level, AUC, loss
    (1, 10): (0.3, 0.2, 0.5, 20.0),
    (2, 20): (0.5, 0.2, 0.7, 10.0),
    (3, 30): (0.6, 0.2, 0.8, 15.0),
}


def write_curve(run, gain=0.0):
    rows = []
    for (epochs, steps), (f1, chance, auc, loss) in CURVE.items():
        of_f1 = [("error_map", percentile, 4, value, chance) for percentile, value in ((97, 0.9), (98, f1 + gain))]
        rows += [(epochs, steps, "f1", *row) for row in of_f1]
        rows.append((epochs, steps, "f1", "oracle", 98, 4, 1.0, ""))
        rows += [(epochs, steps, name, "", "", 9, value, "") for name, value in (("auc", auc), ("loss", loss))]
    (run / "curve").mkdir()
    write_rows(run / "curve" / "curve.csv", tuple(CURVE_COLUMNS), rows)


@pytest.fixture
def curved(tmp_path):
    """A study with the curves of two seeds of the MAE; the second gains 0.1."""
    study = write_study(tmp_path / "small")
    for seed in (0, 1):
        write_curve(study / "runs" / "MAE" / f"seed_{seed}", gain=0.1 * seed)
    return load_comparison([study])


def test_figure_shows_values_over_chance_against_steps(curved):
    (figure,) = length_figures(curved).values()
    panel = titled(figure, "Error map")
    *runs_and_best, mean, chance = panel.lines
    first, best, second, _ = runs_and_best
    assert first.get_xdata().tolist() == [10, 20, 30]
    assert first.get_ydata().tolist() == pytest.approx([0.1, 0.3, 0.4])
    assert second.get_ydata().tolist() == pytest.approx([0.2, 0.4, 0.5])
    assert mean.get_ydata().tolist() == pytest.approx([0.15, 0.35, 0.45])
    assert (best.get_xdata().tolist(), best.get_ydata().tolist()) == ([20], pytest.approx([0.3])), "epoch 2 is the best"
    assert set(chance.get_ydata()) == {0}
    assert titled(figure, "AUC").lines[0].get_ydata().tolist() == [0.5, 0.7, 0.8]
    assert titled(figure, "Validation loss / lowest").lines[0].get_ydata().tolist() == [2.0, 1.0, 1.5]
    assert panel.get_xscale() == "log"


def test_figure_is_on_the_page_and_a_file(run_maker, tmp_path):
    run = run_maker(f1=None, examples=False).write(tmp_path / "run")  # charts of a test take seconds
    write_curve(run)
    assert main(["report", str(run), "--output", str(tmp_path / "report.html")]) == 0
    assert "Quality against training length" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "report_figures" / "training_length_f1.pdf").is_file()
    assert (tmp_path / "report_tables" / "training.csv").read_text().splitlines()[1].startswith("AE,")


def test_runs_without_a_curve_have_no_such_figure(small_study):
    assert not length_figures(small_study)


def test_cautions_are_about_the_training_that_several_tests_share(run_maker, tmp_path):
    """Of a study that tests each training on several sets, also where its folder was moved."""
    trained, tested = tmp_path / "runs" / "root=a" / "seed_0", tmp_path / "runs" / "root=a,part=control" / "seed_0"
    for run in (trained, tested):
        train(run_maker().write(run), FALLING)
    (tested / "fit" / "config.yaml").rename(tested / "test" / "config.yaml")
    shutil.rmtree(tested / "fit")
    old = "/elsewhere/study/runs"
    command = ["test", f"--ckpt_path={old}/root=a/seed_0/fit/checkpoints/best.ckpt"]
    command += [f"--run={old}/root=a,part=control/seed_0"]
    membership = {"study": "study", "variant": "AE", "settings": {"root": "a", "part": "control"}, "seed": 0}
    (tested / "study.json").write_text(json.dumps(membership | {"fit": [], "test": command}))
    run = read_run(tested)
    assert run.trained_in.resolve() == trained
    training = training_of(run)
    assert (training.epochs, training.best_epochs) == (40, 40)
    assert training.doubt.startswith("its best epoch is its last")
