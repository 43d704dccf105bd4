"""Figures of clips and their maps, read back from their axes, and how figures are written."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from read_axes import evidence_rows, titled

from experiments.report.figures.clips import (
    annotated_clip,
    attribution_comparison,
    attribution_grid,
    choose_example,
    replaced_frames,
    replacement_example,
)
from experiments.report.figures.curves import model_comparison, percentile_curves
from experiments.report.figures.output import render, save
from experiments.report.figures.performance import learning_curves, roc_curves
from experiments.report.figures.style import explainer_colour, explainer_marker
from experiments.runs.results import read_run
from explainers import EXPLAINERS
from explainers.registry import explainer_label
from lightning_modules.files import write_atomically


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
    figure = replacement_example(clip, 8, percentile=98)
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


def test_equal_figures_are_equal_pdfs(example, tmp_path):
    paths = [save(attribution_grid(example(), 8), tmp_path / f"{i}.pdf") for i in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


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
        percentile_curves(run.explanations, ["f1"], model),
        model_comparison(evidence_rows({model: [0.1, 0.2, 0.3]}), ["f1"], {model: "AE"}),
        attribution_comparison({model: example()}, 8, ["error_map"]),
        learning_curves({model: run.learning}),
    ]
    assert all(render(figure, "png") for figure in figures)


def test_files_are_written_whole_or_not_at_all(tmp_path, example):
    path = save(attribution_grid(example(), 8), tmp_path / "new" / "grid.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", b"contents")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["grid.png", "new", "taken"]
