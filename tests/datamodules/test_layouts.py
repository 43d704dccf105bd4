"""Folders and file names in, clips out."""

import os
import shutil
from pathlib import Path

import pytest

from datamodules.audio import read_audio, read_sound
from datamodules.files import left_out_text
from datamodules.layouts import scan_audio_folder, scan_dcase, scan_files, scan_mimii, scan_planer


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture
def folder(tmp_path):
    return touch(
        tmp_path, "train/1.wav", "train/2.flac", "test/normal/3.wav", "test/anomaly/4.wav", "test/anomaly/stuck/5.WAV"
    )


@pytest.fixture
def dcase(tmp_path):
    return touch(
        tmp_path,
        "fan/train/normal_id_00_00000000.wav",
        "fan/train/normal_id_02_00000000.wav",
        "fan/test/normal_id_00_00000000.wav",
        "fan/test/anomaly_id_00_00000000.wav",
        "fan/test/anomaly_id_02_00000000.wav",
        "bearing/train/section_00_source_train_normal_0000_vel_16.wav",
        "bearing/train/section_01_target_train_normal_0001.wav",
        "bearing/test/section_00_source_test_normal_0000_vel_16_loc_B.wav",
        "bearing/test/section_00_target_test_anomaly_0001_vel_6.wav",
        "bearing/test/section_01_source_test_anomaly_0002.wav",
    )


def summary(clips):
    return [(clip.name, clip.label, clip.anomaly_type) for clip in clips]


def test_planer(planer_root):
    layout = scan_planer(planer_root)
    assert (len(layout.training), len(layout.test)) == (20, 18)
    assert all(clip.label == 0 and clip.name.startswith("training/") for clip in layout.training)
    assert [clip.label for clip in layout.test] == [0] * 10 + [1] * 8
    assert summary(layout.test)[-1] == (
        "evaluation/anomalies/broken_board/MPD_19-12-05_0949_00008_5.pt",
        1,
        "broken_board",
    )
    assert all(clip.path == planer_root / clip.name for clip in layout.training + layout.test)


def test_audio_folder(folder):
    layout = scan_audio_folder(folder)
    assert summary(layout.training) == [("train/1.wav", 0, ""), ("train/2.flac", 0, "")]
    assert summary(layout.test) == [
        ("test/normal/3.wav", 0, ""),
        ("test/anomaly/4.wav", 1, "anomaly"),
        ("test/anomaly/stuck/5.WAV", 1, "stuck"),
    ]


def test_hidden_and_other_files_are_ignored(folder):
    touch(folder, "train/._1.wav", "train/.old/9.wav", "train/notes.txt", "train/1.json")
    assert len(scan_audio_folder(folder).training) == 2


def test_broken_link_is_an_unreadable_clip(folder, data_error):
    link = folder / "train" / "gone.wav"
    link.symlink_to(folder / "elsewhere.wav")
    assert summary(scan_audio_folder(folder).training)[-1] == ("train/gone.wav", 0, "")
    with data_error(f"{link} cannot be read: No such file or directory"):
        read_audio(link)


def test_dcase_2020(dcase):
    layout = scan_dcase(dcase, "fan", "id_00")
    assert summary(layout.training) == [("fan/train/normal_id_00_00000000.wav", 0, "")]
    assert summary(layout.test) == [
        ("fan/test/anomaly_id_00_00000000.wav", 1, "anomaly"),
        ("fan/test/normal_id_00_00000000.wav", 0, ""),
    ]


def test_dcase_2022(dcase):
    layout = scan_dcase(dcase, "bearing", "section_00")
    assert [clip.label for clip in layout.training] == [0]
    assert [clip.label for clip in layout.test] == [0, 1]


def test_dcase_all_sections_of_a_machine(dcase):
    layout = scan_dcase(dcase, "bearing")
    assert (len(layout.training), len(layout.test)) == (2, 3)


def test_dcase_unknown_machine(dcase, data_error):
    with data_error("machine=valve", str(dcase), "bearing, fan"):
        scan_dcase(dcase, "valve")


def test_dcase_root_without_machines(tmp_path, data_error):
    with data_error("machine=valve", "no folder there has a train/ inside"):
        scan_dcase(tmp_path, "valve")


def test_dcase_unknown_section(dcase, data_error):
    with data_error("section=id_07", "id_00, id_02"):
        scan_dcase(dcase, "fan", "id_07")


def test_dcase_file_of_another_name(dcase, data_error):
    touch(dcase, "fan/test/recording.wav")
    layout = scan_dcase(dcase, "fan")
    with data_error("fan/test/recording.wav", "DCASE"):
        _ = layout.test
    touch(dcase, "fan/train/recording.wav")
    with data_error("fan/train/recording.wav", "DCASE"):
        scan_dcase(dcase, "fan")


