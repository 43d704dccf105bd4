"""Long recordings as clips: names, samples, the manifest, and what happens to damaged or interrupted ones."""

import csv
import hashlib
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from wav_headers import lose_length, with_sizes

from datamodules import DataError
from datamodules.recordings import slice_recordings

RATE = 100  # Hz: a minute of sound in 6,000 samples


@pytest.fixture
def record(tmp_path):
    """Write a recording whose samples count up, so that each says where it stood."""

    def write(name, seconds, rate=RATE, **settings):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.arange(round(seconds * rate), dtype=np.int16), rate, **settings)
        return path

    return write


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def manifest(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def samples(path):
    return soundfile.read(path, dtype="int16")[0]


def test_minutes_of_a_long_recording_continue_past_midnight(record, out):
    source = record("MPD_19-12-04_2358_00906.wav", 125)
    summary = slice_recordings([source], out)
    names = [f"MPD_19-12-04_2358_00906_{part}.wav" for part in range(1, 7)]
    names += [f"MPD_19-12-04_2359_00907_{part}.wav" for part in range(1, 7)]
    assert files(out) == [*names, "manifest.csv"]
    assert [row["clip"] for row in manifest(out)] == names
    assert (summary.written, summary.kept, summary.left_over) == (12, 0, {source.name: 5.0})
    assert samples(out / names[7]).tolist() == list(range(7000, 8000))


def test_manifest_says_where_a_clip_is_from_with_checksums(record, out):
    source = record("MPD_19-12-04_0848_00006.wav", 60)
    slice_recordings([source], out, clip_seconds=20)
    rows = manifest(out)
    assert [(row["source"], row["offset"], row["duration"]) for row in rows] == [
        (source.name, "0", "20"),
        (source.name, "20", "20"),
        (source.name, "40", "20"),
    ]
    for row in rows:
        assert row["clip_sha256"] == hashlib.sha256((out / row["clip"]).read_bytes()).hexdigest()
        assert row["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()


def test_folders_are_kept_and_names_without_a_time_become_prefixes(record, out):
    record("2x3/MPD_19-12-04_0848_00006.flac", 10)
    record("own/press 3.wav", 70)
    record("own/MPD_19-13-04_0848_00006.wav", 10)  # month 13 does not exist
    slice_recordings([record("own/press 3.wav", 70).parents[1]], out)
    assert files(out) == [
        "2x3/MPD_19-12-04_0848_00006_1.wav",
        "manifest.csv",
        "own/MPD_19-13-04_0848_00006_00001_1.wav",
        *(f"own/press 3_00001_{part}.wav" for part in range(1, 7)),
        "own/press 3_00002_1.wav",
    ]
    assert {row["source"] for row in manifest(out)} == {
        "2x3/MPD_19-12-04_0848_00006.flac",
        "own/press 3.wav",
        "own/MPD_19-13-04_0848_00006.wav",
    }


def test_start_gives_recordings_without_a_time_theirs(record, out):
    sources = [record("b.wav", 70), record("MPD_20-01-01_0000_00001.wav", 10), record("a.wav", 10)]
    slice_recordings(sources, out, start=datetime(2019, 12, 4, 8, 48))
    assert [(row["clip"], row["source"]) for row in manifest(out)] == [
        *((f"MPD_19-12-04_0848_00001_{part}.wav", "b.wav") for part in range(1, 7)),
        ("MPD_19-12-04_0849_00002_1.wav", "b.wav"),
        ("MPD_20-01-01_0000_00001_1.wav", "MPD_20-01-01_0000_00001.wav"),
        ("MPD_19-12-04_0850_00003_1.wav", "a.wav"),
    ]


@pytest.mark.parametrize(
    ("subtype", "suffix", "dtype", "scale"),
    [("PCM_U8", "wav", "int16", 1 << 8), ("PCM_24", "wav", "int32", 1 << 8), ("DOUBLE", "wav", "float64", 1.25e-9)],
)
def test_samples_and_format_stay(tmp_path, out, subtype, suffix, dtype, scale):
    path = tmp_path / f"a.{suffix}"
    values = (np.arange(-64, 64).repeat(8)[:1000] * scale).astype(dtype)
    soundfile.write(path, values, RATE, subtype=subtype)
    slice_recordings([path], out)
    clip = out / "a_00001_1.wav"
    assert soundfile.read(clip, dtype=dtype)[0].tolist() == values.tolist()
    info = soundfile.info(clip)
    assert (info.subtype, info.samplerate, info.channels, info.frames) == (subtype, RATE, 1, 1000)


@pytest.mark.parametrize(("given", "subtype"), [("PCM_U8", "PCM_S8"), ("PCM_16", "PCM_16"), ("ULAW", "PCM_16")])
def test_flac_holds_what_the_recording_decodes_to(record, out, given, subtype):
    source = record("a.wav", 10, subtype=given)
    slice_recordings([source], out, audio_format="flac")
    assert samples(out / "a_00001_1.flac").tolist() == samples(source).tolist()
    assert soundfile.info(out / "a_00001_1.flac").subtype == subtype


def test_channels_are_averaged_across_blocks(tmp_path, out):
    # 300,000 samples of 3 channels take several blocks.
    rng = np.random.default_rng(0)
    values = rng.integers(-30_000, 30_000, size=(300_000, 3)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", values, 30_000)
    slice_recordings([tmp_path / "a.wav"], out)
    error = samples(out / "a_00001_1.wav") - values.astype(float).mean(axis=1)
    assert np.abs(error).max() <= 0.5


def test_one_channel_is_cut(tmp_path, out, data_error):
    values = np.arange(3000, dtype=np.int16).reshape(1000, 3)
    soundfile.write(tmp_path / "a.wav", values, RATE)
    slice_recordings([tmp_path / "a.wav"], out, channel=2)
    assert samples(out / "a_00001_1.wav").tolist() == values[:, 2].tolist()
    assert [row["channel"] for row in manifest(out)] == ["2"]
    with data_error("manifest.csv", "a.wav from channel=2, not mix"):
        slice_recordings([tmp_path / "a.wav"], out)
    with data_error("a.wav has 3 channels", "channel=3 does not exist"):
        slice_recordings([tmp_path / "a.wav"], tmp_path / "other", channel=3)
    with data_error("channel is -1"):
        slice_recordings([tmp_path / "a.wav"], tmp_path / "other", channel=-1)
    assert not (tmp_path / "other").exists()


def test_levels_of_what_was_mixed_are_known(tmp_path, out):
    tone = 1000 * np.sin(np.arange(1000))
    soundfile.write(tmp_path / "a.wav", np.stack([tone, -tone / 2], axis=1).astype(np.int16), RATE)
    summary = slice_recordings([tmp_path / "a.wav"], out)
    assert summary.mixed[tmp_path / "a.wav"].mix_loss_db == pytest.approx(20 * np.log10(4), abs=0.05)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_recordings_of_unknown_length(record, out, name):
    source = record(name, 25, rate=20_000)
    expected = samples(source)
    if name == "a.flac":
        lose_length(source)
    else:
        source.write_bytes(with_sizes(source.read_bytes(), 0xFFFFFFFF, 0))
    summary = slice_recordings([source], out)
    assert (summary.written, summary.left_over) == (2, {name: 5.0})
    assert samples(out / "a_00001_2.wav").tolist() == expected[200_000:400_000].tolist()


def test_linked_folders_other_formats_and_what_is_left_out(record, tmp_path, out):
    record("a.aiff", 10)
    (tmp_path / "in/b.m4a").touch()
    (tmp_path / "in/notes.txt").touch()
    (tmp_path / "day").mkdir()
    (tmp_path / "day/monday").symlink_to(tmp_path / "in")
    summary = slice_recordings([tmp_path / "day"], out)
    assert [row["source"] for row in manifest(out)] == ["monday/a.aiff"]
    assert samples(out / "monday/a_00001_1.wav").tolist() == list(range(1000))
    assert summary.left_out == [tmp_path / "day/monday/b.m4a"]


def test_second_run_adds_recordings_and_writes_nothing_twice(record, out):
    first, second = record("a.wav", 30), record("b.wav", 20)
    slice_recordings([first], out)
    written = {path: path.stat().st_mtime_ns for path in out.glob("a_*")}
    summary = slice_recordings([first, second], out)
    assert (summary.written, summary.kept) == (2, 3)
    assert {path: path.stat().st_mtime_ns for path in out.glob("a_*")} == written
    assert len(manifest(out)) == 5


@pytest.mark.parametrize("cut_at", ["line", "row", "number"])
def test_interrupted_append_is_repaired(record, out, cut_at):
    sources = [record("a.wav", 30), record("b.wav", 30)]
    slice_recordings(sources, out)
    whole = (out / "manifest.csv").read_text()
    lines = whole.splitlines(keepends=True)
    kept = {"line": "".join(lines[:-1]), "row": whole[:-1], "number": whole[:-150]}[cut_at]
    (out / "manifest.csv").write_text(kept)
    (out / ".slicing").mkdir()
    (out / ".slicing" / "b_00001_1.wav").write_text("half a clip")
    slice_recordings(sources, out)
    assert (out / "manifest.csv").read_text() == whole
    assert files(out) == [*(f"{name}_00001_{part}.wav" for name in "ab" for part in (1, 2, 3)), "manifest.csv"]


def test_missing_clip_is_cut_again(record, out):
    source = record("a.wav", 30)
    slice_recordings([source], out)
    before = (out / "manifest.csv").read_text()
    (out / "a_00001_2.wav").unlink()
    assert slice_recordings([source], out).written == 3
    assert samples(out / "a_00001_2.wav").tolist() == list(range(1000, 2000))
    assert (out / "manifest.csv").read_text() == before


def damaged_flac(path):
    content = bytearray(path.read_bytes())
    content[-200:-100] = bytes(100)
    path.write_bytes(content)


def truncated_wav(path):
    path.write_bytes(path.read_bytes()[:-2])


def not_a_number(path):
    soundfile.write(path, np.full(1500, np.nan), RATE, subtype="FLOAT")


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("b.flac", damaged_flac, "cannot be read as audio"),
        ("b.wav", truncated_wav, "truncated"),
        ("b.wav", not_a_number, "NaN"),
        ("b.wav", lambda path: path.write_text("not a recording"), "cannot be read as audio"),
        ("b.wav", lambda path: soundfile.write(path, np.zeros(0), RATE), "holds no samples"),
        ("b.wav", Path.unlink, "does not exist"),
    ],
)
def test_damaged_recording_leaves_nothing(record, out, data_error, name, damage, message):
    source = record(name, 15, rate=2000)  # several FLAC frames, of which the last is in no clip
    damage(source)
    with data_error(str(source), message):
        slice_recordings([source], out)
    assert not out.exists()


def test_recordings_before_a_damaged_one_stay(record, out, data_error):
    good, bad = record("a.wav", 10), record("b.flac", 15)
    damaged_flac(bad)
    with data_error(str(bad)):
        slice_recordings([good, bad], out)
    assert files(out) == ["a_00001_1.wav", "manifest.csv"]


def test_rejects_two_recordings_of_one_minute(record, out, data_error):
    sources = [record("MPD_19-12-04_0848_00006.wav", 70), record("MPD_19-12-04_0849_00007.wav", 10)]
    with data_error(str(sources[0]), str(sources[1]), "MPD_19-12-04_0849_00007_1.wav"):
        slice_recordings(sources, out)
    assert not out.exists()
    slice_recordings([record("MPD_19-12-04_0848_00006.wav", 69.9), sources[1]], out)
    assert len(manifest(out)) == 7


def test_nothing_is_overwritten(record, out, data_error):
    source = record("a.wav", 20)
    out.mkdir()
    (out / "a_00001_2.wav").write_text("somebody's own")
    with data_error(str(out / "a_00001_2.wav"), "already exists"):
        slice_recordings([source], out)
    assert files(out) == ["a_00001_2.wav"]


def test_rejects_another_recording_of_the_same_name(record, out, data_error):
    slice_recordings([record("a.wav", 20)], out)
    other = record("other/a.wav", 20)
    soundfile.write(other, np.zeros(2000), RATE)
    with data_error("manifest.csv", str(other), "another output"):
        slice_recordings([other], out)
    with data_error("manifest.csv", "from a.wav, not a.flac"):
        slice_recordings([record("a.flac", 20)], out)
    with data_error("manifest.csv", "another length or format"):
        slice_recordings([record("a.wav", 20)], out, clip_seconds=20)


def test_options_out_of_range(record, out, data_error):
    source = record("a.wav", 20, subtype="FLOAT")
    with data_error("clips of 7 s"):
        slice_recordings([source], out, clip_seconds=7)
    with data_error("'mp3' is not a format of clips"):
        slice_recordings([source], out, audio_format="mp3")
    with data_error(str(source), "FLOAT", "flac cannot hold"):
        slice_recordings([source], out, audio_format="flac")
    with data_error("the output", "is inside"):
        slice_recordings([source.parent], source.parent / "clips")
    with data_error(str(out), "holds no recordings"):
        out.mkdir()
        slice_recordings([out], source.parent / "clips")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda saved: b"\xef\xbb\xbf" + saved, "was not written by slicing"),
        (lambda saved: saved.replace(b",", b";"), "was not written by slicing"),
        (lambda saved: saved.decode().encode("utf-16"), "cannot be read"),
        (lambda saved: saved.replace(b"a_0", b"\xe4_0"), "cannot be read"),
        (lambda saved: saved + b'"' + b"x" * 200_000, "cannot be read"),
    ],
)
def test_manifest_that_a_spreadsheet_saved_is_not_appended_to(record, tmp_path, data_error, change, complaint):
    output = tmp_path / "clips"
    slice_recordings([record("a.wav", 10)], output)
    manifest = output / "manifest.csv"
    manifest.write_bytes(changed := change(manifest.read_bytes()))
    with data_error("manifest.csv", complaint, "another output"):
        slice_recordings([record("b.wav", 10)], output)
    assert manifest.read_bytes() == changed


