"""Label tracks, and annotations from one format to another and back."""

import csv

import pytest

from datamodules.annotations import annotate, convert_annotations, read_annotations
from datamodules.annotations.authors import HEADER
from datamodules.layouts import Clip
from datamodules.recordings import slice_recordings
from datamodules.recordings.manifest import COLUMNS

AUTHORS = [
    ["MPD_19-12-04_0848_00006.wav", "MPD_19-12-04_0848_00006_1.pt", "1", "0-10 seconds", "thick", "-", "-"],
    [
        *("MPD_19-12-04_0848_00006.wav", "MPD_19-12-04_0848_00006_3.pt", "3", "20-30 seconds", "broken"),
        *("[(21,22.5), (29,30)]", "[(40,100), (360,399)]"),
    ],
    [
        *("MPD_19-12-04_0848_00006.wav", "MPD_19-12-04_0848_00006_6.pt", "6", "50-60 seconds", "stuck"),
        *("[(58,60)]", "[(320,400)]"),
    ],
]
PLAIN = """\
file,start,end,type
MPD_19-12-04_0848_00006_1.pt,,,thick
MPD_19-12-04_0848_00006_3.pt,1,2.5,broken
MPD_19-12-04_0848_00006_3.pt,9,9.975,broken
MPD_19-12-04_0848_00006_6.pt,8,10,stuck
"""


@pytest.fixture
def authors(tmp_path):
    """Annotations as the authors publish them."""
    path = tmp_path / "authors.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *AUTHORS])
    return path


@pytest.fixture
def convert(tmp_path):
    """Convert to a new name and return it."""
    count = iter(range(100))

    def run(path, to, **options):
        output = tmp_path / f"converted-{next(count)}"
        convert_annotations(path, to, output, **options)
        return output.rename(output.with_suffix(".csv")) if output.is_file() else output

    return run


