"""Recordings of any kind on the command line: `data slice`, `annotations check | convert`, and what `fit` needs."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

import datamodules
from experiments.cli.errors import shorten_warnings
from experiments.cli.main import main

REAL = Path(__file__).resolve().parents[2].parent / "shared/planer/annotations.csv"


@pytest.fixture
def status(capsys):
    """Run a command; its status, and the lines it printed."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return run


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "press.wav"
    soundfile.write(path, [0.25, -0.25] * 6250, 500)
    return path


def test_slices_and_resumes(status, tmp_path, recording):
    clips = tmp_path / "clips"
    code, out, _ = status("data", "slice", recording, "--output", clips, "--start", "2019-12-04 08:48")
    assert code == 0
    assert out == [
        f"2 clips of 10 s in {clips}, listed in manifest.csv",
        "left out, as no whole clip: the ends of press.wav 5.00 s, 5.00 s in all",
    ]
    assert (clips / "MPD_19-12-04_0848_00001_2.wav").is_file()
    _, out, _ = status("data", "slice", recording, "--output", clips, "--start", "2019-12-04 08:48")
    assert out[0] == f"2 clips of 10 s in {clips} (2 were there already), listed in manifest.csv"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seconds", "7"], "clips of 7 s do not divide a minute"),
        (["--seconds", "30"], "no recording is as long as a clip of 30 s; the longest has 25.00 s"),
        (["--start", "noon"], "--start noon is not a valid time"),
        (["--start", "2019-12-04 08:48:30"], "--start 2019-12-04 08:48:30 is not a whole minute"),
        (["--start", "2019-12-04T08:48+01:00"], "without time zone"),
        (["--start", "9999-12-31 23:59"], "of the years 1969 to 2068"),
        (["--format", "mp3"], "--format is mp3; it must be one of "),
        (["--output", "press.wav/clips"], "press.wav/clips cannot be written"),
    ],
)
def test_rejects_invalid_options_of_slice(status, tmp_path, recording, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    code, _, error = status("data", "slice", recording, "--output", tmp_path / "clips", *options)
    assert code == 2
    assert len(error) == 1
    assert message in error[0]
    assert not (tmp_path / "clips").exists()


def test_slicing_warns_of_unreadable_files_and_cancelled_channels(status, tmp_path):
    tone = (9_000 * np.sin(np.arange(5_000))).astype(np.int16)
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.stack([tone, -tone], axis=1), 500)
    (folder / "b.m4a").touch()
    code, _, error = status("data", "slice", folder, "--output", tmp_path / "clips")
    assert code == 0
    assert [line for line in error if line] == [
        f"warning: left out 1 file that cannot be read (1 .m4a), such as {folder / 'b.m4a'}; convert recordings to WAV "
        "or FLAC",
        f"warning: channels cancel each other or average away in 1 of 1 recordings: in {folder / 'a.wav'} the mix of 2 "
        "channels is silent; channel=0, in training and all later stages, takes only the loudest channel (there are 0 "
        "to 1)",
    ]
    code, _, error = status("data", "slice", folder, "--output", tmp_path / "left", "--channel", "0")
    assert (code, len([line for line in error if line])) == (0, 1)
    assert soundfile.read(tmp_path / "left/a_00001_1.wav", dtype="int16")[0].tolist() == tone.tolist()
    code, _, error = status("data", "slice", folder, "--output", tmp_path / "third", "--channel", "2")
    assert (code, len(error)) == (2, 1)
    assert "2 channels, so channel=2 does not exist; choose 0 to 1, or mix" in error[0]


