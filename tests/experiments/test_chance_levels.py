"""The command that prints what annotations give away."""

import pytest

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
    assert main(["chance", str(path), "--frame_rate", "31.25"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    # One of ten seconds: all frames have a precision of a tenth and find it. Segments of 31 frames would cut it in two.
    assert rows["p99"][2:] == [f"{2 * 0.1 / 1.1:.3f}", "1.000"]


def test_rejects_a_file_without_intervals(tmp_path, capsys):
    path = tmp_path / "annotations.csv"
    path.write_text("file,start,end\n")
    assert main(["chance", str(path)]) == 2
    assert "name a file with annotated clips" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seconds", "0"], "--seconds is 0; it must be above 0"),
        (["--frame_rate", "-3"], "--frame_rate is -3"),
        (["--seconds", "2"], "row 2: an interval ends after --seconds 2"),
    ],
)
def test_clips_of_impossible_lengths(tmp_path, capsys, options, message):
    path = tmp_path / "annotations.csv"
    path.write_text("file,start,end\na.wav,1,3\n")
    assert main(["chance", str(path), *options]) == 2
    assert message in capsys.readouterr().err
