"""Reading recordings, sound and damaged."""

import numpy as np
import pytest
import soundfile
import torch

from datamodules.audio import read_audio


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_stereo_is_mixed_down(tmp_path, suffix):
    left, right = np.array([0.5, -0.25, 0.0, 0.125]), np.array([0.0, 0.25, 0.5, 0.125])
    path = tmp_path / f"stereo{suffix}"
    soundfile.write(path, np.stack([left, right], axis=1), 8_000)
    waveform, sample_rate = read_audio(path)
    assert sample_rate == 8_000
    assert waveform.dtype == torch.float32
    assert waveform.tolist() == [0.25, 0.0, 0.25, 0.125]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("kept", [0, 3, 30, 100, 0.5, 0.999])
def test_truncated_file(tmp_path, write_noise, refused, suffix, kept):
    path = write_noise(tmp_path / f"cut{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with refused(str(path)):
        read_audio(path)


def test_wav_that_lacks_only_its_last_byte(tmp_path, write_noise, refused):
    path = write_noise(tmp_path / "cut.wav")
    path.write_bytes(path.read_bytes()[:-1])
    with refused(str(path), "truncated: 39999 of 40000 bytes"):
        read_audio(path)


def test_wav_written_to_a_pipe_does_not_know_its_length(tmp_path, write_noise):
    path = write_noise(tmp_path / "piped.wav")
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    assert len(read_audio(path)[0]) == 20_000


def test_chunks_before_and_after_the_samples(tmp_path, write_noise, refused):
    path = write_noise(tmp_path / "tagged.wav")
    content = path.read_bytes()
    odd = b"LIST" + (5).to_bytes(4, "little") + b"INFOx\0"
    path.write_bytes(content[:36] + odd + content[36:] + odd)
    assert len(read_audio(path)[0]) == 20_000
    path.write_bytes(content[:36] + odd + content[36:-1])
    with refused(str(path), "truncated: 39999 of 40000 bytes"):
        read_audio(path)


def test_text_with_an_audio_suffix(tmp_path, refused):
    path = tmp_path / "notes.wav"
    path.write_text("not a recording\n" * 100)
    with refused(str(path), "cannot be read as audio"):
        read_audio(path)


def test_no_samples(tmp_path, refused):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0), 20_000)
    with refused(str(path), "no samples"):
        read_audio(path)


def test_nan(tmp_path, refused):
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([0.0, np.nan, 0.0]), 20_000, subtype="FLOAT")
    with refused(str(path), "NaN"):
        read_audio(path)


def test_header_that_claims_more_samples_than_any_memory_holds(tmp_path, write_noise, refused):
    path = write_noise(tmp_path / "huge.flac")
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the upper 4 of the 36 bits that count the samples
    path.write_bytes(content)
    with refused(str(path), "cannot be read as audio"):
        read_audio(path)


def test_missing_file(tmp_path, refused):
    with refused(str(tmp_path / "gone.wav")):
        read_audio(tmp_path / "gone.wav")


def test_real_recordings(shared):
    paths = sorted((shared / "audio/dcase2020/dev_data/slider/train").glob("*.wav"))[:5]
    for path in paths:
        waveform, sample_rate = read_audio(path)
        assert (len(waveform), sample_rate) == (160_000, 16_000)
        assert 1e-4 < waveform.std() < 1
