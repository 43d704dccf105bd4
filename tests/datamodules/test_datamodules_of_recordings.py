"""From recordings in each of the layouts to batches."""

import pytest

from datamodules import AudioFolderDataModule, DCASEDataModule, PlanerDataModule


def test_recordings_in_the_planer_layout(tmp_path, write_noise, write_published_csv):
    root = tmp_path / "planer"
    for number in range(3):
        write_noise(root / f"training/2x4/MPD_1_{number}_1.wav", seconds=10, seed=number)
        write_noise(root / f"evaluation/normal/MPD_2_{number}_1.flac", seconds=10, seed=10 + number, channels=2)
    write_noise(root / "evaluation/anomalies/broken_board/MPD_3_0_1.wav", seconds=10)
    write_published_csv(root / "annotations.csv", {"MPD_3_0_1": ("broken_board", "[(40,400)]")})
    (batch,) = PlanerDataModule(str(root), n_frames=401, cache_dir=str(tmp_path / "cache")).test_dataloader()
    assert batch["spectrogram"].shape == (4, 80, 401)
    assert batch["annotation"][3].nonzero().flatten().tolist() == list(range(40, 400))


def test_audio_folder_with_annotations_in_seconds(tmp_path, write_noise):
    root = tmp_path / "saw"
    for name in ("train/1", "train/2", "test/normal/3", "test/anomaly/4", "test/anomaly/5"):
        write_noise(root / f"{name}.wav", seconds=2)
    (tmp_path / "labels.csv").write_text("file,start,end,type\n4.wav,0.5,1,bang\n")
    datamodule = AudioFolderDataModule(
        str(root), n_frames=80, annotations=str(tmp_path / "labels.csv"), cache_dir=str(tmp_path / "cache")
    )
    (batch,) = datamodule.test_dataloader()
    assert batch["anomaly_type"] == ["", "bang", "anomaly"]
    assert batch["annotation"][1].nonzero().flatten().tolist() == list(range(20, 40))
    assert batch["annotated"].tolist() == [False, True, False]


def test_points_and_intervals_after_the_frames_that_are_used(tmp_path, write_noise):
    root = tmp_path / "saw"
    for name in ("train/1", "train/2", "test/normal/3", "test/anomaly/4", "test/anomaly/5"):
        write_noise(root / f"{name}.wav", seconds=3)
    (root / "annotations.csv").write_text("file,start,end\n4.wav,0.5,0.5\n4.wav,2.5,2.5\n5.wav,2.5,3\n5.wav,1,2.5\n")
    datamodule = AudioFolderDataModule(str(root), n_frames=80, cache_dir=str(tmp_path / "cache"))
    with pytest.warns(UserWarning, match=r"2 of 4 intervals in .*annotations.csv begin after the 80 frames"):
        (batch,) = datamodule.test_dataloader()
    frames = [mask.nonzero().flatten().tolist() for mask in batch["annotation"]]
    assert frames == [[], [20], list(range(40, 80))]


def test_dcase_has_the_baselines_front_end(tmp_path, write_noise):
    for name in ("train/normal_id_00_01", "train/normal_id_00_02", "test/normal_id_00_03", "test/anomaly_id_00_04"):
        write_noise(tmp_path / f"fan/{name}.wav", seconds=10, sample_rate=16_000)
    datamodule = DCASEDataModule(str(tmp_path), machine="fan", section="id_00", cache_dir=str(tmp_path / "cache"))
    (batch,) = datamodule.test_dataloader()
    assert batch["spectrogram"].shape == (2, 128, 312)
    assert datamodule.frames_per_second == 31.25


def test_real_slide_rail_on_the_planer_front_end(shared, tmp_path):
    datamodule = DCASEDataModule(
        str(shared / "audio/dcase2020/dev_data"),
        machine="slider",
        n_frames=400,
        frontend=PlanerDataModule("").frontend,
        predict_path=str(shared / "audio/dcase2020/dev_data/slider/train/normal_id_00_00000000.wav"),
        cache_dir=str(tmp_path),
    )
    (batch,) = datamodule.predict_dataloader()
    assert batch["spectrogram"].shape == (1, 80, 400)
    assert batch["spectrogram"].isfinite().all()
