"""The log-mel front end against librosa, and its settings."""

import librosa
import numpy as np
import pytest
import torch

from datamodules.frontend import FrontEndSettings, LogMelFrontEnd

PLANER = FrontEndSettings()
DCASE = FrontEndSettings(sample_rate=16_000, window=0.064, hop=0.032, n_mels=128)


@pytest.mark.parametrize(("settings", "shape"), [(PLANER, (80, 401)), (DCASE, (128, 313))])
def test_ten_seconds_have_the_published_shape(settings, shape):
    waveform = torch.zeros(3, 10 * settings.sample_rate)
    assert LogMelFrontEnd(settings)(waveform, settings.sample_rate).shape == (3, *shape)


@pytest.mark.parametrize("settings", [PLANER, DCASE, FrontEndSettings(n_mels=40, f_min=100, f_max=8_000)])
def test_agrees_with_librosa(settings):
    waveform = np.random.default_rng(0).normal(scale=0.1, size=2 * settings.sample_rate).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=waveform,
        sr=settings.sample_rate,
        n_fft=round(settings.window * settings.sample_rate),
        hop_length=round(settings.hop * settings.sample_rate),
        n_mels=settings.n_mels,
        fmin=settings.f_min,
        fmax=settings.f_max,
        htk=True,
        norm=None,
        pad_mode="reflect",
    )
    expected = 10 * np.log10(np.maximum(power, 1e-10))
    found = LogMelFrontEnd(settings)(torch.from_numpy(waveform), settings.sample_rate)
    np.testing.assert_allclose(found.numpy(), expected, atol=0.01)


def test_frames_per_second():
    assert PLANER.frames_per_second == 40
    assert DCASE.frames_per_second == 31.25


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 19_999, 24_414, 44_100, 44_101, 48_000, 96_000])
def test_another_sample_rate_gives_the_same_spectrogram_of_a_tone(sample_rate):
    frontend = LogMelFrontEnd(PLANER)
    pictures = [
        frontend(torch.sin(2 * torch.pi * 1_000 * torch.arange(10 * rate) / rate), rate)
        for rate in (20_000, sample_rate)
    ]
    assert pictures[0].shape == pictures[1].shape == (80, 401)
    loudest = [picture.mean(dim=1).argmax() for picture in pictures]
    assert loudest[0] == loudest[1]
    inner = slice(5, -5)
    torch.testing.assert_close(pictures[0][loudest[0], inner], pictures[1][loudest[0], inner], atol=0.05, rtol=0)


@pytest.mark.parametrize("block", [4_001, 10**9])
@pytest.mark.parametrize(
    ("settings", "sample_rate"),
    [(PLANER, 20_000), (PLANER, 44_100), (PLANER, 44_101), (PLANER, 16_000), (DCASE, 16_000), (DCASE, 48_000)],
)
def test_a_streamed_recording_has_the_frames_of_the_whole(monkeypatch, settings, sample_rate, block):
    monkeypatch.setattr("datamodules.frontend._PIECE_S", 0.7)
    waveform = torch.randn(round(5.123 * sample_rate), generator=torch.Generator().manual_seed(0))
    frontend = LogMelFrontEnd(settings)
    parts = list(frontend.stream(waveform.split(block), sample_rate))
    assert len(parts) >= 3
    torch.testing.assert_close(torch.cat(parts, dim=1), frontend(waveform, sample_rate), atol=1e-5, rtol=0)
    resampled = list(frontend.stream_resampled(waveform.split(block), sample_rate, shortest=0.2))
    assert block > sample_rate or len(resampled) >= 5
    torch.testing.assert_close(torch.cat(resampled), frontend.resample(waveform, sample_rate), atol=1e-5, rtol=0)


@pytest.mark.parametrize("sample_rate", [1, 999, 1_000_001, 4_000_000_000])
def test_rejects_absurd_sample_rates(sample_rate, data_error):
    with data_error(f"{sample_rate} Hz", "correct the file's header"):
        LogMelFrontEnd(PLANER)(torch.zeros(20_000), sample_rate)


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 16_000, 18_000, 19_000, 20_000, 44_100])
def test_bands_above_a_recordings_frequencies(sample_rate):
    # HTK's mel scale, and the 501 frequencies of the Fourier transform, 20 Hz apart.
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 10_000 / 700), 82) / 2595) - 1)
    heard = np.arange(501) * 20
    heard = heard[heard < sample_rate / 2]
    empty = sum(not ((heard > low) & (heard < high)).any() for low, high in zip(edges[:-2], edges[2:], strict=True))
    frontend = LogMelFrontEnd(PLANER)
    assert frontend.empty_bands(sample_rate) == empty
    text = frontend.upsampled([44_100, sample_rate, sample_rate])
    assert bool(text) == (empty > 0)
    if text:
        assert all(part in text for part in ("2 of 3", f"upper {empty} of 80", f"sample_rate={sample_rate}"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sample_rate", 0),
        ("window", 0.0),
        ("window", float("nan")),
        ("hop", 0.0),
        ("hop", 0.051),
        ("n_mels", 0),
        ("n_mels", 501),
        ("f_min", -1.0),
        ("f_min", 10_000.0),
        ("f_max", 10_001.0),
        ("f_max", 0.0),
    ],
)
def test_setting_out_of_range(option, value, data_error):
    with data_error(f"frontend.{option} is {value}"):
        FrontEndSettings(**{option: value})


def test_rejects_bands_without_a_frequency(data_error):
    with data_error("frontend.n_mels=400", "frontend.window"):
        LogMelFrontEnd(FrontEndSettings(n_mels=400))
