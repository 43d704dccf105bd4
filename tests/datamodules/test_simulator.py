"""The simulated set on disk: layout, names, annotation file, reproducibility, refusals."""

import csv
import hashlib
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datamodules.annotations import read_annotations
from datamodules.provenance import read_provenance
from datamodules.simulator import simulate
from datamodules.simulator.dataset import render_clip
from datamodules.simulator.plan import PlannedClip, apportion, deal_lengths, place_intervals, plan

SMALL = {"train": 7, "normal": 7, "anomalies": 9, "duration": 4}
FOLDERS = {
    "training/2x3",
    "training/2x4",
    "training/2x6",
    "training/machine_start_stop",
    "evaluation/normal",
    "evaluation/anomalies/broken_board",
    "evaluation/anomalies/board_stuck",
    "evaluation/anomalies/Uneven_thick_wood",
}
PUBLISHED_TYPES = {"broken_board": 4, "board_stuck": 29, "Uneven_thick_wood": 72}
HEADER = (
    b"Recording wav File,Spectrogram File Name,Spectrogram Number,Spectrogram Time Range,"
    b'Board (Anomaly) Type,"Time Anomaly Labels\n[(t1,t2), ...,etc]",Labels in Spectrogram\r\n'
)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    return simulate(tmp_path_factory.mktemp("simulator") / "set", **SMALL, seed=3, workers=2)


def published_plan():
    return plan(4327, 3130, 105, 10, np.random.default_rng(0))


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_folders_and_counts_are_those_asked_for(simulated):
    counts = Counter(path.parent.relative_to(simulated).as_posix() for path in simulated.rglob("*.wav"))
    assert set(counts) == FOLDERS
    assert sum(n for folder, n in counts.items() if folder.startswith("training/")) == SMALL["train"]
    assert counts["evaluation/normal"] == SMALL["normal"]
    assert sum(n for folder, n in counts.items() if "anomalies" in folder) == SMALL["anomalies"]


def test_clips_are_16_bit_mono_at_20_khz_and_sound(simulated):
    for path in simulated.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (20_000, 1, "PCM_16")
        assert info.frames == SMALL["duration"] * 20_000
        samples, _ = soundfile.read(path)
        assert 1e-3 < samples.std() < 0.3
        assert np.abs(samples).max() < 0.99


def test_names_are_those_of_the_published_set(simulated):
    names = [path.name for path in simulated.rglob("*.wav")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"MPD_\d\d-\d\d-\d\d_[0-2]\d[0-5]\d_\d{5}_[1-6]\.wav", name) for name in names)


def test_a_simulated_set_says_that_it_is_one(simulated):
    assert read_provenance(simulated).mark == "Test set constructed by simulation."
    assert read_provenance(simulated).settings == {**SMALL, "seed": 3}


