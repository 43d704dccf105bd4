"""Curves over percentiles, thresholds and epochs, and the paper's figures, read back from their axes."""

import re
from pathlib import Path

import pytest
from read_axes import bounds, evidence_rows, labelled, titled
from run_folders import F1

from experiments.report.evidence import compute_evidence
from experiments.report.figures.curves import model_comparison, percentile_curves
from experiments.report.figures.output import render
from experiments.report.figures.performance import learning_curves, roc_curves
from experiments.report.figures.style import explainer_colour, model_styles
from experiments.report.loading import load_comparison
from experiments.report.paper_figures import comparison_figure, write_figures
from experiments.runs.results import read_run
from explainers import EXPLAINERS


def test_roc_goes_through_the_known_points(run_maker, tmp_path):
    clips = read_run(run_maker().write(tmp_path / "run")).clips
    figure = roc_curves({"AE": ("AE", [clips])})
    line = next(line for line in figure.axes[0].lines if line.get_label().startswith("AE"))
    # By falling score: anomalous, normal, anomalous, normal, anomalous, normal, normal.
    assert line.get_xdata().tolist() == pytest.approx([0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 1])
    assert line.get_ydata().tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1, 1])
    assert line.get_label() == "AE: AUC 0.750, pAUC 0.649"


FAITHFULNESS = ("faithfulness_frame", "faithfulness_segment")


def test_percentile_curves_leave_undefined_measures_out(run_maker, tmp_path):
    explanations = read_run(run_maker().write(tmp_path / "a")).explanations
    figure = percentile_curves(explanations, FAITHFULNESS)
    assert len(figure.axes) == 2
    lines = {line.get_label(): line for line in titled(figure, "Segment-based faithfulness").lines}
    assert lines["Error map"].get_xdata().tolist() == [97, 98, 99]
    assert lines["Error map"].get_ydata().tolist() == pytest.approx([0.3, 0.3, 0.35])
    bare = read_run(run_maker(segments=False).write(tmp_path / "b")).explanations
    only = percentile_curves(bare, FAITHFULNESS)
    assert [axes.get_title(loc="left") for axes in only.axes] == ["Frame-based faithfulness"]
    assert percentile_curves(bare, FAITHFULNESS[1:]) is None


def test_percentile_curves_show_the_level_of_chance(run_maker, tmp_path):
    explanations = read_run(run_maker(evidence=True).write(tmp_path / "run")).explanations
    axes = titled(percentile_curves(explanations, FAITHFULNESS[:1]), "Frame-based faithfulness")
    (band,) = axes.collections
    assert "Oracle" not in {line.get_label() for line in axes.lines}
    # A quarter of F1: the means over clips are 0.4, 0.4, 0.5 for the error map and 0.2, 0.1, 0 for saliency.
    assert bounds(band, 97) == pytest.approx((0.05, 0.1))
    assert bounds(band, 99) == pytest.approx((0, 0.125))


def comparison_of(means, **columns):
    columns = {"random_frames": 0.3, "oracle": [0.96, 0.95, 0.9], **columns}
    rows = evidence_rows({"AE": means, "MAE": [0.5, 0.6, 0.7]}, **columns)
    return model_comparison(rows, ["f1"], {"AE": "AE", "MAE": "MAE"})


def test_model_comparison_draws_means_in_a_band_of_a_standard_deviation():
    axes = titled(comparison_of([0.2, 0.3, 0.5], sd=[0.1, 0.1, 0.2]), "Error map")
    ae, mae = labelled(axes, "mean")
    assert ae.get_ydata().tolist() == pytest.approx([0.2, 0.3, 0.5])
    assert mae.get_ydata().tolist() == pytest.approx([0.5, 0.6, 0.7])
    assert ae.is_dashed()
    assert not mae.is_dashed()
    (band,) = labelled(axes, "sd")  # the other model has one run
    assert bounds(band, 97) == pytest.approx((0.1, 0.3))
    assert bounds(band, 99) == pytest.approx((0.3, 0.7))


def test_model_comparison_draws_chance_references_and_published_values():
    chance = {"chance_low": [0.1, 0.1, 0.2], "chance_high": [0.2, 0.3, 0.4]}
    figure = comparison_of([0.2, 0.3, 0.5], **chance, published=[None, 0.44, 0.4])
    axes = titled(figure, "Error map")
    assert bounds(labelled(axes, "chance")[0], 98) == pytest.approx((0.1, 0.3))
    assert labelled(axes, "random_frames")[0].get_ydata().tolist() == [0.3] * 3
    assert labelled(axes, "published")[0].get_xydata().tolist() == [[98, 0.44], [99, 0.4]]
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key == ["AE", "MAE", "published", "chance (90 % of shifts)", "random frames", "oracle (above, ≥ 0.90)"]
    assert axes.get_ylim()[1] == pytest.approx(0.7 * 1.08), "the oracle must not squeeze the curves"


def test_published_values_of_an_objective_are_drawn_once():
    rows = evidence_rows({"AE 1": [0.2, 0.3, 0.5], "AE 2": [0.3, 0.3, 0.5]}, published=[0.4, 0.44, 0.4])
    rows["published"] = [0.4, 0.44, 0.4] * 2
    figure = model_comparison(rows, ["f1"], {"AE 1": "AE", "AE 2": "AE"})
    assert len(labelled(titled(figure, "Error map"), "published")) == 1


