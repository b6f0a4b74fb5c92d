"""Downloads from servers of every temper: they resume, verify, and leave nothing half-written."""

from __future__ import annotations

import hashlib
import http.server
import io
import re
import shutil
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hpe_bench.data import fetch

QUIET = Console(quiet=True)
FILE = "lsp_dataset.zip"
PICTURE = bytes(range(256)) * 3000  # does not fit one packet


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


MEMBERS = {"joints.mat": b"joints", "images/im0001.jpg": PICTURE, "visualized/im0001.jpg": b"", "README.txt": b""}
LSP = zipped(**MEMBERS)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `ranges` off: knows no Range; `cut_at`: every answer ends there once, whatever it promised."""

    files: dict[str, bytes]
    ranges = True
    cut_at: int | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = {FILE: LSP}
        self.asked: list[str | None] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        data = self.server.files.get(self.path.strip("/"))
        if data is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.server.ranges else 0  # type: ignore[index]
        if start and start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        part = data[start:]
        if self.server.cut_at is not None:
            part, self.server.cut_at = part[: self.server.cut_at], None
        self.wfile.write(part)
        self.server.sent += len(part)

    def log_message(self, *_: Any) -> None:
        """Not on the test's output."""


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def bring(to: Path, mirror: str, data: bytes = LSP) -> Path:
    return fetch.fetch(QUIET, "lsp", to, mirror, {FILE: hashlib.sha256(data).hexdigest()})


def everything(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


WHOLE = ["lsp", "lsp/images", "lsp/images/im0001.jpg", "lsp/joints.mat"]


def test_a_data_set_arrives_whole(server: Server, tmp_path: Path) -> None:
    """What it does not need (drawings, the authors' text) stays behind, and no trace of the download."""
    assert bring(tmp_path, server.url) == tmp_path / "lsp"
    assert everything(tmp_path) == WHOLE
    assert (tmp_path / "lsp" / "images" / "im0001.jpg").read_bytes() == PICTURE
    bring(tmp_path, server.url)
    assert server.asked == [None]  # it is there: nobody is asked


def test_a_mirror_may_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / FILE).write_bytes(LSP)
    bring(tmp_path / "data", (tmp_path / "mirror").as_uri())
    assert everything(tmp_path / "data") == WHOLE


def test_an_interrupted_download_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cut_at = 300_000
    with pytest.raises(ValueError, match=rf"connection ended after 300,000 of {len(LSP):,} bytes; the same command"):
        bring(tmp_path, server.url)
    assert everything(tmp_path) == [".fetch", f".fetch/{FILE}"]
    bring(tmp_path, server.url)
    assert server.asked == [None, "bytes=300000-"]
    assert server.sent == len(LSP)  # no byte twice
    assert everything(tmp_path) == WHOLE


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.cut_at, server.ranges = 300_000, False
    with pytest.raises(ValueError, match="goes on from there"):
        bring(tmp_path, server.url)
    bring(tmp_path, server.url)
    assert server.sent == 300_000 + len(LSP)
    assert everything(tmp_path) == WHOLE


def test_a_download_that_was_whole_already_is_not_sent_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".fetch").mkdir()
    (tmp_path / ".fetch" / FILE).write_bytes(LSP)
    bring(tmp_path, server.url)
    assert server.sent == 0
    assert everything(tmp_path) == WHOLE


@pytest.mark.parametrize("left_behind", [b"", b"something else" * 99])
def test_a_wrong_hash_is_refused_and_nothing_stays(server: Server, tmp_path: Path, left_behind: bytes) -> None:
    if left_behind:
        (tmp_path / ".fetch").mkdir()
        (tmp_path / ".fetch" / FILE).write_bytes(left_behind)
    with pytest.raises(ValueError, match=rf"{FILE}: its SHA-256 is [0-9a-f]+, expected [0-9a-f]+; it was removed"):
        bring(tmp_path, server.url, data=LSP if left_behind else LSP + b"x")
    assert everything(tmp_path) == []


