"""Splicing whole sets made of small recordings."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from datamodules import SplicedDataModule
from datamodules.frontend import FrontEndSettings
from datamodules.layouts import Clip
from datamodules.provenance import PROVENANCE_FILE, read_provenance
from datamodules.splicing import splice
from datamodules.splicing.choice import choose_anomalies, read_recordings
from datamodules.splicing.sound import FrameDeviation

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


def test_host_changes_only_inside_its_intervals(fan, made):
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


def test_pieces_are_the_most_deviating_stretches(made):
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
def test_data_module_reads_annotations_and_provenance_of_a_spliced_set(fan, made, tmp_path, kind):
    data = SplicedDataModule(
        str(made),
        part=kind,
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


def test_errors_are_one_line_and_leave_no_files(fan, tmp_path, data_error):
    out = str(tmp_path / "out")
    with data_error("audio folder layout", "name a machine"):
        splice(str(fan), out)
    with data_error("--section id_00", "name it with --machine"):
        splice(str(fan), out, section="id_00")
    with data_error("machine=pump", "fan"):
        splice(str(fan), out, machine="pump")
    with data_error("section=id_07"):
        splice(str(fan), out, machine="fan", section="id_07")
    with data_error("clips=25", "there are 8"):
        splice(str(fan), out, machine="fan")
    with data_error("clips is 0"):
        splice(str(fan), out, machine="fan", clips=0)
    with data_error("fade is 2", "seconds"):
        splice(str(fan), out, machine="fan", fade=2)
    with data_error("already exists", "new or empty folder"):
        splice(str(fan), str(fan), machine="fan", clips=2)
    assert list(tmp_path.iterdir()) == []


def copy(fan, root, changed):
    """The machine, with other sounds in some of its clips."""
    for path in (fan / "fan").rglob("*.wav"):
        samples, rate = changed.get(path.stem, (soundfile.read(path)[0], RATE))
        write(root / path.relative_to(fan), samples, rate)
    return str(root)


def test_rejects_clips_that_cannot_be_spliced(fan, tmp_path, data_error):
    anomalies = [f"anomaly_id_00_{i:08}" for i in range(3)]
    quiet = copy(fan, tmp_path / "quiet", {name: (noise(i + 300), RATE) for i, name in enumerate(anomalies)})
    with data_error("clips=2", "0 of 3 have any", "none deviates enough"):
        splice(quiet, str(tmp_path / "out"), machine="fan", clips=2)
    with data_error("percentile is 100", "below 100"):
        splice(quiet, str(tmp_path / "out"), machine="fan", clips=2, percentile=100)
    rates = copy(fan, tmp_path / "rates", {anomalies[1]: (noise(1, rate=8000), 8000)})
    with data_error(f"{anomalies[1]}.wav", "8000 Hz", "16000 Hz"):
        splice(rates, str(tmp_path / "out"), machine="fan", clips=2)
    short = copy(fan, tmp_path / "short", {anomalies[1]: (noise(1, seconds=3.9), RATE)})
    with data_error("less than 4 s"):
        splice(short, str(tmp_path / "out"), machine="fan", clips=2)
    assert not (tmp_path / "out").exists()


def test_percentile_0_takes_the_most_deviating_stretch_of_any_clip(fan, tmp_path):
    anomalies = [f"anomaly_id_00_{i:08}" for i in range(3)]
    quiet = copy(fan, tmp_path / "quiet", {name: (noise(i + 300), RATE) for i, name in enumerate(anomalies)})
    made = splice(quiet, str(tmp_path / "out"), machine="fan", clips=2, percentile=0)
    donors = [row["donor"] for row in rows(made / "manifest.csv") if row["set"] == "spliced"]
    assert len(set(donors)) == 2
    assert read_provenance(made / "spliced").settings["percentile"] == 0


def test_rejects_damaged_provenance(made, tmp_path, data_error):
    stored = json.loads((made / "spliced" / PROVENANCE_FILE).read_text())
    assert stored["settings"] == {
        "machine": "fan",
        "section": None,
        "clips": 2,
        "percentile": 99,
        "fade": 0.04,
        "seed": 0,
    }
    assert read_provenance(tmp_path) is None
    for text in ("{", "[]", '{"constructed": "by splicing"}'):
        (tmp_path / PROVENANCE_FILE).write_text(text)
        with data_error(PROVENANCE_FILE, "cannot be read"):
            read_provenance(tmp_path)
