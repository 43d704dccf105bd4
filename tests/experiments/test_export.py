"""ONNX files of trained runs, run in ONNX Runtime and compared with PyTorch."""

import contextlib
import csv
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from torch import nn

from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.layouts import Clip
from experiments.cli.main import main
from experiments.commands.export.comparison import Comparison, calibrate
from experiments.commands.export.metadata import calibration_metadata, stored_calibration
from experiments.commands.export.onnx_file import quantise, serialise, store_as_float16, to_onnx
from experiments.commands.export.pipeline import Pipeline
from experiments.commands.export.scorer import Scorer
from experiments.commands.export.writing import require_equal
from experiments.predictions.calibration import Calibration
from lightning_modules import Autoencoder, ConfigurationError, MaskedAutoencoder

LEVEL = 20.0  # near the mean of the clips
N_MELS, N_FRAMES = 16, 24
FRONT_END = FrontEndSettings(sample_rate=8000, window=0.128, hop=0.04, n_mels=N_MELS)  # 25 frames per second


def run(contents, clips):
    session = onnxruntime.InferenceSession(contents, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: np.asarray(clips)}), strict=True))


def close(values, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def noise(n_clips, n_samples, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(n_clips, n_samples, generator=generator)


def trained(module):
    """A module in eval mode whose reconstruction depends on its input, with statistics in its batch norms."""
    generator = torch.Generator().manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.copy_(torch.randn(layer.num_features, generator=generator))
            layer.running_var.copy_(0.5 + torch.rand(layer.num_features, generator=generator))
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            last = layer
    last.weight.data *= 30  # what the others leave of a clip's differences is little
    return module.eval()


@pytest.fixture(scope="module")
def exported():
    """Build a network with a backbone and export it; returns it, its scorer and the model, made once per backbone."""
    made = {}

    def export(backbone, objective=Autoencoder, score_masks=0):
        if backbone not in made:
            torch.manual_seed(0)
            module = objective(n_mels=N_MELS, n_frames=N_FRAMES, backbone=backbone, score_masks=score_masks)
            scorer = Scorer(trained(module), LogMelFrontEnd(FRONT_END), LEVEL, takes_audio=True)
            made[backbone] = module, scorer, to_onnx(scorer)
        return made[backbone]

    return export


@pytest.fixture
def cae(exported):
    """A masked autoencoder."""
    return exported("cae", MaskedAutoencoder, score_masks=2)


# The transformer with its skip connections is in the run of the last test.
@pytest.mark.parametrize("backbone", ["dense", "cae"])
def test_equals_pytorch_at_any_batch_size_and_length(exported, cae, backbone):
    module, scorer, model = exported(backbone)
    front_end = LogMelFrontEnd(FRONT_END)
    for n_clips, n_samples in ((1, scorer.least_samples), (3, scorer.window_samples + 5000)):
        clips = noise(n_clips, n_samples)
        x = front_end(clips, FRONT_END.sample_rate)[..., :N_FRAMES] - LEVEL
        with torch.inference_mode():
            outputs = module.evaluate_with_masked_score(x)
        error_map = (outputs["reconstruction"] - x) ** 2
        found = run(serialise(model, {}), clips)
        scores = ["score", "masked_score"] if backbone == "cae" else ["score"]
        assert list(found) == [*scores, "error_map", "error_per_second"]
        for score in scores:
            close(found[score], outputs[score])
        close(found["error_map"], error_map)
        close(found["error_per_second"], error_map.mean((1, 2))[:, None])  # 24 frames are one second


@pytest.mark.parametrize("window", [400, 375, 251, 254], ids=["square", "odd", "prime", "twice a prime"])
@pytest.mark.parametrize("hop", [200, 97, 240])
def test_front_end_for_any_window_and_hop(window, hop):
    settings = FrontEndSettings(sample_rate=8000, window=window / 8000, hop=hop / 8000, n_mels=N_MELS)
    front_end = LogMelFrontEnd(settings)
    module = Autoencoder(n_mels=N_MELS, n_frames=N_FRAMES, backbone="dense", score_masks=0)
    scorer = Scorer(module, front_end, LEVEL, takes_audio=True)
    for n_samples in (scorer.least_samples, scorer.window_samples, scorer.window_samples + 500):
        clips = noise(2, n_samples)
        torch.testing.assert_close(scorer.front_end(clips), front_end(clips, 8000)[..., :N_FRAMES], rtol=0, atol=1e-3)


def test_what_comes_after_the_window_has_no_effect():
    module = Autoencoder(n_mels=N_MELS, n_frames=N_FRAMES, backbone="dense").eval()
    scorer = Scorer(module, LogMelFrontEnd(FRONT_END), LEVEL, takes_audio=True)
    clip = noise(1, scorer.window_samples + 2000)
    clips = torch.cat([clip, clip, clip])
    clips[1, scorer.window_samples :] = 0.5
    clips[2, scorer.window_samples - 200 :] = 0.5
    with torch.inference_mode():
        score, same, other = scorer(clips)[0]
    assert same == score
    assert other != score


def test_errors_of_each_second():
    settings = FrontEndSettings(sample_rate=8000, window=0.25, hop=0.125, n_mels=N_MELS)  # 8 frames per second
    module = Autoencoder(n_mels=N_MELS, n_frames=18, backbone="dense", score_masks=0).eval()
    spectrogram = torch.randn(2, N_MELS, 18)
    with torch.inference_mode():
        _, error_map, seconds = Scorer(module, LogMelFrontEnd(settings), LEVEL, takes_audio=False)(spectrogram)
    # The last two frames are less than half a second.
    expected = torch.stack([error_map[..., :8].mean((1, 2)), error_map[..., 8:16].mean((1, 2))], dim=1)
    close(seconds, expected)


def test_weights_of_16_bits(cae):
    module, scorer, model = cae
    clips = noise(4, scorer.window_samples)
    whole = serialise(model, {})
    halved = serialise(store_as_float16(model), {})
    n_weights = sum(parameter.numel() for parameter in module.parameters())
    assert len(whole) - len(halved) == pytest.approx(2 * n_weights, rel=0.1)
    found, exact = run(halved, clips)["score"], run(whole, clips)["score"]
    assert not np.array_equal(found, exact)
    np.testing.assert_allclose(found, exact, rtol=1e-2)


def test_weights_and_activations_of_8_bits(cae):
    _, scorer, model = cae
    clips = noise(4, scorer.window_samples)
    quantised = quantise(model, iter(clips))
    small = {each.name for each in quantised.graph.initializer if each.data_type == onnx.TensorProto.INT8}
    kernels = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    assert len(kernels) == 22
    assert {f"{kernel}_quantized" for kernel in kernels} <= small
    found, exact = run(serialise(quantised, {}), clips)["score"], run(serialise(model, {}), clips)["score"]
    assert not np.array_equal(found, exact)
    np.testing.assert_allclose(found, exact, rtol=0.1)


class DependsOnValues(nn.Module):
    """A network that does something else with quiet clips."""

    def forward(self, x):
        return 2 * x if x.mean() < 0 else x


def test_a_network_that_onnx_cannot_express(capfd):
    module = Autoencoder(n_mels=N_MELS, n_frames=N_FRAMES, backbone="dense")
    scorer = Scorer(module, LogMelFrontEnd(FRONT_END), LEVEL, takes_audio=False)
    scorer.network = DependsOnValues()
    with pytest.raises(ConfigurationError, match=r"DependsOnValues can't be converted to ONNX: .*data-dependent"):
        to_onnx(scorer)
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def file_of_run(mae_run, tmp_path_factory):
    """A file of a run, and what was printed about it."""
    path, printed = tmp_path_factory.mktemp("exported") / "new" / "mae.onnx", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["export", "--run", str(mae_run), "--output", str(path)]) == 0
    return path, printed.getvalue()


def test_a_run_as_a_file(mae_run, simulated, file_of_run):
    path, printed = file_of_run
    assert f"{path}: " in printed
    assert "audio to score, masked_score, error_map and error_per_second" in printed
    assert re.search(r"on 14 clips.*\n  score \d\.\de-\d\d, \d\.\de-\d\d\n  masked score .*\n  error map ", printed)
    assert re.search(r"AUC of the masked score: (0\.\d{4}), in PyTorch \1", printed)
    assert re.search(r"per clip on one core: [\d.]+ ms, in PyTorch [\d.]+ ms", printed)
    assert [each.name for each in path.parent.iterdir()] == [path.name]

    with (mae_run / "test" / "clips.csv").open(newline="") as file:
        tested = list(csv.DictReader(file))
    audio = [soundfile.read(simulated / row["name"], dtype="float32")[0] for row in tested]
    found = run(path.read_bytes(), np.stack(audio))
    for score in ("score", "masked_score"):
        close(found[score], np.array([float(row[score]) for row in tested]))

    metadata = {each.key: each.value for each in onnx.load(path).metadata_props}
    assert metadata["objective"] == "MAE"
    assert metadata["backbone"] == "SkipCAETransformer(num_heads=10)"
    assert json.loads(metadata["front_end"])["sample_rate"] == 20_000
    assert {key: metadata[key] for key in ("n_frames", "least_samples", "window_samples", "reference_level")} == {
        "n_frames": "80",
        "least_samples": "39500",
        "window_samples": "40000",
        "reference_level": "0.0",
    }
    assert list(json.loads(metadata["outputs"])) == list(found)
    normal, stored = Calibration.load(mae_run / "fit/calibration.npz"), json.loads(metadata["calibration"])
    for name in ("score", "masked_score", "second_error"):
        assert stored[name] == sorted(getattr(normal, name))
    assert stored["spectrum"] == normal.spectrum.tolist()
    assert str(mae_run.parent).encode() not in path.read_bytes()
    assert b"scorer.py" not in path.read_bytes()


def test_watches_with_a_file(file_of_run, mae_run, tmp_path, capsys):
    path, rate = file_of_run[0], 20_000
    samples = (3_000 * np.random.default_rng(1).standard_normal(round(5.5 * rate))).astype(np.int16)
    soundfile.write(tmp_path / "new.wav", samples, rate)
    options = ["--model", str(path), "--file", str(tmp_path / "new.wav"), "--hop", "1.5", "--stop_after", "0"]
    assert main(["watch", *options]) == 0
    printed = capsys.readouterr()
    assert "like the 1 normal ones that calibrate" in printed.err
    windows = [line for line in map(json.loads, printed.out.splitlines()) if line["type"] == "window"]
    # The last window ends with the last of 221 frames of 500 samples.
    assert [line["start"] for line in windows] == [0.0, 1.5, 3.0, 141 / 40]
    calibration = Calibration.load(mae_run / "fit/calibration.npz")
    for line in windows:
        begin = round(line["start"] * rate)
        found = run(path.read_bytes(), samples[None, begin : begin + 40_000].astype("f4") / 32_768)
        assert line["score"] == pytest.approx(float(found["score"][0]), rel=1e-5)
        assert line["masked_score"] == pytest.approx(float(found["masked_score"][0]), rel=1e-5)
        assert line["p_value"] == (1 + sum(calibration.score >= line["score"])) / 2


def test_thresholds_of_a_file():
    values = {"score": np.arange(39.0)[::-1], "masked_score": np.full(39, np.nan), "second_error": 2 * np.arange(39.0)}
    names, windows = np.array(["a.wav"] * 39), np.array([5] * 39)
    calibration = Calibration(names, windows, spectrum=np.array([1.0, 2.0]), epoch=3, step=4, **values)
    metadata = {key: json.dumps(value) for key, value in calibration_metadata(calibration).items()}
    # 2 of 40 and 1 of 40: what the second highest, and the highest, of 39 scores allow.
    assert json.loads(metadata["thresholds"]) == [
        {"alpha": 0.05, "score": 37.0, "second_error": 74.0},
        {"alpha": 0.025, "score": 38.0, "second_error": 76.0},
    ]
    read = stored_calibration(metadata)
    assert read.score.tolist() == list(range(39))
    assert np.isnan(read.masked_score).all()
    assert (read.windows_per_stretch, read.spectrum.tolist()) == (5, [1.0, 2.0])
    assert stored_calibration({}) is None


def test_a_file_with_other_weights_has_thresholds_of_its_own_scores(cae, tmp_path):
    module, scorer, model = cae
    clips = []
    for number, samples in enumerate(noise(3, scorer.window_samples)):
        soundfile.write(tmp_path / f"{number}.wav", samples.numpy(), FRONT_END.sample_rate, subtype="FLOAT")
        clips.append(Clip(tmp_path / f"{number}.wav", f"{number}.wav", 0))
    pipeline = Pipeline(module, LogMelFrontEnd(FRONT_END), "mix", LEVEL, None, "", takes_audio=True)
    of_run = Calibration(np.array([]), np.array([]), *[np.array([])] * 4, epoch=3, step=4)
    contents = serialise(store_as_float16(model), {})
    found, results = calibrate(contents, pipeline, clips, of_run), run(contents, noise(3, scorer.window_samples))
    assert (found.names.tolist(), found.epoch, found.step) == (["0.wav", "1.wav", "2.wav"], 3, 4)
    close(found.score, results["score"])
    close(found.masked_score, results["masked_score"])
    close(found.second_error, results["error_per_second"][:, 0])
    close(found.spectrum, results["error_map"].mean((0, 2)))


@pytest.fixture
def rejected(capsys):
    """Export with options; the one line that says why that can't be."""

    def export(*options):
        capsys.readouterr()
        assert main(["export", *map(str, options)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return export


@pytest.mark.parametrize("detector", ["NearestNeighbours", "IsolationForest", "OneClassSVM"])
def test_rejects_baseline_detectors(rejected, tmp_path, detector):
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "config.yaml").write_text(f"model: {{class_path: lightning_modules.{detector}}}")
    assert f"is of {detector}, and only autoencoders can be exported" in rejected("--run", tmp_path)
    assert not (tmp_path / "model.onnx").exists()


def test_says_which_packages_are_missing(rejected, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "export needs onnxscript: install what is optional" in rejected("--run", tmp_path)


def test_rejects_clips_that_it_cannot_compare_on(rejected, mae_run, tmp_path):
    torch.save(torch.zeros(80, 80), tmp_path / "clip.pt")
    soundfile.write(tmp_path / "short.wav", np.zeros(30_000), 20_000)
    options = ["--run", mae_run, "--clips"]
    assert "clip.pt is a spectrogram, which a file that takes audio" in rejected(*options, tmp_path / "clip.pt")
    assert "short.wav has 61 frames, fewer than the 80" in rejected(*options, tmp_path / "short.wav")
    assert not (mae_run / "model.onnx").exists()


def test_rejects_outputs_that_are_folders(rejected, tmp_path):
    assert "is a folder; name the ONNX file" in rejected("--run", tmp_path, "--output", tmp_path)


@pytest.mark.parametrize("difference", [2e-4, float("nan")])
def test_rejects_results_unlike_those_of_pytorch(difference):
    clips = [Clip(Path("a.wav"), "a.wav", 0), Clip(Path("b.wav"), "b.wav", 0)]
    scores = {"score": [(1.0, 1.0)] * 2, "masked_score": [(1.0, 1.0)] * 2}
    require_equal(Comparison(clips, {"score": [1e-5, 1e-4], "masked_score": [0.0, 0.0]}, scores))
    with pytest.raises(ConfigurationError, match=r"^b\.wav: the masked score of the exported model differs .*0\.0001;"):
        require_equal(Comparison(clips, {"score": [0.0, 0.0], "masked_score": [1e-5, difference]}, scores))
