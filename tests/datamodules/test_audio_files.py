"""Reading recordings, sound and damaged."""

import io
import os

import numpy as np
import pytest
import soundfile
import torch
from wav_headers import lose_length, with_sizes

from datamodules.audio import BLOCK_SAMPLES, cancelled, read_audio, read_excerpts, read_sound, sound_seconds
from datamodules.files import AUDIO_SUFFIXES

WRITTEN_AS = {"wave": "WAV", "bwf": "WAV", "oga": "OGG", "aif": "AIFF", "aifc": "AIFF", "snd": "AU", "sph": "NIST"}
WRITTEN_AS |= {"opus": "OGG", "8svx": "SVX", "iff": "SVX", "sf": "IRCAM"}
SUBTYPES = {"opus": "OPUS", "wve": "ALAW"}


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
def test_truncated_file(tmp_path, write_noise, data_error, suffix, kept):
    path = write_noise(tmp_path / f"cut{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with data_error(str(path)):
        read_audio(path)


def test_wav_that_lacks_only_its_last_byte(tmp_path, write_noise, data_error):
    path = write_noise(tmp_path / "cut.wav")
    path.write_bytes(path.read_bytes()[:-1])
    with data_error(str(path), "truncated: 39999 of 40000 bytes"):
        read_audio(path)


@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES)
def test_every_format_that_libsndfile_reads(tmp_path, suffix):
    name = suffix.removeprefix(".")
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)
    path = tmp_path / f"tone{suffix}"
    soundfile.write(path, tone, 24_000, format=WRITTEN_AS.get(name, name.upper()), subtype=SUBTYPES.get(name))
    waveform, sample_rate = read_audio(path)
    # Opus knows 48 kHz only, WVE 8 kHz; MP3 and Opus may add a little at the ends.
    assert (sample_rate, len(waveform)) == ({"wve": 8_000}.get(name, sample_rate), pytest.approx(24_000, rel=0.2))
    assert float(waveform.square().mean().sqrt()) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("riff", [None, 0, 36, 0x7FFFF024, 0x80000024, 0xFFFFFFFF])
@pytest.mark.parametrize("data", [0, 0x7FFFF000, 0x7FFFEFFA, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF])
@pytest.mark.parametrize("layout", ["WAV", "WAVEX"])
def test_wav_written_to_a_pipe_does_not_know_its_length(tmp_path, riff, data, layout):
    samples = np.random.default_rng(0).integers(-9_000, 9_000, (2_000, 2)).astype(np.int16)
    written = io.BytesIO()
    soundfile.write(written, samples, 8_000, format=layout)
    path = tmp_path / "piped.wav"
    path.write_bytes(with_sizes(written.getvalue(), riff, data))
    waveform, _ = read_audio(path)
    np.testing.assert_allclose(waveform, samples.mean(axis=1) / 32_768, atol=1e-7)
    path.write_bytes(path.read_bytes() + b"\x01")  # a part of a sample
    assert len(read_audio(path)[0]) == 2_000
    assert sound_seconds(path) == 0.25


@pytest.mark.parametrize("data", [0, 0x7FFFF000, 0xFFFFFFFF, (5 << 30) % (1 << 32)])
def test_wav_with_more_samples_than_its_header_says(tmp_path, write_noise, data):
    path = write_noise(tmp_path / "long.wav", seconds=0.1)
    path.write_bytes(with_sizes(path.read_bytes(), 0xFFFFFFFF, data)[:44])
    os.truncate(path, 44 + (5 << 30))  # sparse: takes no space
    assert sound_seconds(path) == (5 << 30) / 2 / 20_000


def test_empty_wav_with_further_chunks_is_empty(tmp_path, write_noise, data_error):
    path = write_noise(tmp_path / "empty.wav")
    tagged = with_sizes(path.read_bytes(), None, 0)[:44] + b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    path.write_bytes(tagged)
    with data_error(str(path), "holds no samples"):
        read_audio(path)


def test_wav_whose_size_counts_the_header_too_is_whole(tmp_path, write_noise):
    path = write_noise(tmp_path / "miscounted.wav")
    path.write_bytes(with_sizes(path.read_bytes(), None, 40_044))
    assert len(read_audio(path)[0]) == 20_000


