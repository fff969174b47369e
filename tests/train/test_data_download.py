"""Downloads from a real server on this machine that breaks off, forgets ranges, lies and refuses."""

import contextlib
import hashlib
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tithe.errors import UsageError
from tithe.train.data import catalog, download, load, mnist
from tithe.train.data.download import DownloadError, fetch
from tithe.train.data.sources import MNIST, OfficialFile

CONTENT = os.urandom(1000) * 1000
NAME = "file.gz"


@dataclass
class Answer:
    """How the server treats one request."""

    status: int = 200  # 200 means: as a good server would
    ranges: bool = True  # whether it understands them
    stop_after: int | None = None  # bytes of the body, then it hangs up
    body: bytes | None = None  # in place of the file
    chunked: bool = False  # no Content-Length
    headers: dict[str, str] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`, one entry of `server.plan` a request and honestly thereafter."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        answer = self.server.plan.pop(0) if self.server.plan else Answer()
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        assert self.headers["Accept-Encoding"] == "identity"  # or the server may pack what must not be unpacked
        whole = self.server.files.get(self.path.rsplit("/", 1)[-1]) if answer.body is None else answer.body
        self.close_connection = True
        if whole is None or answer.status != 200:
            self.send_response(answer.status if whole is not None else 404)
            self.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and answer.ranges else None
        if start is not None and start >= len(whole):
            self.send_response(416)
            self.end_headers()
            return
        self.send_response(200 if start is None else 206)
        headers = {"Content-Length": str(len(whole) - (start or 0))}
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        for name, value in (({} if answer.chunked else headers) | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(whole[start or 0 :][: answer.stop_after])

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {NAME: CONTENT}
        self.plan: list[Answer] = []
        self.asked: list[tuple[str, str | None]] = []

    @property
    def home(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked in self.asked]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def official(server: Server, content: bytes = CONTENT, folders: tuple[str, ...] = ("a",)) -> OfficialFile:
    urls = tuple(f"{server.home}{folder}/{NAME}" for folder in folders)
    return OfficialFile(NAME, urls, len(content), hashlib.sha256(content).hexdigest())


def dead_address() -> str:
    """An address on this machine where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}/{NAME}"


def check(folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert (folder / NAME).read_bytes() == CONTENT


def test_a_download_tells_its_progress(server: Server, tmp_path: Path):
    told: list[tuple[str, int, int]] = []
    path = fetch(official(server), tmp_path / "new" / "folder", lambda *now: told.append(now))
    assert path == tmp_path / "new" / "folder" / NAME
    check(path.parent)
    assert told[0] == (NAME, 0, len(CONTENT))
    assert told[-1] == (NAME, len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})


def test_a_broken_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path):
    server.plan = [Answer(stop_after=300_000), Answer(stop_after=200_000)]
    fetch(official(server), tmp_path)
    check(tmp_path)
    assert server.ranges == [None, "bytes=300000-", "bytes=500000-"]


def test_a_later_run_resumes(server: Server, tmp_path: Path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:400_000])
    told: list[int] = []
    fetch(official(server), tmp_path, lambda name, done, total: told.append(done))
    check(tmp_path)
    assert server.ranges == ["bytes=400000-"]
    assert told[0] == 400_000


def test_giving_up_keeps_what_arrived(server: Server, tmp_path: Path):
    server.plan = [Answer(stop_after=300_000)] + [Answer(stop_after=0)] * download.PATIENCE
    with pytest.raises(
        DownloadError,
        match=r"http://127\.0\.0\.1:\d+/a/file\.gz failed \(the connection broke after 300000 of 1000000 bytes\)",
    ):
        fetch(official(server), tmp_path)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:300_000]
    assert not (tmp_path / NAME).exists()


def test_a_server_that_hangs_up_for_ever_is_given_up(server: Server, tmp_path: Path):
    server.plan = [Answer(stop_after=1)] * 1000
    with pytest.raises(DownloadError, match="failed"):
        fetch(official(server), tmp_path)
    assert len(server.asked) == 50


def test_a_server_that_ignores_ranges_sends_all_again(server: Server, tmp_path: Path):
    server.plan = [Answer(stop_after=300_000), Answer(ranges=False)]
    fetch(official(server), tmp_path)
    check(tmp_path)
    assert server.ranges == [None, "bytes=300000-"]


def test_another_range_than_asked_begins_anew(server: Server, tmp_path: Path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:400_000])
    server.plan = [Answer(headers={"Content-Range": f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"})]
    fetch(official(server), tmp_path)
    check(tmp_path)
    assert server.ranges == ["bytes=400000-", None]


def test_a_complete_part_needs_no_server(tmp_path: Path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    fetch(OfficialFile(NAME, (dead_address(),), len(CONTENT), hashlib.sha256(CONTENT).hexdigest()), tmp_path)
    check(tmp_path)


@pytest.mark.parametrize("part", [CONTENT + b"x", b"x" * len(CONTENT)], ids=["oversized", "wrong"])
def test_a_full_but_wrong_part_begins_anew(server: Server, tmp_path: Path, part: bytes):
    (tmp_path / f"{NAME}.part").write_bytes(part)
    fetch(official(server), tmp_path)
    check(tmp_path)
    assert server.ranges == [None]


def test_a_range_the_server_does_not_have_begins_anew(server: Server, tmp_path: Path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:400_000])
    server.plan = [Answer(status=416)]
    fetch(official(server), tmp_path)
    check(tmp_path)
    assert server.ranges == ["bytes=400000-", None]


def test_a_wrong_beginning_is_found_out_and_begun_anew(server: Server, tmp_path: Path):
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * 400_000)
    fetch(official(server), tmp_path)
    check(tmp_path)
    assert server.ranges == ["bytes=400000-", None]


def test_a_wrong_checksum_is_said_and_nothing_is_left(server: Server, tmp_path: Path):
    server.files[NAME] = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(DownloadError, match=r"a/file\.gz sends has a wrong checksum \(it should be sha256 [0-9a-f]+"):
        fetch(official(server), tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(server.asked) == 1


def test_too_many_bytes_are_not_kept(server: Server, tmp_path: Path):
    server.plan = [Answer(body=CONTENT * 5, chunked=True)]
    sizes: list[int] = []
    with pytest.raises(DownloadError, match="wrong checksum"):
        fetch(official(server), tmp_path, lambda *_: sizes.append((tmp_path / f"{NAME}.part").stat().st_size))
    assert max(sizes) < 2 * len(CONTENT)
    assert not list(tmp_path.iterdir())


def test_a_page_in_place_of_the_file_does_not_cost_the_half_that_is_there(server: Server, tmp_path: Path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:400_000])
    server.plan = [Answer(body=b"<html>log in first</html>", ranges=False)]
    with pytest.raises(DownloadError, match=r"offers 25 bytes where the official file has 1000000"):
        fetch(official(server), tmp_path)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:400_000]


def test_a_length_unknown_beforehand_is_no_obstacle(server: Server, tmp_path: Path):
    server.plan = [Answer(chunked=True)]
    fetch(official(server), tmp_path)
    check(tmp_path)


def test_a_content_encoding_is_left_alone(server: Server, tmp_path: Path):
    server.plan = [Answer(headers={"Content-Encoding": "gzip"})]
    fetch(official(server), tmp_path)
    check(tmp_path)


def test_a_missing_file_is_looked_for_at_the_next_address_at_once(server: Server, tmp_path: Path):
    server.plan = [Answer(status=404)]
    fetch(official(server, folders=("a", "b")), tmp_path)
    check(tmp_path)
    assert [path for path, _ in server.asked] == [f"/a/{NAME}", f"/b/{NAME}"]


def test_404_everywhere_is_said(server: Server, tmp_path: Path):
    server.files.clear()
    with pytest.raises(DownloadError, match=r"b/file\.gz answers with HTTP status 404"):
        fetch(official(server, folders=("a", "b")), tmp_path)
    assert len(server.asked) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path, status: int):
    server.plan = [Answer(status=status)] * 2
    fetch(official(server), tmp_path)
    check(tmp_path)
    assert len(server.asked) == 3


def test_tries_are_further_and_further_apart(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []
    monkeypatch.setattr(download, "PAUSE", 1.0)
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    server.plan = [Answer(status=503)] * download.PATIENCE
    with pytest.raises(DownloadError, match=r"failed \(HTTP status 503\)"):
        fetch(official(server), tmp_path)
    assert pauses == [1.0, 2.0, 4.0]


def test_a_silent_server_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "TIMEOUT", (0.05, 0.05))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes the connection and never answers
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/{NAME}"
        with pytest.raises(DownloadError, match=r"failed \(.*timed out.*\)"):
            fetch(OfficialFile(NAME, (url,), 5, ""), tmp_path)


def test_a_folder_that_cannot_be_written_is_said(server: Server, tmp_path: Path):
    (tmp_path / "folder").touch()
    with pytest.raises(UsageError, match=r"folder/file\.gz cannot be written: .*; give another folder with --data-di"):
        fetch(official(server), tmp_path / "folder")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's always full disk")
def test_a_full_disk_is_said(server: Server, tmp_path: Path):
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")
    with pytest.raises(UsageError, match=r"file\.gz cannot be written: No space left on device"):
        fetch(official(server), tmp_path)
    assert not (tmp_path / NAME).exists()


@pytest.fixture
def real_set(server: Server, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST itself, its address this machine; returns the folder of the real files."""
    real = shared / "data" / "mnist"
    server.files = {file.name: (real / file.name).read_bytes() for file in MNIST.files}
    files = tuple(replace(file, urls=(server.home + file.name,)) for file in MNIST.files)
    local = replace(MNIST, home=server.home, files=files)
    monkeypatch.setitem(catalog._NAMED, "mnist", lambda *where: mnist.load_mnist(local, *where))
    return real


def test_the_whole_of_mnist_is_fetched_once(server: Server, real_set: Path, tmp_path: Path):
    server.plan = [Answer(stop_after=5_000_000)]
    names: list[str] = []
    data = load("mnist", tmp_path, download=True, progress=lambda name, done, total: names.append(name))
    assert data.sha256 == load("mnist", real_set).sha256
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(f.name for f in MNIST.files)
    assert list(dict.fromkeys(names)) == [file.name for file in MNIST.files]
    assert len(server.asked) == 5
    load("mnist", tmp_path, download=True)
    assert len(server.asked) == 5


def test_without_network_it_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = tuple(replace(file, urls=(dead_address(),)) for file in MNIST.files)
    local = replace(MNIST, files=files)
    monkeypatch.setitem(catalog._NAMED, "mnist", lambda *where: mnist.load_mnist(local, *where))
    with pytest.raises(UsageError) as caught:
        load("mnist", tmp_path, download=True)
    said = str(caught.value)
    assert said.startswith("mnist could not be downloaded: http://127.0.0.1:")
    assert "failed (Connection refused); run the command again, or put train-images-idx3-ubyte.gz, " in said
    assert f"from {MNIST.home} into {tmp_path / 'mnist'}" in said
    assert not list((tmp_path / "mnist").iterdir())
