"""Labelled test sets from recordings and labels, and labels of clips back on the recordings' timelines."""

import csv
import hashlib
import shutil

import numpy as np
import pytest
import soundfile

from datamodules import AudioFolderDataModule
from datamodules.annotations import convert_annotations, read_annotations
from datamodules.testset import cut_testset

RATE = 100  # Hz


@pytest.fixture
def record(tmp_path):
    """Write a recording whose samples count up, so that each says where it stood."""

    def write(name, seconds, rate=RATE, channels=1, **settings):
        path = tmp_path / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.arange(round(seconds * rate) * channels, dtype=np.int16).reshape(-1, channels)
        soundfile.write(path, samples, rate, **settings)
        return path

    return write


@pytest.fixture
def label(tmp_path):
    """Write a label track, and return the folder of all."""

    def write(name, *lines):
        path = tmp_path / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return tmp_path / "labels"

    return write


@pytest.fixture
def cut(tmp_path):
    """Cut the recordings of the test into a test set."""

    def run(**settings):
        return cut_testset(tmp_path / "recordings", tmp_path / "labels", tmp_path / "set", **settings)

    return run


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def clips(folder):
    return [name.removeprefix("test/") for name in files(folder) if name.startswith("test/")]


def manifest(folder):
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tracks(folder):
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.txt")}


def test_windows_are_anomalous_near_a_label_or_normal(record, label, cut, tmp_path):
    source = record("line/Säge.wav", 65)
    label("Säge", "12.5\t23.25\tbang", "40.5\t41\thiss")
    made = cut()
    assert (made.normal, made.anomalous, made.near, made.several_types) == (3, 3, 1, 0)
    # The window from 30 s ends 0.5 s before a label; the last one ends with the recording.
    assert clips(tmp_path / "set") == [
        *(f"anomaly/line_Säge_000{start}.000s.wav" for start in (10, 20, 40)),
        *(f"normal/line_Säge_000{start}.000s.wav" for start in ("00", 50, 55)),
    ]
    assert (tmp_path / "set/annotations.csv").read_text("utf-8").splitlines() == [
        "file,start,end,type",
        "test/anomaly/line_Säge_00010.000s.wav,2.5,10,bang",
        "test/anomaly/line_Säge_00020.000s.wav,0,3.25,bang",
        "test/anomaly/line_Säge_00040.000s.wav,0.5,1,hiss",
    ]
    for row in manifest(tmp_path / "set"):
        clip = tmp_path / "set" / row["clip"]
        first = round(float(row["offset"]) * RATE)
        assert soundfile.read(clip, dtype="int16")[0].tolist() == list(range(first, first + 1000))
        assert row["clip"].endswith(f"_{float(row['offset']):09.3f}s.wav")
        assert (row["source"], row["duration"]) == ("line/Säge.wav", "10")
        assert row["clip_sha256"] == hashlib.sha256(clip.read_bytes()).hexdigest()
        assert row["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("guard", "normal", "near"),
    [(0.0, ["00", "10", "30", "40"], 0), (0.5, ["00", "10", "40"], 1), (0.6, ["00", "40"], 2)],
)
def test_guard_is_the_distance_that_a_normal_window_keeps(record, label, cut, tmp_path, guard, normal, near):
    record("a.wav", 50)
    label("a", "20.5\t29.6")
    assert cut(guard=guard).near == near
    assert [name for name in clips(tmp_path / "set") if "normal" in name] == [
        f"normal/a_000{start}.000s.wav" for start in normal
    ]


@pytest.mark.parametrize("hop", [10 / 3, 2.5, 0.7])
def test_overlapping_clips_of_a_stereo_recording_in_blocks(tmp_path, label, cut, hop):
    # 250,000 samples of 2 channels take two blocks.
    values = np.random.default_rng(0).integers(-30_000, 30_000, size=(250_000, 2)).astype(np.int16)
    (tmp_path / "recordings").mkdir()
    soundfile.write(tmp_path / "recordings/a.flac", values, 44_100)
    label("a", "5\t5.1")
    cut(clip_seconds=1.0 if hop < 1 else 3.5, hop=hop, audio_format="flac", channel=1, guard=0)
    n_samples = 44_100 if hop < 1 else 154_350
    rows = manifest(tmp_path / "set")
    for row in rows:
        first = round(float(row["offset"]) * 44_100)
        samples = soundfile.read(tmp_path / "set" / row["clip"], dtype="int16")[0]
        assert np.array_equal(samples, values[first : first + n_samples, 1])
    starts = [round(float(row["offset"]) * 44_100) for row in rows]
    n_whole = (250_000 - n_samples) // round(hop * 44_100) + 1
    assert starts == [*(round(k * hop * 44_100) for k in range(n_whole)), 250_000 - n_samples]