def test_annotation_file_has_the_published_form(simulated):
    written = (simulated / "annotations.csv").read_bytes()
    assert written.startswith(HEADER)
    assert written.count(b"\r\n") == SMALL["anomalies"] + 1
    with (simulated / "annotations.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    for recording, spectrogram, number, time_range, anomaly_type, seconds, frames in rows:
        clip = simulated / "evaluation" / "anomalies" / anomaly_type / spectrogram.replace(".pt", ".wav")
        assert clip.is_file()
        assert spectrogram == f"{Path(recording).stem}_{number}.pt"
        start = SMALL["duration"] * (int(number) - 1)
        assert time_range == f"{start}-{start + SMALL['duration']} seconds"
        if seconds == "-":
            assert frames == "-"
            continue
        pairs = re.findall(r"\((\d+),(\d+)\)", seconds)
        assert seconds == "[" + ", ".join(f"({a},{b})" for a, b in pairs) + "]"
        expected = [(40 * (int(a) - start), min(40 * (int(b) - start), 159)) for a, b in pairs]
        assert frames == "[" + ", ".join(f"({a},{b})" for a, b in expected) + "]"
    annotated = {row[4] for row in rows if row[5] != "-"}
    assert annotated == set(PUBLISHED_TYPES)
    assert any(row[5] == "-" for row in rows)


def test_header_is_byte_for_byte_the_authors(shared):
    assert (shared / "planer" / "annotations.csv").read_bytes().startswith(HEADER)


def test_the_loader_reads_the_annotations(simulated):
    rows = read_annotations(simulated / "annotations.csv")
    assert len(rows) == SMALL["anomalies"]
    assert all(0 <= start < stop <= SMALL["duration"] for row in rows for start, stop in row.intervals)


def test_same_seed_same_bytes_whatever_the_workers(simulated, tmp_path):
    again = hashes(simulate(tmp_path / "again", **SMALL, seed=3, workers=1))
    assert again == hashes(simulated)
    other = hashes(simulate(tmp_path / "other", **SMALL, seed=4))
    assert not set(other.values()) & set(again.values())


def test_clips_of_other_places_and_seeds_are_independent():
    clip = PlannedClip("evaluation/normal", day=0, recording=1, part=1, running="2x4")
    sounds = [render_clip(clip, 4, seed, index) for seed, index in ((0, 0), (1, 0), (0, 1))]
    correlation = np.corrcoef(sounds)
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 0.3


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("train", 0),
        ("train", 3),
        ("normal", -1),
        ("anomalies", 2),
        ("seed", -1),
        ("workers", 0),
        ("duration", 3),
        ("duration", 11),
        ("duration", 4.5),
    ],
)
def test_options_out_of_range_are_refused(refused, tmp_path, option, value):
    with refused(f"--{option}", str(value)):
        simulate(tmp_path / "set", **{**SMALL, option: value})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_left_alone(refused, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with refused(str(tmp_path / "set"), "empty"):
        simulate(tmp_path / "set", **SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "mine.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "set").mkdir()
    simulate(tmp_path / "set", **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert len(list((tmp_path / "set").rglob("*.wav"))) == 23


def test_a_place_that_cannot_be_written_is_refused(refused, tmp_path):
    (tmp_path / "file").write_text("")
    with refused(str(tmp_path / "file" / "set"), "cannot be written"):
        simulate(tmp_path / "file" / "set", **SMALL)


def test_a_set_of_published_size_has_the_published_shares():
    clips = published_plan()
    folders = Counter(clip.folder.split("/")[0] for clip in clips)
    assert folders == {"training": 4327, "evaluation": 3235}
    assert Counter(clip.anomaly_type for clip in clips if clip.anomaly_type) == PUBLISHED_TYPES
    annotated = Counter(clip.anomaly_type for clip in clips if clip.annotated)
    assert annotated == {"broken_board": 2, "board_stuck": 10, "Uneven_thick_wood": 34}
    assert len({clip.name for clip in clips}) == len(clips)


def test_training_and_test_clips_come_from_different_days():
    days = {"training": set(), "evaluation": set()}
    for clip in published_plan():
        days[clip.folder.split("/")[0]].add(clip.name[4:12])
    assert len(days["training"]) > 1
    assert len(days["evaluation"]) > 1
    assert not days["training"] & days["evaluation"]


@pytest.mark.parametrize("total", [3, 4, 10, 40, 105, 1000])
def test_shares_add_up_and_are_within_one_of_exact(total):
    counts = apportion(total, PUBLISHED_TYPES)
    assert sum(counts.values()) == total
    for name, count in counts.items():
        exact = total * PUBLISHED_TYPES[name] / 105
        assert max(count, 1) == count
        assert abs(count - exact) < 2


def test_intervals_follow_the_real_annotations():
    rng = np.random.default_rng(0)
    clips = [
        place_intervals(lengths, 10, rng)
        for name, n in (("Uneven_thick_wood", 34), ("board_stuck", 10), ("broken_board", 2))
        for lengths in deal_lengths(name, 50 * n, rng)
    ]
    positive = [sum(stop - start for start, stop in intervals) for intervals in clips]
    assert np.mean(positive) == pytest.approx(3.4, abs=0.05)
    assert {len(intervals) for intervals in clips} == {1, 2, 3}
    for intervals in clips:
        edges = [edge for interval in intervals for edge in interval]
        assert edges[0] >= 0
        assert edges[-1] <= 10
        assert all(later > earlier for earlier, later in pairwise(edges))


@pytest.mark.parametrize("duration", [4, 5, 9])
def test_intervals_leave_a_normal_second_in_short_clips(duration):
    rng = np.random.default_rng(0)
    for name in PUBLISHED_TYPES:
        for lengths in deal_lengths(name, 200, rng):
            intervals = place_intervals(lengths, duration, rng)
            assert 0 < sum(stop - start for start, stop in intervals) < duration
            assert intervals[-1][1] <= duration
