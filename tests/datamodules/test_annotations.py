"""Annotation files, as published and in seconds, and the frames they mark."""

import csv
import unicodedata
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
def test_published_text_that_is_no_list_of_intervals(published, data_error, text):
    with data_error("annotations.csv row 2", repr(text)):
        published(text)


@pytest.mark.parametrize(
    ("start", "end", "interval"),
    [
        ("1.123456789012345", "2.000000000000001", (1.123456789012345, 2.000000000000001)),
        (".8", "1.", (0.8, 1.0)),
        ("1e-05", "1.5E+0", (0.00001, 1.5)),
        ("3", "3", (3.0, 3.0)),
    ],
)
def test_times_as_programs_write_them(seconds_csv, published, start, end, interval):
    assert annotated(*read_annotations(seconds_csv(f"a.wav,{start},{end}")))[0].intervals == (interval,)
    (row,) = published(f"[({start},{end})]")
    assert row.intervals == ((interval[0] / 40, interval[1] / 40),)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("first_line", ["", "sep={}\r\n", '"sep={}"\r\n', "{0}{0}\r\n\r\n"])
def test_tables_as_spreadsheets_save_them(tmp_path, encoding, separator, first_line):
    table = [[" File ", "START", " End", "Type "], ["a.wav", "0.5", "2", "Geräusch"], ["", "", "", ""]]
    table += [["test/ü.wav", "1,25" if separator != "," else "1.25", "2", ""], [], ["a.wav", "", "", ""], [""]]
    lines = [first_line.format(separator), *(separator.join(row) + "\r\n" for row in table)]
    path = tmp_path / "labels.csv"
    path.write_bytes("".join(lines).encode(encoding))
    rows = read_annotations(path)
    assert [(row.file, row.intervals, row.anomaly_type) for row in rows] == [
        ("a.wav", ((0.5, 2.0),), "Geräusch"),
        ("test/ü.wav", ((1.25, 2.0),), ""),
        ("a.wav", (), ""),
    ]
    # A spreadsheet hides the line that names the separator, but not empty rows.
    before = 2 if first_line.startswith("{") else 0
    assert [row.number for row in rows] == [before + 2, before + 4, before + 6]


def test_published_table_separated_by_semicolons(tmp_path, shared):
    with (shared / "planer/annotations.csv").open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.reader(file))
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-16") as file:
        csv.writer(file, delimiter=";").writerows(table)
    assert read_annotations(tmp_path / "labels.csv") == read_annotations(shared / "planer/annotations.csv")


@pytest.mark.parametrize(
    ("content", "complaints"),
    [
        # Times with commas that nothing tells from the columns' would be other times.
        ("file,start,end\na.wav,0,1\na.wav,1,5,2,5\n", ["row 3", "'a.wav,1,5,2,5' is not 3 columns"]),
        ("file;start;end\na.wav;0;1\na;b.wav;1;2\n", ["row 3", "'a;b.wav;1;2' is not 3 columns"]),
        ("file,start,end\na.wav,0,1\na.wav;1;2\n", ["row 3", "'a.wav;1;2' is not 3 columns"]),
        ("file,start,end\na.wav,0,1\n'\na.wav\t1\t2\n", ["row 4", "is not 3 columns"]),
        ('file,start,end\na.wav,0,1\n"b.wav,1,2\nc.wav,3,4\n', ["row 3", "quotation marks"]),
        ('file,start,end,type\na.wav,0,1,"bang\nb.wav,1,2,hiss\n', ["row 2", "quotation marks"]),
        ("file,start,end,start\na.wav,0,1,2\n", ["row 1", "the column start more than once"]),
        ("\n\nname,from,to\na.wav,0,1\n", ["row 3", "expected file, start, end, or", "found 'name, from, to'"]),
        ("Spectrogram File Name,Labels in Spectrogram\na.pt,-\n,-\n", ["row 3", "names no file"]),
        (b"file,start,end\nger\xe4t.wav,1,2\n", ["CSV UTF-8"]),  # cp1252
        ("file,start,end\na.wav,1,2\n".encode("utf-16-le"), ["CSV UTF-8"]),  # without a byte order mark
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00\xb5", ["CSV UTF-8"]),  # an Excel workbook
    ],
)
def test_tables_that_would_be_misread(tmp_path, data_error, content, complaints):
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with data_error(str(path), *complaints):
        read_annotations(path)


