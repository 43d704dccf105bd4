"""Reading of run folders, against files written by hand."""

import re

import pytest
from run_folders import EXPLANATION_COLUMNS

from experiments.runs.folder import RunFolder
from experiments.runs.results import StudyMembership, has_roc, read_explanations, read_learning, read_run
from lightning_modules import ConfigurationError


def rejected(folder, *texts):
    with pytest.raises(ConfigurationError) as caught:
        read_run(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert all(text in message for text in texts), message


def values(run, measure, explainer, column="value"):
    """A column of explanations by clip and percentile."""
    rows = run.explanations
    rows = rows[(rows["measure"] == measure) & (rows["explainer"] == explainer)]
    return rows.pivot(index="name", columns="percentile", values=column)


def test_a_run_is_read_whole(run_maker, tmp_path):
    run = read_run(run_maker("MAE").write(tmp_path / "run"))
    assert run.objective == "MAE"
    assert run.clips["name"].tolist()[4:] == ["stuck/a.wav", "broken/b.wav", "broken/c.wav"]
    assert run.clips["label"].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert run.clips["score"].tolist() == [1, 2, 3, 4, 5, 3.5, 2.5]
    assert run.clips["annotated"].tolist() == [False] * 4 + [True] * 3
    assert has_roc(run.clips)
    assert [example.name for example in run.examples] == ["stuck/a.wav", "broken/b.wav"]
    assert run.config["data"]["init_args"]["frame_step"] == 0.125, "interpolation is resolved"


def test_frame_rate_comes_from_the_configuration(run_maker, tmp_path):
    assert read_run(run_maker().write(tmp_path / "run")).frames_per_second == 8.0


def test_names_and_numbers_read_back_as_written(run_maker, tmp_path):
    odd = {"NA": 0.1 + 0.2, "nan/None.wav": 5e-324, "1.0": float("nan")}
    run = read_run(run_maker(anomalous=odd, examples=False).write(tmp_path / "run"))
    assert run.clips["name"].tolist()[4:] == list(odd)
    assert run.clips["score"].tolist()[4:6] == [0.1 + 0.2, 5e-324]
    assert run.clips["score"].isna().tolist() == [False] * 6 + [True]
    assert not has_roc(run.clips)
    assert set(run.explanations["name"]) == set(odd)


def test_missing_segment_values_are_undefined(run_maker, tmp_path):
    run = read_run(run_maker(segments=False).write(tmp_path / "run"))
    assert values(run, "faithfulness_frame", "saliency").notna().all(axis=None)
    assert values(run, "faithfulness_segment", "saliency").isna().all(axis=None)


def test_losses_of_an_epoch_are_joined(run_maker, tmp_path):
    folder = run_maker().write(tmp_path / "run")
    losses = read_run(folder).learning
    assert losses["epoch"].tolist() == [0, 1, 2]
    assert losses["train_loss"].tolist() == [8, 4, 3]
    assert losses["val_loss"].tolist() == [9, 5, 6]
    (folder / "fit" / "metrics.csv").write_text("epoch,step,train/loss\n0,1,2.5\n")
    assert read_learning(folder / "fit")["val_loss"].isna().all()
    (folder / "fit" / "metrics.csv").write_text("epoch,step,lr\n0,1,2.5\n")
    assert read_learning(folder / "fit") is None


def test_results_that_were_not_made_are_empty(run_maker, tmp_path):
    folder = run_maker(f1=None, examples=False).write(tmp_path / "run")
    (folder / "fit" / "metrics.csv").unlink()
    run = read_run(folder)
    assert run.explanations.empty
    assert "measure" in run.explanations
    assert (run.learning, run.sanity, run.examples, run.membership) == (None, None, (), None)
    assert not {"masked_score", "level"} & set(run.clips)


def test_a_run_of_an_older_version_has_to_be_tested_again(run_maker, tmp_path):
    folder = run_maker(f1=None).write(tmp_path / "run")
    (folder / "test" / "f1.csv").write_text("index,name\n")
    rejected(folder, "run was tested by an older version", f"run faithful-aad test --run {folder} again")


def test_the_test_configuration_stands_in_for_that_of_fit(run_maker, tmp_path):
    folder = run_maker("MAE").write(tmp_path / "run")
    (folder / "fit" / "config.yaml").rename(folder / "test" / "config.yaml")
    assert read_run(folder).objective == "MAE"


def test_rejects_unfinished_runs(run_maker, tmp_path):
    rejected(tmp_path / "nowhere", "nowhere is not a folder", "faithful-aad")
    folder = run_maker().write(tmp_path / "run")
    (folder / "test" / "clips.csv").unlink()
    rejected(folder, "run contains no test results", "clips.csv is missing", "faithful-aad test --run", str(folder))


@pytest.mark.parametrize(
    ("damaged", "contents", "expected"),
    [
        ("test/clips.csv", "index,name\n0,a\n", "no column 'label'"),
        ("test/clips.csv", "index,name,label,anomaly_type,annotated,score\n0,a,zero,,0,1\n", "damaged"),
        ("test/explanations.csv", f"{','.join(EXPLANATION_COLUMNS)}\n0,a,,e\n", "damaged"),
        ("test/explanations.csv", f"{','.join(EXPLANATION_COLUMNS)}\n0,a,,e,f2,98,1,\n", "no measure 'f2'"),
        ("fit/metrics.csv", "epoch,train/loss\nx,1\n", "damaged"),
        ("fit/config.yaml", "model: [", "not a readable YAML mapping: line "),
        ("fit/config.yaml", "- model", "contains no mapping"),
    ],
)
def test_damaged_files_are_named(run_maker, tmp_path, damaged, contents, expected):
    folder = run_maker().write(tmp_path / "run")
    (folder / damaged).write_text(contents)
    rejected(folder, damaged, expected)


@pytest.mark.parametrize("changed", ["explanations.csv", "clips.csv", "f1_null.npz", "finished"])
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
    if changed == "finished" and length is None:
        assert read_run(run).caution == "test unfinished: results may be missing"
        return
    rejected(run, changed, "is missing" if length is None else "changed", f"run faithful-aad test --run {run} again")


def test_rejects_explanations_that_were_cut(run_maker, tmp_path):
    run = run_maker().write(tmp_path / "run")
    path = run / "test" / "explanations.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "saliency,f1,99" not in line))
    rejected(run, "explanations.csv is damaged (15 of 18 rows of f1 are there)")
    path.write_text("".join([lines[0], *lines[:0:-1]]))
    assert len(read_explanations(run / "test")) == len(lines) - 1, "rows may stand in any order"


def test_a_damaged_example_is_named(run_maker, tmp_path):
    run = read_run(run_maker().write(tmp_path / "run"))
    path = next((run.folder / "test" / "examples").glob("*.npz"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigurationError, match=path.name):
        _ = run.examples


def test_chance_levels_references_and_nulls_are_read(run_maker, tmp_path):
    bare = read_run(run_maker().write(tmp_path / "bare"))
    assert bare.explanations["chance"].isna().all()
    assert bare.null("f1") is None
    run = read_run(run_maker("MAE", evidence=True).write(tmp_path / "run"))
    assert values(run, "f1", "saliency", "chance").mean().tolist() == pytest.approx([0.1, 0.05, 0.0])
    segment = values(run, "faithfulness_segment", "error_map", "chance")
    assert segment.loc["stuck/a.wav"].tolist() == pytest.approx([0.1, 0.175, 0.275])
    assert values(run, "f1", "oracle").mean().tolist() == [1, 1, 1]
    assert values(run, "faithfulness_frame", "random_frames").mean().tolist() == pytest.approx([0.3, 0.2, 0.1])
    assert values(run, "insertion", "error_map").mean().tolist() == pytest.approx([0.6, 0.6, 0.5])
    null = run.null("f1")
    assert (null.names, null.percentiles) == (("stuck/a.wav", "broken/b.wav", "broken/c.wav"), (97, 98, 99))
    assert null.values["saliency"].shape == (3, 3, 5)
    observed = values(run, "f1", "saliency").loc[list(null.names)]
    assert null.values["saliency"][..., 0] == pytest.approx(observed.to_numpy())
    assert run.clips["masked_score"].tolist()[4:] == pytest.approx([10, 7, 5])


def test_sanity_checks_are_typed(run_maker, tmp_path):
    folder = run_maker().write(tmp_path / "run")
    (folder / "test" / "sanity.csv").write_text(
        "index,name,explainer,check,step,value\n4,stuck/a.wav,saliency,randomisation,decoder,0.25\n"
        "4,stuck/a.wav,saliency,infidelity,,\n"
    )
    checks = read_run(folder).sanity.fillna(-1)
    assert checks.to_numpy().tolist() == [
        [4, "stuck/a.wav", "saliency", "randomisation", "decoder", 0.25],
        [4, "stuck/a.wav", "saliency", "infidelity", "", -1],
    ]


def test_the_place_in_a_study_is_read(run_maker, tmp_path):
    folder = run_maker().write(tmp_path / "run")
    (folder / "study.json").write_text('{"study": "s", "variant": "MAE", "settings": {"mask_ratio": 0.3}, "seed": 3}')
    assert read_run(folder).membership == StudyMembership("s", "MAE", {"mask_ratio": 0.3}, 3)
    (folder / "study.json").write_text('{"study": "s"}')
    rejected(folder, "study.json", "damaged")


@pytest.mark.parametrize(
    ("name", "label"), [("OneClassSVM", "One-class SVM"), ("NearestNeighbours", "Nearest neighbours")]
)
def test_a_baseline_detector_is_a_run(run_maker, tmp_path, name, label):
    folder = run_maker(f1=None, examples=False).write(tmp_path / "run")
    config = folder / "fit" / "config.yaml"
    config.write_text(config.read_text().replace("lightning_modules.Autoencoder", f"lightning_modules.{name}"))
    run = read_run(folder)
    assert (run.objective, run.examples) == (label, ())
    assert run.explanations.empty


def test_damaged_nulls_are_named(run_maker, tmp_path):
    run = read_run(run_maker(evidence=True).write(tmp_path / "run"))
    path = run.folder / "test" / "f1_null.npz"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ConfigurationError, match=r"f1_null\.npz is damaged"):
        run.null("f1")


def test_no_damaged_file_is_advised_to_be_run(run_maker, tmp_path):
    run = read_run(run_maker(evidence=True).write(tmp_path / "run"))
    example = next((run.folder / "test" / "examples").glob("*.npz"))
    for path, read in (
        (run.folder / "test" / "f1_null.npz", lambda: run.null("f1")),
        (example, lambda: run.examples),
    ):
        path.write_bytes(bytes(range(256)))
        with pytest.raises(ConfigurationError, match=rf"{path.name} is damaged .* run the stage") as caught:
            read()
        assert not re.search("trust|pickle|unsafe", str(caught.value))
