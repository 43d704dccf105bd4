"""What figures show, read back from their axes."""

import re
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from run_folders import F1
from study_folders import write_study

from experiments.figures import (
    Block,
    Curve,
    Panel,
    annotated_clip,
    attribution_comparison,
    attribution_grid,
    choose_example,
    learning_curves,
    model_comparison,
    percentile_curves,
    render,
    replacement_example,
    roc_curves,
    save_pdf,
    save_png,
)
from experiments.figures.replacement import replaced_frames
from experiments.figures.style import explainer_colour, explainer_label, explainer_marker, model_styles
from experiments.files import write_atomically
from experiments.report.comparison import load_comparison
from experiments.report.paper_figures import comparison_figure, write_figures
from experiments.results import read_run
from explainers import EXPLAINERS


def titled(figure, title):
    """The axes with a title."""
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def curve_below(figure, title):
    """The axes of the frame curve below a map."""
    panels = [axes for axes in figure.axes if axes.get_xlim() == figure.axes[0].get_xlim()]
    return panels[panels.index(titled(figure, title)) + 1]


def marked(axes):
    """Times of the peaks marked in a curve's axes."""
    return next(line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "o")


def shaded(axes):
    """Intervals shaded in a curve's axes."""
    return [(box.get_x(), box.get_x() + box.get_width()) for box in axes.patches]


def test_attribution_grid_has_a_panel_for_each_explainer(example):
    figure = attribution_grid(example(), frames_per_second=8, percentile=98, model="MAE")
    texts = [text.get_text() for text in figure.texts]
    assert texts[:2] == ["MAE · a", "stuck · score 5 dB²"]
    for title in ("Spectrogram", "Error map", "Saliency"):
        assert titled(figure, title).images[0].get_extent() == [0, 2, 0, 4], "seconds and mel bands"
    # 98 % of 15 steps between 16 frames leave the largest frame, here 11 and 2; a marker stands in a frame's middle.
    assert marked(curve_below(figure, "Error map")) == [11.5 / 8]
    assert marked(curve_below(figure, "Saliency")) == [2.5 / 8]
    assert shaded(curve_below(figure, "Saliency")) == [(10 / 8, 14 / 8)]


def test_signed_maps_are_symmetric_about_zero(example):
    figure = attribution_grid(example(), frames_per_second=8)
    signed, unsigned = (titled(figure, title).images[0] for title in ("Saliency", "Error map"))
    low, high = signed.get_clim()
    assert low == -high < 0
    assert unsigned.get_clim()[0] == 0
    assert signed.get_cmap().name != unsigned.get_cmap().name


def test_colour_bars_tell_units_and_powers(example):
    clip = example()
    clip.attributions["saliency"][:] *= 1e-4
    figure = attribution_grid(clip, frames_per_second=8)
    units = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert units == ["dB", "dB²", "$10^{-4}$ dB"]
    assert np.abs(titled(figure, "Saliency").images[0].get_array()).max() == pytest.approx(4)


def test_a_constant_map_can_be_drawn(example):
    clip = example()
    clip.attributions["saliency"][:] = 0
    assert render(attribution_grid(clip, frames_per_second=8), "png")


def test_recordings_without_annotation_have_no_shade(example):
    figure = attribution_grid(example(annotated=False), frames_per_second=8)
    assert shaded(curve_below(figure, "Error map")) == []
    assert "annotated" not in {text.get_text() for legend in figure.legends for text in legend.get_texts()}


def test_replacement_shows_what_faithfulness_replaces(example):
    clip = example()
    # The peak at frame 11 lies in the second of frames 8 to 15, of which 10 to 13 are annotated.
    assert np.flatnonzero(replaced_frames(clip, "error_map", 98, 8)).tolist() == [10, 11, 12, 13]
    figure = replacement_example(clip, 8, 8, percentile=98)
    before, after = (
        titled(figure, title).images[0]
        for title in ("Recording $x$", "Recording with the replaced frames $\\tilde{x}$")
    )
    expected = clip.spectrogram.copy()
    expected[:, 10:14] = clip.reconstruction[:, 10:14]
    np.testing.assert_array_equal(before.get_array(), clip.spectrogram)
    np.testing.assert_array_equal(after.get_array(), expected)
    assert before.get_clim() == after.get_clim()
    assert "0.5 of 2 s replaced" in figure.texts[1].get_text()


def test_without_annotation_the_peaks_alone_are_replaced(example):
    frames = replaced_frames(example(annotated=False), "error_map", 98, 8)
    assert np.flatnonzero(frames).tolist() == [11]


def test_the_replacement_example_has_something_to_replace(example):
    elsewhere, inside, bare = example(), example(5), example(6)
    elsewhere.attributions["error_map"][:] = elsewhere.attributions["saliency"]
    bare.attributions.clear()
    assert choose_example([bare, elsewhere, inside], 98, 8) == (inside, "error_map")
    assert choose_example([bare, elsewhere], 98, 8) is None
    del inside.attributions["error_map"]
    assert choose_example([inside], 0, 8) == (inside, "saliency")


