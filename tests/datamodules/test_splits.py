"""Seeded draws of clips."""

from collections import Counter
from pathlib import Path

import pytest

from datamodules.layouts import Clip
from datamodules.splits import hold_out, hold_out_stratified

KINDS = {("", False): 200, ("stuck", False): 40, ("stuck", True): 20, ("broken", True): 3, ("uneven", True): 1}


@pytest.fixture
def clips():
    return [
        Clip(Path(f"{kind}{marked}{number}"), f"{kind}{marked}{number}", int(kind != ""), kind, ((0.0, 1.0),) * marked)
        for (kind, marked), count in KINDS.items()
        for number in range(count)
    ]


def kinds(clips):
    return Counter((clip.anomaly_type, bool(clip.intervals)) for clip in clips)


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 26), (0.5, 132), (0.001, 1)])
def test_share_is_held_out_and_both_parts_are_all(clips, fraction, count):
    staying, held_out = hold_out(clips, fraction, seed=0)
    assert len(held_out) == count
    assert sorted((*staying, *held_out), key=clips.index) == clips
    assert [*held_out] == sorted(held_out, key=clips.index)


@pytest.mark.parametrize("draw", [hold_out, hold_out_stratified])
def test_seed_decides(clips, draw):
    assert draw(clips, 0.2, seed=3) == draw(clips, 0.2, seed=3)
    assert draw(clips, 0.2, seed=3) != draw(clips, 0.2, seed=4)


def test_draw_is_random_not_the_first_ones(clips):
    _, held_out = hold_out(clips, 0.1, seed=0)
    assert max(clips.index(clip) for clip in held_out) > 150


def test_one_training_clip_cannot_be_split(clips, data_error):
    with data_error("val_fraction=0.1", "1 in all"):
        hold_out(clips[:1], 0.1, seed=0)


def test_every_stratum_keeps_its_share(clips):
    staying, held_out = hold_out_stratified(clips, 0.1, seed=0)
    assert kinds(held_out) == {("", False): 20, ("stuck", False): 4, ("stuck", True): 2, ("broken", True): 1}
    assert kinds(staying) + kinds(held_out) == kinds(clips)
    assert not {clip.name for clip in staying} & {clip.name for clip in held_out}


def test_large_share_leaves_one_of_each_kind(clips):
    staying, _ = hold_out_stratified(clips, 0.999, seed=0)
    assert set(kinds(staying)) == set(KINDS)


@pytest.mark.parametrize("label", [0, 1])
def test_both_parts_need_both_labels(clips, data_error, label):
    one_kind = [clip for clip in clips if clip.label == label]
    with data_error("labelled_validation=0.5"):
        hold_out_stratified(one_kind, 0.5, seed=0)
