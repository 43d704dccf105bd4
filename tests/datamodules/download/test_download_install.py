"""The planer set from archive to DataModule: complete and in place, or not there at all."""

import csv
import io
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datamodules.annotations import read_annotations
from datamodules.data_modules import PlanerDataModule
from datamodules.download.catalogue import PLANER, ClipCounts
from datamodules.download.install import Source, install

BOARDS = ("2x3", "2x4", "2x6", "machine_start_stop")
TYPES = ("Uneven_thick_wood", "board_stuck", "broken_board")


def clip_file(frames: int) -> bytes:
    buffer = io.BytesIO()
    torch.save(torch.randn(80, 2).repeat(1, frames)[:, :frames].clone(), buffer)
    return buffer.getvalue()


def planer_members(
    counts: ClipCounts, anomalies: dict[str, str], top: str = "data/", frames: int = 401
) -> dict[str, bytes]:
    """Members of an archive in the published layout; anomalies are {name: type}."""
    clip = clip_file(frames)
    training = (f"training/{BOARDS[i % 4]}/MPD_19-11-25_0900_{i:05}_1.pt" for i in range(counts.training))
    normal = (f"evaluation/normal/MPD_19-12-03_1000_{i:05}_2.pt" for i in range(counts.normal))
    anomalous = (f"evaluation/anomalies/{kind}/{name}.pt" for name, kind in anomalies.items())
    return {top + name: clip for name in (*training, *normal, *anomalous)}


SMALL = ClipCounts(12, 5, 4)
SMALL_ANOMALIES = {f"MPD_19-12-04_1037_00115_{i}": TYPES[i % 3] for i in range(1, 5)}


@pytest.fixture
def annotations(tmp_path, write_published_csv):
    rows = {
        name: (kind, "[(0,40), (80,399)]" if i < 2 else "-") for i, (name, kind) in enumerate(SMALL_ANOMALIES.items())
    }
    return write_published_csv(tmp_path / "given.csv", rows)


@pytest.fixture
def archive(tmp_path, make_zip):
    members = planer_members(SMALL, SMALL_ANOMALIES) | {"data/notes.bin": random.Random(0).randbytes(300_000)}
    return make_zip(tmp_path / "served" / "data.zip", members)


@pytest.fixture
def entry(archive, annotations, published, server):
    """The catalogue entry of a small planer set that the server has."""
    server.content = archive.read_bytes()
    return replace(
        PLANER,
        archive=published(server.content, server.url),
        counts=SMALL,
        annotations=published(annotations.read_bytes(), "http://127.0.0.1:9/annotations.csv", "annotations.csv"),
    )


@pytest.fixture
def fails(tmp_path, installs, data_error):
    """Install in vain: one line, and no data set."""

    def check(data_set, *texts, **source):
        with data_error(*texts):
            installs(data_set, **source)
        assert not (tmp_path / "data" / "set").exists()

    return check


def setup(root, cache):
    datamodule = PlanerDataModule(str(root), cache_dir=str(cache))
    datamodule.setup()
    return datamodule


def test_from_a_server(tmp_path, entry, annotations, server, installs):
    installed = installs(entry, annotations=annotations)
    assert (installed.counts, installed.checked) == (SMALL, "its SHA-256")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["set"]
    assert (installed.path / "annotations.csv").read_bytes() == annotations.read_bytes()
    datamodule = setup(installed.path, tmp_path / "cache")
    assert len(datamodule.train_clips) + len(datamodule.val_clips) == SMALL.training
    assert sum(bool(clip.intervals) for clip in datamodule.test_clips) == 2
    assert len(server.requests) == 1


def test_second_call_changes_nothing(entry, annotations, server, installs):
    installs(entry, annotations=annotations)
    again = installs(entry)
    assert (again.checked, again.counts, len(server.requests)) == (None, SMALL, 1)


