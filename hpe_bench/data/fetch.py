"""Downloads of data sets from their authors' own addresses: resumed, verified, unpacked whole or not at all.

An archive is unpacked only if its SHA-256 is the expected one. No author publishes one, so it is given (`--sha256
FILE=HASH`; for a copy that somebody trusts, sha256sum tells it), or recorded at the first download when that is asked
for (`--record-hash`): `SHA256SUMS` beside the data sets keeps it, and from then on it is the expected one.

A download grows in `.fetch/` below the target, is asked to go on where it ended (HTTP Range, RFC 9110 section 14), and
is unpacked beside its place and renamed. Two fetches into one folder take turns. A server is given up that sends more
than the archive can be, or next to nothing for a minute.
"""

from __future__ import annotations

import http.client
import lzma
import queue
import re
import stat
import tarfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hpe_bench.data.folders import file_sha256
from hpe_bench.data.names import leads_out
from hpe_bench.data.progress import Progress
from hpe_bench.files import naming, remove, turn, write_atomically
from hpe_bench.terminal import Board

if TYPE_CHECKING:
    from rich.console import Console

BLOCK = 1 << 20
TIMEOUT_S = 60.0  # until an answer begins, and without a byte
STALL_S, LEAST_BYTES = 60.0, 60 << 10  # fewer bytes in so many seconds are no download
PARTIAL, SUMS = ".fetch", "SHA256SUMS"
UNPACKED_PER_BYTE = 20  # what an archive may unpack to: images hardly shrink, annotations to a tenth
MiB = 1 << 20

"""Bytes there, bytes in all (0 where the server does not say)."""