def test_oracle_within_reach_is_drawn_whole():
    axes = titled(comparison_of([0.2, 0.3, 0.85]), "Error map")
    assert axes.get_ylim()[1] == pytest.approx(0.96 * 1.03)


def test_models_have_styles_of_their_own():
    models = {"AE": "AE", "MAE": "MAE", "MAE 50 %": "MAE", "Dense": "Autoencoder2"}
    styles = model_styles(models)
    assert len({style.colour for style in styles.values()}) == 4
    assert styles["MAE"].line == styles["MAE 50 %"].line != styles["AE"].line
    assert model_styles({"other": "X", "AE (a)": "AE"})["AE (a)"] == styles["AE"]
    explainers = {explainer_colour(name) for name in EXPLAINERS}
    assert not explainers & {style.colour for style in styles.values()}


def test_roc_of_several_runs_is_their_mean_in_a_band(run_maker, tmp_path):
    scores = ({"stuck/a.wav": 5.0, "broken/b.wav": 3.5, "broken/c.wav": 2.5},
              {"stuck/a.wav": 5.0, "broken/b.wav": 4.5, "broken/c.wav": 6.0})  # fmt: skip
    clips = [read_run(run_maker(anomalous=s).write(tmp_path / str(i))).clips for i, s in enumerate(scores)]
    axes = roc_curves({"AE": ("AE", clips)}).axes[0]
    line = next(line for line in axes.lines if line.get_label().startswith("AE"))
    # One run finds 1/3 without false alarms, 2/3 at 1/4 and all from 1/2; the other finds all at once.
    assert line.get_xdata().tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert line.get_ydata().tolist() == pytest.approx([2 / 3, 5 / 6, 1, 1, 1])
    assert line.get_label() == "AE, 2 seeds:\nAUC 0.875 ± 0.177, pAUC 0.825 ± 0.248"
    sd = (2 / 3) / 2**0.5
    assert bounds(axes.collections[0], 0) == pytest.approx((2 / 3 - sd, 1))


def test_figure_4_holds_the_means_of_the_study(small_study, small_evidence):
    axes = titled(comparison_figure(small_study, small_evidence, ["f1"]), "Error map")
    ae, mae = (line.get_ydata().tolist() for line in labelled(axes, "mean"))
    # F1 of the run maker, plus 0.02 on average over seeds, plus 0.05 for the MAE.
    assert ae == pytest.approx([0.42, 0.42, 0.52])
    assert mae == pytest.approx([0.47, 0.47, 0.57])
    assert bounds(labelled(axes, "sd")[0], 98) == pytest.approx((0.40, 0.44))
    assert [line.get_ydata().tolist() for line in labelled(axes, "published")] == [
        [0.5353, 0.5233, 0.5206],
        [0.5956, 0.581, 0.5073],
    ]
    assert labelled(axes, "random_frames")[0].get_ydata().tolist() == pytest.approx([0.3, 0.2, 0.1])
    # Chance never falls below half of a value, nor can its mean exceed the observed one.
    low, high = bounds(labelled(axes, "chance")[0], 98)
    assert 0.21 <= low < high <= 0.47


def test_paper_figures_are_vector_pdfs_in_the_paper_sizes(small_study, small_evidence, tmp_path):
    files = write_figures(small_study, small_evidence, tmp_path / "figures")
    assert [path.name for path in files] == [
        "figure_1_annotation.pdf",
        "figure_2_replacement.pdf",
        "figure_3_attributions.pdf",
        "figure_4_f1.pdf",
        "figure_5_faithfulness.pdf",
        "deletion_and_insertion.pdf",
        "roc.pdf",
    ]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(path.name for path in files)
    widths = []
    for path in files:
        contents = path.read_bytes()
        assert contents.startswith(b"%PDF")
        assert b"/FontFile2" in contents, "TrueType"
        assert b"/Type3" not in contents
        assert b"CreationDate" not in contents
        (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", contents)
        widths.append(float(box[0]))
        assert float(box[1]) < 9.5 * 72, "fits a page"
    assert widths == [252, 252, *[515.52] * 4, 252]


def test_a_run_without_evidence_has_its_figures_too(ae_and_mae, tmp_path):
    comparison = load_comparison([Path(run) for run in ae_and_mae])
    names = [path.stem for path in write_figures(comparison, compute_evidence(comparison), tmp_path / "f")]
    assert names[-3:] == ["figure_4_f1", "figure_5_faithfulness", "roc"]


def test_learning_curves_mark_the_best_epoch(run_maker, tmp_path):
    figure = learning_curves({"AE": read_run(run_maker().write(tmp_path / "run")).learning})
    train, validation, best = figure.axes[0].lines
    assert train.get_ydata().tolist() == [8, 4, 3]
    assert validation.get_ydata().tolist() == [9, 5, 6]
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (2, 5), "epochs count from 1"


def test_the_legend_of_one_measure_is_inside_the_figure(run_maker, tmp_path):
    names = ("error_map", "masked_error_map", "saliency", "integrated_gradients", "gradient_shap", "random")
    folder = run_maker(f1=dict.fromkeys(names, F1["error_map"]), evidence=True).write(tmp_path / "run")
    figure = percentile_curves(read_run(folder).explanations, ("f1",), "AE")
    render(figure, "png")
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1
