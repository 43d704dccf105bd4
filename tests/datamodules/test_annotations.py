"""Annotation files, as published and in seconds, and the frames they mark."""

from pathlib import Path

import pytest
import torch

from datamodules.annotations import annotate, frame_mask, read_annotations
from datamodules.layouts import Clip

SOURCE = Path("labels.csv")


@pytest.fixture
def published(tmp_path, write_published_csv):
    """Write one row with the given frames and read it."""

    def read(frames, name="MPD_19-12-04_0848_00006_1"):
        return read_annotations(write_published_csv(tmp_path / "annotations.csv", {name: ("broken_board", frames)}))

    return read


@pytest.fixture
def seconds_csv(tmp_path):
    """Write a plain CSV and return its path."""

    def write(*rows, header="file,start,end"):
        path = tmp_path / "annotations.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


def clip(name, label=1, kind="anomaly"):
    return Clip(Path("/data") / name, name, label, kind if label else "")


CLIPS = [clip("test/anomaly/a.wav")]


def annotated(*rows, clips=CLIPS):
    return annotate(clips, rows, {c.name: 10.0 for c in clips}, SOURCE)


@pytest.mark.parametrize(
    ("text", "intervals"),
    [
        ("[(40,80)]", ((1.0, 2.0),)),
        ("[(240, 399)]", ((6.0, 9.975),)),
        ("[(0,40), (320,360)]", ((0.0, 1.0), (8.0, 9.0))),
        ("[ ( 0 , 40 ),(80,120),(360,400) ]", ((0.0, 1.0), (2.0, 3.0), (9.0, 10.0))),
        ("-", ()),
    ],
)
def test_published_intervals_are_frames_at_forty_a_second(published, text, intervals):
    (row,) = published(text)
    assert (row.number, row.file, row.intervals) == (2, "MPD_19-12-04_0848_00006_1.pt", intervals)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "40-80", "[(40,80)", "[(40;80)]", "[(40,80,120)]", "[(a,b)]", "[(40,80)] [(1,2)]", "__import__('os')"],
)
def test_published_text_that_is_no_list_of_intervals(published, refused, text):
    with refused("annotations.csv row 2", repr(text)):
        published(text)


def test_published_file_without_the_intervals(tmp_path, refused):
    path = tmp_path / "annotations.csv"
    path.write_text("Spectrogram File Name,Spectrogram Number\nx.pt,1\n")
    with refused(str(path), "row 1", "labels in spectrogram"):
        read_annotations(path)


def test_rows_in_seconds(seconds_csv):
    rows = read_annotations(seconds_csv("a.wav,0.5,2", "", "a.wav, 3 ,4.25,bang", header="File,Start,End,Type"))
    assert [(row.number, row.file, row.intervals, row.anomaly_type) for row in rows] == [
        (2, "a.wav", ((0.5, 2.0),), ""),
        (4, "a.wav", ((3.0, 4.25),), "bang"),
    ]


@pytest.mark.parametrize("row", ["a.wav,one,2", "a.wav,1,", "a.wav,1", "a.wav,1e3,2", "a.wav,nan,2", "a.wav,1,inf"])
def test_seconds_that_are_no_number(seconds_csv, refused, row):
    with refused("annotations.csv row 3", "is not a time in seconds"):
        read_annotations(seconds_csv("a.wav,1,2", row))


@pytest.mark.parametrize(
    ("header", "missing"), [("file,start", "end"), ("name,from,to", "file, start, end"), ("", "file")]
)
def test_missing_column(seconds_csv, refused, header, missing):
    with refused("annotations.csv row 1", missing):
        read_annotations(seconds_csv(header=header))


def test_spreadsheet_byte_order_mark(seconds_csv):
    path = seconds_csv("a.wav,1,2")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_annotations(path)) == 1


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"file,start,end\n\xe9,1,2\n", b'file,start,end\n"' + b"x" * 200_000]
)
def test_file_that_is_no_text_table(tmp_path, refused, content):
    path = tmp_path / "annotations.csv"
    path.write_bytes(content)
    with refused(str(path), "cannot be read as a CSV file"):
        read_annotations(path)


def test_missing_annotation_file(tmp_path, refused):
    with refused(str(tmp_path / "gone.csv"), "No such file"):
        read_annotations(tmp_path / "gone.csv")


