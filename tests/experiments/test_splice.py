"""`faithful-aad splice` and what becomes of its mark: set, run, tables, page and figures."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from experiments.cli.main import main
from experiments.report.command import report
from experiments.report.evidence import compute_evidence
from experiments.report.findings import sentences, warnings
from experiments.report.loading import load_comparison
from experiments.report.tables import all_tables

CONFIG = Path(__file__).resolve().parents[2] / "experiments" / "configs" / "spliced.yaml"
OPTIONS = ["--data.n_frames", "80", "--data.batch_size", "2", "--wandb.mode", "disabled"]
OPTIONS += ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]
OPTIONS += ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
OPTIONS += ["--attributions.explainers", "[error_map]", "--attributions.examples", "1"]
MARK = "Test set constructed by splicing."


@pytest.fixture(scope="module")
def spliced(tmp_path_factory):
    """A machine whose anomaly is a tone in the middle of its clips, spliced by the command."""
    source, output = tmp_path_factory.mktemp("dcase"), tmp_path_factory.mktemp("spliced") / "set"
    noise = np.random.default_rng(0)
    for label, split, count in (("normal", "train", 4), ("normal", "test", 4), ("anomaly", "test", 1)):
        for number in range(count):
            clip = noise.normal(scale=0.02, size=64_000)
            if label == "anomaly":
                clip[16_000:48_000] += 0.2 * np.sin(1.2 * np.arange(32_000))
            path = source / f"fan/{split}/{label}_id_00_{number:08}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, clip, 16_000)
    assert main(["splice", str(source), str(output), "--machine", "fan", "--clips", "1"]) == 0
    return output


@pytest.fixture(scope="module")
def runs(spliced, tmp_path_factory):
    """A model tested on the set and on the control, by the commands that the configuration names."""
    folder = tmp_path_factory.mktemp("runs")
    run, control = folder / "ae", folder / "ae-control"
    options = ["--config", str(CONFIG), "--data.root", str(spliced), "--model", "Autoencoder", *OPTIONS]
    assert main(["fit", "--run", str(run), *options]) == 0
    assert main(["test", "--run", str(run)]) == 0
    arguments = ["--config", str(run / "fit/config.yaml"), "--ckpt_path", str(run / "fit/checkpoints/best.ckpt")]
    arguments += ["--data.part", "control", "--run", str(control)]
    assert main(["test", *arguments]) == 0
    return run, control


def test_a_run_keeps_the_mark_of_its_data(spliced, runs):
    run, control = runs
    for stage, data in ((run / "fit", "spliced"), (run / "test", "spliced"), (control / "test", "control")):
        kept = json.loads((stage / "provenance.json").read_text())
        assert kept == json.loads((spliced / data / "provenance.json").read_text())
    assert "test/f1/error_map/p98/spliced" in (run / "test/metrics.csv").read_text()
    assert "test/f1/error_map/p98/control" in (control / "test/metrics.csv").read_text()


def test_predictions_of_other_recordings_carry_no_mark(spliced, runs):
    run, _ = runs
    recordings = ["--data.predict_path", str(spliced / "spliced/test/normal")]
    assert main(["predict", "--run", str(run), *recordings]) == 0
    assert (run / "predict/predictions.csv").is_file()
    assert not (run / "predict/provenance.json").exists()


def test_everything_that_is_reported_says_how_the_test_set_came_about(runs, tmp_path):
    run, control = runs
    comparison = load_comparison([run])
    evidence = compute_evidence(comparison)
    assert MARK in sentences(comparison, evidence)[0]
    assert "Pieces of real anomalous clips" in " ".join(warnings(comparison, evidence))
    of_control = load_comparison([control])
    assert "Control: pieces of real normal clips" in " ".join(warnings(of_control, compute_evidence(of_control)))
    tables = [table for of_section in all_tables(comparison, evidence).values() for table in of_section]
    assert len(tables) > 4
    assert [table.note for table in tables if not table.note.endswith(MARK)] == []
    report([str(run)], str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    of_training = [caption for caption in captions if caption.startswith("Loss by epoch")]
    assert len(captions) > len(of_training) == 1
    assert all(caption.endswith(MARK) for caption in captions if caption not in of_training)
    latex = [path.read_text() for path in (tmp_path / "report_tables").glob("*.tex")]
    assert latex
    assert all(MARK in text for text in latex)


def test_recordings_as_they_are_carry_no_mark(ae_and_mae):
    comparison = load_comparison([Path(run) for run in ae_and_mae])
    evidence = compute_evidence(comparison)
    assert "constructed" not in " ".join(sentences(comparison, evidence) + warnings(comparison, evidence))
    assert not any("constructed" in table.note for part in all_tables(comparison, evidence).values() for table in part)


def test_a_mistake_is_told_in_a_line(spliced, tmp_path, capsys):
    assert main(["splice", str(spliced / "spliced"), str(tmp_path / "out"), "--clips", "1"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("faithful-aad splice: error: clips=1 needs 4 normal test clips")
    assert list(tmp_path.iterdir()) == []
