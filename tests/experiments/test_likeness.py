"""The command that compares the simulated planer with recordings."""

import numpy as np
import pytest
import soundfile

from datamodules.simulator.likeness import reference_clip
from experiments.cli.main import main
from experiments.report.figures.likeness import Pair, likeness_figure


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Another simulated planer in the place of the real one: normal running and a broken board."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, broken in (("normal", False), ("broken", True)):
        soundfile.write(folder / f"{name}.wav", reference_clip(100, broken=broken), 20_000)
    return folder


def test_compares_with_recordings_and_draws_them(recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    (tmp_path / "annotations.csv").write_text("file,start,end,type\na.wav,0,2,hum\na.wav,4,5,hum\nb.wav,0,5,hum\n")
    command = ["data", "compare", str(recordings / "normal.wav"), "--broken_board", str(recordings / "broken.wav")]
    command += ["--annotations", str(tmp_path / "annotations.csv"), "--clips", "2"]
    assert main([*command, "--output", str(tmp_path / "likeness.pdf")]) == 0
    assert (tmp_path / "likeness.pdf").read_bytes().startswith(b"%PDF")
    rows = [cells_of(line) for line in capsys.readouterr().out.splitlines()]
    cells = {row[0]: row[1:] for row in rows if len(row) == 3}
    assert cells["Bands whose mean is within 3 dB of the real one"] == ["of 80", "80"]
    assert cells["Cutters' line: lowest band"] == ["36", "36.0"]
    assert cells["Annotated seconds of a clip"][0] == "4.0 ± 1.0"
    assert cells["Clips with 1, 2, 3, more intervals"][0] == "1, 1, 0, 0"
    assert cells["hum: clips, annotated"] == ["2, 2", "–"]


def cells_of(line):
    """Cells of a printed row."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_figure_shows_what_it_is_given():
    real, simulated = np.zeros((80, 400)), np.ones((80, 400))
    real[:, ::2] = 1
    figure = likeness_figure([Pair("Normal running", real, simulated), Pair("Broken board", simulated, real)])
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images and axes.get_title()]
    for image, expected in zip(images, (real, simulated, simulated, real), strict=True):
        np.testing.assert_array_equal(image, expected)
    curves = {
        axes.get_title().split(",")[0]: {line.get_label(): line.get_ydata() for line in axes.lines}
        for axes in figure.axes
    }
    bands = curves["Mean and standard deviation over time"]
    np.testing.assert_array_equal(bands["real"], np.full(80, 0.5))
    np.testing.assert_array_equal(bands["simulated"], np.ones(80))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((40, 400)), "80 bands"),
        (np.zeros(80), "80 bands"),
        (np.zeros((80, 100)), "must last 4 s"),
        (np.full((80, 400), np.nan), "finite"),
        (np.array([{"a": 1}]), "cannot be loaded"),
        (b"no array", "cannot be loaded"),
    ],
)
def test_refuses_what_is_no_spectrogram(tmp_path, capsys, content, message):
    path = tmp_path / "clip.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    assert main(["data", "compare", str(path), "--output", str(tmp_path / "likeness.png")]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "likeness.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--output", "likeness.jpg"], "likeness.jpg"), (["--clips", "0"], "--clips"), (["--seed", "-1"], "--seed")],
)
def test_refuses_options_out_of_range(recordings, capsys, options, message):
    assert main(["data", "compare", str(recordings / "normal.wav"), *options]) == 2
    assert message in capsys.readouterr().err


def test_refuses_a_broken_board_without_bursts(recordings, tmp_path, capsys):
    np.save(tmp_path / "quiet.npy", np.zeros((80, 400)))
    command = ["data", "compare", str(recordings / "normal.wav"), "--clips", "1"]
    assert main([*command, "--broken_board", str(tmp_path / "quiet.npy")]) == 2
    assert f"{tmp_path / 'quiet.npy'}: no bursts" in capsys.readouterr().err
