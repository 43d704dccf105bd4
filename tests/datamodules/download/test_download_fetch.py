"""Downloads from a real server that breaks off, lies, stalls and fails: a whole file, or one line and no file."""

import hashlib
import random
import time
from dataclasses import replace

import pytest
from rich.progress import Progress

from datamodules.download.fetch import check_file, fetch
from datamodules.errors import DataError

CONTENT = random.Random(0).randbytes(400_000)
HALF = 200_000


@pytest.fixture
def file(server, published):
    server.content = CONTENT
    return published(CONTENT, server.url)


@pytest.fixture
def fetches(tmp_path, progress, patience):
    """Fetch, and find the whole file and nothing beside it."""

    def check(file, content=CONTENT):
        fetched = fetch(file, tmp_path, progress, patience)
        assert fetched.path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [fetched.path]
        return fetched

    return check


@pytest.fixture
def fails(tmp_path, progress, patience, data_error):
    """Fetch in vain: one line, and no file that looks complete."""

    def check(file, *texts):
        with data_error(*texts):
            fetch(file, tmp_path, progress, patience)
        assert not (tmp_path / file.name).exists()

    return check


def kept(tmp_path):
    part = tmp_path / "data.zip.part"
    return part.read_bytes() if part.exists() else None


def test_whole_file(server, file, fetches):
    assert fetches(file).checked == "its SHA-256"
    assert server.ranges == [None]
    assert server.requests[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("how", ["answer", "reset", "stall"])
def test_resumes_after_a_broken_connection(server, file, fetches, how):
    server.script = [(how, HALF)]
    fetches(file)
    assert len(server.ranges) == 2
    assert 0 < int(server.ranges[1].removeprefix("bytes=").removesuffix("-")) <= HALF


def test_resumes_in_a_later_call(server, file, fetches, fails, tmp_path):
    server.script = [("answer", HALF), ("silence",), ("status", 500)]
    fails(file, server.url, "500", "3 times in a row", "bytes are kept in", "data.zip.part")
    begun = kept(tmp_path)
    assert CONTENT.startswith(begun)
    fetches(file)
    assert server.ranges[-1] == f"bytes={len(begun)}-"


def test_stopped_download_says_what_is_kept(server, file, fetches, patience, tmp_path):
    class Stopping(Progress):
        def update(self, *arguments, **options):
            if options["completed"]:
                raise KeyboardInterrupt

    message = (
        r"during the download of data.zip; [\d,]+ bytes are kept in .*data.zip.part; the same command resumes there"
    )
    with pytest.raises(KeyboardInterrupt, match=message):
        fetch(file, tmp_path, Stopping(), patience)
    fetches(file)


def test_temporary_errors_are_retried(server, file, fetches):
    server.script = [("status", 500), ("silence",)]
    fetches(file)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [(("status", 502), "502"), (("silence",), "Timeout"), (("status", 429), "429"), (("answer", 0), "connection")],
)
def test_attempts_are_limited(server, file, fails, behaviour, text):
    server.script = [behaviour] * 10
    fails(file, server.url, text, "3 times in a row")
    assert len(server.requests) == 3


def test_pauses_requested_by_a_server_are_limited(server, file, tmp_path, progress, patience):
    server.script = [("status", 503, {"Retry-After": "3600"})]
    begin = time.monotonic()
    fetch(file, tmp_path, progress, replace(patience, longest_pause=0.3))
    assert 0.3 <= time.monotonic() - begin < 5


def test_attempt_that_receives_much_does_not_count_as_failed(server, published, tmp_path, progress, patience):
    server.content = bytes(10 * 2**20)
    file, once = published(server.content, server.url), replace(patience, attempts=1)
    server.script = [("answer", 9 * 2**20)]
    fetch(file, tmp_path, progress, once).path.unlink()
    server.script = [("answer", 2**20)]
    with pytest.raises(DataError, match="1 times in a row"):
        fetch(file, tmp_path, progress, once)


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_client_errors_are_not_retried(server, file, fails, code):
    server.script = [("status", code)]
    fails(file, server.url, str(code))
    assert len(server.requests) == 1


def test_no_server(server, file, fails):
    fails(replace(file, url="http://127.0.0.1:9/data.zip"), "http://127.0.0.1:9/data.zip", "connection failed")
    assert not server.requests


@pytest.mark.parametrize("url", ["data.zip", "file:///etc/passwd", "https://", "http://[", "ftp://host/file"])
def test_rejects_invalid_addresses(file, fails, url):
    fails(replace(file, url=url), "is not a valid address")