def test_interrupted_and_called_again(tmp_path, entry, annotations, server, installs, fails):
    server.script = [("answer", len(server.content) // 2), ("status", 500), ("status", 500)]
    fails(entry, "500", "as mirror", "as archive", annotations=annotations)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["set.download"]
    installs(entry, annotations=annotations)
    assert server.ranges[0] is None and all(server.ranges[1:])
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["set"]


@pytest.mark.parametrize("top", ["", "data/", "PlaningItByEar 1.0/"])
def test_archives_with_and_without_a_common_folder(tmp_path, entry, annotations, make_zip, published, installs, top):
    members = planer_members(SMALL, SMALL_ANOMALIES, top) | {"__MACOSX/._data": b"x", f"{top}README.md": b"x"}
    path = make_zip(tmp_path / "other.zip", members)
    local = replace(entry, archive=published(path.read_bytes()))
    assert installs(local, archive=path, annotations=annotations).counts == SMALL
    assert path.exists()


def test_mirror(entry, annotations, server, installs, fails):
    moved = replace(entry, archive=replace(entry.archive, url=server.url + "&old"))
    server.script = [("status", 404)]
    fails(moved, "404", "as mirror", annotations=annotations)
    installs(moved, mirror=server.url, annotations=annotations)


def test_annotations_come_from_their_address_and_come_first(entry, annotations, server, installs, fails):
    here = replace(entry, annotations=replace(entry.annotations, url=server.url))
    server.script = [("status", 404)]
    fails(here, "404", "as annotations")
    server.script = [("whole", annotations.read_bytes())]
    assert (installs(here).path / "annotations.csv").read_bytes() == annotations.read_bytes()
    assert len(server.requests) == 3


def test_existing_annotations_are_kept(tmp_path, entry, annotations, installs):
    (tmp_path / "data" / "set").mkdir(parents=True)
    annotations.rename(tmp_path / "data" / "set" / "annotations.csv")
    assert (installs(entry).path / "annotations.csv").is_file()


def test_annotations_are_added_to_a_complete_set(entry, annotations, server, installs):
    root = installs(entry, annotations=annotations).path
    (root / "annotations.csv").unlink()
    installs(entry, annotations=annotations)
    assert (root / "annotations.csv").read_bytes() == annotations.read_bytes()
    assert len(server.requests) == 1


def test_annotations_of_another_set(tmp_path, entry, write_published_csv, fails):
    other = write_published_csv(tmp_path / "other.csv", {"MPD_20-01-01_0000_00000_1": ("broken_board", "-")})
    fails(entry, "other.csv row 2", "not among the test clips", annotations=other)


def test_missing_clip(tmp_path, entry, annotations, make_zip, published, fails):
    members = planer_members(SMALL._replace(training=11), SMALL_ANOMALIES)
    path = make_zip(tmp_path / "less.zip", members)
    less = replace(entry, archive=published(path.read_bytes()))
    fails(less, "less.zip", "11 training, 5 normal", "12 training, 5 normal", archive=path, annotations=annotations)


def test_another_archive(tmp_path, entry, annotations, make_zip, published, fails):
    path = make_zip(tmp_path / "other.zip", {"data/training/1.pt": b"1"})
    fails(entry, "other.zip", "bytes", "as published", archive=path, annotations=annotations)
    same = replace(entry, archive=published(path.read_bytes()))
    fails(same, "is not the planer set", "evaluation/normal/", archive=path, annotations=annotations)
    fails(entry, "archive=", "is not a file", archive=tmp_path / "gone.zip", annotations=annotations)


def test_archive_member_that_leads_out_of_the_folder(tmp_path, entry, annotations, make_zip, published, installs):
    path = make_zip(tmp_path / "bad.zip", planer_members(SMALL, SMALL_ANOMALIES) | {"../../../escaped.pt": b"x"})
    installs(replace(entry, archive=published(path.read_bytes())), archive=path, annotations=annotations)
    assert not list(tmp_path.rglob("escaped.pt"))


def test_folder_with_something_else(tmp_path, entry, annotations, installs, data_error, server):
    root = tmp_path / "data" / "set"
    root.mkdir(parents=True)
    (root / "thesis.doc").write_text("x")
    with data_error(str(root), "is not the planer set", "choose a new folder"):
        installs(entry, annotations=annotations)
    assert [path.name for path in root.iterdir()] == ["thesis.doc"]
    assert not server.requests


def test_rejects_an_incomplete_set(entry, annotations, installs, data_error):
    root = installs(entry, annotations=annotations).path
    min((root / "training").rglob("*.pt")).unlink()
    with data_error("11 training", "12 training", "choose a new folder"):
        installs(entry, annotations=annotations)


def test_root_that_cannot_be_made(tmp_path, entry, installs, data_error):
    (tmp_path / "data").write_text("a file")
    with data_error(str(tmp_path / "data")):
        installs(entry)


def test_archive_without_checksum_that_does_not_unpack_is_downloaded_again(
    tmp_path, entry, annotations, archive, server, installs, fails
):
    unknown = replace(entry, archive=replace(entry.archive, size=None, checksum=None))
    server.content = b"<html>down for maintenance</html>"
    fails(unknown, "is not a ZIP archive", annotations=annotations)
    server.content = archive.read_bytes()
    assert installs(unknown, annotations=annotations).checked.startswith("nothing")


def test_root_that_is_a_link(tmp_path, entry, annotations, installs):
    (tmp_path / "large_disk" / "set").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "set").symlink_to(tmp_path / "large_disk" / "set")
    installs(entry, annotations=annotations)
    assert (tmp_path / "data" / "set").is_symlink()
    assert [path.name for path in (tmp_path / "large_disk").iterdir()] == ["set"]
    assert (tmp_path / "large_disk" / "set" / "training").is_dir()


def test_failure_leaves_no_folders(tmp_path, entry, annotations, server, fails):
    server.script = [("status", 404)]
    fails(entry, "404", annotations=annotations)
    assert not (tmp_path / "data").exists()


def published_anomalies(path: Path, write_published_csv) -> dict[str, str]:
    """The 105 anomalous clips by type, from the authors' CSV where it is at hand, else from one of its size."""
    real = Path(__file__).resolve().parents[3].parent / "shared/planer/annotations.csv"
    if real.is_file():
        path.write_bytes(real.read_bytes())
        with path.open(newline="") as file:
            return {row[1].removesuffix(".pt"): row[4] for row in list(csv.reader(file))[1:]}
    draw = random.Random(0)
    names = {f"MPD_19-12-04_{800 + i // 6}_{i // 6:05}_{i % 6 + 1}": draw.choice(TYPES) for i in range(105)}
    frames = ["[(40,80), (120,399)]"] * 46 + ["-"] * 59
    write_published_csv(path, {name: (kind, frames[i]) for i, (name, kind) in enumerate(names.items())})
    return names


def test_the_published_set_in_full(tmp_path, make_zip, published, server, progress, patience, write_published_csv):
    anomalies = published_anomalies(tmp_path / "given.csv", write_published_csv)
    path = make_zip(tmp_path / "data.zip", planer_members(PLANER.counts, anomalies, frames=1))  # counted, not read
    server.content = path.read_bytes()
    server.script = [("answer", len(server.content) // 3), ("reset", len(server.content) // 2)]
    entry = replace(PLANER, archive=published(server.content, server.url))
    installed = install(entry, tmp_path / "planer", progress, Source(annotations=tmp_path / "given.csv"), patience)
    assert installed.counts == (4_327, 3_130, 105)
    layout = PlanerDataModule(str(installed.path)).scan()
    labels = [clip.label for clip in layout.test]
    assert (len(layout.training), labels.count(0), labels.count(1)) == (4_327, 3_130, 105)
    assert {clip.path.stem: clip.anomaly_type for clip in layout.test if clip.label} == anomalies
    assert sum(bool(row.intervals) for row in read_annotations(installed.path / "annotations.csv")) == 46
    assert all(server.ranges[1:])