@pytest.mark.parametrize("riff", [0, 40_036, 0xFFFFFFFF])
def test_rejects_a_truncated_wav_whatever_its_riff_size(tmp_path, write_noise, data_error, riff):
    path = write_noise(tmp_path / "cut.wav")
    path.write_bytes(with_sizes(path.read_bytes(), riff, 40_000)[:-10_000])
    with data_error(str(path), "truncated: 30000 of 40000 bytes", "copy it again"):
        read_audio(path)


@pytest.mark.parametrize("suffix", [".aiff", ".au", ".w64", ".rf64", ".8svx"])
def test_truncated_copies_of_other_formats(tmp_path, data_error, suffix):
    path = tmp_path / f"cut{suffix}"
    container = WRITTEN_AS.get(suffix[1:], suffix[1:].upper())
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 8_000, format=container)
    path.write_bytes(path.read_bytes()[:-4_000])
    with data_error(str(path), "truncated", "copy it again"):
        read_audio(path)


def test_flac_of_unknown_length(tmp_path, write_noise):
    path = write_noise(tmp_path / "piped.flac", seconds=15)  # more than a block
    expected = read_audio(path)[0]
    lose_length(path)
    assert torch.equal(read_audio(path)[0], expected)
    assert sound_seconds(path) == 15


def test_one_channel_of_several(tmp_path, data_error):
    samples = np.array([[0.5, 0.0, -0.25], [0.25, 0.5, 0.75]])
    path = tmp_path / "three.wav"
    soundfile.write(path, samples, 8_000)
    assert [read_audio(path, channel)[0].tolist() for channel in (0, 1, 2)] == samples.T.tolist()
    with data_error(str(path), "3 channels", "channel=3 does not exist; choose 0 to 2, or mix"):
        read_audio(path, 3)


@pytest.mark.parametrize(
    ("channels", "loss"),
    [
        (lambda noise: [noise[0], -noise[0]], np.inf),
        (lambda noise: [noise[0], -0.9 * noise[0]], 20 * np.log10(1 / 0.05)),
        (lambda noise: noise, 10 * np.log10(8)),  # without correlation, as from a distance
        (lambda noise: [0.05 * one for one in noise[:7]] + [noise[7]], 20 * np.log10(8)),  # a fault in one of eight
        (lambda noise: [noise[0], 0 * noise[0]], 20 * np.log10(2)),
        (lambda noise: [noise[0]], 0),
        (lambda noise: [0 * noise[0], 0 * noise[0]], 0),
    ],
)
def test_warns_of_a_mix_far_below_its_channels(tmp_path, channels, loss):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (8, 40_000))
    path = tmp_path / "array.wav"
    soundfile.write(path, np.stack(channels(noise), axis=1), 8_000, subtype="DOUBLE")
    info = read_sound(path)[1]
    assert info.mix_loss_db == pytest.approx(loss, abs=0.2)
    text = cancelled({path: info, path.with_name("b.wav"): info})
    assert bool(text) == (loss > 10)
    if text:
        assert all(part in text for part in ("2 of 2 recordings", str(path), "channel"))


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_excerpts_across_blocks(tmp_path, suffix):
    """Two channels, of which a block has half as many samples."""
    samples = np.random.default_rng(0).integers(-9000, 9000, (BLOCK_SAMPLES + 1000, 2)).astype(np.int16)
    soundfile.write(path := tmp_path / f"long.{suffix}", samples, 1000)
    border = BLOCK_SAMPLES // 2 / 1000
    spans = [(border - 1, border + 1), (0.0, 0.5), (border - 0.5, border + 0.25), (border, border + 1), (262.0, 999.0)]
    excerpts, rate = read_excerpts(path, spans, channel=1)
    assert rate == 1000
    for excerpt, (start, end) in zip(excerpts, spans, strict=True):
        expected = samples[round(start * 1000) : round(end * 1000), 1] / 32768
        np.testing.assert_array_equal(excerpt, expected.astype(np.float32))