def tracks(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def plain(tmp_path, text):
    path = tmp_path / "plain.csv"
    path.write_text(text)
    return path


def test_authors_to_csv_and_back(authors, convert):
    converted = convert(authors, "csv")
    assert converted.read_text() == PLAIN
    assert convert(converted, "authors").read_bytes() == authors.read_bytes()


def test_authors_to_label_tracks_and_back(authors, convert):
    folder = convert(authors, "audacity")
    assert tracks(folder) == {
        "MPD_19-12-04_0848_00006_1.txt": "0.000000\t0.000000\t[unannotated] thick\n",
        "MPD_19-12-04_0848_00006_3.txt": "1.000000\t2.500000\tbroken\n9.000000\t9.975000\tbroken\n",
        "MPD_19-12-04_0848_00006_6.txt": "8.000000\t10.000000\tstuck\n",
    }
    assert convert(folder, "authors").read_bytes() == authors.read_bytes()


def test_real_annotations_survive_both_ways(shared, convert):
    def rows(path):
        with path.open(newline="", encoding="utf-8-sig") as file:
            return sorted([cell.replace(" ", "") for cell in row] for row in csv.reader(file))

    real = shared / "planer/annotations.csv"
    assert rows(convert(convert(real, "csv"), "authors")) == rows(real)
    assert rows(convert(convert(real, "audacity"), "authors")) == rows(real)


def test_own_names_and_folders_survive(tmp_path, convert):
    text = "file,start,end,type\ntest/anomaly/a.wav,0.000001,4.25,bang\ntest/anomaly/take.2.flac,1,3,hiss\nb.wav,,,\n"
    path = plain(tmp_path, text)
    assert convert(convert(path, "authors"), "csv").read_text() == text
    folder = convert(path, "audacity")
    assert set(tracks(folder)) == {"test/anomaly/a.txt", "test/anomaly/take.2.txt", "b.txt"}
    assert convert(folder, "csv").read_text().splitlines()[1:] == [
        "b,,,",
        "test/anomaly/a,0.000001,4.25,bang",
        "test/anomaly/take.2,1,3,hiss",
    ]


def test_label_track_with_frequencies_and_without_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf1.5\t2.25\tbang, loud\r\n\\\t400.0\t8000.0\r\n3\t4\r\n\r\n5.0\t5.0\tclick\r\n")
    assert [(row.number, row.file, row.intervals, row.anomaly_type) for row in read_annotations(path)] == [
        (1, "a", ((1.5, 2.25),), "bang, loud"),
        (3, "a", ((3.0, 4.0),), ""),
        (5, "a", ((5.0, 5.0),), "click"),
    ]


def test_label_tracks_join_clips_of_their_name(tmp_path):
    folder = tmp_path / "labels" / "anomaly"
    folder.mkdir(parents=True)
    (folder / "take.2.txt").write_text("1\t2\tbang\n")
    clips = [Clip(tmp_path / name, name, 1, "anomaly") for name in ("anomaly/take.2.wav", "other/take.2.wav")]
    rows = read_annotations(tmp_path / "labels")
    found = annotate(clips, rows, {clip.name: 10.0 for clip in clips}, tmp_path / "labels")
    assert [(clip.intervals, clip.anomaly_type) for clip in found] == [(((1.0, 2.0),), "bang"), ((), "anomaly")]


@pytest.mark.parametrize("line", ["1.5", "1\t\tx", "a\tb\tc", "1 2 bang", "nan\t2\tx", "1_0\t20\tx", "1.000,5\t2\tx"])
def test_rejects_lines_that_are_not_labels(tmp_path, data_error, line):
    path = tmp_path / "a.txt"
    path.write_text(f"1\t2\tbang\n{line}\n")
    with data_error("a.txt line 2", "is not a label"):
        read_annotations(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_label_tracks_as_programs_write_them(tmp_path, encoding, line_end):
    lines = ["1,5\t2,25\tGeräusch", "\\\t400\t8000", " 3 \t 4.0\t", "1e-05\t.8\ttwo\u2028\twords ", "", "5\t5\tclick"]
    path = tmp_path / "a.TXT"
    path.write_bytes(line_end.join(lines).encode(encoding))
    assert [(row.number, row.intervals, row.anomaly_type) for row in read_annotations(path)] == [
        (1, ((1.5, 2.25),), "Geräusch"),
        (3, ((3.0, 4.0),), ""),
        (4, ((0.00001, 0.8),), "two\u2028\twords"),
        (6, ((5.0, 5.0),), "click"),
    ]


def test_folder_of_label_tracks_and_other_files(tmp_path, data_error):
    elsewhere = tmp_path / "elsewhere"
    folder = tmp_path / "labels"
    for name in ("elsewhere/c.txt", "labels/a.TXT", "labels/deep/b.Txt", "labels/._a.txt", "labels/__MACOSX/a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\t1\tbang\n")
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    for name in ("a.wav", "b.csv", "c.aup3", "deep/d.json"):
        (folder / name).touch()
    with pytest.warns(UserWarning, match=r"labels holds 4 files .*: a.wav, b.csv, c.aup3 and 1 more") as told:
        rows = read_annotations(folder)
    assert [row.file for row in rows] == ["a", "deep/b", "linked/c"]
    assert len(told) == 1
    (folder / "gone.txt").symlink_to(tmp_path / "gone.txt")
    with pytest.warns(UserWarning), data_error("gone.txt", "No such file"):
        read_annotations(folder)


def test_points_at_the_start_are_annotations(tmp_path, convert, data_error):
    text = "file,start,end,type\na,0,0,bang\nb,,,bang\nc,0,0,\nd,10,10,two lines\n"
    path = plain(tmp_path, text.replace("two lines", '"two\nlines"'))
    folder = convert(path, "audacity")
    assert tracks(folder)["b.txt"] == "0.000000\t0.000000\t[unannotated] bang\n"
    assert convert(folder, "csv").read_text() == text
    (folder / "b.txt").write_text("1\t2\t[unannotated] bang\n")
    with data_error("b.txt line 1", "[unannotated]", "at 0 s"):
        read_annotations(folder)


def test_points_survive_every_format(tmp_path, convert):
    text = "file,start,end,type\na.pt,0,0,bang\na.pt,1.5,1.5,bang\na.pt,2,3,bang\na.pt,9.975,9.975,bang\n"
    path = plain(tmp_path, text)
    assert convert(convert(path, "authors"), "csv").read_text() == text
    assert convert(convert(path, "audacity"), "csv").read_text() == text.replace("a.pt", "a")


def test_conversion_of_intervals_that_no_clip_has(tmp_path, data_error):
    for row, complaint in (("3,2", "is reversed"), ("-1,2", "is out of range"), ("9,11", "the clip lasts 10 s")):
        path = plain(tmp_path, f"file,start,end\na.wav,{row}\n")
        with data_error("plain.csv row 2", complaint):
            convert_annotations(path, "authors", tmp_path / "authors.csv")
    with data_error("the length of a clip is nan s"):
        convert_annotations(path, "csv", tmp_path / "new.csv", clip_seconds=float("nan"))


def test_rejects_folders_without_tracks_and_binary_files(tmp_path, data_error):
    with data_error(str(tmp_path), "holds no label tracks"):
        read_annotations(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"1\t2\tger\xe4t")
    with data_error("a.txt", "cannot be read as a label track", "save it as UTF-8"):
        read_annotations(tmp_path)


def test_labels_of_a_recording_are_cut_at_its_clips(tmp_path, write_noise, convert):
    slice_recordings([write_noise(tmp_path / "press.wav", seconds=25, sample_rate=100)], tmp_path / "clips")
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "press.txt").write_text("8.5\t12.3\tbang\n13\t14\thiss\n")
    (labels / "other_1.txt").write_text("1\t2\tbang\n")
    with pytest.warns(UserWarning, match="no recording or clip called other_1; kept as clips"):
        converted = convert(labels, "csv", manifest=tmp_path / "clips" / "manifest.csv")
    assert converted.read_text().splitlines()[1:] == [
        "other_1,1,2,bang",
        "press_00001_1.wav,8.5,10,bang",
        "press_00001_2.wav,0,2.3,bang",
        "press_00001_2.wav,3,4,hiss",
    ]


@pytest.fixture
def cut(tmp_path, convert):
    """Label a recording of three clips, of which the manifest may lack some, and list what becomes of its labels."""

    def run(*labels, name="line/press.txt", kept=(0, 10, 20), separator=",", encoding="utf-8"):
        rows = [(f"line/press_00001_{k // 10 + 1}.wav", "line/press.wav", k, 10, "e3", "1e5") for k in kept]
        with (tmp_path / "manifest.csv").open("w", newline="", encoding=encoding) as file:
            csv.writer(file, delimiter=separator).writerows([COLUMNS, *rows])
        track = tmp_path / "labels" / name
        track.parent.mkdir(parents=True, exist_ok=True)
        track.write_text("".join(f"{label}\tx\n" for label in labels))
        converted = convert(tmp_path / "labels", "csv", manifest=tmp_path / "manifest.csv")
        track.unlink()
        return [line.removeprefix("line/press_00001_") for line in converted.read_text().splitlines()[1:]]

    return run


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("3\t3", ["1.wav,3,3,x"]),
        ("0\t0", ["1.wav,0,0,x"]),
        ("10\t10", ["2.wav,0,0,x"]),
        ("30\t30", ["3.wav,10,10,x"]),
        ("5\t10", ["1.wav,5,10,x"]),
        ("10\t12", ["2.wav,0,2,x"]),
        ("9\t21", ["1.wav,9,10,x", "2.wav,0,10,x", "3.wav,0,1,x"]),
    ],
)
def test_labels_at_borders_of_clips(cut, label, expected):
    assert cut(label) == expected
    assert cut(label, name="press.txt", separator=";", encoding="utf-16") == expected


