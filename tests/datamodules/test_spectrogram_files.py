"""From one file to one spectrogram."""

import numpy as np
import pytest
import soundfile
import torch

from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.spectrograms import load_spectrogram


@pytest.fixture(scope="module")
def frontend():
    return LogMelFrontEnd(FrontEndSettings())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_tensor_is_loaded_unchanged(tmp_path, frontend, dtype):
    spectrogram = torch.arange(80 * 7, dtype=dtype).reshape(80, 7)
    torch.save(spectrogram, tmp_path / "clip.pt")
    loaded, info = load_spectrogram(tmp_path / "clip.pt", frontend)
    assert info is None
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded, spectrogram.float())


def test_tensor_that_is_stored_negated(tmp_path, frontend):
    torch.save(torch._neg_view(torch.ones(80, 7)), tmp_path / "clip.pt")
    assert load_spectrogram(tmp_path / "clip.pt", frontend)[0].numpy().max() == -1


def test_recording_goes_through_the_front_end(tmp_path, frontend, write_noise):
    path = write_noise(tmp_path / "clip.wav", seconds=10)
    waveform = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
    torch.testing.assert_close(load_spectrogram(path, frontend)[0], frontend(waveform, 20_000))


def test_flac_and_wav_of_the_same_samples_agree(tmp_path, frontend, write_noise):
    paths = [write_noise(tmp_path / f"clip{suffix}") for suffix in (".wav", ".flac")]
    (wav, wav_info), (flac, flac_info) = (load_spectrogram(path, frontend) for path in paths)
    assert torch.equal(wav, flac)
    assert wav_info == flac_info


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"spectrogram": torch.zeros(80, 401)}, "holds a dict"),
        ([1.0, 2.0], "holds a list"),
        (torch.nn.Parameter(torch.zeros(80, 401)), "holds a Parameter"),
        (torch.zeros(80, 401, dtype=torch.int16), "torch.int16"),
        (torch.zeros(80, 401, dtype=torch.complex64), "torch.complex64"),
        (torch.zeros(80, 401).to_sparse(), "sparse"),
        (torch.zeros(80, 401, device="meta"), "on meta"),
        (torch.zeros(1, 1).expand(80, 10**12), "holds only some"),
        (torch.zeros(1, 80, 401), "shape (1, 80, 401)"),
        (torch.zeros(80, 0), "shape (80, 0)"),
        (torch.zeros(64, 401), "64 bands, but frontend.n_mels is 80"),
        (torch.full((80, 401), float("nan")), "NaN"),
        (torch.full((80, 401), float("inf")), "NaN or infinite"),
    ],
)
def test_tensor_file_with_something_else(tmp_path, frontend, data_error, content, complaint):
    path = tmp_path / "clip.pt"
    torch.save(content, path)
    with data_error(str(path), complaint):
        load_spectrogram(path, frontend)


class Intruder:
    """Would create a file if it were unpickled freely."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_pickled_code_is_not_run(tmp_path, frontend, data_error):
    torch.save(Intruder(tmp_path / "hacked"), tmp_path / "clip.pt")
    with data_error("clip.pt", "cannot be loaded as a plain tensor"):
        load_spectrogram(tmp_path / "clip.pt", frontend)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("kept", [0, 20, 0.5, 0.99])
def test_truncated_tensor_file(tmp_path, frontend, write_spectrogram, data_error, kept):
    path = write_spectrogram(tmp_path / "clip.pt")
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with data_error(str(path), "cannot be loaded"):
        load_spectrogram(path, frontend)


def test_recording_shorter_than_the_window(tmp_path, frontend, write_noise, data_error):
    path = write_noise(tmp_path / "blip.wav", seconds=0.04, sample_rate=44_100)
    with data_error(str(path), "0.040 s", "frontend.window"):
        load_spectrogram(path, frontend)


def test_recording_that_lasts_just_one_window(tmp_path, frontend, write_noise):
    path = write_noise(tmp_path / "short.wav", seconds=0.05)
    assert load_spectrogram(path, frontend)[0].shape == (80, 3)


def test_rejects_an_impossible_sample_rate(tmp_path, frontend, write_noise, data_error):
    path = write_noise(tmp_path / "odd.wav", sample_rate=500)
    with data_error(str(path), "500 Hz"):
        load_spectrogram(path, frontend)


def test_samples_too_large_for_a_spectrum(tmp_path, frontend, data_error):
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full(20_000, 1e30), 20_000, subtype="DOUBLE")
    with data_error(str(path), "infinite"):
        load_spectrogram(path, frontend)


def test_real_planer_examples_after_conversion(tmp_path, frontend, shared):
    for name in ("normal_example", "broken_board_example"):
        torch.save(torch.from_numpy(np.load(shared / f"planer/{name}.npy")), tmp_path / f"{name}.pt")
        assert load_spectrogram(tmp_path / f"{name}.pt", frontend)[0].shape == (80, 400)