def test_rejects_a_pipe(tmp_path, data_error):
    os.mkfifo(tmp_path / "pipe.wav")
    with data_error("pipe.wav is not a file"):
        read_audio(tmp_path / "pipe.wav")


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_sample_formats(tmp_path, subtype):
    samples = np.array([0.5, -0.25, 0.0, 0.125])
    soundfile.write(tmp_path / "a.wav", samples, 8_000, subtype=subtype)
    assert read_audio(tmp_path / "a.wav")[0].tolist() == samples.tolist()


def test_content_decides_not_the_suffix(tmp_path, write_noise):
    path = write_noise(tmp_path / "a.flac")
    assert len(read_audio(path.rename(tmp_path / "a.wav"))[0]) == 20_000


def test_chunks_before_and_after_the_samples(tmp_path, write_noise, data_error):
    path = write_noise(tmp_path / "tagged.wav")
    content = path.read_bytes()
    odd = b"LIST" + (5).to_bytes(4, "little") + b"INFOx\0"
    path.write_bytes(content[:36] + odd + content[36:] + odd)
    assert len(read_audio(path)[0]) == 20_000
    path.write_bytes(content[:36] + odd + content[36:-1])
    with data_error(str(path), "truncated: 39999 of 40000 bytes"):
        read_audio(path)


def test_rejects_an_empty_file(tmp_path, data_error):
    (tmp_path / "empty.wav").touch()
    with data_error("empty.wav holds no samples"):
        read_audio(tmp_path / "empty.wav")


def test_text_with_an_audio_suffix(tmp_path, data_error):
    path = tmp_path / "notes.wav"
    path.write_text("not a recording\n" * 100)
    with data_error(str(path), "cannot be read as audio"):
        read_audio(path)


def test_no_samples(tmp_path, data_error):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0), 20_000)
    with data_error(str(path), "no samples"):
        read_audio(path)


def test_nan(tmp_path, data_error):
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([0.0, np.nan, 0.0]), 20_000, subtype="FLOAT")
    with data_error(str(path), "NaN"):
        read_audio(path)


def test_header_that_claims_more_samples_than_any_memory_holds(tmp_path, write_noise, data_error):
    path = write_noise(tmp_path / "huge.flac")
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the upper 4 of the 36 bits that count the samples
    path.write_bytes(content)
    with data_error(str(path), "truncated: it ends after 1.00 of 3221226.47 s"):
        read_audio(path)


def test_missing_file(tmp_path, data_error):
    with data_error(str(tmp_path / "gone.wav")):
        read_audio(tmp_path / "gone.wav")


def test_real_recordings(shared):
    paths = sorted((shared / "audio/dcase2020/dev_data/slider/train").glob("*.wav"))[:5]
    for path in paths:
        waveform, sample_rate = read_audio(path)
        assert (len(waveform), sample_rate) == (160_000, 16_000)
        assert 1e-4 < waveform.std() < 1


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac"])
def test_rejects_joined_streams(tmp_path, data_error, suffix):
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * 16_000)
    alone = tmp_path / f"alone{suffix}"
    soundfile.write(alone, noise, 16_000)
    assert sound_seconds(alone) == pytest.approx(2, abs=0.2)
    joined = tmp_path / f"joined{suffix}"
    joined.write_bytes(2 * alone.read_bytes())
    with data_error(f"joined{suffix} cannot be read as a whole", "convert it to WAV or FLAC"):
        read_audio(joined)


def test_rejects_an_mp3_with_a_wrong_length(tmp_path, data_error):
    """Its first frames are noise, from which a length is estimated that is too short for the silence after them."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * 16_000)
    path = tmp_path / "variable.mp3"
    with soundfile.SoundFile(path, "w", 16_000, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0) as file:
        file.write(np.concatenate([noise, np.zeros(16 * 16_000)]))
    content = bytearray(path.read_bytes())
    table = max(content.find(b"Xing"), content.find(b"Info"))
    content[table : table + 4] = bytes(4)  # as an encoder that writes to a pipe leaves it out
    path.write_bytes(content)
    with soundfile.SoundFile(path) as file:
        heard = file.frames / file.samplerate
    assert heard < 18, "libsndfile hears the beginning"
    with data_error("it holds 20.", "convert it"):
        read_audio(path)
