"""Reading of run folders, against files written by hand."""

import re
import shutil

import numpy as np
import pytest

from experiments.runs.folder import RunFolder
from experiments.runs.results import SanityRow, StudyMembership, read_clip_values, read_learning_curves, read_run
from lightning_modules import ConfigurationError


def refused(folder, *texts):
    with pytest.raises(ConfigurationError) as caught:
        read_run(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert all(text in message for text in texts), message


def test_a_run_is_read_whole(run_maker, tmp_path):
    run = read_run(run_maker("MAE").write(tmp_path / "run"))
    assert run.objective == "MAE"
    assert run.clips.names[4:] == ("stuck/a.wav", "broken/b.wav", "broken/c.wav")
    assert run.clips.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert run.clips.scores.tolist() == [1, 2, 3, 4, 5, 3.5, 2.5]
    assert run.clips.annotated.tolist() == [False] * 4 + [True] * 3
    assert [example.name for example in run.examples] == ["stuck/a.wav", "broken/b.wav"]
    assert run.config["data"]["init_args"]["frame_step"] == 0.125, "interpolation is resolved"


def test_frame_rate_comes_from_the_configuration(run_maker, tmp_path):
    assert read_run(run_maker().write(tmp_path / "run")).frames_per_second == 8.0


def test_means_over_clips_and_types(run_maker, tmp_path):
    f1 = read_run(run_maker().write(tmp_path / "run")).f1
    assert (f1.explainers, f1.percentiles) == (("error_map", "saliency"), (97, 98, 99))
    assert f1.mean("f1", "error_map") == pytest.approx([0.4, 0.4, 0.5])
    assert f1.mean("f1", "error_map", "broken") == pytest.approx([0.5, 0.35, 0.3])
    assert np.isnan(f1.mean("f1", "error_map", "thick")).all()


def test_missing_segment_values_are_undefined(run_maker, tmp_path):
    values = read_run(run_maker(segments=False).write(tmp_path / "run")).faithfulness
    assert values.defined("frame")
    assert not values.defined("segment")


def test_rows_may_stand_in_any_order(run_maker, tmp_path):
    folder = run_maker().write(tmp_path / "run")
    path = folder / "test" / "f1.csv"
    before = read_clip_values(path, ("f1",))
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *rows[::-1]]))
    after = read_clip_values(path, ("f1",))
    for explainer in before.explainers:
        assert after.mean("f1", explainer) == pytest.approx(before.mean("f1", explainer))
    assert after.values["f1"]["saliency"][after.names.index("broken/c.wav")].tolist() == [0.3, 0.1, 0.0]


def test_losses_of_an_epoch_are_joined(run_maker, tmp_path):
    folder = run_maker().write(tmp_path / "run")
    curves = read_run(folder).learning
    assert curves.epochs.tolist() == [0, 1, 2]
    assert curves.train.tolist() == [8, 4, 3]
    assert curves.validation.tolist() == [9, 5, 6]
    (folder / "fit" / "metrics.csv").write_text("epoch,step,train/loss\n0,1,2.5\n")
    assert np.isnan(read_learning_curves(folder / "fit").validation).all()


def test_what_was_not_made_is_none(run_maker, tmp_path):
    folder = run_maker(f1=None, examples=False).write(tmp_path / "run")
    (folder / "fit" / "metrics.csv").unlink()
    run = read_run(folder)
    assert (run.f1, run.faithfulness, run.learning, run.examples) == (None, None, None, ())


def test_the_test_configuration_stands_in_for_that_of_fit(run_maker, tmp_path):
    folder = run_maker("MAE").write(tmp_path / "run")
    (folder / "fit" / "config.yaml").rename(folder / "test" / "config.yaml")
    assert read_run(folder).objective == "MAE"


def test_unfinished_runs_are_refused(run_maker, tmp_path):
    refused(tmp_path / "nowhere", "nowhere is not a folder", "faithful-aad")
    folder = run_maker().write(tmp_path / "run")
    (folder / "test" / "clips.csv").unlink()
    refused(folder, "run holds no test results", "clips.csv is missing", "faithful-aad test --run", str(folder))


@pytest.mark.parametrize(
    ("damaged", "contents", "expected"),
    [
        ("test/clips.csv", "index,name\n0,a\n", "no column 'label'"),
        ("test/clips.csv", "index,name,label,anomaly_type,annotated,score\n0,a,zero,,0,1\n", "damaged"),
        ("test/f1.csv", "index,name,anomaly_type,explainer,percentile,f1,precision,recall\n0,a,,e\n", "damaged"),
        ("fit/metrics.csv", "epoch,train/loss\nx,1\n", "damaged"),
        ("fit/config.yaml", "model: [", "not a readable YAML mapping: line 2"),
        ("fit/config.yaml", "- model", "holds no mapping"),
    ],
)
def test_damaged_files_are_named(run_maker, tmp_path, damaged, contents, expected):
    folder = run_maker().write(tmp_path / "run")
    (folder / damaged).write_text(contents)
    refused(folder, damaged, expected)


