"""Windows of long recordings, streamed through the front end, and when recordings began."""

import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from datamodules import AudioFolderDataModule, FrontEndSettings, LogMelFrontEnd
from datamodules.recordings.windows import recording_start


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_windows_of_a_long_recording_are_those_of_its_whole_spectrogram(tmp_path, suffix):
    """150 s, which the front end transforms in three pieces."""
    noise = np.random.default_rng(0).normal(scale=0.1, size=150 * 8_000)
    path = tmp_path / f"new{suffix}"
    soundfile.write(path, noise, 8_000)
    settings = FrontEndSettings(sample_rate=8_000)
    data = AudioFolderDataModule(
        str(tmp_path),
        n_frames=400,
        frontend=settings,
        predict_path=str(path),
        predict_hop=7,
        cache_dir=str(tmp_path / "cache"),
    )
    samples = soundfile.read(path, dtype="float32")[0]
    whole = LogMelFrontEnd(settings)(torch.from_numpy(samples), 8_000)
    found = 0
    for batch in data.predict_dataloader():
        for first, window in zip(batch["first_frame"].tolist(), batch["spectrogram"], strict=True):
            torch.testing.assert_close(window, whole[:, first : first + 400], atol=1e-5, rtol=0)
            found += 1
    assert found == 21  # at 0, 7, …, 140 s; the last one ends with the recording


UTC_PLUS_1 = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("20191204_084801", datetime(2019, 12, 4, 8, 48, 1)),
        ("saw-20191204-0848", datetime(2019, 12, 4, 8, 48)),
        ("saw 2019-12-04T08:48:01 left", datetime(2019, 12, 4, 8, 48, 1)),
        ("2019-12-04 08-48-01", datetime(2019, 12, 4, 8, 48, 1)),
        ("20191204T084801Z", datetime(2019, 12, 4, 8, 48, 1, tzinfo=timezone.utc)),
        ("2019-12-04T08:48:01+01:00", datetime(2019, 12, 4, 8, 48, 1, tzinfo=UTC_PLUS_1)),
        ("MPD_19-12-04_0848", datetime(2019, 12, 4, 8, 48)),
        ("MPD_19-12-04_0848_00906", datetime(2019, 12, 4, 8, 48)),
        ("MPD_19-12-04_0848_00906_6", datetime(2019, 12, 4, 8, 48, 50)),
        ("MPD_19-13-04_0848_00906_6", None),
        ("normal_id_00_00000000", None),
        ("section_00_source_train_normal_0001_vel_20", None),
        ("20191304_084801", None),
        ("120191204_084801", None),
    ],
)
def test_start_of_a_recording_by_its_name(tmp_path, name, start):
    path = tmp_path / f"{name}.wav"
    soundfile.write(path, np.zeros(10), 8_000)
    assert recording_start(path, 10.0) == start


@pytest.mark.parametrize(
    ("origination", "start"), [(b"2019-12-0408:48:01", datetime(2019, 12, 4, 8, 48, 1)), (bytes(18), None)]
)
def test_start_of_a_broadcast_wave_file(tmp_path, origination, start):
    path = tmp_path / "take.wav"
    soundfile.write(path, np.zeros(10), 8_000)
    riff = path.read_bytes()
    chunk = bytes(256 + 32 + 32) + origination + bytes(602 - 338)
    path.write_bytes(riff[:12] + b"bext" + struct.pack("<I", len(chunk)) + chunk + riff[12:])
    assert recording_start(path, 10.0) == start
    path.rename(other := Path(tmp_path / "20200101_000000.wav"))
    assert recording_start(other, 10.0) == datetime(2020, 1, 1)
