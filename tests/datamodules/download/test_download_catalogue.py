"""What the catalogue has beside the planer set: DCASE's machines, and single files."""

from dataclasses import replace

import pytest

from datamodules.data_modules import DCASEDataModule
from datamodules.download.catalogue import ANNOTATIONS, dcase_2020, dcase_2022
from datamodules.download.install import install_file


@pytest.mark.parametrize(
    ("data_set", "clip"),
    [
        (dcase_2020("slider"), "normal_id_00_{:08}.wav"),
        (dcase_2022("slider"), "section_00_source_{1}_normal_{0:04}.wav"),
    ],
)
def test_dcase(tmp_path, data_set, clip, make_zip, published, server, installs, write_noise):
    recording = write_noise(tmp_path / "noise.wav", seconds=0.2, sample_rate=16_000).read_bytes()
    names = {f"slider/{part}/{clip.format(i, part)}" for part in ("train", "test") for i in range(3)}
    server.content = make_zip(tmp_path / "slider.zip", dict.fromkeys(sorted(names), recording)).read_bytes()
    known = replace(data_set, archive=published(server.content, server.url))
    installed = installs(known)
    assert installed.counts == (3, 3, 0)
    other = replace(known, folder="fan", parts=("fan/train", "fan/test"))
    with pytest.raises(ValueError, match="it does not contain the folders fan/train/, fan/test/"):
        installs(other)
    assert installs(known).checked is None
    datamodule = DCASEDataModule(str(tmp_path / "data/set"), "slider", n_frames=4, cache_dir=str(tmp_path / "cache"))
    datamodule.setup("fit")
    assert len(datamodule.train_clips) + len(datamodule.val_clips) == 3


def test_unknown_machine(data_error):
    with data_error("machine=teapot", "fan, pump, slider"):
        dcase_2020("teapot")
    with data_error("machine=pump", "bearing, fan"):
        dcase_2022("pump")


def test_catalogue_knows_the_annotations(shared, tmp_path, progress, data_error):
    (tmp_path / "annotations.csv").write_bytes((shared / "planer/annotations.csv").read_bytes())
    assert install_file(ANNOTATIONS, tmp_path, progress).checked is None
    (tmp_path / "annotations.csv").write_text("mine")
    with data_error("annotations.csv", "remove it"):
        install_file(ANNOTATIONS, tmp_path, progress)


def test_single_file(tmp_path, published, server, progress, patience):
    server.content = b"file,start,end\n"
    file = published(server.content, "http://127.0.0.1:9/a.csv", "annotations.csv")
    installed = install_file(file, tmp_path / "new", progress, server.url, patience)
    assert installed.path.read_bytes() == server.content
    assert install_file(file, tmp_path / "new", progress).checked is None