@dataclass(frozen=True)
class Archive:
    """One archive: its address, and the entries it brings into the data set's folder (the first tells it is there).

    `most_bytes` is about twice its size: no answer of more than that is it.
    """

    url: str
    brings: tuple[str, ...]
    most_bytes: int

    @property
    def file(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class Download:
    """A data set as its authors offer it; `licence` is printed before anything is fetched, `left_out` after."""

    folder: str
    archives: tuple[Archive, ...]
    licence: str
    left_out: str = ""


COCO = "http://images.cocodataset.org"
MPII = "https://datasets.d2.mpi-inf.mpg.de/andriluka14cvpr"
DOWNLOADS = {
    "coco": Download(
        folder="coco",
        archives=(
            Archive(f"{COCO}/annotations/annotations_trainval2017.zip", ("annotations",), 500 * MiB),
            Archive(f"{COCO}/zips/val2017.zip", ("val2017",), 1600 * MiB),
        ),
        licence=(
            "COCO annotations: CC BY 4.0, COCO Consortium. Every image has the Flickr licence that the annotation file "
            "names, many of them non-commercial or without derivatives. Cite Lin et al., ECCV 2014."
        ),
        left_out=(
            "not part of it: train2017 (18 GB; unpack train2017.zip beside val2017) and detector boxes "
            "(person_detection_results/, from the SimpleBaseline or HRNet authors)"
        ),
    ),
    "mpii": Download(
        folder="mpii",
        archives=(Archive(f"{MPII}/mpii_human_pose_v1.tar.gz", ("images",), 25_000 * MiB),),
        licence=(
            "MPII Human Pose: annotations under the Simplified BSD licence; the images are freely available for "
            "research purposes, for any other purpose ask the authors. Cite Andriluka et al., CVPR 2014."
        ),
        left_out=(
            "not part of it: annot/train.json, annot/valid.json and annot/gt_valid.mat, the split that every published "
            "validation number uses; they come with the SimpleBaseline or HRNet code"
        ),
    ),
    "lsp": Download(
        folder="lsp",
        archives=(Archive("https://sam.johnson.io/research/lsp_dataset.zip", ("joints.mat", "images"), 100 * MiB),),
        licence=(
            "Leeds Sports Pose: no licence stated; the authors ask for citation (Johnson and Everingham, BMVC 2010). "
            "The photographs belong to Flickr users: research use."
        ),
        left_out="not part of it: the LSP-extended crops (lspet_crops/)",
    ),
}


def fetch(
    console: Console,
    name: str,
    to: Path,
    mirror: str | None,
    sha256: Mapping[str, str],
    record_hash: bool = False,
) -> Path:
    """Bring a data set into `to`/<its folder> and return that; what is there already is left alone.

    `sha256` gives the expected hash by archive file, `mirror` an address (also file://) that holds the archives in
    place of the authors'. With `record_hash`, a hash that nobody knows is recorded at this download. ValueError, with
    nothing half-written in place, if a hash is missing or wrong, a server fails, or an archive is not what was
    expected; an interrupted download goes on when it is asked for again.
    """
    download = DOWNLOADS[name]
    folder, work = to / download.folder, to / PARTIAL
    console.print(download.licence, highlight=False, markup=False)
    _refuse_link(work)
    to.mkdir(parents=True, exist_ok=True)
    with turn(work), naming(work):
        missing = [a for a in download.archives if not all((folder / entry).exists() for entry in a.brings)]
        expected = _expected(missing, download.archives, sha256, _recorded(to), record_hash)
        for archive in missing:
            _fetch_one(console, archive, to, folder, mirror, expected.get(archive.file))
    console.print(download.left_out, highlight=False, markup=False)
    return folder


def _fetch_one(
    console: Console, archive: Archive, to: Path, folder: Path, mirror: str | None, expected: str | None
) -> None:
    """Download, verify (None: record the hash), unpack."""
    url = archive.url if mirror is None else f"{mirror.rstrip('/')}/{archive.file}"
    partial = to / PARTIAL / archive.file
    _refuse_link(partial)
    there = partial.stat().st_size if partial.exists() else 0
    with Board(console, f"fetching {url}", max(there, 1)) as board:
        board.credit(there)
        download_file(url, partial, board.set_done, archive.most_bytes)
    if expected is None:
        expected = file_sha256(partial)
        console.print(f"{archive.file}: SHA-256 {expected}, recorded in {to / SUMS}", highlight=False, markup=False)
        unpack(partial, archive.brings, folder)
        _record(to, archive.file, expected)
    else:
        _verify(partial, expected)
        unpack(partial, archive.brings, folder)
    partial.unlink()
    _remove_if_empty(partial.parent)


def _refuse_link(path: Path) -> None:
    """ValueError for a link in the place of what is written: it would be written wherever it leads."""
    if path.is_symlink():
        raise ValueError(f"{path} is a link; remove it, downloads grow there")


def _recorded(to: Path) -> dict[str, str]:
    """The hashes of earlier downloads by file, in the format of sha256sum."""
    path = to / SUMS
    if not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        parts = line.split(maxsplit=1)
        if len(parts) != 2 or not HASH.fullmatch(parts[0]):
            raise ValueError(f"{path}:{number}: no line of sha256sum (a hash, two spaces, a file); mend or remove it")
        found[parts[1].lstrip("*")] = parts[0]
    return found


def _record(to: Path, file: str, sha256: str) -> None:
    known = _recorded(to) | {file: sha256}
    write_atomically(to / SUMS, "".join(f"{value}  {name}\n" for name, value in sorted(known.items())).encode())


HASH = re.compile(r"[0-9a-f]{64}")


def _expected(
    missing: list[Archive],
    known: tuple[Archive, ...],
    given: Mapping[str, str],
    recorded: Mapping[str, str],
    record_hash: bool,
) -> dict[str, str]:
    """The hash of every archive that is to be fetched, as given, else as recorded; those to be recorded are left out.

    ValueError for one that nobody knows, one that is malformed, and one of another archive.
    """
    for file, value in given.items():
        if file not in [a.file for a in known]:
            raise ValueError(f"--sha256 {file}: no such archive; there is {', '.join(a.file for a in known)}")
        if not HASH.fullmatch(value):
            raise ValueError(f"--sha256 {file}={value}: a SHA-256 is 64 digits 0-9 a-f")
    expected = {**recorded, **given}
    unknown = [a.file for a in missing if a.file not in expected]
    if unknown and not record_hash:
        raise ValueError(
            f"the SHA-256 of {' and '.join(unknown)} is published nowhere that we know, so what arrives could not be "
            f"verified; give the one of a copy you trust with {' '.join(f'--sha256 {file}=HASH' for file in unknown)}, "
            "or take what arrives and keep its hash with --record-hash"
        )
    return expected


# ---------------------------------------------------------------------------------------------------- download


def download_file(url: str, path: Path, progress: Progress | None = None, most_bytes: int = 1 << 40) -> None:
    """Download to `path`, going on behind what is there; ValueError if the server fails or the end does not come.

    A server that ignores the wish to go on sends the whole file, which then replaces what was there. One that announces
    or sends more than `most_bytes`, or next to nothing for a minute, is given up.
    """
    there = path.stat().st_size if path.exists() else 0
    try:
        with _open(url, there) as response:
            start, total = _position(url, response, there)
            _refuse_size(url, max(start, total), most_bytes)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if start else "wb") as file:
                file.seek(start)
                done = start
                for block in _blocks(url, response):
                    done += len(block)
                    _refuse_size(url, done, most_bytes)
                    file.write(block)
                    if progress is not None:
                        progress(done, total)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and there:
            return  # nothing behind what is there: whole, or not ours, which its hash tells
        raise ValueError(f"{url}: the server answers {error.code} {error.reason}; try later or a --mirror") from error
    except (http.client.HTTPException, urllib.error.URLError, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise ValueError(f"{url}: {reason}; the same command goes on from there, or name a --mirror") from error
    if total and done < total:
        raise ValueError(
            f"{url}: the connection ended after {done:,} of {total:,} bytes; the same command goes on from there"
        )


def _refuse_size(url: str, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise ValueError(
            f"{url}: the server offers {size:,} bytes or more, but the archive has less than {most_bytes:,}; this is "
            "another file: name a --mirror"
        )


def _blocks(url: str, response: IO[bytes]) -> Iterator[bytes]:
    """What arrives, as it arrives; ValueError for a server that sends next to nothing for `STALL_S`."""
    read = getattr(response, "read1", response.read)
    since, arrived = time.monotonic(), 0
    while block := read(BLOCK):
        arrived += len(block)
        yield block
        if arrived >= LEAST_BYTES:
            since, arrived = time.monotonic(), 0
        elif time.monotonic() - since > STALL_S:
            raise ValueError(
                f"{url}: the server sent {arrived:,} bytes in {STALL_S:.0f} s; the same command goes on from there, or "
                "name a --mirror"
            )


def _open(url: str, there: int) -> IO[bytes]:
    """The answer to a request for everything behind the first `there` bytes; TimeoutError if none begins in time.

    Waited for in a thread, since a server may send its first lines a byte at a time.
    """
    if urlsplit(url).scheme not in ("http", "https", "file"):
        raise ValueError(f"{url}: not an address that can be fetched from; use http://, https:// or file://")
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "hpe-bench"})
    except ValueError as error:
        raise ValueError(f"{url}: not an address ({error})") from None
    if there:
        request.add_header("Range", f"bytes={there}-")
    answer: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answer.put(urllib.request.urlopen(request, timeout=TIMEOUT_S))
        except BaseException as error:  # told in the thread that waits
            answer.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answer.get(timeout=2 * TIMEOUT_S)
    except queue.Empty:
        raise TimeoutError("no answer in time") from None
    if isinstance(found, BaseException):
        raise found
    response: IO[bytes] = found
    return response


