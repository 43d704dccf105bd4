"""How the simulated planer sounds, measured by librosa's mel spectrogram and plain Fourier transforms."""

import librosa
import numpy as np
import pytest

from datamodules.simulator.courses import (
    ANOMALIES,
    board_stuck,
    broken_board,
    normal_course,
    start_stop_course,
    uneven_thick_wood,
)
from datamodules.simulator.machine import Setting, draw_setting, sound
from datamodules.simulator.render import CONTROL_HZ, HOP, SAMPLE_RATE, Tone, noise, tones

CENTRES = librosa.mel_frequencies(82, fmin=0, fmax=10_000, htk=True)[1:-1]


def log_mel(samples):
    """Log-mel power of the planer front end, shape (80, 40 a second + 1), dB."""
    power = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=1000, hop_length=500, n_mels=80, htk=True, norm=None
    )
    return 10 * np.log10(np.maximum(power, 1e-10))


@pytest.fixture(scope="module")
def normal():
    """Spectrograms of normal clips in the nominal setting, shape (6, 80, 401)."""
    clips = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        clips.append(log_mel(sound(normal_course(10, rng), Setting(), rng)))
    return np.stack(clips)


def course_pair(anomaly, intervals, strength=1.0):
    """A normal course, and the same one with the anomaly."""
    rng = np.random.default_rng(5)
    plain = normal_course(10, np.random.default_rng(5))
    faulty = normal_course(10, rng)
    anomaly(faulty, intervals, strength, rng)
    return plain, faulty


def within(track, start, stop):
    return track[int(start * CONTROL_HZ) : int(stop * CONTROL_HZ)]


def test_noise_reads_as_the_level_written():
    written = np.linspace(5, -10, 80, dtype=np.float32)
    samples = noise(np.tile(written, (30 * CONTROL_HZ, 1)), np.random.default_rng(0))
    read = 10 * np.log10((10 ** (log_mel(samples)[:, 2:-2] / 10)).mean(axis=1))
    np.testing.assert_allclose(read[1:], written[1:], atol=0.8)


def test_noise_follows_its_level_in_time():
    level = np.zeros((401, 80), dtype=np.float32)
    level[200:] = -20
    samples = noise(level, np.random.default_rng(0))
    before, after = samples[: 198 * HOP].std(), samples[202 * HOP :].std()
    assert 20 * np.log10(before / after) == pytest.approx(20, abs=0.5)


def test_a_tone_has_its_frequency_level_and_harmonics():
    size = 401
    level = np.stack([np.full(size, db, dtype=np.float32) for db in (10.0, -5.0)])
    samples = tones([Tone(np.full(size, 1000, dtype=np.float32), level)], np.random.default_rng(0))
    # Amplitudes by a Fourier transform over whole periods: a line of L dB has amplitude 10^(L/20) / 250.
    amplitude = 2 * np.abs(np.fft.rfft(samples)) / samples.size
    hz = np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE)
    assert amplitude[hz == 1000].item() == pytest.approx(10 ** (10 / 20) / 250, rel=1e-2)
    assert amplitude[hz == 2000].item() == pytest.approx(10 ** (-5 / 20) / 250, rel=1e-2)
    rest = (np.abs(hz - 1000) > 5) & (np.abs(hz - 2000) > 5)
    assert amplitude[rest].max() < 1e-4


def test_a_tone_follows_its_frequency():
    hz = np.linspace(500, 3000, 10 * CONTROL_HZ + 1, dtype=np.float32)
    samples = tones([Tone(hz, np.zeros((1, hz.size), dtype=np.float32))], np.random.default_rng(0))
    strongest = CENTRES[log_mel(samples)[:, 10:-10].argmax(axis=0)]
    expected = np.interp(np.arange(strongest.size) + 10, np.arange(hz.size) / 2, hz)
    np.testing.assert_allclose(strongest, expected, rtol=0.05)


def test_lines_stand_where_the_real_planer_has_them(normal):
    level = normal.mean(axis=(0, 2))
    assert level.argmax() in (40, 41)
    assert level.max() == pytest.approx(14, abs=3)
    for line in (13, 25, 58, 68, 76):
        around = np.r_[line - 5 : line - 2, line + 3 : min(line + 6, 80)]
        assert level[line - 1 : line + 2].max() > level[around].mean() + 1, line


def test_levels_and_spread_are_those_of_the_real_planer(normal):
    level, spread = normal.mean(axis=(0, 2)), normal.std(axis=2).mean(axis=0)
    assert -2 < level[10:45].mean() < 5
    assert -12.5 < level[50:].mean() < -7
    assert 1.5 < spread.min() < spread.max() < 6