@pytest.mark.parametrize(
    ("label", "kept", "complaint"),
    [
        ("29\t31", (0, 10, 20), "no clip from 30 s to 31 s"),
        ("31\t32", (0, 10, 20), "no clip from 31 s to 32 s"),
        ("31\t31", (0, 10, 20), "no clip at 31 s"),
        ("-1\t1", (0, 10, 20), "out of range"),
        ("3\t2", (0, 10, 20), "is reversed"),
        ("9\t21", (0, 20), "no clip from 10 s to 20 s"),
        ("15\t15", (0, 20), "no clip at 15 s"),
        ("5\t12", (10, 20), "no clip from 5 s to 10 s"),
        ("1\t2", (0, 0), "row 3: 'line/press_00001_1.wav' is listed twice"),
    ],
)
def test_rejects_labels_outside_all_clips(cut, data_error, label, kept, complaint):
    with data_error(complaint):
        cut(label, kept=kept)


def test_warns_of_recordings_without_annotations(cut):
    with pytest.warns(UserWarning, match="no intervals for line/press; left out"):
        assert cut() == []


def test_rejects_unusable_manifests(tmp_path, data_error):
    (tmp_path / "press.txt").write_text("1\t2\tbang\n")

    def convert_with(name, content=None):
        if content is not None:
            (tmp_path / name).write_text(content)
        convert_annotations(tmp_path / "press.txt", "csv", tmp_path / "new.csv", manifest=tmp_path / name)

    with data_error("is not a file", "manifest.csv"):
        convert_with("nowhere.csv")
    with data_error("other.csv row 1 lacks the column clip, source"):
        convert_with("other.csv", "file,start,end\na,1,2\n")
    header = ",".join(COLUMNS)
    with data_error("cut.csv row 3 is incomplete"):
        convert_with("cut.csv", f"{header}\na_1.wav,press.wav,0,10,e3,e5\na_2.wav,press.wav,10,1")
    with data_error("press.txt row 1", "'press' is the name of 2 recordings"):
        convert_with("two.csv", f"{header}\na/p_1.wav,a/press.wav,0,10,e3,e5\nb/p_1.wav,b/press.wav,0,10,e3,e5\n")
    assert not (tmp_path / "new.csv").exists()


