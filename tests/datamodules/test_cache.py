"""Spectrograms on disk: found again, computed again, never half-written."""

import io
import os
import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile
import torch

from datamodules.audio import SoundInfo
from datamodules.cache import SpectrogramCache, default_cache_folder
from datamodules.errors import DataError
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.spectrograms import load_spectrogram


@pytest.fixture
def cache(tmp_path):
    return SpectrogramCache(tmp_path / "cache", FrontEndSettings())


def entries(cache):
    return sorted(path.name for path in cache.folder.iterdir())


def test_entry_holds_the_spectrogram(tmp_path, cache, write_noise, write_spectrogram):
    clips = [write_noise(tmp_path / "a.wav"), write_spectrogram(tmp_path / "b.pt", n_frames=400)]
    found = cache.fill(clips)
    assert [entry.n_frames for entry in found] == [41, 400]
    for clip, entry in zip(clips, found, strict=True):
        spectrogram = entry.open()
        assert isinstance(spectrogram, np.memmap)
        expected, _ = load_spectrogram(clip, LogMelFrontEnd(FrontEndSettings()))
        assert torch.equal(torch.from_numpy(spectrogram.copy()), expected)


def test_second_time_nothing_is_written(tmp_path, cache, write_noise):
    clip = write_noise(tmp_path / "a.wav")
    first = cache.fill([clip])[0]
    before = first.path.stat()
    assert cache.fill([clip]) == [first]
    assert (first.path.stat().st_ino, first.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_renamed_clip_is_found_and_changed_clip_is_not(tmp_path, cache, write_noise):
    clip = write_noise(tmp_path / "a.wav", seed=1)
    first = cache.fill([clip])[0]
    moved = clip.rename(tmp_path / "b.wav")
    assert cache.fill([moved])[0] == first
    write_noise(moved, seed=2)
    second = cache.fill([moved])[0]
    assert second.path != first.path
    assert not np.array_equal(second.open(), first.open())


def test_other_settings_have_other_entries(tmp_path, cache, write_noise):
    clip = write_noise(tmp_path / "a.wav")
    other = SpectrogramCache(cache.folder, FrontEndSettings(hop=0.0125))
    assert cache.fill([clip])[0].n_frames == 41
    assert other.fill([clip])[0].n_frames == 81
    assert len(entries(cache)) == 2


def test_each_channel_has_its_own_entry(tmp_path, cache, write_noise, data_error):
    clip = write_noise(tmp_path / "a.wav", channels=2)
    caches = [cache, *(SpectrogramCache(cache.folder, FrontEndSettings(), channel) for channel in (0, 1))]
    mix, left, right = (of_channel.fill([clip])[0].open() for of_channel in caches)
    assert not np.array_equal(left, right)
    assert not np.array_equal(left, mix)
    with data_error(str(clip), "channel=2"):
        SpectrogramCache(cache.folder, FrontEndSettings(), 2).fill([clip])


def test_sound_info_is_kept_with_the_entry(tmp_path, cache, write_noise):
    clip = tmp_path / "a.wav"
    noise = np.random.default_rng(0).integers(-9_000, 9_000, 20_000).astype(np.int16)
    soundfile.write(clip, np.stack([noise, -noise], axis=1), 20_000)
    assert [cache.fill([clip])[0].info for _ in range(2)] == [SoundInfo(20_000, 2, -200.0, np.inf)] * 2
    left = SpectrogramCache(cache.folder, FrontEndSettings(), channel=0)
    level = 10 * np.log10(np.mean((noise / 2**15) ** 2))
    for _ in range(2):
        info = left.fill([clip])[0].info
        assert (info.level_db, info.mix_loss_db) == (pytest.approx(level, abs=1e-9), 0)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"text", npy(np.float32(1)), npy(np.zeros(9, "<f4")), 0.5])
def test_damaged_entry_is_computed_again(tmp_path, cache, write_noise, damage):
    entry = cache.fill([write_noise(tmp_path / "a.wav")])[0]
    sound = entry.path.read_bytes()
    entry.path.write_bytes(damage if isinstance(damage, bytes) else sound[: int(damage * len(sound))])
    assert cache.fill([tmp_path / "a.wav"]) == [entry]
    assert entry.path.read_bytes() == sound


def test_bad_clip_leaves_nothing_behind(tmp_path, cache, write_noise, data_error):
    good = write_noise(tmp_path / "good.wav")
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF")
    with data_error(str(bad)):
        cache.fill([bad, good])
    assert all(name.endswith(".npy") for name in entries(cache))


def test_first_bad_clip_in_order_is_named(tmp_path, cache, data_error):
    bad = [tmp_path / f"{number}.wav" for number in range(20)]
    for path in bad:
        path.write_bytes(b"RIFF")
    with data_error(str(bad[0])):
        cache.fill(bad)


@pytest.fixture
def small_files_only():
    """Let no file grow beyond 10 kB, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_entry_that_cannot_be_written_whole_is_not_left_behind(
    tmp_path, cache, write_noise, data_error, small_files_only
):
    with data_error(f"cache_dir={cache.folder} cannot be written: File too large"):
        cache.fill([write_noise(tmp_path / "a.flac", seconds=1, sample_rate=4_000)])
    assert entries(cache) == []


KILLED_WHILE_WRITING = """
import resource, signal, sys
from pathlib import Path
from datamodules.cache import SpectrogramCache
from datamodules.frontend import FrontEndSettings
cache = SpectrogramCache(Path(sys.argv[2]), FrontEndSettings())
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
cache.fill([Path(sys.argv[1])])
"""


def test_process_killed_while_writing_leaves_no_entry(tmp_path, cache, write_noise):
    clip = write_noise(tmp_path / "a.wav")
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, clip, cache.folder]
    assert subprocess.run(command, check=False).returncode == -signal.SIGXFSZ
    assert not [name for name in entries(cache) if name.endswith(".npy")]
    assert cache.fill([clip])[0].n_frames == 41


def test_cache_folder_that_is_a_file(tmp_path, cache, write_spectrogram, data_error):
    cache.folder.touch()
    with data_error(f"cache_dir={cache.folder} cannot be written"):
        cache.fill([write_spectrogram(tmp_path / "a.pt")])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_write_permission(tmp_path, cache, write_spectrogram, data_error):
    clip = write_spectrogram(tmp_path / "a.pt")
    cache.folder.mkdir(mode=0o500)
    with data_error(f"cache_dir={cache.folder}"):
        cache.fill([clip])


def test_several_at_once(tmp_path, cache, write_noise):
    clips = [write_noise(tmp_path / f"{number}.wav", seed=number) for number in range(8)]
    results = []
    threads = [threading.Thread(target=lambda: results.append(cache.fill(clips))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [results[0]] * 4
    assert len(entries(cache)) == 8


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "faithful-aad/spectrograms"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / ".cache/faithful-aad/spectrograms"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache_folder() == tmp_path / ".cache/faithful-aad/spectrograms"


def test_user_without_a_home_folder(monkeypatch):
    def nobody(_):
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(DataError, match=r"cache_dir"):
        default_cache_folder()


def test_identical_clips_filled_at_once(tmp_path, cache, write_noise):
    recording = write_noise(tmp_path / "0.wav", seconds=5).read_bytes()
    paths = [tmp_path / f"{i}.wav" for i in range(8)]
    for path in paths:
        path.write_bytes(recording)
    assert len({entry.path for entry in cache.fill(paths)}) == 1
    assert [path.suffix for path in cache.folder.iterdir()] == [".npy"]