def test_evaluation_data_can_be_predicted_but_not_tested(status, tmp_path):
    draw = np.random.default_rng(0)
    names = [f"train/section_00_source_train_normal_{number:04}_noAttribute" for number in range(3)]
    for name in (*names, "test/section_00_0000"):
        path = tmp_path / "data/fan" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * draw.standard_normal(20_000), 16_000)
    (tmp_path / "data/fan/train/more.m4a").touch()
    run = ["--run", tmp_path / "run"]
    options = ["--data", "DCASEDataModule", "--data.root", tmp_path / "data", "--data.machine", "fan"]
    options += ["--data.n_frames", "40", "--data.cache_dir", tmp_path / "cache"]
    options += ["--model", "Autoencoder", "--model.backbone", "cae", "--wandb.mode", "disabled"]
    options += ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    with pytest.warns(UserWarning, match="left out 1 file that cannot be read"):
        assert status("fit", *run, *options)[0] == 0
    code, _, error = status("test", *run)
    assert (code, len(error)) == (2, 1)
    assert "1 of 1 test clips have no label in their names" in error[0]
    assert f"predict and predict_path={tmp_path / 'data/fan/test'}" in error[0]
    assert status("predict", *run, "--data.predict_path", tmp_path / "data/fan/test")[0] == 0
    code, _, error = status("fit", "--run", tmp_path / "other", *options, "--data.channel", "1")
    assert (code, len(error)) == (2, 1)
    assert "1 channel, so channel=1 does not exist" in error[0]


def test_own_warnings_are_one_line(monkeypatch):
    monkeypatch.setattr("warnings.formatwarning", warnings.formatwarning)
    shorten_warnings()
    assert warnings.formatwarning("x", UserWarning, datamodules.__file__, 1) == "warning: x\n"
    assert "pytest" in warnings.formatwarning("x", UserWarning, pytest.__file__, 1)


def test_checks_and_converts_simulated_annotations(status, simulated, tmp_path):
    code, out, _ = status("annotations", "check", simulated / "annotations.csv", "--root", simulated)
    assert code == 0
    table = {line.rsplit(maxsplit=5)[0].strip(): line.split()[-5:] for line in out if len(line.split()) > 5}
    counts = {"training, normal": ("12", "4,327"), "normal": ("6", "3,130"), "all": ("14", "3,235")}
    assert {name: (table[name][0], table[name][3]) for name in counts} == counts
    labels = tmp_path / "labels"
    code, out, _ = status(
        "annotations", "convert", simulated / "annotations.csv", "--to", "audacity", "--output", labels
    )
    assert code == 0
    assert out[0].endswith(f"intervals in {labels}")
    assert status("annotations", "check", labels, "--root", simulated)[0] == 0


def test_prints_problems_and_exits_with_status_1(status, tmp_path, recording):
    path = tmp_path / "labels.csv"
    path.write_text("file,start,end,type\npress.wav,24,25.5,bang\nother.wav,1,2,hiss\n")
    code, out, error = status("annotations", "check", path, "--root", tmp_path, "--types", "[bang]")
    assert (code, error) == (1, [])
    assert out[:4] == [
        f"{path} row 2: the interval from 24 s to 25.5 s of press.wav is out of range; the clip lasts 25 s",
        f"{path} row 3: 'other.wav' is not among the test clips",
        f"{path} row 3: other.wav is of type 'hiss', not of bang",
        f"{path}: 3 problems",
    ]


def test_converts_points_in_a_recording_to_its_clips(status, tmp_path, recording):
    clips, labels, annotations = tmp_path / "clips", tmp_path / "labels", tmp_path / "annotations.csv"
    status("data", "slice", recording, "--output", clips)
    labels.mkdir()
    (labels / "press.TXT").write_text("10\t10\tbang\n3,5\t3,5\tclick\n")
    code, out, _ = status(
        "annotations", "convert", labels, "--to", "csv", "--output", annotations, "--manifest", clips / "manifest.csv"
    )
    assert (code, out) == (0, [f"2 intervals in {annotations}"])
    code, out, _ = status("annotations", "check", annotations, "--root", clips)
    assert (code, out[0]) == (0, f"{annotations}: 0 problems")
    # Of each type a clip, which is annotated in one of its seconds.
    rows = [line.split() for line in out]
    assert ["bang", "1", "1", "1.0"] in rows
    assert ["click", "1", "1", "1.0"] in rows


