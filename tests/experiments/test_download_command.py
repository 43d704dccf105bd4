"""`faithful-aad download`: what it prints and rejects."""

import pytest

from experiments.cli.main import main


@pytest.fixture
def run(capsys):
    def call(*arguments):
        try:
            status = main(["download", *map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "choose one of planer, annotations, dcase2020, dcase2022"),
        (["imagenet"], "choose one of planer"),
        (["dcase2020"], "machine"),
        (["dcase2020", "--machine", "gearbox"], "--machine gearbox is not in DCASE 2020 Task 2; choose one of fan"),
        (["planer", "--machine", "fan"], "--machine"),
        (["planer", "{}/set", "--archive", "{}/gone.zip"], "--archive {}/gone.zip is not a file"),
        (["planer", "{}/set", "--annotations", "{}/gone.csv"], "{}/gone.csv cannot be read"),
        (["planer", "{}/set", "--mirror", "data.zip"], "--mirror data.zip is no address"),
        (["annotations", "{}/set", "--mirror", "gopher://host"], "--mirror gopher://host is no address"),
    ],
)
def test_rejects_invalid_arguments(tmp_path, run, arguments, message):
    status, out, err = run(*(argument.format(tmp_path) for argument in arguments))
    assert (status, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert message.format(tmp_path) in err
    assert not list(tmp_path.iterdir())


def test_rejects_an_archive_that_is_not_the_published_one(tmp_path, run):
    (tmp_path / "annotations.csv").write_text("file,start,end\n")
    (tmp_path / "data.zip").write_bytes(b"PK")
    status, _, err = run(
        "planer", tmp_path / "set", "--archive", tmp_path / "data.zip", "--annotations", tmp_path / "annotations.csv"
    )
    assert status == 2
    assert "has 2 bytes, data.zip as published 1,082,911,671" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations.csv", "data.zip"]


def test_keeps_complete_data(tmp_path, run):
    for part in ("train/normal_id_00_00000000", "test/normal_id_00_00000000", "test/anomaly_id_00_00000000"):
        path = tmp_path / "slider" / f"{part}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    status, out, _ = run("dcase2020", tmp_path, "--machine", "slider")
    assert status == 0
    assert out == (
        f"{tmp_path}/slider was complete already: "
        "DCASE 2020 Task 2, slider, 1 training, 1 normal and 1 anomalous clips\n"
    )