def test_dcase_anomaly_among_the_training_clips(dcase, data_error):
    touch(dcase, "fan/train/anomaly_id_00_00000009.wav")
    with data_error("fan/train/anomaly_id_00_00000009.wav", "training"):
        scan_dcase(dcase, "fan")


@pytest.mark.parametrize(
    ("scan", "folders"),
    [
        (scan_planer, ["training/", "evaluation/normal/", "evaluation/anomalies/"]),
        (scan_audio_folder, ["train/", "test/normal/", "test/anomaly/"]),
    ],
)
def test_error_lists_the_folders_of_the_layout(tmp_path, data_error, scan, folders):
    with data_error(f"{tmp_path}", *folders):
        scan(tmp_path)


@pytest.mark.parametrize("scan", [scan_planer, scan_audio_folder, lambda root: scan_dcase(root, "fan")])
def test_missing_root(tmp_path, data_error, scan):
    with data_error(f"{tmp_path / 'gone'} is not a folder"):
        scan(tmp_path / "gone")


@pytest.mark.parametrize("name", ["train", "test/normal", "test/anomaly"])
def test_missing_and_empty_folder(folder, data_error, name):
    shutil.rmtree(folder / name)
    with data_error(f"of which {name}/ not found"):
        _ = scan_audio_folder(folder).test
    (folder / name).mkdir()
    with data_error(str(folder / name), "holds no clips"):
        _ = scan_audio_folder(folder).test


@pytest.mark.parametrize(
    ("scan", "clip"),
    [
        (scan_audio_folder, "train/1.wav"),
        (scan_planer, "training/2x4/1.wav"),
        (lambda root: scan_dcase(root, "fan"), "fan/train/normal_id_00_00000000.wav"),
        (lambda root: scan_mimii(root, "fan"), "fan/id_00/normal/1.wav"),
    ],
)
def test_training_clips_alone_are_enough_to_train(tmp_path, data_error, scan, clip):
    layout = scan(touch(tmp_path, clip))
    assert summary(layout.training) == [(clip, 0, "")]
    with data_error(f"{tmp_path}", "not found"):
        _ = layout.test


def test_linked_folders_are_followed_once(folder, tmp_path_factory):
    elsewhere = touch(tmp_path_factory.mktemp("disk"), "monday/a.wav", "tuesday/b.wav", "c.wav")
    (folder / "train" / "linked").symlink_to(elsewhere)
    (elsewhere / "monday" / "circle").symlink_to(elsewhere)
    (folder / "train" / "again").symlink_to(elsewhere / "monday")
    (folder / "train" / "here").symlink_to(folder / "train")
    (folder / "train" / "single.wav").symlink_to(folder / "test/normal/3.wav")
    names = {clip.name for clip in scan_audio_folder(folder).training}
    assert {name.rpartition("/")[2] for name in names} == {"1.wav", "2.flac", "a.wav", "b.wav", "c.wav", "single.wav"}
    assert len(names) == 6
    assert "train/linked/c.wav" in names


def test_folder_takes_precedence_over_a_link_to_it(tmp_path):
    touch(tmp_path, "z/1.wav")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    assert [clip.name for clip in scan_files(tmp_path).test] == ["z/1.wav"]


def test_files_that_cannot_be_read_are_named_and_counted(folder):
    touch(folder, "train/a.m4a", "train/b/c.M4A", "test/normal/d.npy", "test/anomaly/e.zip", "train/take7")
    touch(folder, "train/notes.txt", "train/table.csv", "train/README", "train/._1.wav", "train/__MACOSX/1.wav")
    layout = scan_audio_folder(folder)
    assert [path.name for path in layout.left_out] == ["a.m4a", "c.M4A", "take7", "e.zip", "d.npy"]
    text = left_out_text(layout.left_out)
    assert "left out 5 files that cannot be read (2 .m4a, 1 without a suffix, 1 .zip, 1 .npy)" in text
    assert str(folder / "train/a.m4a") in text
    assert len(layout.training) == 2


def test_error_names_unreadable_formats_of_a_folder_without_clips(tmp_path, data_error):
    touch(tmp_path, "train/a.m4a")
    with data_error("holds no clips", "1 .m4a"):
        scan_audio_folder(tmp_path)


def test_rejects_an_unreadable_folder(folder, monkeypatch, data_error):
    def scandir(path, original=os.scandir):
        if Path(path).name == "stuck":
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr("os.scandir", scandir)
    with data_error("stuck cannot be read: Permission denied"):
        _ = scan_audio_folder(folder).test


