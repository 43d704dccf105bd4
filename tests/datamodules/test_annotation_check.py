"""What checking annotations finds, each kind of problem alone."""

import csv
from pathlib import Path

import pytest

from datamodules.annotations import check_annotations
from datamodules.annotations.authors import HEADER
from datamodules.layouts import Clip

SOUND = ["MPD_19-12-04_0848_00006.wav", "MPD_19-12-04_0848_00006_3.pt", "3", "20-30 seconds", "thick"]
SOUND += ["[(21,22), (29,30)]", "[(40,80), (360,399)]"]


@pytest.fixture
def problems(tmp_path):
    """Write a plain CSV and list what is wrong with it."""

    def find(*rows, **settings):
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(["file,start,end,type", *rows]) + "\n")
        return [text.removeprefix(f"{path} ") for text in check_annotations(path, **settings)[1]]

    return find


@pytest.fixture
def authors_problems(tmp_path):
    """Write the authors' CSV, its last row changed in some columns, and list what is wrong with it."""

    def find(*before, **changes):
        row = [changes.get(f"c{column}", cell) for column, cell in enumerate(SOUND)]
        path = tmp_path / "labels.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([HEADER, *before, row])
        return [text.removeprefix(f"{path} ") for text in check_annotations(path)[1]]

    return find


def test_no_problems_in_valid_annotations(problems, authors_problems):
    assert problems("a.wav,1,2,bang", "a.wav,2,3,bang", "b.wav,,,", "c.wav,0,10,", types=["bang"]) == []
    assert problems("a.wav,1,1,bang", "a.wav,10,10,bang", "a.wav,0,0,bang") == []
    assert authors_problems(c5="[(21,21), (29,30)]", c6="[(40,40), (360,399)]") == []
    assert authors_problems() == []
    assert authors_problems(c6="[(40,80), (360,400)]") == []


def test_real_annotations_have_no_problems(shared):
    rows, found = check_annotations(shared / "planer/annotations.csv")
    assert (len(rows), found) == (105, [])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["a.wav,3,2,"], "row 2: the interval from 3 s to 2 s of a.wav is reversed"),
        (["a.wav,9,10.1,"], "row 2: the interval from 9 s to 10.1 s of a.wav is out of range; the clip lasts 10 s"),
        (["a.wav,1,3,", "a.wav,2,4,"], "row 3: a.wav has 2 s to 4 s overlap 1 s to 3 s"),
        (["a.wav,1,1,", "a.wav,1,1,"], "row 3: a.wav has the interval from 1 s to 1 s twice"),
        (["a.wav,11,11,"], "row 2: the interval from 11 s to 11 s of a.wav is out of range; the clip lasts 10 s"),
        (
            ["a.wav,1e300,1e300,"],
            "row 2: the interval from 1e+300 s to 1e+300 s of a.wav is out of range; the clip lasts 10 s",
        ),
        (["a.wav,4,5,", "a.wav,1,9,"], "row 2: a.wav has 4 s to 5 s overlap 1 s to 9 s"),
        (["a.wav,1,3,", "a.pt,1,3,"], "row 3: a.wav has the interval from 1 s to 3 s twice"),
        (["a.wav,1,2,bang", "a.wav,3,4,hiss"], "row 3: a is of type 'hiss' here and 'bang' in row 2"),
        (["a.wav,1,two,", "a.wav,3,4,"], "row 2: 'two' is not a time in seconds"),
    ],
)
def test_problem_of_a_row(problems, rows, expected):
    assert problems(*rows) == [expected]


def test_interval_overlaps_one_further_back(problems):
    assert problems("a.wav,1,9,", "a.wav,2,3,", "a.wav,4,5,") == [
        "row 3: a.wav has 2 s to 3 s overlap 1 s to 9 s",
        "row 4: a.wav has 4 s to 5 s overlap 1 s to 9 s",
    ]


def test_all_problems_are_reported(problems):
    found = problems("a.wav,3,2,", "b.wav,one,2,", "c.wav,1,11,boom", "d.wav,1,2,bang", types=["bang", "hiss"])
    assert found == [
        "row 3: 'one' is not a time in seconds",
        "row 2: the interval from 3 s to 2 s of a.wav is reversed",
        "row 4: the interval from 1 s to 11 s of c.wav is out of range; the clip lasts 10 s",
        "row 4: c.wav is of type 'boom', not of bang, hiss",
    ]


def test_annotations_of_missing_or_normal_clips(problems):
    clips = [Clip(Path("/data") / name, name, label) for name, label in (("a.wav", 1), ("b.wav", 0))]
    rows = ["a.wav,1,5,", "b.wav,1,2,", "c.wav,1,2,"]
    assert problems(*rows, clips=clips, seconds={"a.wav": 4.0, "b.wav": 4.0}) == [
        "row 2: the interval from 1 s to 5 s of a.wav is out of range; the clip lasts 4 s",
        "row 3: b.wav is a normal clip and cannot be annotated",
        "row 4: 'c.wav' is not among the test clips",
    ]


def test_labels_of_recordings_may_be_of_several_types(problems):
    clips = [Clip(Path("/data/press.wav"), "line/press.wav", 1)]
    rows = ["press.wav,1,20,bang", "press.wav,5,9,hiss", "press.wav,59,60.05,bang", "press.wav,3,4,bang"]
    rows += ["press.wav,60,61,hiss", "other.wav,1,2,"]
    assert problems(*rows, clips=clips, seconds={"line/press.wav": 60.0}, kind="recording") == [
        "row 6: the interval from 60 s to 61 s of line/press.wav is out of range; the recording lasts 60 s",
        "row 7: 'other.wav' is not among the recordings",
        "row 5: press.wav has 3 s to 4 s overlap 1 s to 20 s",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"c5": "[(21,22), (28,30)]"}, "has seconds [(21,22), (28,30)] that disagree with frames [(40,80), (360,399)]"),
        ({"c5": "[(21,22)]"}, "has seconds [(21,22)] that disagree with frames [(40,80), (360,399)]"),
        ({"c5": "-"}, "has seconds - that disagree with frames [(40,80), (360,399)]"),
        ({"c5": "[(29,30)]", "c6": "[(360,398)]"}, "has seconds [(29,30)] that disagree with frames [(360,398)]"),
        ({"c5": "21 to 22"}, "has '21 to 22' where seconds are expected"),
        ({"c2": "4"}, "is number 3 by its name, 4 by its row"),
        ({"c3": "10-20 seconds", "c5": "[(11,12), (19,20)]"}, "is number 3, which does not begin at 10 s"),
        (
            {"c0": "MPD_19-12-04_0849_00007.wav"},
            "is from MPD_19-12-04_0848_00006 by its name, from MPD_19-12-04_0849_00007 by its row",
        ),
    ],
)  # fmt: skip
def test_columns_of_the_authors_that_disagree(authors_problems, changes, expected):
    assert authors_problems(**changes) == [f"row 2: MPD_19-12-04_0848_00006_3 {expected}"]


def test_clip_with_two_rows_of_the_authors(authors_problems):
    other = [*SOUND[:5], "[(25,26)]", "[(200,240)]"]
    assert authors_problems(other) == ["row 3: MPD_19-12-04_0848_00006_3 already has row 2"]