def test_published_file_without_the_intervals(tmp_path, data_error):
    path = tmp_path / "annotations.csv"
    path.write_text("Spectrogram File Name,Spectrogram Number\nx.pt,1\n")
    with data_error(str(path), "row 1", "labels in spectrogram"):
        read_annotations(path)


def test_rows_in_seconds(seconds_csv):
    rows = read_annotations(seconds_csv("a.wav,0.5,2", "", "a.wav, 3 ,4.25,bang", header="File,Start,End,Type"))
    assert [(row.number, row.file, row.intervals, row.anomaly_type) for row in rows] == [
        (2, "a.wav", ((0.5, 2.0),), ""),
        (4, "a.wav", ((3.0, 4.25),), "bang"),
    ]


@pytest.mark.parametrize("start", ["one", "nan", "inf", "1e999", "1_000", "0x1", "٣", '"1,5"', "1.5.2", "1e", ".", "-"])
def test_rejects_text_that_is_not_a_time(seconds_csv, data_error, start):
    with data_error("annotations.csv row 3", f"{start.strip(chr(34))!r} is not a time in seconds"):
        read_annotations(seconds_csv("a.wav,1,2", f"a.wav,{start},20"))


@pytest.mark.parametrize("row", ["a.wav,1,", "a.wav,1", "a.wav,,1"])
def test_interval_without_start_or_end(seconds_csv, data_error, row):
    with data_error("annotations.csv row 3", "is not a time in seconds"):
        read_annotations(seconds_csv("a.wav,1,2", row))


@pytest.mark.parametrize(
    ("header", "missing"), [("file,start", "end"), ("name,from,to", "file, start, end"), ("", "file")]
)
def test_missing_column(seconds_csv, data_error, header, missing):
    with data_error("annotations.csv row 1", missing):
        read_annotations(seconds_csv(header=header))


def test_spreadsheet_byte_order_mark(seconds_csv):
    path = seconds_csv("a.wav,1,2")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_annotations(path)) == 1


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"file,start,end\n\xe9,1,2\n", b'file,start,end\n"' + b"x" * 200_000]
)
def test_rejects_files_that_are_not_text_tables(tmp_path, data_error, content):
    path = tmp_path / "annotations.csv"
    path.write_bytes(content)
    with data_error(str(path), "cannot be read as a CSV file"):
        read_annotations(path)


def test_missing_annotation_file(tmp_path, data_error):
    with data_error(str(tmp_path / "gone.csv"), "No such file"):
        read_annotations(tmp_path / "gone.csv")


def test_rows_match_clips_by_name_or_by_stem(seconds_csv):
    clips = [clip("test/anomaly/a.wav"), clip("test/anomaly/b.flac"), clip("test/anomaly/c.wav")]
    rows = read_annotations(seconds_csv("test/anomaly/a.wav,3,4", "b.pt,1,2", "a.wav,0,1"))
    found = annotated(*rows, clips=clips)
    assert [c.intervals for c in found] == [((0.0, 1.0), (3.0, 4.0)), ((1.0, 2.0),), ()]
    assert [c.path for c in found] == [c.path for c in clips]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_csv", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["test/anomaly/Gerät é.wav", r"test\anomaly\Gerät é.WAV", r"C:\data\Gerät é.wav"])
def test_other_spellings_of_a_clips_name(seconds_csv, on_disk, in_csv, name):
    clips = [clip(unicodedata.normalize(on_disk, "test/anomaly/Gerät é.wav")), clip("test/anomaly/Gerat e.wav")]
    path = seconds_csv()
    path.write_text(f"file,start,end\n{unicodedata.normalize(in_csv, name)},1,2\n", "utf-8")
    assert [c.intervals for c in annotated(*read_annotations(path), clips=clips)] == [((1.0, 2.0),), ()]


def test_clip_whose_own_name_has_a_backslash(seconds_csv):
    found = annotated(*read_annotations(seconds_csv(r"test/a\b.wav,1,2")), clips=[clip(r"test/a\b.wav")])
    assert found[0].intervals == ((1.0, 2.0),)


