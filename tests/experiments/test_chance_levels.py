"""The command that prints what annotations give away."""

import numpy as np
import pytest
import soundfile
import torch

from experiments.cli.main import main


def test_prints_the_chance_levels_of_annotations(tmp_path, capsys):
    path = tmp_path / "annotations.csv"
    path.write_text("file,start,end\nlong.wav,0,1\nlong.wav,1,2\n")
    assert main(["chance", str(path), "--seconds", "4"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    # Two of four seconds are annotated: all frames have a precision of a half and find both.
    assert rows["p99"][2:] == ["0.667", "1.000"]
    # Of 160 frames two are peaks at p99. Pairs of frames, by the seconds of 40 frames that they fall into:
    pairs = {"same positive": 2 * 780, "both positive": 1600, "mixed": 6400, "same negative": 2 * 780, "negative": 1600}
    f1 = {"same positive": 2 / 3, "both positive": 1, "mixed": 0.5, "same negative": 0, "negative": 0}
    expected = sum(pairs[kind] * f1[kind] for kind in pairs) / sum(pairs.values())
    assert rows["p99"][0] == f"{expected:.3f}"


def test_segments_are_seconds_at_any_frame_rate(tmp_path, capsys):
    path = tmp_path / "annotations.csv"
    path.write_text("file,start,end\nlong.wav,4,5\n")
    assert main(["chance", str(path), "--seconds", "10", "--frame_rate", "31.25"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    # One of ten seconds: all frames have a precision of a tenth and find it. Segments of 31 frames would cut it in two.
    assert rows["p99"][2:] == [f"{2 * 0.1 / 1.1:.3f}", "1.000"]


def printed_rows(capsys):
    """Numbers by percentile, and the text in one line."""
    out = capsys.readouterr().out
    return {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}, " ".join(out.split())


@pytest.mark.parametrize("layout", ["folder", "planer"])
def test_each_clip_is_as_long_as_its_file(tmp_path, capsys, layout):
    training, normal, anomalous = {
        "folder": ("train", "test/normal", "test/anomaly"),
        "planer": ("training", "evaluation/normal", "evaluation/anomalies/stuck"),
    }[layout]
    for folder, name, seconds in (
        (training, "t", 4),
        (normal, "n", 4),
        (anomalous, "short", 4),
        (anomalous, "long", 8),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        if layout == "folder":
            soundfile.write(tmp_path / folder / f"{name}.wav", np.zeros(8000 * seconds), 8000)
        else:  # frames are centred on multiples of the hop, the last on the end
            torch.save(torch.zeros(80, 40 * seconds + 1), tmp_path / folder / f"{name}.pt")
    path = tmp_path / "annotations.csv"
    path.write_text("file,start,end\nshort,0,2\nlong,5,7\n")
    assert main(["chance", str(path), "--root", str(tmp_path)]) == 0
    rows, text = printed_rows(capsys)
    # Two of four seconds and two of eight: precision a half and a quarter, recall 1.
    assert rows["p99"][2:] == [f"{(2 / 3 + 0.4) / 2:.3f}", "1.000"]
    assert "2 annotated clips of 4 to 8 s, of which 2.0 s are annotated" in text
    path.write_text("file,start,end\nshort,5,6\n")
    assert main(["chance", str(path), "--root", str(tmp_path)]) == 2
    assert f"of {anomalous}/short" in (error := capsys.readouterr().err)
    assert "is out of range; the clip lasts 4.025 s" in error


def test_the_layout_gives_the_frame_rate(slider, tmp_path, capsys):
    path = tmp_path / "annotations.csv"
    path.write_text("file,start,end\nanomaly_id_00_00000000.wav,0,1\n")
    assert main(["chance", str(path), "--root", str(slider)]) == 0
    rows, text = printed_rows(capsys)
    assert rows["p99"][2:] == ["0.500", "1.000"]  # one of three seconds
    assert "31.25 frames per second" in text


def test_rejects_a_file_without_intervals(tmp_path, capsys):
    path = tmp_path / "annotations.csv"
    path.write_text("file,start,end\n")
    assert main(["chance", str(path), "--seconds", "10"]) == 2
    assert "name a file with annotated clips" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seconds", "0"], "--seconds is 0; it must be above 0"),
        (["--frame_rate", "-3"], "--frame_rate is -3"),
        ([], "give --root, the folder of the data set, or --seconds"),
        (["--root", ".", "--seconds", "4"], "give --root, the folder of the data set, or --seconds"),
        (["--seconds", "2"], "row 2: an interval ends after --seconds 2"),
    ],
)
def test_clips_of_impossible_lengths(tmp_path, capsys, options, message):
    path = tmp_path / "annotations.csv"
    path.write_text("file,start,end\na.wav,1,3\n")
    assert main(["chance", str(path), *options]) == 2
    assert message in capsys.readouterr().err
