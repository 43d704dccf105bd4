"""Files written as a whole."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from lightning_modules.files import whole_file


def test_two_threads_write_one_file_at_once(tmp_path):
    both_have_written = Barrier(2)

    def write(text):
        with whole_file(tmp_path / "a") as temporary:
            temporary.write_text(text)
            both_have_written.wait(timeout=10)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ("1", "2")))
    assert (tmp_path / "a").read_text() in ("1", "2")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
