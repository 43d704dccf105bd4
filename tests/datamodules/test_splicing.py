"""Splicing: joins and filters worked out by hand, and whole sets made of small recordings."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from datamodules import AudioFolderDataModule
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.layouts import Clip
from datamodules.provenance import PROVENANCE_FILE, read_provenance
from datamodules.splicing import splice
from datamodules.splicing.background import FRONT_END, background, equalise, matching_gain
from datamodules.splicing.choice import choose_anomalies
from datamodules.splicing.deviation import FrameDeviation, most_deviating
from datamodules.splicing.joins import insert
from datamodules.splicing.plan import draw_intervals, draw_pools, pair
from datamodules.splicing.recordings import read_recordings

RATE = 16_000
SECONDS = 6
BURSTS = [(1.0, 2.5), (3.5, 5.0)]  # s, of every anomalous clip


def noise(seed, seconds=SECONDS, rate=RATE):
    return np.random.default_rng(seed).normal(scale=0.02, size=round(seconds * rate))


def anomalous(seed):
    clip, time = noise(seed), np.arange(SECONDS * RATE) / RATE
    for start, end in BURSTS:
        clip += 0.2 * np.sin(2 * np.pi * 3000 * time) * ((time >= start) & (time < end))
    return clip


def write(path: Path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")


@pytest.fixture(scope="module")
def fan(tmp_path_factory):
    """A DCASE machine without time labels: 3 training clips, 8 normal and 3 anomalous test clips."""
    root = tmp_path_factory.mktemp("dcase")
    for i in range(3):
        write(root / f"fan/train/normal_id_00_{i:08}.wav", noise(i))
    for i in range(8):
        write(root / f"fan/test/normal_id_00_{i:08}.wav", noise(100 + i))
    for i in range(3):
        write(root / f"fan/test/anomaly_id_00_{i:08}.wav", anomalous(200 + i))
    return root


@pytest.fixture(scope="module")
def made(fan, tmp_path_factory):
    return splice(str(fan), str(tmp_path_factory.mktemp("spliced") / "set"), machine="fan", clips=2)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def samples(path):
    return soundfile.read(path, dtype="int16")[0]


def test_the_fades_of_unrelated_sounds_keep_their_power():
    ones, zeros = np.ones(10), np.zeros(10)
    of_host = insert(ones, zeros[:6], start=2, fade=3)
    of_piece = insert(zeros, ones[:6], start=2, fade=3)
    np.testing.assert_allclose(of_host**2 + of_piece**2, 1)
    # sin(π/2 · (k + ½) / 3) for k = 0, 1, 2
    fade = [np.sin(np.pi / 12), np.sin(np.pi / 4), np.sin(5 * np.pi / 12)]
    np.testing.assert_allclose(of_piece, [0, 0, *fade, *fade[::-1], 0, 0])


def test_there_is_no_fade_where_there_is_no_join():
    np.testing.assert_array_equal(insert(np.zeros(6), np.ones(3), start=3, fade=1)[-1], 1)
    np.testing.assert_array_equal(insert(np.zeros(4), np.ones(4), start=0, fade=2), 1)


def test_a_band_is_amplified_by_its_gain_and_the_others_are_not():
    time = np.arange(RATE) / RATE
    low, high = np.sin(2 * np.pi * 500 * time), np.sin(2 * np.pi * 4000 * time)
    centres = LogMelFrontEnd(FRONT_END).mel.mel_scale.fb.argmax(0) * RATE / 1024
    gain = np.where(centres.numpy() > 2000, -12.0, 0.0)
    np.testing.assert_allclose(equalise(low + high, RATE, gain), low + 10 ** (-12 / 20) * high, atol=1e-3)


def test_gains_bring_the_donor_to_its_host_within_their_limit():
    host, donor = np.float32([-20, -20, -20]), np.float32([-25, -19, -60])
    assert matching_gain(host, donor).tolist() == [5, -1, 12]


def test_strokes_that_fill_most_of_a_clip_are_not_its_background():
    clip = np.full((2, 100), -30.0)
    clip[1, :70] = 0
    assert background(clip).tolist() == [-30, -30]


@pytest.mark.parametrize("level", [0, 20])
def test_the_frames_of_a_burst_deviate_however_loud_the_background(level):
    rng = np.random.default_rng(0)
    training = [rng.normal(size=(16, 200)) for _ in range(4)]
    deviation = FrameDeviation(training)
    clip = rng.normal(size=(16, 200)) + level
    clip[:, 80:120] += 10
    distance = deviation(clip)
    assert (distance[80:120] > deviation.threshold).all()
    assert (np.delete(distance, np.s_[80:120]) > deviation.threshold).mean() < 0.1
    assert most_deviating(distance, deviation.threshold, [40]) == [80]


def test_stretches_of_a_donor_do_not_overlap_and_half_of_each_deviates():
    distance = np.zeros(30)
    distance[4:9], distance[20:25] = 9, 5
    assert most_deviating(distance, 1, [5, 5]) == [4, 20]
    # The second could only overlap the first, or lie where a fifth of it deviates.
    assert most_deviating(np.where(distance == 5, 0, distance), 1, [5, 5]) is None
    assert most_deviating(distance, 1, [31]) is None


@pytest.mark.parametrize("seconds", [4, 5, 10])
def test_every_second_is_as_likely_to_be_inside_a_piece(seconds):
    rng = np.random.default_rng(0)
    covered = np.zeros(seconds)
    for _ in range(800):
        intervals = draw_intervals(seconds, rng)
        edges = [0, *(edge for interval in intervals for edge in interval), seconds]
        assert (np.diff(edges[1:-1]) > 0).all()
        assert 1 <= sum(end - start for start, end in intervals) < seconds
        for start, end in intervals:
            covered[start:end] += 1
    share = covered / 800
    np.testing.assert_allclose(share, share.mean(), atol=4.5 * 0.5 / np.sqrt(800))


def test_no_normal_clip_serves_twice(refused):
    pools = draw_pools(range(11), 2, np.random.default_rng(0))
    assert [len(pool) for pool in (pools.normal, pools.hosts, pools.control_hosts, pools.control_donors)] == [
        4,
        2,
        2,
        3,
    ]
    dealt = [*pools.normal, *pools.hosts, *pools.control_hosts, *pools.control_donors]
    assert sorted(dealt) == list(range(11))
    with refused("--clips 3", "12 normal test clips", "there are 11", "2 at most"):
        draw_pools(range(11), 3, np.random.default_rng(0))


def test_donors_are_dealt_out_so_that_all_hosts_together_fare_best():
    distance = np.float32([[1, 2, 9], [1, 5, 9]])
    assert pair(distance, np.ones((2, 3), dtype=bool)) == [1, 0]
    assert pair(distance, np.array([[True, True, True], [False, True, False]])) == [0, 1]
    assert pair(distance, np.array([[True, False, False], [True, False, False]])) is None


def test_a_host_is_left_alone_outside_its_intervals_and_replaced_inside(fan, made):
    for row in rows(made / "manifest.csv"):
        host, donor = samples(fan / row["host"]), samples(fan / row["donor"])
        clip = samples(made / row["set"] / "test/anomaly" / row["set"] / row["file"])
        start, end, first = (int(row[key]) for key in ("start", "end", "donor_start"))
        own = [r for r in rows(made / "manifest.csv") if r["file"] == row["file"]]
        outside = np.ones(len(host), dtype=bool)
        for piece in own:
            outside[int(piece["start"]) : int(piece["end"])] = False
        np.testing.assert_array_equal(clip[outside], host[outside])
        # The filter changes levels by a few dB, not the course of the sound.
        inside, cut = clip[start + 800 : end - 800].astype(float), donor[first + 800 : first + end - start - 800]
        assert len(cut) == len(inside)
        assert np.corrcoef(inside, cut)[0, 1] > 0.9
        assert abs(np.corrcoef(inside, host[start + 800 : end - 800])[0, 1]) < 0.1
        assert int(row["sample_rate"]) == RATE


def test_what_is_cut_from_an_anomalous_clip_is_what_deviates_most(made):
    spliced = [row for row in rows(made / "manifest.csv") if row["set"] == "spliced"]
    for row in spliced:
        assert "anomaly" in row["donor"]
        start = int(row["donor_start"]) / RATE
        end = start + (int(row["end"]) - int(row["start"])) / RATE
        loud = sum(max(0, min(end, stop) - max(start, begin)) for begin, stop in BURSTS)
        # As much of a burst as the piece can hold, but for the frames at its edges.
        assert loud > min(end - start, 1.5) - 0.1


def test_a_piece_begins_where_the_deviation_does(tmp_path):
    clip, time = noise(7), np.arange(SECONDS * RATE) / RATE
    clip += 0.2 * np.sin(2 * np.pi * 3000 * time) * ((time >= 3) & (time < 4))
    for name, sound in (("host", noise(1)), ("train_0", noise(2)), ("train_1", noise(3)), ("donor", clip)):
        write(tmp_path / f"{name}.wav", sound)
    clips = [Clip(path, path.name, 0) for path in sorted(tmp_path.iterdir())]
    donor, host, *training = read_recordings(clips, "")
    deviation = FrameDeviation([recording.spectrogram for recording in training])
    (made,) = choose_anomalies([host], [donor], [[(2, 3)]], deviation)
    (piece,) = made.pieces
    assert (piece.start, piece.end) == (2 * RATE, 3 * RATE)
    assert abs(piece.donor_start - 3 * RATE) <= 3 * 512  # frames at the burst's edges


def test_the_control_has_normal_pieces_at_the_same_intervals(made):
    spliced, control = (
        [row for row in rows(made / "manifest.csv") if row["set"] == kind] for kind in ("spliced", "control")
    )
    assert [(row["start"], row["end"]) for row in spliced] == [(row["start"], row["end"]) for row in control]
    assert all("normal" in row["donor"] and row["donor"] != row["host"] for row in control)
    used = {row["host"] for row in spliced} | {row[key] for row in control for key in ("host", "donor")}
    assert len(used) == 6
    left = {path.name for path in (made / "spliced/test/normal").iterdir()}
    assert not left & {Path(name).name for name in used}
    assert all("/test/" in name for name in used)


@pytest.mark.parametrize("kind", ["spliced", "control"])
def test_a_data_module_reads_the_set_with_its_annotations_and_its_mark(fan, made, tmp_path, kind):
    data = AudioFolderDataModule(
        str(made / kind),
        n_frames=240,
        frontend=FrontEndSettings(sample_rate=RATE),
        cache_dir=str(tmp_path),
    )
    data.setup()
    pieces = [row for row in rows(made / "manifest.csv") if row["set"] == kind]
    clips = [clip for clip in data.test_clips if clip.label]
    assert [clip.anomaly_type for clip in clips] == [kind, kind]
    assert [interval for clip in clips for interval in clip.intervals] == [
        (int(row["start"]) / RATE, int(row["end"]) / RATE) for row in pieces
    ]
    assert len(data.test_clips) == 4
    marked = torch.cat([batch["annotation"] for batch in data.test_dataloader()]).sum().item()
    assert marked == 40 * sum(int(row["end"]) - int(row["start"]) for row in pieces) / RATE
    originals = sorted((fan / "fan/train").iterdir())
    assert [path.read_bytes() for path in sorted((made / kind / "train").iterdir())] == [
        path.read_bytes() for path in originals
    ]
    assert data.provenance.mark == "Test set constructed by splicing."
    assert ("Control" in data.provenance.description) == (kind == "control")


def test_the_same_seed_gives_the_same_bytes(fan, made, tmp_path):
    def contents(root):
        return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert contents(splice(str(fan), str(tmp_path / "again"), machine="fan", clips=2)) == contents(made)
    other = contents(splice(str(fan), str(tmp_path / "other"), machine="fan", clips=2, seed=1))
    assert other[Path("manifest.csv")] != contents(made)[Path("manifest.csv")]


def test_an_audio_folder_can_be_spliced(tmp_path):
    for i in range(2):
        write(tmp_path / f"in/train/day/{i}.wav", noise(i))
        write(tmp_path / f"in/test/anomaly/worn/{i}.flac", anomalous(50 + i))
    for i in range(4):
        write(tmp_path / f"in/test/normal/{i}.wav", noise(10 + i))
    root = splice(str(tmp_path / "in"), str(tmp_path / "out"), clips=1)
    assert (root / "spliced/train/day/0.wav").is_file()
    assert len(list((root / "control/test/normal").glob("*.wav"))) == 1
    assert {row["donor"].split("/")[1] for row in rows(root / "manifest.csv") if row["set"] == "spliced"} == {"anomaly"}


def test_mistakes_are_told_in_one_line_and_nothing_is_left(fan, tmp_path, refused):
    out = str(tmp_path / "out")
    with refused("audio folder layout", "--machine"):
        splice(str(fan), out)
    with refused("--machine pump", "fan"):
        splice(str(fan), out, machine="pump")
    with refused("--section id_07"):
        splice(str(fan), out, machine="fan", section="id_07")
    with refused("--clips 25", "there are 8"):
        splice(str(fan), out, machine="fan")
    with refused("--clips is 0"):
        splice(str(fan), out, machine="fan", clips=0)
    with refused("--fade is 2", "seconds"):
        splice(str(fan), out, machine="fan", fade=2)
    with refused("already exists", "new or empty folder"):
        splice(str(fan), str(fan), machine="fan", clips=2)
    assert list(tmp_path.iterdir()) == []


def copy(fan, root, changed):
    """The machine, with other sounds in some of its clips."""
    for path in (fan / "fan").rglob("*.wav"):
        samples, rate = changed.get(path.stem, (soundfile.read(path)[0], RATE))
        write(root / path.relative_to(fan), samples, rate)
    return str(root)


def test_clips_that_do_not_fit_are_named(fan, tmp_path, refused):
    anomalies = [f"anomaly_id_00_{i:08}" for i in range(3)]
    quiet = copy(fan, tmp_path / "quiet", {name: (noise(i + 300), RATE) for i, name in enumerate(anomalies)})
    with refused("--clips 2", "of 3 anomalous clips 0 have any", "ask for fewer"):
        splice(quiet, str(tmp_path / "out"), machine="fan", clips=2)
    rates = copy(fan, tmp_path / "rates", {anomalies[1]: (noise(1, rate=8000), 8000)})
    with refused(f"{anomalies[1]}.wav", "8000 Hz", "16000 Hz"):
        splice(rates, str(tmp_path / "out"), machine="fan", clips=2)
    short = copy(fan, tmp_path / "short", {anomalies[1]: (noise(1, seconds=3.9), RATE)})
    with refused("less than 4 s"):
        splice(short, str(tmp_path / "out"), machine="fan", clips=2)
    assert not (tmp_path / "out").exists()


def test_a_damaged_mark_is_not_passed_over(made, tmp_path, refused):
    stored = json.loads((made / "spliced" / PROVENANCE_FILE).read_text())
    assert stored["settings"] == {"machine": "fan", "section": None, "clips": 2, "fade": 0.04, "seed": 0}
    assert read_provenance(tmp_path) is None
    for text in ("{", "[]", '{"constructed": "by splicing"}'):
        (tmp_path / PROVENANCE_FILE).write_text(text)
        with refused(PROVENANCE_FILE, "cannot be read"):
            read_provenance(tmp_path)