def test_roc_goes_through_the_known_points(run_maker, tmp_path):
    clips = read_run(run_maker().write(tmp_path / "run")).clips
    figure = roc_curves({"AE": ("AE", [clips])})
    line = next(line for line in figure.axes[0].lines if line.get_label().startswith("AE"))
    # By falling score: anomalous, normal, anomalous, normal, anomalous, normal, normal.
    assert line.get_xdata().tolist() == pytest.approx([0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 1])
    assert line.get_ydata().tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1, 1])
    assert line.get_label() == "AE: AUC 0.750, pAUC 0.649"


def test_percentile_curves_leave_undefined_kinds_out(run_maker, tmp_path):
    values = read_run(run_maker().write(tmp_path / "a")).faithfulness
    figure = percentile_curves(values, ("frame", "segment"))
    assert len(figure.axes) == 2
    lines = {line.get_label(): line for line in titled(figure, "Segment-based faithfulness").lines}
    assert lines["Error map"].get_xdata().tolist() == [97, 98, 99]
    assert lines["Error map"].get_ydata().tolist() == pytest.approx([0.3, 0.3, 0.35])
    bare = read_run(run_maker(segments=False).write(tmp_path / "b")).faithfulness
    only = percentile_curves(bare, ("frame", "segment"))
    assert [axes.get_title(loc="left") for axes in only.axes] == ["Frame-based faithfulness"]


def test_percentile_curves_show_the_level_of_chance(run_maker, tmp_path):
    values = read_run(run_maker(evidence=True).write(tmp_path / "run")).faithfulness
    (band,) = titled(percentile_curves(values, ["frame"]), "Frame-based faithfulness").collections
    # A quarter of F1: the means over clips are 0.4, 0.4, 0.5 for the error map and 0.2, 0.1, 0 for saliency.
    assert bounds(band, 97) == pytest.approx((0.05, 0.1))
    assert bounds(band, 99) == pytest.approx((0, 0.125))


def bounds(band, percentile):
    """Lower and upper end of a filled band at a percentile."""
    heights = [y for x, y in band.get_paths()[0].vertices if x == percentile]
    return min(heights), max(heights)


def comparison_of(values, **curve):
    models = {"AE": "AE", "MAE": "MAE"}
    references = {"random_frames": np.full(3, 0.3), "oracle": np.array([0.96, 0.95, 0.9])}
    panel = Panel("Error map", {"AE": Curve(np.array(values), **curve), "MAE": Curve(np.array([[0.5, 0.6, 0.7]]))})
    return model_comparison([Block("F1", [panel], references)], (97, 98, 99), models)


def labelled(axes, label):
    """Lines and bands drawn under a label."""
    return [artist for artist in (*axes.lines, *axes.collections) if artist.get_label() == label]


def test_model_comparison_draws_means_in_a_band_of_a_standard_deviation():
    axes = titled(comparison_of([[0.1, 0.2, 0.3], [0.3, 0.4, 0.7]]), "Error map")
    ae, mae = labelled(axes, "mean")
    assert ae.get_ydata().tolist() == pytest.approx([0.2, 0.3, 0.5])
    assert mae.get_ydata().tolist() == pytest.approx([0.5, 0.6, 0.7])
    assert ae.is_dashed()
    assert not mae.is_dashed()
    (band,) = labelled(axes, "sd")  # the other model has one run
    sd = 0.1 * 2**0.5
    assert bounds(band, 97) == pytest.approx((0.2 - sd, 0.2 + sd))


def test_model_comparison_draws_chance_references_and_what_was_published():
    chance = np.array([[0.1, 0.1, 0.2], [0.2, 0.3, 0.4]])
    figure = comparison_of([[0.2, 0.3, 0.5]], chance=chance, published={98: 0.44, 99: 0.4, 50: 9})
    axes = titled(figure, "Error map")
    assert bounds(labelled(axes, "chance")[0], 98) == pytest.approx((0.1, 0.3))
    assert labelled(axes, "random_frames")[0].get_ydata().tolist() == [0.3] * 3
    assert labelled(axes, "published")[0].get_xydata().tolist() == [[98, 0.44], [99, 0.4]]
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key == ["AE", "MAE", "published", "chance (90 % of shifts)", "random frames", "oracle (above, ≥ 0.90)"]
    assert axes.get_ylim()[1] == pytest.approx(0.7 * 1.08), "the oracle must not squeeze the curves"


def test_oracle_within_reach_is_drawn_whole():
    axes = titled(comparison_of([[0.2, 0.3, 0.85]]), "Error map")
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