def _position(url: str, response: IO[bytes], there: int) -> tuple[int, int]:
    """Where the answer's first byte belongs, and how long the whole file is (0: not told)."""
    headers = response.headers  # type: ignore[attr-defined]
    told = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)", headers.get("Content-Range", ""))
    if getattr(response, "status", None) != http.client.PARTIAL_CONTENT:
        length = headers.get("Content-Length") or "0"
        if not re.fullmatch(r"\d{1,15}", length):
            raise ValueError(f"{url}: the server announces {length[:40]!r} bytes; name a --mirror")
        return 0, int(length)
    if not told or int(told[1]) != there:
        raise ValueError(f"{url}: the server sent another part of the file than asked for; name a --mirror")
    return there, 0 if told[2] == "*" else int(told[2])


def _verify(path: Path, expected: str) -> None:
    """ValueError, and the file gone, unless it has the expected hash."""
    found = file_sha256(path)
    if found != expected:
        path.unlink()
        _remove_if_empty(path.parent)
        raise ValueError(
            f"{path.name}: its SHA-256 is {found}, expected {expected}; it was removed, as it is another version or a "
            "broken copy"
        )


# ---------------------------------------------------------------------------------------------------- unpacking


def unpack(archive: Path, brings: tuple[str, ...], folder: Path) -> None:
    """Unpack a zip or tar and move the entries `brings` into `folder`; ValueError and nothing there if it is unfit.

    Members that lead out of the folder, and links, make the whole archive unfit. Other entries are left out.
    """
    work = archive.with_name(f"{archive.name}.unpacked")
    remove(work)
    try:
        with _members(archive) as members:
            left = UNPACKED_PER_BYTE * archive.stat().st_size + BLOCK
            for path, content in members:
                target = work.joinpath(*path.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with content, target.open("wb") as file:
                    while block := content.read(BLOCK):
                        left -= len(block)
                        if left < 0:
                            raise ValueError(
                                f"{archive.name}: unpacks to more than {UNPACKED_PER_BYTE} times its size; nothing was "
                                "unpacked"
                            )
                        file.write(block)
        lacking = [entry for entry in brings if not (work / entry).exists()]
        if lacking:
            raise ValueError(f"{archive.name}: holds no {lacking[0]}; this is another archive than expected")
        folder.mkdir(parents=True, exist_ok=True)
        for entry in reversed(brings):  # the first one last: it says that all are there
            if not (folder / entry).exists():
                (work / entry).replace(folder / entry)
    except RuntimeError as error:  # zipfile's word for an encrypted entry, and for an unknown compression
        reason = "it is encrypted" if "encrypted" in str(error) or "password" in str(error) else str(error)
        raise ValueError(f"{archive.name}: cannot be unpacked ({reason}); name a --mirror with another copy") from None
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise ValueError(f"{archive.name}: cannot be unpacked ({error}); fetch it again") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ValueError(f"{archive.name}: a file and a folder in it have one name; fetch it again") from None
    finally:
        remove(work)


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[PurePosixPath, IO[bytes]]]]:
    """Path and content of an archive's files; every name is looked at before the first content is."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            entries = [(_inside(archive, e.filename), e) for e in file.infolist()]
            for _, e in entries:
                if stat.S_ISLNK(e.external_attr >> 16):
                    raise ValueError(f"{archive.name}: {e.filename!r} is a link or a device; nothing was unpacked")
            yield ((path, file.open(e)) for path, e in entries if not e.is_dir())
    else:
        with tarfile.open(archive) as tar:
            yield _tar_members(archive, tar)


def _tar_members(archive: Path, tar: tarfile.TarFile) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """The same for a tar, whose names are looked at on the way: its index would cost reading it twice."""
    for member in tar:
        path = _inside(archive, member.name)
        if member.isdir():
            continue
        content = tar.extractfile(member) if member.isreg() else None
        if content is None:
            raise ValueError(f"{archive.name}: {member.name!r} is a link or a device; nothing was unpacked")
        yield path, content


def _inside(archive: Path, name: str) -> PurePosixPath:
    """The path of a member; ValueError if it leads out of the folder it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.parts and leads_out(str(path)):
        raise ValueError(f"{archive.name}: {name!r} leads out of the folder; nothing was unpacked")
    return path


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