def test_labels_of_recordings_become_a_test_set_and_come_back(status, tmp_path, recording):
    labels, root, back = tmp_path / "labels", tmp_path / "set", tmp_path / "back"
    folder = tmp_path / "recordings"
    folder.mkdir()
    recording.rename(folder / "press.wav")
    for name, seconds in (("quiet", 10), ("short", 9)):
        soundfile.write(folder / f"{name}.wav", np.zeros(seconds * 500), 500)
    labels.mkdir()
    track = "3.500000\t4.000000\tbang\n6.250000\t11.000000\thiss\n"
    (labels / "press.txt").write_text(track)
    code, out, _ = status("annotations", "check", labels, "--recordings", folder)
    assert (code, out[0]) == (0, f"{labels}: 0 problems")
    assert [line.split() for line in out[-2:]] == [["bang", "1", "1", "0.5"], ["hiss", "1", "1", "4.8"]]
    code, out, error = status("data", "testset", folder, labels, root, "--hop", "5", "--guard", "4")
    assert (code, out) == (
        0,
        [
            f"2 normal and 3 anomalous clips of 10 s in {root / 'test'}, labels in annotations.csv, positions in "
            "manifest.csv",
            "taken as normal, since no label names them: quiet.wav",
            "1 clip with labels of several types: each has the one of most seconds",
            f"put or link normal clips into {root / 'train'}, which an audio folder needs",
        ],
    )
    assert [line for line in error if line] == ["warning: left out 1 recording, shorter than 10 s: short.wav 9.00 s"]
    options = ["--to", "audacity", "--output", back, "--manifest", root / "manifest.csv", "--timeline", "recordings"]
    assert status("annotations", "convert", root / "annotations.csv", *options)[0] == 0
    # The first clip is of the type of most of its seconds.
    assert (back / "press.txt").read_text() == track.replace("bang", "")
    code, _, error = status("data", "testset", folder, labels, root)
    assert (code, len(error)) == (2, 1)
    assert f"{root / 'test'} already exists; choose another output" in error[0]
    code, out, _ = status("data", "testset", folder, labels, tmp_path / "other", "--hop", "5", "--guard", "4.1")
    assert (code, out[1]) == (0, "left out: 1 window without a label but closer than 4.1 s to one")


def test_damaged_clip_is_one_line(status, tmp_path, recording):
    annotations = tmp_path / "labels.csv"
    annotations.write_text("file,start,end\npress.wav,1,2\n")
    recording.write_bytes(b"RIFF")
    code, _, error = status("annotations", "check", annotations, "--root", tmp_path)
    assert (code, len(error)) == (2, 1)
    assert "press.wav cannot be read as audio" in error[0]


def test_rejects_an_unknown_type_in_the_authors_file(status, simulated, tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text((simulated / "annotations.csv").read_text().replace("board_stuck", "bored_stuck"))
    code, out, _ = status("annotations", "check", path)
    assert code == 1
    assert "is of type 'bored_stuck', not of Uneven_thick_wood, board_stuck, broken_board" in out[0]


def test_annotation_errors_are_one_line(status, tmp_path):
    for arguments, message in (
        (["check", tmp_path / "gone.csv"], "gone.csv does not exist"),
        (["check", tmp_path, "--root", tmp_path / "gone"], "--root"),
        (["check", tmp_path, "--seconds", "0"], "--seconds is 0"),
        (["check", tmp_path, "--root", tmp_path, "--recordings", tmp_path], "--root and --recordings are both given"),
        (["check", tmp_path, "--recordings", tmp_path / "gone"], "gone does not exist"),
        (["check", tmp_path], "holds no label tracks"),
        (["convert", tmp_path / "gone.csv", "--to", "csv", "--output", tmp_path / "out.csv"], "gone.csv"),
    ):
        code, _, error = status("annotations", *arguments)
        assert (code, len(error)) == (2, 1)
        assert message in error[0]


@pytest.mark.skipif(not REAL.is_file(), reason="the real annotations are not here")
def test_published_tables(status):
    code, out, _ = status("annotations", "check", REAL)
    assert code == 0
    rows = [line.split() for line in out]
    # Tables 1 and 3 of the paper; the seconds are 98, 50 and 9 of 34, 10 and 2 clips.
    assert ["broken", "board", "4", "2", "4.5", "4", "2"] in rows
    assert ["board", "stuck", "29", "10", "5.0", "29", "10"] in rows
    assert ["Uneven", "thick", "wood", "72", "34", "2.9", "72", "34"] in rows
