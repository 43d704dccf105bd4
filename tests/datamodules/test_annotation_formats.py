"""Label tracks, and annotations from one format to another and back."""

import csv

import pytest

from datamodules.annotations import annotate, convert_annotations, read_annotations
from datamodules.annotations.authors import HEADER
from datamodules.layouts import Clip
from datamodules.recordings import slice_recordings

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
        "MPD_19-12-04_0848_00006_1.txt": "0.000000\t0.000000\tthick\n",
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


@pytest.mark.parametrize("line", ["1.5", "1,5\t2,5\tbang", "a\tb\tc", "1 2 bang", "nan\t2\tx", "1e3\t2\tx"])
def test_line_that_is_no_label(tmp_path, refused, line):
    path = tmp_path / "a.txt"
    path.write_text(f"1\t2\tbang\n{line}\n")
    with refused("a.txt line 2", "is no label"):
        read_annotations(path)


def test_folder_without_tracks_and_file_that_is_no_text(tmp_path, refused):
    with refused(str(tmp_path), "holds no label tracks"):
        read_annotations(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with refused("a.txt", "cannot be read as a label track"):
        read_annotations(tmp_path)


def test_labels_of_a_recording_are_cut_at_its_clips(tmp_path, write_noise, convert):
    slice_recordings([write_noise(tmp_path / "press.wav", seconds=25, sample_rate=100)], tmp_path / "clips")
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "press.txt").write_text("8.5\t12.3\tbang\n13\t14\thiss\n")
    (labels / "other_1.txt").write_text("1\t2\tbang\n")
    converted = convert(labels, "csv", manifest=tmp_path / "clips" / "manifest.csv")
    assert converted.read_text().splitlines()[1:] == [
        "other_1,1,2,bang",
        "press_00001_1.wav,8.5,10,bang",
        "press_00001_2.wav,0,2.3,bang",
        "press_00001_2.wav,3,4,hiss",
    ]


def test_labels_behind_a_recordings_last_clip(tmp_path, write_noise, convert, refused):
    slice_recordings([write_noise(tmp_path / "press.wav", seconds=25, sample_rate=100)], tmp_path / "clips")
    (tmp_path / "press.txt").write_text("19\t21\tbang\n")
    with refused("19 s to 21 s of press", "behind its last clip"):
        convert(tmp_path / "press.txt", "csv", manifest=tmp_path / "clips" / "manifest.csv")
    with refused("--manifest", "is not a file"):
        convert(tmp_path / "press.txt", "csv", manifest=tmp_path / "nowhere.csv")


@pytest.mark.parametrize("name", ["../a.wav", "/a.wav", "b/../../a.wav"])
def test_names_that_lead_out_of_the_folder(tmp_path, refused, name):
    path = plain(tmp_path, f"file,start,end\n{name},1,2\n")
    before = set(tmp_path.rglob("*"))
    with refused(name.removesuffix(".wav"), "inside the data's folder"):
        convert_annotations(path, "audacity", tmp_path / "labels")
    assert set(tmp_path.rglob("*")) == before


def test_refused_conversions_write_nothing(tmp_path, refused):
    path = plain(tmp_path, "file,start,end,type\na.wav,1,2,bang\na.wav,3,4,hiss\n")
    before = set(tmp_path.rglob("*"))
    with refused("a is of types bang and hiss"):
        convert_annotations(path, "authors", tmp_path / "authors.csv")
    with refused("--to is mp3"):
        convert_annotations(path, "mp3", tmp_path / "authors.csv")
    with refused("--output", "already exists"):
        convert_annotations(path, "csv", path)
    with refused("--output", "cannot be written"):
        convert_annotations(path, "csv", path / "below.csv")
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "row 1 names no column; expected"),
        ("file;start;end\na.wav;1;2\n", "separates its columns with semicolons"),
        ("file,start,end\n,1,2\n", "row 2 names no file"),
    ],
)
def test_tables_that_programs_save_by_mistake(tmp_path, refused, text, complaint):
    path = plain(tmp_path, text)
    with refused(str(path), complaint):
        read_annotations(path)