def test_dcase_2021_keeps_source_and_target_apart(tmp_path):
    root = touch(
        tmp_path,
        "fan/train/section_00_source_train_normal_0000_strength_1_ambient.wav",
        "fan/train/section_00_target_train_normal_0000_strength_1_ambient.wav",
        "fan/source_test/section_00_source_test_normal_0000.wav",
        "fan/source_test/section_00_source_test_anomaly_0000.wav",
        "fan/target_test/section_00_target_test_anomaly_0000.wav",
    )
    layout = scan_dcase(root, "fan", "section_00")
    assert len(layout.training) == 2
    assert summary(layout.test) == [
        ("fan/source_test/section_00_source_test_anomaly_0000.wav", 1, "anomaly"),
        ("fan/source_test/section_00_source_test_normal_0000.wav", 0, ""),
        ("fan/target_test/section_00_target_test_anomaly_0000.wav", 1, "anomaly"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "test/id_01_00000000.wav",
        "source_test/section_03_source_test_0000.wav",
        "test/section_03_test_0000.wav",
        "test/section_00_0000.wav",
    ],
)
def test_unlabelled_test_clips_do_not_prevent_training(tmp_path, data_error, name):
    section = name.partition("/")[2][: len("section_00") if "section" in name else len("id_00")]
    training = f"fan/train/{section}_source_train_normal_0000_noAttribute.wav"
    training = training if "section" in name else f"fan/train/normal_{section}_00000000.wav"
    layout = scan_dcase(touch(tmp_path, training, f"fan/{name}"), "fan", section)
    assert summary(layout.training) == [(training, 0, "")]
    with data_error("1 of 1 test clips have no label", name, f"predict and predict_path={tmp_path / 'fan'}"):
        _ = layout.test


@pytest.fixture
def mimii(tmp_path):
    names = [f"fan/{name}/normal/{number:08}.wav" for name in ("id_00", "id_02") for number in range(10)]
    names += [f"fan/id_00/abnormal/{number:08}.wav" for number in range(3)]
    names += [f"fan/id_02/abnormal/{number:08}.wav" for number in range(4)]
    return touch(tmp_path, *names, "valve/id_04/normal/1.wav")


def test_mimii_tests_all_abnormal_and_as_many_normal_clips(mimii):
    layout = scan_mimii(mimii, "fan", "id_00")
    labels = [clip.label for clip in layout.test]
    assert (len(layout.training), labels.count(0), labels.count(1)) == (7, 3, 3)
    assert {clip.name for clip in layout.test if clip.label} == {f"fan/id_00/abnormal/{i:08}.wav" for i in range(3)}
    together = {clip.name for clip in (*layout.training, *layout.test)}
    assert len(together) == 13
    whole = scan_mimii(mimii, "fan")
    assert (len(whole.training), len(whole.test)) == (7 + 6, 6 + 8)
    assert set(layout.test) < set(whole.test), "an id's draw is its own"


def test_mimii_draws_by_the_seed(mimii):
    drawn = [scan_mimii(mimii, "fan", "id_00", seed).test for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_mimii_mistakes(mimii, data_error):
    with data_error("machine=pump", "fan, valve"):
        scan_mimii(mimii, "pump")
    with data_error("section=id_06", "id_00, id_02"):
        scan_mimii(mimii, "fan", "id_06")
    touch(mimii, "valve/id_04/abnormal/1.wav")
    with data_error(str(mimii / "valve/id_04"), "1 normal and 1 abnormal", "none to train on"):
        scan_mimii(mimii, "valve")


def test_real_fan(shared):
    layout = scan_mimii(shared / "audio/mimii", "fan", "id_00")
    assert (len(layout.training), len(layout.test)) == (2, 6)
    assert all(read_sound(clip.path)[1].mix_loss_db < 3 for clip in layout.test)


def test_clip_in_two_formats(folder, data_error):
    touch(folder, "train/1.pt")
    with data_error("train/1.wav", "1.pt", "two formats"):
        scan_audio_folder(folder)


def test_files_to_predict(folder):
    assert [clip.name for clip in scan_files(folder / "test").test] == [
        "anomaly/4.wav",
        "anomaly/stuck/5.WAV",
        "normal/3.wav",
    ]
    (single,) = scan_files(folder / "train/2.flac").test
    assert summary([single]) == [("2.flac", 0, "")]


def test_nothing_to_predict(folder, data_error):
    with data_error(str(folder / "gone"), "does not exist"):
        scan_files(folder / "gone")
    touch(folder, "notes.txt")
    with data_error("notes.txt", ".wav"):
        scan_files(folder / "notes.txt")
    (folder / "empty").mkdir()
    with data_error(str(folder / "empty"), "holds no clips"):
        scan_files(folder / "empty")


def test_real_slide_rail(shared):
    layout = scan_dcase(shared / "audio/dcase2020/dev_data", "slider", "id_00")
    labels = [clip.label for clip in layout.test]
    assert (len(layout.training), labels.count(0), labels.count(1)) == (75, 100, 89)