def test_annotated_clip_marks_the_annotation(example):
    figure = annotated_clip(example(), 8)
    assert figure.axes[0].images[0].get_array().shape == (4, 16)
    bar = figure.axes[0].lines[0].get_xdata().tolist()
    assert bar == [10 / 8, 14 / 8]
    assert figure.get_figwidth() == 3.5


def test_attribution_comparison_has_a_column_for_each_model(example):
    bare = example()
    del bare.attributions["saliency"]
    figure = attribution_comparison({"AE": example(), "MAE": bare}, 8, ["error_map", "saliency"])
    assert figure.get_figwidth() == 7.16
    names = [axes.get_title(loc="left") for axes in figure.axes]
    assert names == [*["AE · spectrogram", "Error map", "", "Saliency", ""], "MAE · spectrogram", "Error map", "",
                     "Saliency", ""]  # fmt: skip
    curves = [figure.axes[i] for i in (2, 4, 7)]
    assert [marked(axes) for axes in curves] == [[11.5 / 8], [2.5 / 8], [11.5 / 8]]
    assert [shaded(axes) for axes in curves] == [[(10 / 8, 14 / 8)]] * 3
    assert not figure.axes[8].images, "a map that a model lacks stays empty"


def test_replacement_for_a_paper_fits_a_column_without_a_title(example):
    figure = replacement_example(example(), 8, 8, for_paper=True)
    assert figure.get_figwidth() == 3.5
    assert figure.texts == []


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return load_comparison([write_study(tmp_path_factory.mktemp("study") / "small")])


def test_figure_4_holds_the_means_of_the_study(study):
    axes = titled(comparison_figure(study, ("f1",)), "Error map")
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


def test_paper_figures_are_vector_pdfs_in_the_paper_sizes(study, tmp_path):
    files = write_figures(study, tmp_path / "figures")
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


def test_equal_figures_are_equal_pdfs(example, tmp_path):
    paths = [save_pdf(attribution_grid(example(), 8), tmp_path / f"{i}.pdf") for i in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_run_without_evidence_has_its_figures_too(ae_and_mae, tmp_path):
    names = [path.stem for path in write_figures(load_comparison([Path(run) for run in ae_and_mae]), tmp_path / "f")]
    assert names[-3:] == ["figure_4_f1", "figure_5_faithfulness", "roc"]


def test_learning_curves_mark_the_best_epoch(run_maker, tmp_path):
    figure = learning_curves({"AE": read_run(run_maker().write(tmp_path / "run")).learning})
    train, validation, best = figure.axes[0].lines
    assert train.get_ydata().tolist() == [8, 4, 3]
    assert validation.get_ydata().tolist() == [9, 5, 6]
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (1, 5)


def test_explainers_have_names_colours_and_markers_of_their_own():
    for style in (explainer_label, explainer_colour, explainer_marker):
        assert len({style(name) for name in (*EXPLAINERS, "unheard_of")}) == len(EXPLAINERS) + 1


def test_drawing_leaves_matplotlib_as_it_was_and_repeats_itself(example):
    with matplotlib.rc_context({"font.size": 33, "svg.hashsalt": None}):
        images = [[render(attribution_grid(example(), 8), kind) for kind in ("png", "svg")] for _ in range(2)]
        assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["svg.hashsalt"]) == (33, None)
    assert images[0] == images[1]
    assert images[0][0] == render(attribution_grid(example(), 8), "png"), "whatever the settings outside are"


def test_dollars_in_names_are_no_formula(example, run_maker, tmp_path):
    run, model = read_run(run_maker().write(tmp_path / "run")), "50 $$ off $x_"
    figures = [
        attribution_grid(replace(example(), name="a$$b$.wav", anomaly_type="$_"), 8, model=model),
        replacement_example(example(), 8, 8, model=model),
        roc_curves({model: ("AE", [run.clips])}),
        percentile_curves(run.f1, ["f1"], model),
        model_comparison([Block("F1", [Panel("x", {model: Curve(np.ones((1, 3)))})])], (97, 98, 99), {model: "AE"}),
        attribution_comparison({model: example()}, 8, ["error_map"]),
        learning_curves({model: run.learning}),
    ]
    assert all(render(figure, "png") for figure in figures)


def test_files_are_written_whole_or_not_at_all(tmp_path, example):
    path = save_png(attribution_grid(example(), 8), tmp_path / "new" / "grid.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", b"contents")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["grid.png", "new", "taken"]


def test_the_legend_of_one_measure_is_inside_the_figure(run_maker, tmp_path):
    names = ("error_map", "masked_error_map", "saliency", "integrated_gradients", "gradient_shap", "random")
    folder = run_maker(f1=dict.fromkeys(names, F1["error_map"]), evidence=True).write(tmp_path / "run")
    figure = percentile_curves(read_run(folder).f1, ("f1",), "AE")
    render(figure, "png")
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1