def test_band_levels_match_the_real_recording(shared, normal):
    real = np.load(shared / "planer" / "normal_example.npy")
    level, spread = normal.mean(axis=(0, 2)), normal.std(axis=2).mean(axis=0)
    assert (np.abs(level - real.mean(axis=1)) < 3).sum() >= 70
    assert (np.abs(spread - real.std(axis=1)) < 2).sum() >= 70


def test_the_feed_pulses_at_2_75_hz_and_its_octave(normal):
    lines = normal[:, 40:42, :400].mean(axis=1)
    spectrum = np.abs(np.fft.rfft((lines - lines.mean(axis=1, keepdims=True)) * np.hanning(400))).mean(axis=0)
    hz = np.fft.rfftfreq(400, 1 / 40)
    at = [spectrum[(hz > f - 0.4) & (hz < f + 0.4)].max() for f in (2.75, 5.5)]
    assert at[0] > 4 * np.median(spectrum)
    assert at[1] > 1.5 * np.median(spectrum[hz > 4])


def test_days_recordings_and_board_sizes_differ():
    def setting(size, day, recording):
        return draw_setting(size, np.random.default_rng(day), np.random.default_rng(recording))

    assert setting("2x4", 0, 0) == setting("2x4", 0, 0)
    assert len({setting("2x4", 0, 0), setting("2x6", 0, 0), setting("2x4", 1, 0), setting("2x4", 0, 1)}) == 4


def test_starts_and_stops_ramp_the_level():
    ramps = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        level = log_mel(sound(start_stop_course(10, rng), Setting(), rng)).mean(axis=0)
        ramps.append(level[-40:].mean() - level[:40].mean())
    assert min(np.abs(ramps)) > 6
    assert min(ramps) < 0 < max(ramps)


@pytest.mark.parametrize("anomaly", ANOMALIES.values(), ids=ANOMALIES)
def test_clip_before_an_anomaly_is_unchanged(anomaly):
    plain, faulty = course_pair(anomaly, [(5, 8)])
    for name in ("cut", "feed", "speed", "level", "extra", "squeal"):
        if anomaly is broken_board and name == "speed":
            continue  # the cutters may begin to sag with the first pieces
        np.testing.assert_array_equal(within(getattr(plain, name), 0, 4.8), within(getattr(faulty, name), 0, 4.8))


@pytest.mark.parametrize("anomaly", ANOMALIES.values(), ids=ANOMALIES)
def test_strong_anomalies_change_their_seconds_more_than_faint_ones(anomaly):
    change = {}
    for strength in (1.0, 0.2):
        clips = [
            log_mel(sound(course, Setting(), np.random.default_rng(9)))
            for course in course_pair(anomaly, [(3, 6)], strength)
        ]
        difference = np.abs(clips[1] - clips[0])
        change[strength] = difference[:, 124:236].mean()
        assert change[strength] > 5 * difference[:, :110].mean()
    assert change[1.0] > 2
    assert change[0.2] < 0.6 * change[1.0]


def test_broken_board_bursts_sags_and_leaves_the_machine_empty():
    _, faulty = course_pair(broken_board, [(3, 7)])
    assert within(faulty.cut, 3.2, 7).max() > 1.5
    assert within(faulty.cut, 3.2, 7).min() < 0.3
    assert within(faulty.speed, 3, 7).min() == pytest.approx(0.8, abs=0.02)
    assert within(faulty.cut, 7.4, 7.9).max() == 0


def test_stuck_board_stops_the_feed_and_squeals_in_every_interval():
    _, faulty = course_pair(board_stuck, [(1, 3), (6, 8)])
    for start, stop in ((1, 3), (6, 8)):
        assert np.abs(within(faulty.feed, start + 0.2, stop - 0.2)).max() < 1e-6
        assert within(faulty.squeal, start, stop).max() > -20
        pitch = within(faulty.squeal_hz, start, stop)
        assert 1000 < pitch[:40].mean() < pitch[-40:].mean() < 6000
    assert within(faulty.squeal, 3.5, 5.5).max() == -60


def test_uneven_wood_is_cut_deeper_and_irregularly():
    plain, faulty = course_pair(uneven_thick_wood, [(2, 5)])
    assert within(faulty.cut, 2, 5).mean() > within(plain.cut, 2, 5).mean() + 0.1
    assert within(faulty.cut, 2, 5).std() > 3 * within(plain.cut, 2, 5).std()