def test_one_stem_in_two_folders_needs_the_folder(seconds_csv, data_error):
    clips = [clip("test/normal/a.wav", label=0), clip("test/anomaly/a.wav")]
    found = annotated(*read_annotations(seconds_csv("test/anomaly/a.wav,1,2")), clips=clips)
    assert [c.intervals for c in found] == [(), ((1.0, 2.0),)]
    with data_error("labels.csv row 2", "2 clips"):
        annotated(*read_annotations(seconds_csv("a.wav,1,2")), clips=clips)


def test_type_column_names_what_the_folders_do_not(seconds_csv):
    clips = [clip("a.wav"), clip("b.wav"), clip("c.wav", kind="stuck")]
    rows = read_annotations(seconds_csv("a.wav,1,2,bang", "c.wav,1,2,bang", header="file,start,end,type"))
    assert [c.anomaly_type for c in annotated(*rows, clips=clips)] == ["bang", "anomaly", "stuck"]


def test_rejects_two_types_for_one_clip(seconds_csv, data_error):
    rows = read_annotations(seconds_csv("a.wav,1,2,bang", "a.wav,3,4,hiss", header="file,start,end,type"))
    with data_error("labels.csv row 3", "'hiss'", "'bang' in row 2"):
        annotated(*rows)


def test_unknown_clip(seconds_csv, data_error):
    with data_error("labels.csv row 3", "'b.wav' is not among the test clips"):
        annotated(*read_annotations(seconds_csv("a.wav,1,2", "b.wav,1,2")))


def test_normal_clip(seconds_csv, data_error):
    with data_error("labels.csv row 2", "a.wav is a normal clip"):
        annotated(*read_annotations(seconds_csv("a.wav,1,2")), clips=[clip("a.wav", label=0)])


@pytest.mark.parametrize(
    ("start", "end", "complaint"),
    [(2, 1, "reversed"), (-1, 2, "out of range"), (9, 10.5, "the clip lasts 10 s")],
)
def test_impossible_interval(seconds_csv, data_error, start, end, complaint):
    with data_error("labels.csv row 2", f"from {start} s to {end} s of test/anomaly/a.wav", complaint):
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
    assert not frame_mask([(10.1, 10.1), (1e300, 1e308)], 400, 40).any()
    assert frame_mask([(9.0, 1e308)], 400, 40).nonzero().flatten().tolist() == list(range(360, 400))


@pytest.mark.parametrize(
    ("time", "n_frames", "rate", "frame"),
    [
        (0.0, 400, 40, 0),
        (1.01, 400, 40, 40),
        (9.99, 400, 40, 399),  # rounds to 400, which is not there
        (10.0, 400, 40, 399),
        (10.0, 313, 31.25, 312),
        (9.984, 312, 31.25, 311),
        # 44,100 Hz in hops of 1,103 samples: a time and its frame are no round numbers.
        (100 * 1_103 / 44_100, 401, 44_100 / 1_103, 100),
        (400 * 1_103 / 44_100, 400, 44_100 / 1_103, 399),
    ],
)
def test_point_marks_the_frame_of_its_time(time, n_frames, rate, frame):
    assert frame_mask([(time, time)], n_frames, rate).nonzero().flatten().tolist() == [frame]
    if time < n_frames / rate:
        assert frame_mask([(time, time + 1e-3)], n_frames, rate).nonzero().flatten().tolist() == [frame]


def test_frames_and_their_times_agree_at_any_rate():
    for sample_rate, hop in ((20_000, 500), (16_000, 512), (44_100, 1_103), (48_000, 1_001), (22_050, 441)):
        rate = sample_rate / hop
        intervals = [(first * hop / sample_rate, (first + 7) * hop / sample_rate) for first in range(2_000)]
        for first, interval in enumerate(intervals):
            assert frame_mask([interval], 2_007, rate).nonzero().flatten().tolist() == list(range(first, first + 7))


def test_published_annotations_of_the_real_set(shared):
    rows = read_annotations(shared / "planer/annotations.csv")
    masks = [frame_mask(row.intervals, 400, 40) for row in rows if row.intervals]
    assert (len(rows), len(masks)) == (105, 46)
    seconds = torch.stack(masks).reshape(46, 10, 40).any(dim=2).sum(dim=1)
    assert seconds.float().mean().item() == pytest.approx(3.4, abs=0.05)
    assert {len(row.intervals) for row in rows if row.intervals} == {1, 2, 3}