@pytest.mark.parametrize("changed", ["f1.csv", "faithfulness.csv", "f1_null.npz", "finished"])
@pytest.mark.parametrize("length", [None, 0, 100])
def test_results_are_as_the_test_left_them(run_maker, tmp_path, changed, length):
    run = run_maker(evidence=True).write(tmp_path / "run")
    RunFolder(run).mark_finished("test")
    assert read_run(run).caution == ""
    path = run / "test" / changed
    if length is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:length])
    if changed == "finished" and not length:
        assert read_run(run).caution == ("test unfinished: results may be missing" if length is None else "")
        return
    refused(run, changed, "is missing" if length is None else "changed", f"run faithful-aad test --run {run} again")


def test_measures_that_were_cut_are_not_averaged(run_maker, tmp_path):
    """Of a run of an older version, which did not note how long its files were."""
    run = run_maker().write(tmp_path / "run")
    path = run / "test" / "f1.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    refused(run, "f1.csv is damaged (16 of 18 rows are there)")


def test_a_damaged_example_is_named(run_maker, tmp_path):
    run = read_run(run_maker().write(tmp_path / "run"))
    path = next((run.folder / "test" / "examples").glob("*.npz"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigurationError, match=path.name):
        _ = run.examples


def test_a_run_without_evidence_is_read(run_maker, tmp_path):
    run = read_run(run_maker().write(tmp_path / "run"))
    assert (run.f1_references, run.faithfulness_references, run.f1_null, run.faithfulness_null) == (None,) * 4
    assert (run.deletion, run.sanity, run.membership, run.clips.masked_scores) == (None,) * 4
    assert "chance" not in run.f1.values
    assert not run.faithfulness.defined("frame_chance")


def test_evidence_is_read(run_maker, tmp_path):
    run = read_run(run_maker("MAE", evidence=True).write(tmp_path / "run"))
    assert run.f1.mean("chance", "saliency") == pytest.approx([0.1, 0.05, 0.0])
    assert run.faithfulness.values["segment_chance"]["error_map"][0] == pytest.approx([0.1, 0.175, 0.275])
    assert run.f1_references.explainers == ("random_frames", "all_frames", "oracle")
    assert run.f1_references.mean("f1", "oracle") == pytest.approx([1, 1, 1])
    assert run.faithfulness_references.mean("frame", "random_frames") == pytest.approx([0.3, 0.2, 0.1])
    assert run.deletion.mean("insertion", "error_map") == pytest.approx([0.6, 0.6, 0.5])
    assert (run.f1_null.names, run.f1_null.percentiles) == (run.f1.names, (97, 98, 99))
    assert run.f1_null.values["f1"]["saliency"].shape == (3, 3, 5)
    assert run.f1_null.values["f1"]["saliency"][..., 0] == pytest.approx(run.f1.values["f1"]["saliency"])
    assert set(run.faithfulness_null.values) == {"frame", "segment"}
    assert run.clips.masked_scores[4:] == pytest.approx([10, 7, 5])


def test_sanity_checks_are_typed(run_maker, tmp_path):
    folder = run_maker().write(tmp_path / "run")
    (folder / "test" / "sanity.csv").write_text(
        "index,name,explainer,check,step,value\n4,stuck/a.wav,saliency,randomisation,decoder,0.25\n"
        "4,stuck/a.wav,saliency,infidelity,,1e-3\n"
    )
    assert read_run(folder).sanity == [
        SanityRow(4, "stuck/a.wav", "saliency", "randomisation", "decoder", 0.25),
        SanityRow(4, "stuck/a.wav", "saliency", "infidelity", "", 1e-3),
    ]


def test_the_place_in_a_study_is_read(run_maker, tmp_path):
    folder = run_maker().write(tmp_path / "run")
    (folder / "study.json").write_text('{"study": "s", "variant": "MAE", "settings": {"mask_ratio": 0.3}, "seed": 3}')
    assert read_run(folder).membership == StudyMembership("s", "MAE", {"mask_ratio": 0.3}, 3)
    (folder / "study.json").write_text('{"study": "s"}')
    refused(folder, "study.json", "damaged")


@pytest.mark.parametrize(
    ("name", "label"), [("OneClassSVM", "One-class SVM"), ("LocalOutlierFactor", "LocalOutlierFactor")]
)
def test_a_baseline_detector_is_a_run(run_maker, tmp_path, name, label):
    folder = run_maker(f1=None, examples=False).write(tmp_path / "run")
    shutil.rmtree(folder / "fit")
    (folder / "test" / "config.yaml").write_text(f"model: {{class_path: my.{name}, init_args: {{nu: 0.1}}}}\n")
    run = read_run(folder)
    assert (run.objective, run.learning, run.f1, run.examples) == (label, None, None, ())
    assert run.clips.has_roc


def test_damaged_nulls_are_named(run_maker, tmp_path):
    run = read_run(run_maker(evidence=True).write(tmp_path / "run"))
    path = run.folder / "test" / "f1_null.npz"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ConfigurationError, match=r"f1_null\.npz is damaged"):
        _ = run.f1_null


def test_no_damaged_file_is_advised_to_be_run(run_maker, tmp_path):
    run = read_run(run_maker(evidence=True).write(tmp_path / "run"))
    example = next((run.folder / "test" / "examples").glob("*.npz"))
    for path, read in ((run.folder / "test" / "f1_null.npz", "f1_null"), (example, "examples")):
        path.write_bytes(bytes(range(256)))
        with pytest.raises(ConfigurationError, match=rf"{path.name} is damaged .* run the stage") as caught:
            getattr(run, read)
        assert not re.search("trust|pickle|unsafe", str(caught.value))
