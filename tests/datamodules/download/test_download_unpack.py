"""Archives that mean harm or are broken: one line, and nothing outside the folder."""

import random
import shutil
import stat
import struct
import zipfile
from zipfile import ZIP_DEFLATED, ZipInfo

import pytest

from datamodules.download.unpack import unpack
from datamodules.errors import DataError

MAX_BYTES = 10**6
CONTENT = random.Random(1).randbytes(5_000)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "outer" / "set"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def unpacks(folder, progress):
    def run(archive, max_bytes=MAX_BYTES, max_files=100):
        unpack(archive, folder, max_bytes, max_files, progress)
        return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}

    return run


@pytest.fixture
def refuses(tmp_path, folder, unpacks, refused):
    """Refuse an archive before anything is written, in or out of the folder."""

    def check(archive, *texts, **limits):
        with refused(str(archive), *texts):
            unpacks(archive, **limits)
        assert {path for path in tmp_path.rglob("*") if path.is_file()} == {archive}
        assert not list(folder.iterdir())

    return check


def with_mode(name, mode):
    info = ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_files_and_folders(tmp_path, make_zip, unpacks, compression):
    members = {"data/": b"", "data/training/1.pt": CONTENT, "data/empty.csv": b"", with_mode("run", 0o104755): b"x"}
    found = unpacks(make_zip(tmp_path / "a.zip", members, compression))
    assert set(found) == {"data/training/1.pt", "data/empty.csv", "run"}
    assert found["data/training/1.pt"].read_bytes() == CONTENT
    assert not stat.S_IMODE(found["run"].stat().st_mode) & (stat.S_ISUID | stat.S_IXUSR)


def test_backslashes_are_separators(tmp_path, make_zip, unpacks):
    assert set(unpacks(make_zip(tmp_path / "a.zip", {"data\\training\\1.pt": b"1"}))) == {"data/training/1.pt"}


@pytest.mark.parametrize(
    "name",
    [
        "../out.pt",
        "a/../../out.pt",
        "/tmp/out.pt",
        "..\\out.pt",
        "C:\\out.pt",
        "C:out.pt",
        "a\nb",
        "//host/x",
        "..",
        ".",
    ],
)
def test_path_that_leads_out(tmp_path, make_zip, refuses, name):
    refuses(make_zip(tmp_path / "a.zip", {"good.pt": b"1", name: b"2"}), "leads out of the folder")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices(tmp_path, make_zip, refuses, mode):
    refuses(make_zip(tmp_path / "a.zip", {with_mode("x", mode | 0o777): b"/etc/passwd"}), "'x'", "link or device")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a/x.pt", "a/x.pt"), ("a/x.pt", "A/X.pt"), ("a/x.pt", "a//x.pt")])
def test_one_name_twice(tmp_path, refuses, names):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"1")
    refuses(tmp_path / "a.zip", "twice")


@pytest.mark.parametrize("names", [("a", "a/x.pt"), ("a/x.pt", "A")])
def test_file_that_is_a_folder_too(tmp_path, make_zip, refuses, names):
    refuses(make_zip(tmp_path / "a.zip", dict.fromkeys(names, b"1")), "as a file and as a folder")


def test_bomb(tmp_path, make_zip, refuses):
    archive = make_zip(tmp_path / "a.zip", {"x.pt": bytes(900_000)}, ZIP_DEFLATED)
    refuses(archive, "900,000 bytes", "over 100 times its size")


def test_too_large(tmp_path, make_zip, refuses):
    refuses(make_zip(tmp_path / "a.zip", {"x.pt": CONTENT, "y.pt": CONTENT}), "10,000 bytes", "9,999", max_bytes=9_999)


def test_too_many(tmp_path, make_zip, refuses):
    refuses(make_zip(tmp_path / "a.zip", {str(i): b"" for i in range(7)}), "7 members", max_files=6)


def test_larger_than_the_disk(tmp_path, folder, progress):
    archive = tmp_path / "a.zip"
    free = shutil.disk_usage(folder).free
    with archive.open("wb") as file:
        file.truncate(free // 20)  # a hole, so that the ratio is no reason to refuse it
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("x.pt", CONTENT)
        opened.getinfo("x.pt").file_size = 2 * free
    with pytest.raises(DataError, match=r"bytes free, what a\.zip holds needs"):
        unpack(archive, folder, 4 * free, 1, progress)


def test_more_data_than_declared(tmp_path, make_zip, unpacks, refused, folder):
    archive = patched(make_zip(tmp_path / "a.zip", {"x.pt": CONTENT * 10}, ZIP_DEFLATED), 24, struct.pack("<I", 100))
    with refused(str(archive), "damaged"):
        unpacks(archive)
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 100


def test_encrypted(tmp_path, make_zip, refuses):
    archive = make_zip(tmp_path / "a.zip", {"good.pt": CONTENT, "x.pt": CONTENT})
    refuses(patched(archive, 8, b"\x01"), "encrypted", "'x.pt'")


def test_unknown_compression(tmp_path, make_zip, unpacks, refused):
    with refused("compressed in a way"):
        unpacks(patched(make_zip(tmp_path / "a.zip", {"x.pt": CONTENT}), 10, b"\x09"))


def test_truncated_and_no_archive(tmp_path, make_zip, refuses):
    archive = make_zip(tmp_path / "a.zip", {"x.pt": CONTENT})
    archive.write_bytes(archive.read_bytes()[:-30])
    refuses(archive, "no ZIP archive, or a damaged one")
    archive.write_bytes(b"<html>Sign in</html>")
    refuses(archive, "no ZIP archive, or a damaged one")
    archive.write_bytes(b"")
    refuses(archive, "no ZIP archive, or a damaged one")


def test_flipped_bit(tmp_path, make_zip, unpacks, refused):
    archive = make_zip(tmp_path / "a.zip", {"x.pt": CONTENT})
    damaged = bytearray(archive.read_bytes())
    damaged[1_000] ^= 1
    archive.write_bytes(damaged)
    with refused(str(archive), "damaged", "CRC"):
        unpacks(archive)


def test_mutated_archives_are_unpacked_or_refused(tmp_path, make_zip, progress):
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
            unpack(archive, folder, MAX_BYTES, 100, progress)
            outcomes.add("unpacked")
        except DataError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert outcomes == {"unpacked", "refused"}


def patched(archive, offset, value):
    """Overwrite a field of the last member's entry in the central directory."""
    content = bytearray(archive.read_bytes())
    begin = content.rindex(b"PK\x01\x02") + offset
    content[begin : begin + len(value)] = value
    archive.write_bytes(content)
    return archive
