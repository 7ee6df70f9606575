"""Downloading over a real connection, to a server in this process that can be made to fail in every way."""

import errno
import fcntl
import hashlib
import io
import re
import resource
import runpy
import shutil
import socket
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from itersep.data import corpora, download
from itersep.data.corpora import SOURCES, Source, fetch_corpora
from itersep.data.download import download as get
from itersep.system.errors import UserError

BODY = np.random.default_rng(0).bytes(700_000)
SHA256 = "sha256:" + hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``files`` by path. Of its first answers, the k-th is cut after ``cuts[k]`` bytes, or stalls there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/corpus.tar.gz": BODY}
        self.ranges, self.lengths, self.stalls = True, True, False
        self.cuts: list[int] = []
        self.asked: list[str | None] = []  # the Range header of every request
        self.released = threading.Event()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"{self.base}/corpus.tar.gz"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.asked.append(wanted)
        if self.path not in server.files:
            return self.send_error(404)
        body, start = server.files[self.path], 0
        if wanted and server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.lengths:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(body)
        self.wfile.write(body[start : start + cut])
        if server.stalls and cut < len(body):
            server.released.wait(20)


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSES_S", (0.0, 0.0))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "downloads" / "corpus.tar.gz"


@pytest.fixture
def nobody() -> str:
    """An address where no one listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def holds_only(path: Path) -> bool:
    return path.read_bytes() == BODY and list(path.parent.iterdir()) == [path]


def test_what_comes_is_what_is_served_and_is_asked_for_once(server, path):
    for checksum in (SHA256, None, "md5:of a file that is not asked for"):
        get(server.url, path, checksum)
        assert holds_only(path)
    assert server.asked == [None]


def test_a_cut_is_mended_from_where_it_came(server, path):
    server.cuts = [300_000, 0, 150_000]
    get(server.url, path, SHA256)
    assert holds_only(path)
    assert server.asked == [None, "bytes=300000-", "bytes=300000-", "bytes=450000-"]


def test_tries_end_and_the_next_call_goes_on(server, path):
    server.cuts = [300_000, 0, 0]
    with pytest.raises(OSError, match="cut .after 300000 of 700000 bytes.; run it again to go on"):
        get(server.url, path, SHA256)
    assert not path.exists() and part_of(path).read_bytes() == BODY[:300_000]
    get(server.url, path, SHA256)
    assert holds_only(path) and server.asked[-1] == "bytes=300000-"


def test_a_server_that_falls_silent_has_cut(server, path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.2)
    server.stalls, server.cuts = True, [300_000]
    get(server.url, path, SHA256)
    assert holds_only(path) and server.asked == [None, "bytes=300000-"]


@pytest.mark.parametrize("lengths", [True, False])
def test_a_server_without_ranges_starts_over(server, path, lengths):
    server.ranges, server.lengths = False, lengths
    path.parent.mkdir()
    part_of(path).write_bytes(b"x" * 300_000)
    get(server.url, path, SHA256)
    assert holds_only(path) and server.asked == ["bytes=300000-"]


def test_a_server_that_always_cuts_at_the_same_place_is_left(server, path):
    server.ranges, server.cuts = False, [300_000] * 50
    with pytest.raises(OSError, match="cut"):
        get(server.url, path, SHA256)
    assert len(server.asked) == 3


def test_a_part_that_is_whole_needs_no_more(server, path):
    path.parent.mkdir()
    part_of(path).write_bytes(BODY)
    get(server.url, path, SHA256)
    assert holds_only(path) and server.asked == ["bytes=700000-"]


def test_a_part_that_is_longer_than_the_file_is_of_another_file(server, path):
    path.parent.mkdir()
    part_of(path).write_bytes(b"x" * 800_000)
    get(server.url, path, SHA256)
    assert holds_only(path) and server.asked == ["bytes=800000-", None]


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_wrong_checksum_leaves_nothing(server, path, algorithm):
    published = hashlib.new(algorithm, BODY).hexdigest()
    path.parent.mkdir()
    part_of(path).write_bytes(b"x" * 300_000)  # of another version of the file
    with pytest.raises(OSError, match=f"has the {algorithm} [0-9a-f]+, not {published}; it was removed"):
        get(server.url, path, f"{algorithm}:{published}")
    assert list(path.parent.iterdir()) == []
    get(server.url, path, f"{algorithm}:{published}")
    assert holds_only(path)


def test_what_the_server_answers_is_told(server, path):
    with pytest.raises(OSError, match="/else: the server answered 404 Not Found$"):
        get(f"{server.base}/else", path)
    assert not path.exists()


def test_no_network_is_told(nobody, path, monkeypatch):
    with pytest.raises(OSError, match=f"{nobody}/x: cannot be reached .*refused.*; look at the network$"):
        get(f"{nobody}/x", path)

    def unresolved(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    with pytest.raises(OSError, match="cannot be reached .*name resolution.*; look at the network$"):
        get("http://www.openslr.org/x", path)
    assert not path.exists()


def test_no_space_is_told_before_it_is_used_up(server, path, monkeypatch):
    free = shutil.disk_usage("/")._replace(free=len(BODY) - 1)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: free)
    with pytest.raises(OSError, match="no space for it: 0.0 GB are missing") as raised:
        get(server.url, path)
    assert raised.value.errno == errno.ENOSPC and raised.value.filename == str(path)
    assert part_of(path).stat().st_size == 0


def test_a_disk_that_takes_no_more_is_told_and_what_came_is_kept(server, path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limits[1]))
    try:
        with pytest.raises(OSError, match="free some space and run it again") as raised:
            get(server.url, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(part_of(path))
    assert part_of(path).read_bytes() == BODY[:400_000]
    get(server.url, path, SHA256)
    assert holds_only(path) and server.asked[-1] == "bytes=400000-"


def test_two_processes_do_not_write_one_file(server, path):
    path.parent.mkdir()
    with open(part_of(path), "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is downloading it"):
            get(server.url, path)
    assert server.asked == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/etc/passwd"])
def test_only_http_is_fetched(url, path):
    with pytest.raises(UserError, match=url):
        get(url, path)
    assert not path.parent.exists()


# --- corpora by name -------------------------------------------------------------------------------------------------


def tar_gz(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_every_part_that_a_recipe_names_has_an_address_and_a_checksum():
    for name, resource_ in [("train-clean-100", 12), ("dev-clean", 12), ("test-clean", 12)]:
        assert SOURCES[name].url == f"https://www.openslr.org/resources/{resource_}/{name}.tar.gz"
        assert re.fullmatch("sha256:[0-9a-f]{64}", SOURCES[name].checksum)
    for name in ("train-clean-5", "dev-clean-2"):
        assert SOURCES[name].url == f"https://www.openslr.org/resources/31/{name}.tar.gz"
        assert re.fullmatch("md5:[0-9a-f]{32}", SOURCES[name].checksum)
    assert SOURCES["nonspeech"].url.endswith("/HuNonspeech/Nonspeech.zip")


def test_corpora_are_fetched_from_a_mirror_unpacked_and_not_fetched_again(server, tmp_path, monkeypatch):
    content = tar_gz(LibriSpeech__README=b"read me")
    source = Source(SOURCES["dev-clean"].url, "sha256:" + hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(corpora.SOURCES, "dev-clean", source)
    server.files["/mirror/12/dev-clean.tar.gz"] = content
    for _ in range(2):
        fetch_corpora(["dev-clean", "dev-clean"], tmp_path / "d", openslr=f"{server.base}/mirror/")
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["dev-clean"]
    assert (tmp_path / "d/dev-clean/LibriSpeech/README").read_bytes() == b"read me"
    assert server.asked == [None]


def test_an_archive_that_a_kill_left_beside_its_folder_is_removed(tmp_path):
    (tmp_path / "dev-clean").mkdir()
    (tmp_path / "dev-clean.tar.gz").touch()
    fetch_corpora(["dev-clean"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["dev-clean"]


def test_what_is_not_the_published_archive_is_not_unpacked(server, tmp_path):
    server.files["/12/dev-clean.tar.gz"] = tar_gz(evil=b"")
    with pytest.raises(OSError, match="it was removed"):
        fetch_corpora(["dev-clean"], tmp_path, openslr=server.base)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["dev-claen"], 2, "download.py: 'dev-claen' is none of the corpora that can be downloaded: "),
        (["test-clean", "--openslr", "NOBODY"], 1, "download.py: NOBODY/12/test-clean.tar.gz: cannot be reached ("),
    ],
)
def test_the_program_says_in_a_sentence_what_went_wrong(options, status, said, nobody, tmp_path, monkeypatch, capsys):
    script = str(Path(__file__).resolve().parents[2] / "utils/download.py")
    options = [option.replace("NOBODY", nobody) for option in options]
    monkeypatch.setattr(sys, "argv", [script, *options, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    printed = capsys.readouterr().err
    assert ended.value.code == status
    assert printed.startswith(said.replace("NOBODY", nobody)) and printed.count("\n") == 1