def test_recordings_without_labels_or_times_and_short_ones(record, label, cut, tmp_path):
    for name, seconds in (("a", 30), ("listened", 10), ("unknown", 10), ("never", 20), ("short", 9.5)):
        record(f"{name}.wav", seconds)
    (tmp_path / "recordings/b.m4a").touch()
    label("a", "30\t30\tclick")  # the end belongs to the last window
    label("listened")
    label("unknown", "0\t0\t[unannotated] bang")
    made = cut()
    assert (made.unlabelled, made.unplaced, made.shorter) == (["never.wav"], ["unknown.wav"], {"short.wav": 9.5})
    assert made.left_out == [tmp_path / "recordings/b.m4a"]
    starts = {"a": ["00", "10"], "listened": ["00"], "never": ["00", "10"]}
    normal = [f"normal/{name}_000{start}.000s.wav" for name, of_name in starts.items() for start in of_name]
    assert clips(tmp_path / "set") == ["anomaly/a_00020.000s.wav", *normal]
    assert (tmp_path / "set/annotations.csv").read_text().splitlines()[1:] == [
        "test/anomaly/a_00020.000s.wav,10,10,click"
    ]


def test_label_at_the_end_that_no_window_reaches_belongs_to_the_last(record, label, cut, tmp_path):
    record("a.wav", 30.05)
    label("a", "29\t30.1\tbang", "30.02\t30.05\tbang")
    cut()
    assert [row.intervals for row in read_annotations(tmp_path / "set/annotations.csv")] == [
        ((9.0, 10.0),),
        ((10.0, 10.0),),
    ]


def test_clip_has_the_type_of_most_of_its_seconds(record, label, cut, tmp_path):
    record("a.wav", 30)
    label("a", "1\t2\tbang", "3\t5\thiss", "6\t7.5\tbang", "12\t13\thiss")
    assert cut().several_types == 1
    assert (tmp_path / "set/annotations.csv").read_text().splitlines()[1:] == [
        "test/anomaly/a_00000.000s.wav,1,2,bang",
        "test/anomaly/a_00000.000s.wav,3,5,",
        "test/anomaly/a_00000.000s.wav,6,7.5,bang",
        "test/anomaly/a_00010.000s.wav,2,3,hiss",
    ]


def test_data_module_reads_the_set_beside_its_training_clips(write_noise, tmp_path):
    for number in range(3):
        write_noise(tmp_path / f"set/train/{number}.wav", seconds=2, seed=number)
    write_noise(tmp_path / "press.wav", seconds=10.5, seed=3)
    labels = tmp_path / "labels.csv"
    labels.write_text("file;start;end;type\npress.wav;3,0;4,5;bang\n")
    cut_testset(tmp_path / "press.wav", labels, tmp_path / "set", clip_seconds=2.0)
    data = AudioFolderDataModule(
        str(tmp_path / "set"), n_frames=80, reference_level=0.0, cache_dir=str(tmp_path / "cache"), num_workers=0
    )
    data.setup("test")
    marked = {}
    for batch in data.test_dataloader():
        for name, frames, kind in zip(batch["name"], batch["annotation"], batch["anomaly_type"], strict=True):
            marked[name] = (kind, frames.nonzero().flatten().tolist())
    # The window from 6 s is normal; that from 8 s is followed by one that ends with the recording.
    assert marked == {
        "test/normal/press_00000.000s.wav": ("", []),
        "test/normal/press_00006.000s.wav": ("", []),
        "test/normal/press_00008.000s.wav": ("", []),
        "test/normal/press_00008.500s.wav": ("", []),
        "test/anomaly/press_00002.000s.wav": ("bang", list(range(40, 80))),
        "test/anomaly/press_00004.000s.wav": ("bang", list(range(20))),
    }


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("hop", [10.0, 4.0, 2.5])
def test_labels_go_to_clips_and_back(record, label, cut, tmp_path, hop):
    """Labels of several clips, on borders, at the same time, as points and with frequencies come back to the byte."""
    draw = np.random.default_rng(int(hop * 10))
    for name, seconds in (("line/Säge", 205), ("b", 123.4), ("quiet", 30)):
        record(f"{name}.flac", seconds, rate=1103)
    times = np.sort(draw.uniform(0, 200, size=24)).reshape(-1, 2)
    lines = []
    for number, (start, end) in enumerate(times):
        lines.append(f"{start:.6f}\t{end if number % 4 else start:.6f}\tbang")
        lines += [f"\\\t{100 * number:.6f}\t{9000:.6f}"] * (number % 3 == 0)
    label("line/Säge", *lines)
    touching = ["40.000000\t50.000000\t", "50.000000\t50.000000\t"]
    touching += ["55.000000\t60.000000\t", "\\\t400.000000\t500.000000", "60.000000\t60.500000\t"]
    overlapping = ["61.000000\t85.500000\ttwo words", "64.000000\t64.500000\ttwo words"] if hop < 10 else []
    label("b", "0.000000\t0.000000\t", "10.000000\t20.000000\t", "30.000000\t30.000000\t", *touching, *overlapping)
    before = tracks(tmp_path / "labels")
    made = cut(hop=hop)
    assert made.unlabelled == ["quiet.flac"]
    convert_annotations(
        tmp_path / "set/annotations.csv",
        "audacity",
        tmp_path / "back",
        manifest=tmp_path / "set/manifest.csv",
        timeline="recordings",
    )
    assert tracks(tmp_path / "back") == before