def test_without_a_hash_nothing_is_asked_for(server: Server, tmp_path: Path) -> None:
    """A hash made from what arrives would verify nothing."""
    with pytest.raises(ValueError, match=rf"SHA-256 of {FILE} is published nowhere .* --sha256 {FILE}=HASH"):
        fetch.fetch(QUIET, "lsp", tmp_path, server.url, {})
    assert server.asked == []
    assert everything(tmp_path) == []


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "images/../../evil.txt", "..\\evil.txt", "C:evil.txt"])
def test_members_that_lead_out_are_refused(server: Server, tmp_path: Path, name: str) -> None:
    bad = zipped(**{"joints.mat": b"joints", "images/im0001.jpg": b"x", name: b"evil"})
    server.files[FILE] = bad
    with pytest.raises(ValueError, match="leads out of the folder; nothing was unpacked"):
        bring(tmp_path / "data", server.url, bad)
    assert everything(tmp_path) == ["data", "data/.fetch", f"data/.fetch/{FILE}"]


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["file", "outside", "link"])
def test_tars_are_held_to_the_same(tmp_path: Path, kind: str) -> None:
    last = tarfile.TarInfo("../evil.txt" if kind == "outside" else "images/2.jpg")
    if kind == "link":
        last.type, last.linkname = tarfile.SYMTYPE, "/etc/passwd"
    data = tarred((tarfile.TarInfo("images/1.jpg"), b"one"), (last, b"" if kind == "link" else b"two"))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "mpii_human_pose_v1.tar.gz").write_bytes(data)
    known = {"mpii_human_pose_v1.tar.gz": hashlib.sha256(data).hexdigest()}
    mirror = (tmp_path / "mirror").as_uri()
    if kind == "file":
        fetch.fetch(QUIET, "mpii", tmp_path / "data", mirror, known)
        assert everything(tmp_path / "data" / "mpii") == ["images", "images/1.jpg", "images/2.jpg"]
    else:
        with pytest.raises(ValueError, match=r"leads out of the folder|is a link or a device"):
            fetch.fetch(QUIET, "mpii", tmp_path / "data", mirror, known)
        assert not (tmp_path / "data" / "mpii").exists()
        assert not (tmp_path / "evil.txt").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(**{"joints.mat": b"x"}), "holds no images; this is another archive"),
        (LSP[: len(LSP) // 2], "cannot be unpacked"),
        (b"<html>not found</html>", "cannot be unpacked"),
    ],
)
def test_archives_of_the_right_hash_and_the_wrong_content(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / FILE).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        bring(tmp_path / "data", (tmp_path / "mirror").as_uri(), content)
    assert not (tmp_path / "data" / "lsp").exists()


def test_two_archives_of_which_the_second_fails(server: Server, tmp_path: Path) -> None:
    """The first stays and is not fetched again."""
    server.files = {
        "annotations_trainval2017.zip": zipped(**{"annotations/a.json": b"{}"}),
        "val2017.zip": zipped(**{"val2017/1.jpg": PICTURE}),
    }
    known = {name: hashlib.sha256(data).hexdigest() for name, data in server.files.items()}
    second = server.files.pop("val2017.zip")
    with pytest.raises(ValueError, match=r"val2017.zip: the server answers 404"):
        fetch.fetch(QUIET, "coco", tmp_path, server.url, known)
    server.files = {"val2017.zip": second}
    fetch.fetch(QUIET, "coco", tmp_path, server.url, known)
    assert everything(tmp_path / "coco") == ["annotations", "annotations/a.json", "val2017", "val2017/1.jpg"]
    assert not (tmp_path / ".fetch").exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "file:///nowhere", "ftp://x", "nonsense"])
def test_no_server_is_one_sentence(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValueError, match=r"^\S+lsp_dataset.zip: .*(--mirror|use http)") as caught:
        bring(tmp_path, address)
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == []


def test_the_licence_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="published nowhere"):
        fetch.fetch(Console(width=300), "coco", tmp_path, None, {})
    assert "CC BY 4.0" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------- hostile servers


class Raw(http.server.BaseHTTPRequestHandler):
    """Answers with the server's `headers`, then pieces of `body` for as long as anybody listens."""

    def do_GET(self) -> None:
        self.send_response(200)
        for name, value in self.server.headers.items():  # type: ignore[attr-defined]
            self.send_header(name, value)
        self.end_headers()
        try:
            for piece in self.server.body():  # type: ignore[attr-defined]
                self.wfile.write(piece)
                self.wfile.flush()
        except OSError:
            pass  # the client has gone

    def log_message(self, *_: Any) -> None:
        """Not on the test's output."""


def serving(headers: dict[str, str], body: Any) -> http.server.ThreadingHTTPServer:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Raw)
    server.daemon_threads = True
    server.headers, server.body = headers, body  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def endless(piece: bytes, pause_s: float = 0.0) -> Any:
    def body() -> Iterator[bytes]:
        while True:
            yield piece
            time.sleep(pause_s)

    return body


