"""How like the real planer the simulated one is: against facts published of it, and two recordings where they are."""

import csv
import re
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from benchmarks.compare_simulator import compare, draw, load
from benchmarks.likeness import (
    bands_alike,
    cutter_line,
    measure_broken_board,
    modulation_peak,
    modulation_spectrum,
    reference_clip,
)

from datamodules.errors import DataError
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.simulator.dataset import published_plan

SEEDS = range(4)
LINES = (13, 25, 41, 58, 68, 75)


@pytest.fixture(scope="module")
def clips():
    """Spectrograms (4, 80, 400) of normal running and of broken boards in the published examples' setting, dB."""
    frontend = LogMelFrontEnd(FrontEndSettings())

    def spectrograms(broken):
        samples = np.stack([reference_clip(seed, broken=broken) for seed in SEEDS])
        return frontend(torch.from_numpy(samples), 20_000)[..., :400].numpy()

    return {"normal": spectrograms(False), "broken": spectrograms(True)}


@pytest.fixture
def real(shared):
    return {
        "normal": np.load(shared / "planer" / "normal_example.npy"),
        "broken": np.load(shared / "planer" / "broken_board_example.npy"),
    }


def broken_boards(clips):
    return [measure_broken_board(*pair) for pair in zip(clips["broken"], clips["normal"], strict=True)]


def test_lines_stand_in_the_published_bands(clips):
    level = clips["normal"].mean(axis=(0, 2))
    assert level.argmax() == 41
    assert level.max() == pytest.approx(14, abs=2)
    for line in LINES:
        around = np.r_[line - 5 : line - 2, line + 3 : min(line + 6, 80)]
        assert level[line - 1 : line + 2].max() > level[around].mean() + 1.5, line


def test_levels_and_spread_are_in_the_published_ranges(clips):
    level, spread = clips["normal"].mean(axis=(0, 2)), clips["normal"].std(axis=2).mean(axis=0)
    assert 0 < level[10:46].mean() < 5
    assert level[50:].mean() == pytest.approx(-10, abs=1.5)
    assert ((spread > 1.8) & (spread < 5.7)).sum() >= 78


def test_the_feed_pulses_at_2_7_hz_and_its_octave(clips):
    for clip in clips["normal"]:
        rate, height = modulation_peak(clip, 2.7)
        octave, octave_height = modulation_peak(clip, 5.4)
        assert 2.5 < rate < 3.1
        assert octave == pytest.approx(2 * rate, abs=0.3)
        assert height > octave_height > 5


def test_the_shafts_pulse_with_the_feed(clips):
    for clip in clips["normal"]:
        for bands in (slice(12, 15), slice(23, 28)):
            rate, height = modulation_peak(clip[bands], 2.7)
            assert 2.5 < rate < 3.1
            assert height > 12


def test_every_clip_matches_the_real_one_in_70_bands(clips, real):
    for clip in clips["normal"]:
        alike, alike_in_spread = bands_alike(clip, real["normal"])
        assert alike >= 70
        assert alike_in_spread >= 70


def test_pulses_stand_out_as_in_the_real_recording(clips, real):
    for hz in (2.7, 5.4):
        rate, height = modulation_peak(real["normal"], hz)
        simulated = np.mean([modulation_peak(clip, hz) for clip in clips["normal"]], axis=0)
        assert simulated[0] == pytest.approx(rate, abs=0.5)
        assert simulated[1] == pytest.approx(height, abs=6)


def test_a_broken_board_bursts_up_to_15_db_and_leaves_the_machine_empty(clips):
    for board in broken_boards(clips):
        middle = np.percentile(board.burst_frames, [25, 75])
        assert 5 <= middle[0] < middle[1] <= 20
        assert 9 < board.excess_db < 15
        assert 3 < board.quieter_db < 10


def test_lines_bend_with_a_broken_board(clips):
    for clip in clips["broken"]:
        line = cutter_line(clip)
        lowest = int(np.median(np.flatnonzero(line == line.min())))
        assert np.median(line[:40]) == 41
        assert line.min() in (35, 36)
        back = lowest + int(np.argmax(line[lowest:] >= 41))
        assert 60 < back - lowest < 140
        assert 41 <= line[-80:].max() <= 42
        # The harmonics go with it, seen where no piece hides them: the bands of 2 and 3 times band 36.
        pauses = np.flatnonzero((line == line.min()) & (clip[64:].mean(axis=0) < -10))
        harmonics = clip[:, pauses].mean(axis=1)
        assert 49 + harmonics[49:61].argmax() in (51, 52, 53)


def test_broken_boards_measure_like_the_real_one(clips, real):
    measured = broken_boards(clips)
    published = measure_broken_board(real["broken"], real["normal"])
    lengths = [frames for board in measured for frames in board.burst_frames]
    assert np.median(lengths) == pytest.approx(np.median(published.burst_frames), abs=4)
    assert np.mean([board.excess_db for board in measured]) == pytest.approx(published.excess_db, abs=3)
    assert {board.lowest_band for board in measured} <= {published.lowest_band - 1, published.lowest_band}
    assert np.mean([board.last_band for board in measured]) == pytest.approx(published.last_band, abs=0.5)
    assert np.mean([board.quieter_db for board in measured]) == pytest.approx(published.quieter_db, abs=2)