def test_clips_in_which_a_label_was_corrected_differ_from_those_that_overlap_them(record, label, cut, tmp_path):
    record("a.wav", 40)
    label("a", "12\t13\tbang", "31\t32\tbang")
    cut(hop=5)
    annotations = tmp_path / "set/annotations.csv"
    annotations.write_text(
        annotations.read_text().replace("a_00010.000s.wav,2,3,bang", "a_00010.000s.wav,2,4,bang"),
    )
    listed = {"manifest": tmp_path / "set/manifest.csv", "timeline": "recordings"}
    differing = "labels test/anomaly/a_00005.000s.wav, test/anomaly/a_00010.000s.wav otherwise than the clips"
    with pytest.warns(UserWarning, match=differing):
        convert_annotations(annotations, "csv", tmp_path / "back.csv", **listed)
    assert (tmp_path / "back.csv").read_text().splitlines()[1:] == [
        "a.wav,12,13,bang",
        "a.wav,12,14,bang",
        "a.wav,31,32,bang",
    ]


def test_rows_that_name_no_clip_stay_when_clips_are_joined(record, label, cut, tmp_path, data_error):
    record("a.wav", 30)
    label("a", "12\t13\tbang")
    cut()
    rows = tmp_path / "rows.csv"
    rows.write_text("file,start,end\na.wav,1,2\nother,3,4\na_00010.000s,5,6\na_00000.000s,,\n")
    listed = {"manifest": tmp_path / "set/manifest.csv", "timeline": "recordings"}
    with (
        pytest.warns(UserWarning, match="no recording or clip called other; kept as recordings"),
        pytest.warns(UserWarning, match=r"no intervals for a_00000.000s; left out"),
    ):
        convert_annotations(rows, "csv", tmp_path / "back.csv", **listed)
    assert (tmp_path / "back.csv").read_text().splitlines()[1:] == ["a.wav,1,2,", "a.wav,15,16,", "other,3,4,"]
    with data_error("timeline=recordings needs a manifest"):
        convert_annotations(rows, "csv", tmp_path / "other.csv", timeline="recordings")


@pytest.mark.parametrize(
    ("lines", "settings", "complaint"),
    [
        (["5\t30.2"], {}, "the interval from 5 s to 30.2 s of a.wav is out of range; the recording lasts 30 s"),
        (["31\t31"], {}, "the recording lasts 30 s"),
        (["3\t2"], {}, "is reversed"),
        (["x\t2"], {}, "is not a label"),
        ([], {}, "leaves no anomalous window of 10 s"),
        (["0\t30"], {}, "leaves no normal window of 10 s"),
        (["1\t2"], {"clip_seconds": 31}, "leaves no normal or anomalous window of 31 s"),
        (["1\t2"], {"clip_seconds": float("nan")}, "the length of a clip is nan s"),
        (["1\t2"], {"hop": 11}, "hop is 11 s; it must be from 0.1 s to the 10 s of a clip"),
        (["1\t2"], {"hop": 0}, "hop is 0 s"),
        (["1\t2"], {"guard": -1}, "guard is -1 s"),
        (["1\t2"], {"audio_format": "mp3"}, "wav or flac"),
        (["1\t2"], {"channel": 1}, "1 channel, so channel=1 does not exist"),
    ],
)
def test_rejects_labels_and_options_out_of_range(record, label, cut, tmp_path, data_error, lines, settings, complaint):
    record("a.wav", 30)
    label("a", *lines)
    with data_error(complaint):
        cut(**settings)
    assert not (tmp_path / "set").exists()


def test_rejects_names_that_are_not_those_of_one_recording(record, label, cut, tmp_path, data_error):
    record("x/a.wav", 30)
    record("y/a.wav", 30)
    label("a", "1\t2")
    with data_error("'a' is the name of 2 recordings, give its folder"):
        cut()
    shutil.rmtree(label("z"))
    label("b", "1\t2")
    with data_error("'b' is not among the recordings"):
        cut()
    shutil.rmtree(label("z"))
    label("x/a", "1\t2")
    record("x_a.wav", 30)
    with data_error("x_a.wav", "would both give normal/x_a_00010.000s.wav"):
        cut()


def test_damaged_recording_and_taken_output_leave_everything_as_it_was(record, label, cut, tmp_path, data_error):
    record("a.wav", 30)
    damaged = record("b.flac", 30, rate=2000)
    label("a", "1\t2")
    content = bytearray(damaged.read_bytes())
    content[-200:-100] = bytes(100)
    damaged.write_bytes(content)
    with data_error("b.flac cannot be read as audio"):
        cut()
    assert not (tmp_path / "set").exists()
    damaged.unlink()
    for name in ("annotations.csv", "manifest.csv", "test"):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / name).touch()
        with data_error(f"{name} already exists"):
            cut()
        assert files(tmp_path / "set") == [name]
        shutil.rmtree(tmp_path / "set")
    (tmp_path / "set").touch()
    with data_error("set cannot be written"):
        cut()
    with data_error("is inside"):
        cut_testset(tmp_path / "recordings", tmp_path / "labels", tmp_path / "recordings/set")