@pytest.mark.parametrize("length", ["x", "-5", "1e9", "99999999999999999999999", str(1 << 50)])
def test_a_silly_length_is_refused_before_anything_is_written(length: str, tmp_path: Path) -> None:
    server = serving({"Content-Length": length}, lambda: [LSP])
    url = f"http://127.0.0.1:{server.server_address[1]}"
    with pytest.raises(ValueError, match=r"announces|offers"):
        bring(tmp_path, url)
    server.shutdown()
    assert everything(tmp_path) == []


def test_a_server_that_never_ends_is_given_up(tmp_path: Path) -> None:
    server = serving({}, endless(bytes(1 << 16)))
    with pytest.raises(ValueError, match=r"offers .* bytes or more, but the archive has less than 1,000,000"):
        fetch.download_file(f"http://127.0.0.1:{server.server_address[1]}/x", tmp_path / "x", None, 1_000_000)
    server.shutdown()
    assert (tmp_path / "x").stat().st_size <= 1_000_000


def test_a_server_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "STALL_S", 0.3)
    server = serving({"Content-Length": "100000"}, endless(b"x", 0.01))
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"the server sent \d+ bytes in 0 s; the same command goes on"):
        fetch.download_file(f"http://127.0.0.1:{server.server_address[1]}/x", tmp_path / "x")
    server.shutdown()
    assert time.monotonic() - started < 20


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.2)
    silent = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
    with silent, pytest.raises(ValueError, match="goes on from there, or name a --mirror"):
        fetch.download_file(url, tmp_path / "x")


def encrypted(data: bytes) -> bytes:
    """A zip whose entries say that they are encrypted."""
    changed = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := changed.find(mark, at + 1)) >= 0:
            changed[at + offset] |= 1
    return bytes(changed)


def linked() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        entry = zipfile.ZipInfo("joints.mat")
        entry.external_attr = 0o120777 << 16
        file.writestr(entry, "/etc/passwd")
        file.writestr("images/im0001.jpg", b"x")
    return buffer.getvalue()


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("joints.mat", bytes(20 << 20))
        file.writestr("images/im0001.jpg", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encrypted(LSP), "is encrypted"),
        (linked(), "is a link or a device"),
        (bomb(), "unpacks to more than 20 times its size"),
        (zipped(**{"joints.mat": b"x", "joints.mat/a": b"x", "images/b": b"x"}), "have one name"),
    ],
)
def test_archives_that_are_unfit_leave_nothing(data: bytes, words: str, server: Server, tmp_path: Path) -> None:
    server.files[FILE] = data
    with pytest.raises(ValueError, match=words):
        bring(tmp_path, server.url, data)
    assert [name for name in everything(tmp_path) if not name.startswith(".fetch")] == []
    assert not (tmp_path / ".fetch" / f"{FILE}.unpacked").exists()


def test_a_hash_is_recorded_when_asked_and_held_from_then_on(server: Server, tmp_path: Path) -> None:
    told = io.StringIO()
    with pytest.raises(ValueError, match="--record-hash"):
        fetch.fetch(QUIET, "lsp", tmp_path, server.url, {})
    fetch.fetch(Console(file=told, width=300), "lsp", tmp_path, server.url, {}, record_hash=True)
    digest = hashlib.sha256(LSP).hexdigest()
    assert f"SHA-256 {digest}, recorded" in told.getvalue()
    assert (tmp_path / "SHA256SUMS").read_text() == f"{digest}  {FILE}\n"
    shutil.rmtree(tmp_path / "lsp")
    fetch.fetch(QUIET, "lsp", tmp_path, server.url, {})  # known by now
    shutil.rmtree(tmp_path / "lsp")
    server.files[FILE] = zipped(**MEMBERS | {"joints.mat": b"others"})
    for record_hash in (False, True):
        with pytest.raises(ValueError, match=f"expected {digest}"):
            fetch.fetch(QUIET, "lsp", tmp_path, server.url, {}, record_hash)


def test_two_fetches_at_once_take_turns(server: Server, tmp_path: Path) -> None:
    """Both end well, and the archive is asked for once."""
    errors: list[BaseException] = []

    def go() -> None:
        try:
            bring(tmp_path, server.url)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert server.asked == [None]
    assert everything(tmp_path) == WHOLE


def test_a_link_in_the_place_of_the_download_is_not_followed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / "to" / ".fetch").mkdir(parents=True)
    (tmp_path / "to" / ".fetch" / FILE).symlink_to(tmp_path / "victim")
    with pytest.raises(ValueError, match="is a link"):
        bring(tmp_path / "to", server.url)
    assert (tmp_path / "victim").read_bytes() == b"mine"