def test_anomalies_of_a_full_set_follow_the_published_statistics():
    for seed in range(2):
        annotated = [clip for clip in published_plan(seed) if clip.annotated]
        positive = [sum(stop - start for start, stop in clip.intervals) for clip in annotated]
        assert np.mean(positive) == pytest.approx(3.4, abs=0.05)
        assert {len(clip.intervals) for clip in annotated} == {1, 2, 3}


def test_anomalies_of_full_sets_follow_the_annotation_file(shared):
    with (shared / "planer" / "annotations.csv").open(newline="") as file:
        rows = [(row[4], re.findall(r"\((\d+), ?(\d+)\)", row[6])) for row in list(csv.reader(file))[1:]]
    # A last frame of 399 stands for the clip's end, so seconds are rounded.
    real = {kind: [[round((int(b) - int(a)) / 40) for a, b in pairs] for of, pairs in rows if of == kind and pairs]
            for kind in {kind for kind, _ in rows}}  # fmt: skip
    clips = [clip for clip in published_plan(0) if clip.anomaly_type]
    assert Counter(clip.anomaly_type for clip in clips) == Counter(kind for kind, _ in rows)
    for kind, lengths in real.items():
        planned = [clip.intervals for clip in clips if clip.annotated and clip.anomaly_type == kind]
        assert sorted([stop - start for start, stop in intervals] for intervals in planned) == sorted(lengths)


def test_modulation_is_read_off_a_pulsing_level():
    seconds = np.arange(400) / 40
    noise = np.random.default_rng(0).normal(0, 0.1, (80, 400))
    pulsing = noise + 3 * np.sin(2 * np.pi * 3.0 * seconds)
    assert modulation_peak(pulsing, 2.7)[0] == pytest.approx(3.0)
    assert modulation_peak(pulsing, 2.7)[1] > 30
    hz, power = modulation_spectrum(pulsing)
    assert hz[-1] == 20
    # A sine of amplitude 3 through a Hann window has a peak of 3 / 2 times half the window's length.
    assert power.max() == pytest.approx(20 * np.log10(3 / 2 * 400 / 2), abs=0.1)


def test_a_broken_board_is_measured():
    normal = np.zeros((80, 400))
    clip = normal - 6.0
    clip[41, :] += 20
    clip[:, 100:110] += 12
    clip[:, 120:135] += 12
    clip[41, 150:200] -= 20
    clip[36, 150:200] += 20
    board = measure_broken_board(clip, normal)
    assert board.burst_frames == (10, 15)
    assert board.excess_db == pytest.approx(12)
    assert (board.lowest_band, board.last_band) == (36, 41)
    assert board.quieter_db == pytest.approx(6 - 20 / 80)


def test_the_script_compares_with_recordings_and_draws_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    for name, broken in (("normal", False), ("broken", True)):  # another simulated planer in place of the real one
        soundfile.write(tmp_path / f"{name}.wav", reference_clip(100, broken=broken), 20_000)
    (tmp_path / "annotations.csv").write_text("file,start,end,type\na.wav,0,2,hum\na.wav,4,5,hum\nb.wav,0,5,hum\n")
    annotations, output = tmp_path / "annotations.csv", tmp_path / "likeness.pdf"
    compare(tmp_path / "normal.wav", tmp_path / "broken.wav", annotations, output, clips=2)
    assert output.read_bytes().startswith(b"%PDF")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    cells = {row[0]: row[1:] for row in rows if len(row) == 3}
    assert cells["Bands whose mean is within 3 dB of the real one"] == ["of 80", "80 to 80"]
    assert cells["Cutters' line: lowest band"] == ["36.0", "36.0"]
    assert cells["Annotated seconds of a clip"][0] == "4.0 ± 1.0"
    assert cells["Clips with 1, 2, 3, more intervals"][0] == "1, 1, 0, 0"
    assert cells["hum: clips, annotated"] == ["2, 2", "-"]


def test_the_figure_shows_what_it_is_given():
    real, simulated = np.zeros((80, 400)), np.ones((80, 400))
    real[:, ::2] = 1
    figure = draw({"Normal running": (real, simulated), "Broken board": (simulated, real)})
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images and axes.get_title()]
    for image, expected in zip(images, (real, simulated, simulated, real), strict=True):
        np.testing.assert_array_equal(image, expected)
    (bands,) = (axes for axes in figure.axes if axes.get_title().startswith("Mean"))
    assert [line.get_ydata()[0] for line in bands.lines] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((40, 400)), "is not a spectrogram of 80 bands"),
        (np.zeros((80, 100)), "must last 4 s"),
        (np.full((80, 400), np.nan), "finite"),
    ],
)
def test_rejects_what_is_not_a_spectrogram(tmp_path, content, message):
    np.save(tmp_path / "clip.npy", content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "clip.npy")
