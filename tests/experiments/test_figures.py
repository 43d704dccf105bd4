"""What figures show: read back from their axes, and drawn by the callback in real runs."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from lightning import LightningDataModule
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from torch.utils.data import DataLoader

from experiments.figures import (
    attribution_grid,
    choose_example,
    compare_runs,
    learning_curves,
    percentile_curves,
    render,
    replacement_example,
    roc_curves,
    save_png,
    write_atomically,
)
from experiments.figures.replacement import replaced_frames
from experiments.figures.style import explainer_colour, explainer_label, explainer_marker
from experiments.results import read_learning_curves, read_run
from experiments.run_figures import RunFigures
from explainers import EXPLAINERS, AttributionMaps
from lightning_modules import Autoencoder, ConfigurationError
from metrics.callbacks import AnnotationFScore, DetectionAUC, Faithfulness


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
    figure = roc_curves({"AE": ("AE", clips)})
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


def test_comparison_has_a_panel_for_each_explainer_and_a_style_for_each_objective(ae_and_mae):
    runs = {run.objective: (run.objective, run.f1) for run in map(read_run, map(Path, ae_and_mae))}
    figure = compare_runs(runs, "f1")
    ae, mae = titled(figure, "Error map").lines
    assert ae.get_ydata().tolist() == pytest.approx([0.4, 0.4, 0.5])
    assert mae.get_ydata().tolist() == pytest.approx([0.45, 0.45, 0.55])
    assert ae.get_color() == mae.get_color() == explainer_colour("error_map")
    assert ae.is_dashed()
    assert not mae.is_dashed()


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
        roc_curves({model: ("AE", run.clips)}),
        percentile_curves(run.f1, ["f1"], model),
        compare_runs({model: ("AE", run.f1)}, "f1"),
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


class Clips(LightningDataModule):
    """Eight clips of 2 s, every other one anomalous, with or without annotation."""

    frames_per_second = 8.0

    def __init__(self, annotate=True):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.clips = []
        for i in range(8):
            annotation = torch.zeros(16, dtype=torch.bool)
            annotation[4:12] = annotate and i % 2 == 1
            clip = {"spectrogram": torch.randn(16, 16, generator=generator), "label": i % 2, "index": i}
            clip |= {"annotation": annotation, "annotated": bool(annotation.any())}
            self.clips.append(clip | {"name": f"clip_{i}.wav", "anomaly_type": "stuck" if i % 2 else ""})

    def loader(self):
        return DataLoader(self.clips, batch_size=4, collate_fn=self.collate)

    @staticmethod
    def collate(clips):
        batch = {key: [clip[key] for clip in clips] for key in clips[0]}
        tensors = {key: torch.stack(batch[key]) for key in ("spectrogram", "annotation")}
        return batch | tensors | {key: torch.tensor(batch[key]) for key in ("label", "index", "annotated")}

    def val_dataloader(self):
        return [self.loader(), self.loader()]

    train_dataloader = test_dataloader = predict_dataloader = loader


@pytest.fixture
def run_stage(tmp_path):
    """Runs a stage of a small autoencoder with every callback and returns the names of its figures."""

    def run(stage, annotate=True, clips="annotated", loggers=()):
        seed_everything(0, verbose=False)
        names = ["error_map", "saliency"]
        callbacks = [RunFigures(), AttributionMaps(names, clips=clips, examples=1), DetectionAUC()]
        callbacks += [kind((90, 98), frames_per_segment=8) for kind in (AnnotationFScore, Faithfulness)]
        trainer = Trainer(
            accelerator="cpu", max_epochs=2, callbacks=callbacks, logger=[CSVLogger(tmp_path, stage, ""), *loggers],
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, log_every_n_steps=1,
        )  # fmt: skip
        module = Autoencoder(n_mels=16, n_frames=16, num_heads=2)
        getattr(trainer, stage)(module, datamodule=Clips(annotate))
        return sorted(path.name for path in (tmp_path / stage / "figures").glob("*"))

    return run


def test_fit_draws_its_learning_curves_alone(run_stage, tmp_path):
    assert run_stage("fit") == ["learning_curves.png"]
    assert read_learning_curves(tmp_path / "fit").epochs.tolist() == [0, 1], "the last epoch was on disk in time"


@pytest.mark.parametrize("stage", ["test", "validate"])
def test_evaluation_draws_every_figure(run_stage, stage):
    grid = "attributions_000001_clip_1.png"
    assert run_stage(stage) == [grid, "f1.png", "faithfulness.png", "replacement.png", "roc.png"]


def test_without_annotation_there_is_no_f1(run_stage):
    grid = "attributions_000001_clip_1.png"
    drawn = run_stage("test", annotate=False, clips="anomalous")
    assert drawn == [grid, "faithfulness.png", "replacement.png", "roc.png"]


def test_without_explained_clips_there_is_the_roc_alone(run_stage):
    assert run_stage("test", annotate=False) == ["roc.png"]


def test_predict_draws_the_maps_of_the_highest_scores(run_stage):
    drawn = run_stage("predict")
    assert len(drawn) == 2, "one example of each type of anomaly"
    assert all(name.startswith("attributions_") for name in drawn)


def test_figures_reach_an_offline_wandb_run(run_stage, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run_stage("test", loggers=[WandbLogger(save_dir=tmp_path, offline=True)])
    wandb.finish()
    media = next(tmp_path.glob("wandb/offline-run-*/files/media/images/test"))
    sent = {path.name.split("_")[0]: path for path in media.glob("*.png")}
    assert set(sent) == {"attributions", "f1", "faithfulness", "replacement", "roc"}
    assert sent["roc"].read_bytes() == (tmp_path / "test" / "figures" / "roc.png").read_bytes()


def test_percentile_outside_its_range_is_refused():
    with pytest.raises(ConfigurationError, match="101"):
        RunFigures(percentile=101)
