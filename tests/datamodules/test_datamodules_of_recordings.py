"""From recordings in each of the layouts to batches."""

import numpy as np
import pytest
import soundfile
import torch

from datamodules import AudioFolderDataModule, DCASEDataModule, MIMIIDataModule, PlanerDataModule


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
        frontend=PlanerDataModule(".").frontend,
        predict_path=str(shared / "audio/dcase2020/dev_data/slider/train/normal_id_00_00000000.wav"),
        cache_dir=str(tmp_path),
    )
    (batch,) = datamodule.predict_dataloader()
    assert batch["spectrogram"].shape == (1, 80, 400)
    assert batch["spectrogram"].isfinite().all()


@pytest.fixture
def saw(tmp_path, write_noise):
    """An audio folder of four training clips of 2 s, and a DataModule over it."""
    for number in range(4):
        write_noise(tmp_path / f"saw/train/{number}.wav", seconds=2, seed=number)

    def build(**settings):
        return AudioFolderDataModule(str(tmp_path / "saw"), n_frames=80, cache_dir=str(tmp_path / "cache"), **settings)

    return tmp_path / "saw", build


def test_training_clips_are_enough_to_fit_but_not_to_test(saw, data_error):
    root, build = saw
    build().setup("fit")
    with data_error(f"{root}", "of which test/normal/, test/anomaly/ not found"):
        build().setup("test")
    with data_error("test/normal/"):
        build(labelled_validation=0.5).setup("fit")


def test_warns_once_of_files_left_out(saw, recwarn):
    root, build = saw
    (root / "train/take.m4a").touch()
    data = build(predict_path=str(root))
    data.setup("fit")
    data.setup("fit")
    assert [str(one.message)[:40] for one in recwarn] == ["left out 1 file that cannot be read (1 ."]
    recwarn.clear()
    data.setup("predict")
    assert [str(one.message)[:40] for one in recwarn] == ["left out 1 file that cannot be read (1 ."]


def test_warns_of_cancelling_channels_every_time(saw, recwarn):
    root, build = saw
    noise = np.random.default_rng(0).integers(-9_000, 9_000, 40_000).astype(np.int16)
    soundfile.write(root / "train/4.wav", np.stack([noise, -noise], axis=1), 20_000)
    for _ in range(2):  # the second time the spectrograms are in the cache
        build().setup("fit")
        (warning,) = recwarn.list
        assert "1 of 5 recordings" in str(warning.message)
        assert "4.wav the mix of 2 channels is silent; channel=0, in training and" in str(warning.message)
        recwarn.clear()


def test_batches_contain_the_chosen_channel(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 40_000, 2))
    for number, samples in enumerate(noise):
        (tmp_path / "array/train").mkdir(parents=True, exist_ok=True)
        (tmp_path / "single/train").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / f"array/train/{number}.wav", samples, 20_000, subtype="DOUBLE")
        soundfile.write(tmp_path / f"single/train/{number}.wav", samples[:, 1], 20_000, subtype="DOUBLE")
    batches = [
        next(iter(AudioFolderDataModule(str(tmp_path / name), 80, channel=1 if name == "array" else "mix",
                                        cache_dir=str(tmp_path / "cache")).val_dataloader()[0]))
        for name in ("array", "single")
    ]  # fmt: skip
    assert torch.equal(batches[0]["spectrogram"], batches[1]["spectrogram"])


def test_rejects_missing_channels(saw, data_error):
    root, build = saw
    with data_error("channel is -1", "from 0, or mix"):
        build(channel=-1)
    with data_error(str(root / "train/0.wav"), "1 channel,", "channel=1 does not exist; choose 0, or mix"):
        build(channel=1).setup("fit")


def test_warns_of_low_sample_rates(saw, write_noise, recwarn):
    root, build = saw
    write_noise(root / "train/slow.wav", seconds=2, sample_rate=16_000)
    build().setup("fit")
    (warning,) = recwarn.list
    assert "the sample rate of 1 of 5 recordings (16,000 Hz)" in str(warning.message)
    assert "frontend.sample_rate=16000" in str(warning.message)


def test_mimii_has_the_baselines_front_end(tmp_path, write_noise):
    for number in range(5):
        write_noise(tmp_path / f"fan/id_00/normal/{number}.wav", 10, 16_000, channels=8, seed=number)
    write_noise(tmp_path / "fan/id_00/abnormal/0.wav", 10, 16_000, channels=8)
    data = MIMIIDataModule(str(tmp_path), "fan", "id_00", channel=7, cache_dir=str(tmp_path / "cache"))
    (batch,) = data.test_dataloader()
    assert batch["spectrogram"].shape == (2, 128, 312)
    assert sorted(batch["label"].tolist()) == [0, 1]
    assert len(data.train_clips) + len(data.val_clips) == 4