def test_rejects_another_csv_and_an_unwritable_folder(record, tmp_path, data_error):
    source = record("a.wav", 10)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "manifest.csv").write_text("file,start,end\n")
    with data_error("manifest.csv", "was not written by slicing"):
        slice_recordings([source], tmp_path / "taken")
    (tmp_path / "file").write_text("")
    with data_error(f"{tmp_path / 'file'} cannot be written"):
        slice_recordings([source], tmp_path / "file")


def test_other_names_for_what_is_sliced_already_are_rejected(tmp_path, record, data_error):
    source = record("a.wav", 10)
    slice_recordings([source], tmp_path / "clips")
    before = sorted((tmp_path / "clips").iterdir())
    with data_error("manifest.csv", "under other names, for example from another start"):
        slice_recordings([source], tmp_path / "clips", start=datetime(2020, 1, 1, 10))
    assert sorted((tmp_path / "clips").iterdir()) == before


def test_recordings_follow_one_another_by_their_numbers(tmp_path, record):
    for number in (10, 2, 1):
        folder = record(f"rec{number}.wav", 10).parent
    slice_recordings([folder], tmp_path / "clips", start=datetime(2020, 1, 1, 10))
    with (tmp_path / "clips" / "manifest.csv").open(newline="") as file:
        times = {row["source"]: row["clip"][13:17] for row in csv.DictReader(file)}
    assert times == {"rec1.wav": "1000", "rec2.wav": "1001", "rec10.wav": "1002"}


def test_rejects_recordings_without_a_clip(record, out):
    sources = [record("short.wav", 4.5), record("shorter.wav", 3)]
    with pytest.raises(DataError, match=r"as long as a clip of 10 s; the longest has 4\.50 s"):
        slice_recordings(sources, out)
    assert not out.exists()
    assert slice_recordings(sources, out, clip_seconds=4).written == 1
