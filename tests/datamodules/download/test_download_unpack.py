"""Unpacking hostile and damaged archives: a one-line error, and nothing outside the folder."""

import random
import stat
import struct
import zipfile
from types import SimpleNamespace
from zipfile import ZIP_DEFLATED, ZipInfo

import pytest

from datamodules.download import fetch
from datamodules.download.install import unpack
from datamodules.errors import DataError

CONTENT = random.Random(1).randbytes(5_000)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "outer" / "set"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def unpacks(folder, progress):
    def run(archive):
        unpack(archive, folder, progress)
        return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}

    return run


@pytest.fixture
def rejects(tmp_path, folder, unpacks, data_error):
    """Reject an archive before anything is written, inside or outside the folder."""

    def check(archive, *texts):
        with data_error(str(archive), *texts):
            unpacks(archive)
        assert {path for path in tmp_path.rglob("*") if path.is_file()} == {archive}
        assert not list(folder.iterdir())

    return check


def with_mode(name, mode):
    info = ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_unpacks_files_and_folders_without_permissions(tmp_path, make_zip, unpacks, compression):
    members = {"data/": b"", "data/training/1.pt": CONTENT, "data/empty.csv": b"", with_mode("run", 0o104755): b"x"}
    found = unpacks(make_zip(tmp_path / "a.zip", members, compression))
    assert set(found) == {"data/training/1.pt", "data/empty.csv", "run"}
    assert found["data/training/1.pt"].read_bytes() == CONTENT
    assert not stat.S_IMODE(found["run"].stat().st_mode) & (stat.S_ISUID | stat.S_IXUSR)


def test_backslashes_are_separators(tmp_path, make_zip, unpacks):
    assert set(unpacks(make_zip(tmp_path / "a.zip", {"data\\training\\1.pt": b"1"}))) == {"data/training/1.pt"}


@pytest.mark.parametrize("name", ["../out.pt", "a/../../out.pt", "/tmp/out.pt", "..\\out.pt", "//host/x"])
def test_names_cannot_lead_out_of_the_folder(tmp_path, make_zip, unpacks, folder, name):
    archive = make_zip(tmp_path / "a.zip", {"good.pt": b"1", name: b"2"})
    assert len(unpacks(archive)) == 2
    assert all(path.is_relative_to(folder) for path in tmp_path.rglob("*") if path.is_file() and path != archive)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_become_plain_files(tmp_path, make_zip, unpacks, mode):
    (file,) = unpacks(make_zip(tmp_path / "a.zip", {with_mode("x", mode | 0o777): b"/etc/passwd"})).values()
    assert not file.is_symlink()
    assert file.read_bytes() == b"/etc/passwd"


def test_file_that_is_also_a_folder(tmp_path, make_zip, unpacks, data_error):
    archive = make_zip(tmp_path / "a.zip", dict.fromkeys(("a", "a/x.pt"), b"1"))
    with data_error(str(archive), "cannot be unpacked"):
        unpacks(archive)


def test_rejects_an_archive_larger_than_the_disk(tmp_path, make_zip, unpacks, data_error, folder, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: SimpleNamespace(free=9_999))
    archive = make_zip(tmp_path / "a.zip", {"x.pt": CONTENT, "y.pt": CONTENT})
    with data_error("9,999 bytes free, what a.zip holds needs 10,000"):
        unpacks(archive)
    assert not list(folder.iterdir())


def test_more_data_than_declared(tmp_path, make_zip, unpacks, data_error, folder):
    archive = patched(make_zip(tmp_path / "a.zip", {"x.pt": CONTENT * 10}, ZIP_DEFLATED), 24, struct.pack("<I", 100))
    with data_error(str(archive), "damaged"):
        unpacks(archive)
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 100


def test_rejects_an_encrypted_archive(tmp_path, make_zip, unpacks, data_error):
    archive = make_zip(tmp_path / "a.zip", {"good.pt": CONTENT, "x.pt": CONTENT})
    with data_error(str(archive), "encrypted", "'x.pt'"):
        unpacks(patched(archive, 8, b"\x01"))


def test_unknown_compression(tmp_path, make_zip, unpacks, data_error):
    with data_error("compressed in a way"):
        unpacks(patched(make_zip(tmp_path / "a.zip", {"x.pt": CONTENT}), 10, b"\x09"))


def test_rejects_truncated_archives_and_other_files(tmp_path, make_zip, rejects):
    archive = make_zip(tmp_path / "a.zip", {"x.pt": CONTENT})
    archive.write_bytes(archive.read_bytes()[:-30])
    rejects(archive, "is not a ZIP archive, or is damaged")
    archive.write_bytes(b"<html>Sign in</html>")
    rejects(archive, "is not a ZIP archive, or is damaged")
    archive.write_bytes(b"")
    rejects(archive, "is not a ZIP archive, or is damaged")


def test_flipped_bit(tmp_path, make_zip, unpacks, data_error):
    archive = make_zip(tmp_path / "a.zip", {"x.pt": CONTENT})
    damaged = bytearray(archive.read_bytes())
    damaged[1_000] ^= 1
    archive.write_bytes(damaged)
    with data_error(str(archive), "damaged", "CRC"):
        unpacks(archive)


def test_mutated_archives_are_unpacked_or_rejected(tmp_path, make_zip, progress):
    random_ = random.Random(2)
    members = {"data/training/1.pt": CONTENT[:300], "data/evaluation/2.pt": bytes(200), "a.csv": b"a,b\n"}
    compressions = (ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)
    good = [make_zip(tmp_path / "good.zip", members, compression).read_bytes() for compression in compressions]
    outcomes = set()
    for number in range(90):
        damaged = bytearray(good[number % len(good)])
        for _ in range(random_.randint(1, 4)):
            damaged[random_.randrange(len(damaged))] = random_.randrange(256)
        archive, folder = tmp_path / "bad.zip", tmp_path / f"set{number}"
        archive.write_bytes(damaged[: random_.choice([len(damaged), random_.randrange(len(damaged))])])
        folder.mkdir()
        try:
            unpack(archive, folder, progress)
            outcomes.add("unpacked")
        except DataError as error:
            assert "\n" not in str(error)
            outcomes.add("rejected")
    assert outcomes == {"unpacked", "rejected"}


def patched(archive, offset, value):
    """Overwrite a field of the last member's entry in the central directory."""
    content = bytearray(archive.read_bytes())
    begin = content.rindex(b"PK\x01\x02") + offset
    content[begin : begin + len(value)] = value
    archive.write_bytes(content)
    return archive
