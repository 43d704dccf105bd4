"""What the interactive page is given to draw."""

import json
import re

import numpy as np
import pytest

from experiments.report.chance_bands import chance_band
from experiments.report.comparison import load_comparison
from experiments.report.interactive.data import explorer_data
from experiments.report.interactive.inline import json_for_html
from experiments.report.published_curves import published_curve


def test_data_are_null_where_undefined(run_maker, tmp_path):
    folder = run_maker(segments=False).write(tmp_path / "run")
    data = explorer_data(load_comparison([folder]))
    assert [measure["key"] for measure in data["measures"]] == ["f1", "precision", "recall", "frame"]
    assert json.loads(json_for_html(data)) == data


def test_json_cannot_leave_its_element():
    nasty = {"</script>": "<!-- & <script>", "ü": 'a"b\\'}
    text = json_for_html(nasty)
    assert not re.search("[<>&]", text)
    assert json.loads(text) == nasty


class Null:
    """A group with two clips, each with the values 1 and 0 under the null."""

    def once(self, key, compute):
        return compute()

    def null(self, measure, explainer):
        return np.array([[[1.0, 0.0]], [[1.0, 0.0]]])

    def clip_types(self, measure):
        return ("a", "b")


def test_chance_band_holds_nine_tenths_of_the_means():
    # Of the four pairs of values a quarter has the mean 0 and a quarter 1: either tail is more than a twentieth.
    np.testing.assert_array_equal(chance_band(Null(), "f1", "x"), [[0], [1]])
    np.testing.assert_array_equal(chance_band(Null(), "f1", "x", "a"), [[0], [1]])
    assert chance_band(Null(), "f1", "x", "c") is None


def test_chance_band_narrows_with_the_clips():
    group = Null()
    group.null = lambda measure, explainer: np.tile([1.0, 0.0], (400, 1, 1))
    group.clip_types = lambda measure: ("a",) * 400
    # A mean of 400 fair coins: standard deviation 1/40, and 1.645 of them to either side.
    low, high = chance_band(group, "f1", "x")
    assert (low[0], high[0]) == pytest.approx((0.5 - 1.645 / 40, 0.5 + 1.645 / 40), abs=0.006)


def test_published_curves_are_of_the_planer_alone(small_study):
    group = small_study.groups["MAE"]
    assert published_curve(group, "f1", "saliency")[98] == 0.6287
    assert published_curve(group, "segment", "error_map")[90] == 0.3199
    assert published_curve(group, "f1", "error_map", "broken_board") == {98: 0.75}
    assert published_curve(group, "f1", "masked_error_map") == {}
    assert published_curve(group, "recall", "saliency") == {}
    other = type(group)("MAE", "MAE", {}, (elsewhere(group.runs[0]),))
    assert published_curve(other, "f1", "saliency") == {}


def elsewhere(run):
    """The run, had it been on the recordings of another machine."""
    return type(run)(run.folder, {**run.config, "data": {"class_path": "datamodules.DCASEDataModule"}}, run.clips)
