"""A real HTTP server that can be told to misbehave, and archives to serve."""

import hashlib
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.progress import Progress

from datamodules.download.catalogue import RemoteFile
from datamodules.download.fetch import Patience
from datamodules.download.install import Installed, Source, install

TIMEOUT = 0.15


class Server(ThreadingHTTPServer):
    """Serves one file; `script` says how each request goes, the rest are answered as HTTP says.

    Attributes:
        content: The file.
        etag: Its entity tag.
        script: What the next requests get, each a method of :class:`Handler` with its arguments.
        requests: Headers of the requests so far.
        sent_all: Whether the client took all of an answer without a length.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.script, self.requests, self.sent_all = b"", None, [], [], False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data.zip?download=1"

    @property
    def ranges(self):
        return [request.get("Range") for request in self.requests]

    def handle_error(self, request, client_address):
        """The client hangs up on purpose; that is not worth a traceback."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(dict(self.headers))
        how, *arguments = self.server.script.pop(0) if self.server.script else ("answer",)
        getattr(self, how)(*arguments)

    def answer(self, upto=None):
        """Answer as HTTP says, but break off at a byte of the file."""
        content, start = self.server.content, self._start()
        if start and start >= len(content):
            self._head(416, {"Content-Range": f"bytes */{len(content)}"})
            return
        if start:
            self._head(206, {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}, len(content) - start)
        else:
            self._head(200, {}, len(content))
        self.wfile.write(content[start:upto])

    def reset(self, upto):
        """Break off with a reset connection."""
        self.answer(upto)
        self.wfile.flush()
        time.sleep(0.03)  # a reset overtakes bytes that the client has not read yet
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)

    def stall(self, upto):
        """Fall silent without closing the connection."""
        self.answer(upto)
        self.wfile.flush()
        time.sleep(2 * TIMEOUT)

    def silence(self):
        """Say nothing at all."""
        time.sleep(2 * TIMEOUT)

    def status(self, code, headers=None):
        self._head(code, headers or {}, 0)

    def whole(self, content=None):
        """Ignore the range that is asked for; maybe send another file."""
        content = self.server.content if content is None else content
        self._head(200, {}, len(content))
        self.wfile.write(content)

    def announce(self, length):
        """Lie about the length."""
        self._head(200, {}, length)
        self.wfile.write(self.server.content)

    def unsized(self, content):
        """Do not say how long the file is."""
        self._head(200, {})
        self.wfile.write(content)
        self.server.sent_all = True

    def other_range(self):
        """Answer a range with another one."""
        self._head(206, {"Content-Range": f"bytes 0-9/{len(self.server.content)}"}, 10)
        self.wfile.write(self.server.content[:10])

    def encoded(self):
        self._head(200, {"Content-Encoding": "gzip"}, 3)
        self.wfile.write(b"abc")

    def log_message(self, *_):
        pass

    def _start(self):
        return int(self.headers.get("Range", "0").removeprefix("bytes=").removesuffix("-"))

    def _head(self, code, headers, length=None):
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def patience() -> Patience:
    return Patience(timeout=TIMEOUT, attempts=3, pause=0.01)


@pytest.fixture
def progress() -> Progress:
    return Progress(disable=True)


@pytest.fixture(scope="session")
def make_zip() -> Callable[..., Path]:
    """Write an archive; a name may be a ZipInfo."""

    def make(path: Path, members: dict, compression: int = zipfile.ZIP_STORED) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    return make


@pytest.fixture(scope="session")
def published() -> Callable[..., RemoteFile]:
    """A catalogue entry that fits some bytes."""

    def describe(content: bytes, url: str = "http://127.0.0.1:9/data.zip", name: str = "data.zip") -> RemoteFile:
        return RemoteFile(name, url, len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")

    return describe


@pytest.fixture
def installs(tmp_path: Path, progress: Progress, patience: Patience) -> Callable[..., Installed]:
    """Install a data set into `data/set`."""

    def run(data_set, **source):
        return install(data_set, tmp_path / "data" / "set", progress, Source(**source), patience)

    return run