def test_tracks_of_a_recording_survive_to_the_byte(tmp_path, convert):
    (tmp_path / "labels/line").mkdir(parents=True)
    track = (
        "0.123456\t7200.000001\tbroken board, loud\n\\\t400.000000\t8000.500000\n"
        "3600.500000\t3600.500000\t\n\\\t-1.000000\t900.000000\n4000.000000\t4001.000000\tGeräusch\n"
    )
    (tmp_path / "labels/line/press.txt").write_text(track, "utf-8")
    (tmp_path / "labels/quiet.txt").touch()
    converted = convert(tmp_path / "labels", "csv")
    assert converted.read_text("utf-8").splitlines() == [
        "file,start,end,type,low_hz,high_hz",
        'line/press,0.123456,7200.000001,"broken board, loud",400,8000.5',
        "line/press,3600.5,3600.5,,-1,900",
        "line/press,4000,4001,Geräusch,,",
        "quiet,,,,,",
    ]
    assert tracks(convert(converted, "audacity")) == {"line/press.txt": track, "quiet.txt": ""}


@pytest.mark.parametrize("line", ["\\", "\\\t400", "\\\t800\t400", "\\\ta\tb", "\\\t1\t2\t3"])
def test_rejects_lines_that_are_not_frequencies(tmp_path, data_error, line):
    path = tmp_path / "a.txt"
    path.write_text(f"1\t2\tbang\n{line}\n")
    with data_error("a.txt line 2", "is not a line of frequencies after a label"):
        read_annotations(path)
    path.write_text("\\\t400\t800\n1\t2\tbang\n")
    with data_error("a.txt line 1", "is not a line of frequencies after a label"):
        read_annotations(path)
    path = plain(tmp_path, "file,start,end,low_hz,high_hz\na,1,2,800,\n")
    with data_error("plain.csv row 2", "are not frequencies in Hz"):
        read_annotations(path)


@pytest.mark.parametrize("name", ["../a.wav", "/a.wav", "b/../../a.wav"])
def test_names_that_lead_out_of_the_folder(tmp_path, data_error, name):
    path = plain(tmp_path, f"file,start,end\n{name},1,2\n")
    before = set(tmp_path.rglob("*"))
    with data_error(name.removesuffix(".wav"), "inside the data folder"):
        convert_annotations(path, "audacity", tmp_path / "labels")
    assert set(tmp_path.rglob("*")) == before


def test_rejected_conversions_write_nothing(tmp_path, data_error):
    path = plain(tmp_path, "file,start,end,type\na.wav,1,2,bang\na.wav,3,4,hiss\n")
    before = set(tmp_path.rglob("*"))
    with data_error("a is of types bang and hiss"):
        convert_annotations(path, "authors", tmp_path / "authors.csv")
    with data_error("'mp3' is not a format of annotations"):
        convert_annotations(path, "mp3", tmp_path / "authors.csv")
    with data_error("already exists", "new name"):
        convert_annotations(path, "csv", path)
    with data_error("cannot be written"):
        convert_annotations(path, "csv", path / "below.csv")
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "row 1 names no column; expected"),
        ("file,start,end\n,1,2\n", "row 2 names no file"),
    ],
)
def test_tables_that_programs_save_by_mistake(tmp_path, data_error, text, complaint):
    path = plain(tmp_path, text)
    with data_error(str(path), complaint):
        read_annotations(path)