def test_rows_meet_clips_by_name_or_by_stem(seconds_csv):
    clips = [clip("test/anomaly/a.wav"), clip("test/anomaly/b.flac"), clip("test/anomaly/c.wav")]
    rows = read_annotations(seconds_csv("test/anomaly/a.wav,3,4", "b.pt,1,2", "a.wav,0,1"))
    found = annotated(*rows, clips=clips)
    assert [c.intervals for c in found] == [((0.0, 1.0), (3.0, 4.0)), ((1.0, 2.0),), ()]
    assert [c.path for c in found] == [c.path for c in clips]


def test_one_stem_in_two_folders_needs_the_folder(seconds_csv, refused):
    clips = [clip("test/normal/a.wav", label=0), clip("test/anomaly/a.wav")]
    found = annotated(*read_annotations(seconds_csv("test/anomaly/a.wav,1,2")), clips=clips)
    assert [c.intervals for c in found] == [(), ((1.0, 2.0),)]
    with refused("labels.csv row 2", "2 clips"):
        annotated(*read_annotations(seconds_csv("a.wav,1,2")), clips=clips)


def test_type_column_names_what_the_folders_do_not(seconds_csv):
    clips = [clip("a.wav"), clip("b.wav"), clip("c.wav", kind="stuck")]
    rows = read_annotations(seconds_csv("a.wav,1,2,bang", "c.wav,1,2,bang", header="file,start,end,type"))
    assert [c.anomaly_type for c in annotated(*rows, clips=clips)] == ["bang", "anomaly", "stuck"]


def test_two_types_for_one_clip(seconds_csv, refused):
    rows = read_annotations(seconds_csv("a.wav,1,2,bang", "a.wav,3,4,hiss", header="file,start,end,type"))
    with refused("labels.csv row 3", "'hiss'", "'bang' in row 2"):
        annotated(*rows)


def test_unknown_clip(seconds_csv, refused):
    with refused("labels.csv row 3", "'b.wav' is not among the test clips"):
        annotated(*read_annotations(seconds_csv("a.wav,1,2", "b.wav,1,2")))


def test_normal_clip(seconds_csv, refused):
    with refused("labels.csv row 2", "a.wav is a normal clip"):
        annotated(*read_annotations(seconds_csv("a.wav,1,2")), clips=[clip("a.wav", label=0)])


@pytest.mark.parametrize(
    ("start", "end", "complaint"),
    [(2, 1, "reversed"), (1, 1, "reversed or empty"), (-1, 2, "out of range"), (9, 10.5, "the clip lasts 10 s")],
)
def test_impossible_interval(seconds_csv, refused, start, end, complaint):
    with refused("labels.csv row 2", f"from {start} s to {end} s of test/anomaly/a.wav", complaint):
        annotated(*read_annotations(seconds_csv(f"a.wav,{start},{end}")))


def test_frames_are_marked_up_to_the_end_exclusive():
    mask = frame_mask([(1.0, 2.0), (9.0, 9.975)], n_frames=400, frames_per_second=40)
    assert mask.dtype == torch.bool
    assert mask.nonzero().flatten().tolist() == [*range(40, 80), *range(360, 399)]


def test_frames_are_rounded_to_the_nearest():
    # At 31.25 frames a second, 1 s is frame 31.25 and 1.5 s is frame 46.875.
    mask = frame_mask([(1.0, 1.5)], n_frames=312, frames_per_second=31.25)
    assert mask.nonzero().flatten().tolist() == list(range(31, 47))


def test_short_interval_marks_one_frame_and_late_one_none():
    assert frame_mask([(1.0, 1.001)], 400, 40).nonzero().flatten().tolist() == [40]
    assert not frame_mask([(10.0, 11.0)], 400, 40).any()


def test_published_annotations_of_the_real_set(shared):
    rows = read_annotations(shared / "planer/annotations.csv")
    masks = [frame_mask(row.intervals, 400, 40) for row in rows if row.intervals]
    assert (len(rows), len(masks)) == (105, 46)
    seconds = torch.stack(masks).reshape(46, 10, 40).any(dim=2).sum(dim=1)
    assert seconds.float().mean().item() == pytest.approx(3.4, abs=0.05)
    assert {len(row.intervals) for row in rows if row.intervals} == {1, 2, 3}
