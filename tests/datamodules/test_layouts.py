"""Folders and file names in, clips out."""

import shutil

import pytest

from datamodules.audio import read_audio
from datamodules.layouts import scan_audio_folder, scan_dcase, scan_files, scan_planer


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


def test_hidden_and_other_files_are_passed_over(folder):
    touch(folder, "train/._1.wav", "train/.old/9.wav", "train/notes.txt", "train/1.json")
    assert len(scan_audio_folder(folder).training) == 2


def test_a_link_to_nothing_is_a_clip_that_cannot_be_read(folder, refused):
    link = folder / "train" / "gone.wav"
    link.symlink_to(folder / "elsewhere.wav")
    assert summary(scan_audio_folder(folder).training)[-1] == ("train/gone.wav", 0, "")
    with refused(f"{link} cannot be read: No such file or directory"):
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


def test_dcase_unknown_machine(dcase, refused):
    with refused("--data.machine valve", str(dcase), "bearing, fan"):
        scan_dcase(dcase, "valve")


def test_dcase_root_without_machines(tmp_path, refused):
    with refused("--data.machine valve", "no folder there has a train/ inside"):
        scan_dcase(tmp_path, "valve")


def test_dcase_unknown_section(dcase, refused):
    with refused("--data.section id_07", "id_00, id_02"):
        scan_dcase(dcase, "fan", "id_07")


def test_dcase_file_of_another_name(dcase, refused):
    touch(dcase, "fan/test/recording.wav")
    with refused("fan/test/recording.wav", "DCASE"):
        scan_dcase(dcase, "fan")


def test_dcase_anomaly_among_the_training_clips(dcase, refused):
    touch(dcase, "fan/train/anomaly_id_00_00000009.wav")
    with refused("fan/train/anomaly_id_00_00000009.wav", "training"):
        scan_dcase(dcase, "fan")


@pytest.mark.parametrize(
    ("scan", "folders"),
    [
        (scan_planer, ["training/", "evaluation/normal/", "evaluation/anomalies/"]),
        (scan_audio_folder, ["train/", "test/normal/", "test/anomaly/"]),
    ],
)
def test_root_without_the_layout_says_what_was_looked_for(tmp_path, refused, scan, folders):
    with refused(f"--data.root {tmp_path}", *folders):
        scan(tmp_path)


@pytest.mark.parametrize("scan", [scan_planer, scan_audio_folder, lambda root: scan_dcase(root, "fan")])
def test_missing_root(tmp_path, refused, scan):
    with refused(f"--data.root {tmp_path / 'gone'} is not a folder"):
        scan(tmp_path / "gone")


@pytest.mark.parametrize("name", ["train", "test/normal", "test/anomaly"])
def test_missing_and_empty_folder(folder, refused, name):
    shutil.rmtree(folder / name)
    with refused(f"of which {name}/ not found"):
        scan_audio_folder(folder)
    (folder / name).mkdir()
    with refused(str(folder / name), "holds no clips"):
        scan_audio_folder(folder)


def test_clip_in_two_formats(folder, refused):
    touch(folder, "train/1.pt")
    with refused("train/1.wav", "1.pt", "two formats"):
        scan_audio_folder(folder)


def test_files_to_predict(folder):
    assert [clip.name for clip in scan_files(folder / "test")] == [
        "anomaly/4.wav",
        "anomaly/stuck/5.WAV",
        "normal/3.wav",
    ]
    (single,) = scan_files(folder / "train/2.flac")
    assert summary([single]) == [("2.flac", 0, "")]


def test_nothing_to_predict(folder, refused):
    with refused(str(folder / "gone"), "does not exist"):
        scan_files(folder / "gone")
    touch(folder, "notes.txt")
    with refused("notes.txt", ".wav"):
        scan_files(folder / "notes.txt")
    (folder / "empty").mkdir()
    with refused(str(folder / "empty"), "holds no clips"):
        scan_files(folder / "empty")


def test_real_slide_rail(shared):
    layout = scan_dcase(shared / "audio/dcase2020/dev_data", "slider", "id_00")
    labels = [clip.label for clip in layout.test]
    assert (len(layout.training), labels.count(0), labels.count(1)) == (75, 100, 89)
