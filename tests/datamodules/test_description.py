"""Describing data sets: numbers of single files, and what is wrong with sets."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

from datamodules.audio import read_sound
from datamodules.description import find, survey
from datamodules.description.measure import THIRD_OCTAVES_HZ, measure

RATE = 8_000


def write(path, samples, rate=RATE, subtype="PCM_16"):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def noise(seed, seconds=1.0):
    return np.random.default_rng(seed).uniform(-0.25, 0.25, round(seconds * RATE))


@pytest.fixture
def folder_root(tmp_path):
    """An audio folder set with two sound clips to train on and three to test on, all different."""
    for seed, name in enumerate(("train/a", "train/b", "test/normal/c", "test/normal/d", "test/anomaly/squeal/e")):
        write(tmp_path / f"{name}.wav", noise(seed))
    return tmp_path


def names(clips):
    return [clip.clip.name for clip in clips]


def test_levels_of_a_sine_are_those_of_theory(tmp_path):
    seconds = np.arange(20 * RATE) / RATE
    sine = 0.5 * np.sin(2 * np.pi * 1000 * seconds)
    found = measure(write(tmp_path / "sine.wav", np.stack([sine, sine], axis=1), subtype="FLOAT"))
    assert (found.seconds, found.sample_rate, found.channels, found.form) == (20, RATE, 2, "WAV FLOAT")
    assert found.level_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=1e-4)
    assert found.peak_db == pytest.approx(20 * np.log10(0.5), abs=1e-4)
    # All power lies in the third octave around 1 kHz; those that 4 kHz cuts are left out.
    assert THIRD_OCTAVES_HZ[np.nanargmax(found.spectrum)] == 1000
    assert np.nanmax(found.spectrum) == pytest.approx(found.level_db, abs=0.01)
    assert np.isnan(found.spectrum[THIRD_OCTAVES_HZ > 3_563]).all()


@pytest.mark.parametrize("block", [1 << 16, 1000, 999, 331])
def test_clipping_and_flat_stretches_are_counted_over_blocks(tmp_path, monkeypatch, block):
    monkeypatch.setattr("datamodules.audio.BLOCK_SAMPLES", block)
    samples = noise(0)
    samples[995:1002] = 1.0  # seven in a row, five of which have two before them
    samples[3000:3002] = -1.0  # too few
    samples[4000:4800] = 0.125
    found = measure(write(tmp_path / "clip.wav", samples))
    assert found.clipped == 5
    assert found.flat_seconds == pytest.approx(0.1)
    assert found.peak_db == pytest.approx(0, abs=1e-6)


def test_spectrogram(tmp_path):
    values = torch.arange(80.0)[:, None] + torch.arange(401.0) % 2
    values[:, 100:110] = values[:, :1]
    torch.save(values, tmp_path / "clip.pt")
    found = measure(tmp_path / "clip.pt")
    assert (found.seconds, found.form) == (pytest.approx(10), "spectrograms of 80 bands")
    assert found.level_db == pytest.approx(values.mean().item())
    assert found.peak_db == 80
    assert found.flat_seconds == pytest.approx(11 * 0.025)  # frame 110 is even, so the same as 109
    np.testing.assert_allclose(found.spectrum, values.mean(1), rtol=1e-6)


def test_measures_the_channel_in_use_and_all_channels(tmp_path, data_error):
    left = noise(0)
    path = write(tmp_path / "opposed.wav", np.stack([left, -left, 0.5 * left], axis=1), subtype="FLOAT")
    rms = 20 * np.log10(np.sqrt(np.mean(left**2)))
    mix, third = measure(path), measure(path, 2)
    assert mix.level_db == pytest.approx(rms - 20 * np.log10(6), abs=1e-3)  # a sixth of the first is left
    assert mix.peak_db == pytest.approx(20 * np.log10(np.abs(left).max() / 6), abs=1e-3)
    assert third.level_db == pytest.approx(rms - 20 * np.log10(2), abs=1e-3)
    for found in (mix, third):
        assert found.channel_levels_db == pytest.approx((rms, rms, rms - 20 * np.log10(2)), abs=1e-3)
    assert mix.content == third.content
    with data_error(str(path), "3 channels", "choose 0 to 2"):
        measure(path, 3)


def test_files_left_out_and_missing_test_clips_are_part_of_the_survey(tmp_path):
    write(tmp_path / "train/a.wav", noise(0))
    (tmp_path / "train/b.m4a").touch()
    described = survey(tmp_path)
    assert (described.layout, names(described.clips)) == ("folder", ["train/a.wav"])
    assert described.left_out == (tmp_path / "train/b.m4a",)
    assert "test/normal/, test/anomaly/ not found" in described.test_problem


@pytest.mark.parametrize("inside", ["", "fan"])
def test_mimii_by_the_folder_of_all_machines_or_of_one(tmp_path, inside):
    for seed, name in enumerate(("normal/0", "normal/1", "normal/2", "abnormal/0")):
        write(tmp_path / f"fan/id_00/{name}.wav", noise(seed))
    described = survey(tmp_path / inside)
    assert described.layout == "mimii"
    assert [(clip.split, clip.kind) for clip in described.clips] == [
        ("training", "normal"), ("training", "normal"), ("test", "normal"), ("test", "anomaly"),
    ]  # fmt: skip


def test_no_findings_in_an_intact_set(folder_root):
    described = survey(folder_root)
    found = find(described)
    assert described.layout == "folder"
    assert [(clip.split, clip.kind) for clip in described.clips] == [
        ("training", "normal"), ("training", "normal"), ("test", "normal"), ("test", "normal"), ("test", "squeal"),
    ]  # fmt: skip
    assert not any((found.unusable, found.silent, found.interrupted, found.clipped, found.duplicates))


def test_damaged_silent_clipped_and_interrupted_clips_are_found(folder_root):
    (folder_root / "train/broken.wav").write_bytes(b"RIFF")
    write(folder_root / "train/silent.wav", 2e-5 * noise(7), subtype="FLOAT")
    write(folder_root / "test/normal/zeros.wav", np.zeros(RATE))
    write(folder_root / "test/normal/loud.wav", np.clip(20 * noise(8), -1, 1))
    write(folder_root / "test/anomaly/squeal/cut.wav", np.concatenate([noise(9), np.zeros(RATE // 5), noise(10)]))
    found = find(survey(folder_root))
    assert names(found.unusable) == ["train/broken.wav"]
    assert "cannot be read as audio" in found.unusable[0].problem
    assert names(found.silent) == ["train/silent.wav", "test/normal/zeros.wav"]
    assert names(found.clipped) == ["test/normal/loud.wav"]
    assert names(found.interrupted) == ["test/anomaly/squeal/cut.wav"]
    assert found.duplicates == ()


def test_same_samples_are_found_under_another_name_header_and_container(folder_root):
    sound, rate = soundfile.read(folder_root / "train/a.wav", dtype="int16")
    shutil.copy(folder_root / "train/b.wav", folder_root / "train/copy.wav")
    write(folder_root / "test/normal/rate.wav", sound, rate=2 * rate)
    write(folder_root / "test/normal/container.flac", sound)
    first, second = find(survey(folder_root)).duplicates
    assert names(first.clips) == ["train/a.wav", "test/normal/container.flac", "test/normal/rate.wav"]
    assert (first.same_file, first.across_splits) == (False, True)
    assert names(second.clips) == ["train/b.wav", "train/copy.wav"]
    assert (second.same_file, second.across_splits) == (True, False)


def test_recordings_and_days_in_both_splits_are_found(tmp_path):
    clips = {
        "training/2x4": ("MPD_19-11-25_0900_00001_1", "MPD_19-11-25_0900_00001_2", "MPD_19-11-26_0900_00002_1"),
        "evaluation/normal": ("MPD_19-11-25_0900_00001_6", "MPD_19-11-26_1000_00003_1", "MPD_19-12-03_0900_00004_1"),
        "evaluation/anomalies/broken_board": ("MPD_19-12-03_0900_00004_2",),
    }
    seeds = iter(range(10))
    for folder, stems in clips.items():
        for stem in stems:
            write(tmp_path / folder / f"{stem}.wav", noise(next(seeds)))
    found = find(survey(tmp_path))
    (recording,) = found.recordings
    assert (recording.name, len(recording.training), len(recording.test)) == ("MPD_19-11-25_0900_00001", 2, 1)
    assert [(day.name, len(day.training), len(day.test)) for day in found.days] == [
        ("19-11-25", 2, 1),
        ("19-11-26", 1, 1),
    ]
    assert found.dated == 7


def test_annotations_are_joined_and_name_types(folder_root):
    write(folder_root / "test/anomaly/f.wav", noise(20))
    (folder_root / "annotations.csv").write_text("file,start,end,type\nf.wav,0.25,0.5,rattle\n")
    described = survey(folder_root)
    assert described.annotations_problem == ""
    (clip,) = (clip for clip in described.clips if clip.clip.intervals)
    assert (clip.clip.intervals, clip.kind) == (((0.25, 0.5),), "rattle")


def test_annotations_with_problems_are_reported_and_ignored(folder_root):
    (folder_root / "annotations.csv").write_text("file,start,end\ne.wav,0,5\n")
    described = survey(folder_root)
    assert "out of range" in described.annotations_problem
    assert not any(clip.clip.intervals for clip in described.clips)


@pytest.mark.parametrize("inside", ["", "slider"])
def test_dcase_data_by_the_folder_of_all_machines_or_of_one(tmp_path, inside):
    for seed, name in enumerate(
        ("train/normal_id_00_00000000", "test/normal_id_00_00000000", "test/anomaly_id_00_00000000")
    ):
        write(tmp_path / "slider" / f"{name}.wav", noise(seed))
    described = survey(tmp_path / inside)
    assert described.layout == "dcase"
    assert names(described.clips) == [
        "slider/train/normal_id_00_00000000.wav",
        "slider/test/anomaly_id_00_00000000.wav",
        "slider/test/normal_id_00_00000000.wav",
    ]


def test_rejects_folders_without_a_layout(tmp_path, data_error):
    with data_error(str(tmp_path), "none of the layouts"):
        survey(tmp_path)
    with data_error(str(tmp_path / "gone"), "not a folder"):
        survey(tmp_path / "gone")
    with data_error("planer layout"):
        survey(tmp_path, layout="planer")
    with data_error("DCASE layout"):
        survey(tmp_path, layout="dcase")
    with data_error("MIMII layout"):
        survey(tmp_path, layout="mimii")
    with data_error("workers is 0"):
        survey(tmp_path, workers=0)
    with data_error("channel is -1"):
        survey(tmp_path, channel=-1)


@pytest.mark.parametrize("block", [1 << 16, 331])
def test_level_does_not_depend_on_the_blocks(tmp_path, monkeypatch, block):
    monkeypatch.setattr("datamodules.audio.BLOCK_SAMPLES", block)
    sound = write(tmp_path / "clip.wav", np.stack([noise(3), 0.1 * noise(4)], axis=1), subtype="FLOAT")
    samples, _ = soundfile.read(sound)
    _, info = read_sound(sound)
    assert info.level_db == pytest.approx(10 * np.log10(np.mean(samples.mean(axis=1) ** 2)), abs=1e-9)
    assert measure(sound).info == info


def test_a_constant_is_silent_however_large(folder_root):
    write(folder_root / "train/offset.wav", np.full(RATE, 0.5))
    found = find(survey(folder_root))
    assert names(found.silent) == ["train/offset.wav"]
    assert found.interrupted == ()