def test_server_that_ignores_ranges_is_read_from_the_start(server, file, fetches):
    server.script = [("answer", HALF), ("whole",)]
    fetches(file)
    assert len(server.requests) == 2


def test_another_range_than_asked_for_is_not_used(server, file, fetches):
    server.script = [("answer", HALF), ("other_range",)]
    fetches(file)
    assert server.ranges[2] is None


def md5_tag(content):
    return f'"md5:{hashlib.md5(content).hexdigest()}"'


def test_changed_file_is_read_from_the_start(server, file, fetches, fails):
    unknown = replace(file, size=None, checksum=None)
    server.etag = md5_tag(CONTENT)
    server.script = [("answer", HALF), *[("status", 500)] * 3]
    fails(unknown, "500")
    server.etag, server.content = md5_tag(CONTENT[::-1]), CONTENT[::-1]
    fetches(unknown, CONTENT[::-1])
    assert server.ranges[-1] is None


@pytest.mark.parametrize("tag", [None, '"first"', 'W/"1"'])
def test_no_resumption_without_checksum(server, file, fetches, tag):
    server.etag = tag
    server.script = [("answer", HALF)]
    assert "nothing" in fetches(replace(file, size=None, checksum=None)).checked
    assert server.ranges[-1] is None


def test_left_over_beginning_of_another_file(server, file, fetches, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(b"x" * HALF)
    fetches(file)
    assert server.ranges == [f"bytes={HALF}-", None]


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 5])
def test_left_over_part_that_is_complete_or_too_long(server, file, fetches, tmp_path, size):
    (tmp_path / "data.zip.part").write_bytes((CONTENT + b"12345")[:size])
    fetches(file)
    assert server.ranges == ([] if size == len(CONTENT) else [f"bytes={size}-", None])


def test_complete_part_of_a_file_of_unknown_size(server, file, fetches, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(CONTENT)
    fetches(replace(file, size=None))
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("length", [10, len(CONTENT) + 7])
def test_lie_about_the_length(server, file, fails, tmp_path, length):
    server.script = [("announce", length)]
    fails(file, f"{length:,} bytes", f"{len(CONTENT):,}", "another file")
    assert kept(tmp_path) is None


def test_too_long_a_length_of_a_file_of_unknown_size(server, file, fetches):
    server.script = [("announce", len(CONTENT) + 7)]
    fetches(replace(file, size=None))


def test_more_bytes_than_there_should_be(server, file, fails, tmp_path):
    server.script = [("unsized", CONTENT + bytes(30_000_000))]
    fails(file, "sends more than the 400,000 bytes")
    assert not server.sent_all, "the client should hang up"
    assert kept(tmp_path) is None


def test_shorter_file_without_a_length_is_resumed(server, file, fetches):
    server.script = [("unsized", CONTENT[:HALF])]
    fetches(file)
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_wrong_bytes(server, file, fails, tmp_path):
    server.script = [("whole", CONTENT[::-1])]
    fails(file, server.url, "SHA-256", "damaged, or another file")
    assert kept(tmp_path) is None


def test_encoded_answer(server, file, fails):
    server.script = [("encoded",)]
    fails(file, "encoding")


def test_md5_in_the_answer(server, file, fetches):
    server.etag = md5_tag(CONTENT)
    server.script = [("answer", HALF)]
    assert fetches(replace(file, size=None, checksum=None)).checked == "its MD5 as the server gives it"
    assert server.ranges[1]


def test_wrong_md5_in_the_answer(server, file, fails, tmp_path):
    server.etag = f'"md5:{"0" * 32}"'
    fails(replace(file, size=None, checksum=None), "MD5", "0" * 32)
    assert kept(tmp_path) is None


def test_complete_file_is_kept_and_a_damaged_one_replaced(server, file, fetches, tmp_path):
    (tmp_path / "data.zip").write_bytes(CONTENT)
    fetches(file)
    assert not server.requests
    (tmp_path / "data.zip").write_bytes(CONTENT[::-1])
    fetches(file)
    assert server.ranges == [None]


def test_full_disk(server, file, fails):
    server.script = [("announce", 10**18)]
    fails(replace(file, size=None), "bytes free", f"{10**18:,}")


def test_pointer_of_git_lfs(tmp_path, file, progress, data_error):
    pointer = tmp_path / "data.zip"
    pointer.write_text(f"version https://git-lfs.github.com/spec/v1\noid {file.checksum}\nsize {file.size}\n")
    with data_error("is a Git LFS pointer file", "git lfs pull"):
        check_file(pointer, file, progress)
