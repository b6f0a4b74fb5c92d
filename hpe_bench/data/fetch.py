"""Downloads of data sets from their authors' own addresses: resumed, verified, unpacked whole or not at all.

Nothing is taken on trust at first sight: an archive is unpacked only if its SHA-256 is the expected one. No author
publishes one, so it has to be given (`--sha256 FILE=HASH`); for a copy that somebody trusts, sha256sum tells it.
A download grows in `.fetch/` below the target, is asked to go on where it ended (HTTP Range, RFC 9110 section 14), and
is unpacked beside its place and renamed.
"""

from __future__ import annotations

import http.client
import re
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from hpe_bench.data.folders import file_sha256
from hpe_bench.terminal import Board

if TYPE_CHECKING:
    from rich.console import Console

BLOCK = 1 << 20
TIMEOUT_S = 60
PARTIAL = ".fetch"

Progress = Callable[[int, int], None]
"""Bytes there, bytes in all (0 where the server does not say)."""


@dataclass(frozen=True)
class Archive:
    """One archive: its address, and the entries it brings into the data set's folder (the first tells it is there)."""

    url: str
    brings: tuple[str, ...]

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
            Archive(f"{COCO}/annotations/annotations_trainval2017.zip", ("annotations",)),
            Archive(f"{COCO}/zips/val2017.zip", ("val2017",)),
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
        archives=(Archive(f"{MPII}/mpii_human_pose_v1.tar.gz", ("images",)),),
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
        archives=(Archive("https://sam.johnson.io/research/lsp_dataset.zip", ("joints.mat", "images")),),
        licence=(
            "Leeds Sports Pose: no licence stated; the authors ask for citation (Johnson and Everingham, BMVC 2010). "
            "The photographs belong to Flickr users: research use."
        ),
        left_out="not part of it: the LSP-extended crops (lspet_crops/)",
    ),
}


def fetch(console: Console, name: str, to: Path, mirror: str | None, sha256: Mapping[str, str]) -> Path:
    """Bring a data set into `to`/<its folder> and return that; what is there already is left alone.

    `sha256` gives the expected hash by archive file, `mirror` an address (also file://) that holds the archives in
    place of the authors'. ValueError, with nothing half-written in place, if a hash is missing or wrong, a server
    fails, or an archive is not what was expected; an interrupted download goes on when it is asked for again.
    """
    download = DOWNLOADS[name]
    folder = to / download.folder
    console.print(download.licence, highlight=False, markup=False)
    missing = [a for a in download.archives if not all((folder / entry).exists() for entry in a.brings)]
    _require_hashes(missing, download.archives, sha256)
    for archive in missing:
        url = archive.url if mirror is None else f"{mirror.rstrip('/')}/{archive.file}"
        partial = to / PARTIAL / archive.file
        there = partial.stat().st_size if partial.exists() else 0
        with Board(console, f"fetching {url}", max(there, 1)) as board:
            board.credit(there)
            download_file(url, partial, board.set_done)
        _verify(partial, sha256[archive.file])
        unpack(partial, archive.brings, folder)
        partial.unlink()
        _remove_if_empty(partial.parent)
    console.print(download.left_out, highlight=False, markup=False)
    return folder


def _require_hashes(missing: list[Archive], known: tuple[Archive, ...], sha256: Mapping[str, str]) -> None:
    """ValueError unless every archive that is to be fetched has a well-formed hash, and no other is named."""
    for file, value in sha256.items():
        if file not in [a.file for a in known]:
            raise ValueError(f"--sha256 {file}: no such archive; there is {', '.join(a.file for a in known)}")
        if not re.fullmatch(r"[0-9a-f]{64}", value):
            raise ValueError(f"--sha256 {file}={value}: a SHA-256 is 64 digits 0-9 a-f")
    unknown = [a.file for a in missing if a.file not in sha256]
    if unknown:
        raise ValueError(
            f"the SHA-256 of {' and '.join(unknown)} is published nowhere that we know, so what arrives could not be "
            f"verified; give the one of a copy you trust with {' '.join(f'--sha256 {file}=HASH' for file in unknown)}"
        )


# ---------------------------------------------------------------------------------------------------- download


def download_file(url: str, path: Path, progress: Progress | None = None) -> None:
    """Download to `path`, going on behind what is there; ValueError if the server fails or the end does not come.

    A server that ignores the wish to go on sends the whole file, which then replaces what was there.
    """
    there = path.stat().st_size if path.exists() else 0
    try:
        with _open(url, there) as response:
            start, total = _position(url, response, there)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if start else "wb") as file:
                file.seek(start)
                done = start
                while block := response.read(BLOCK):
                    file.write(block)
                    done += len(block)
                    if progress is not None:
                        progress(done, total)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and there:
            return  # nothing behind what is there: whole, or not ours, which its hash tells
        raise ValueError(f"{url}: the server answers {error.code} {error.reason}; try later or a --mirror") from error
    except (http.client.HTTPException, urllib.error.URLError, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise ValueError(f"{url}: {reason}; the same command goes on from there, or name a --mirror") from error
    if total and done < total:
        raise ValueError(
            f"{url}: the connection ended after {done:,} of {total:,} bytes; the same command goes on from there"
        )


def _open(url: str, there: int) -> IO[bytes]:
    """The answer to a request for everything behind the first `there` bytes."""
    if urlsplit(url).scheme not in ("http", "https", "file"):
        raise ValueError(f"{url}: not an address that can be fetched from; use http://, https:// or file://")
    request = urllib.request.Request(url, headers={"User-Agent": "hpe-bench"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    response: IO[bytes] = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    return response


def _position(url: str, response: IO[bytes], there: int) -> tuple[int, int]:
    """Where the answer's first byte belongs, and how long the whole file is (0: not told)."""
    headers = response.headers  # type: ignore[attr-defined]
    told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
    if getattr(response, "status", None) != http.client.PARTIAL_CONTENT:
        return 0, int(headers.get("Content-Length") or 0)
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
    shutil.rmtree(work, ignore_errors=True)
    try:
        with _members(archive) as members:
            for path, content in members:
                target = work.joinpath(*path.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with content, target.open("wb") as file:
                    shutil.copyfileobj(content, file, BLOCK)
        lacking = [entry for entry in brings if not (work / entry).exists()]
        if lacking:
            raise ValueError(f"{archive.name}: holds no {lacking[0]}; this is another archive than expected")
        folder.mkdir(parents=True, exist_ok=True)
        for entry in reversed(brings):  # the first one last: it says that all are there
            if not (folder / entry).exists():
                (work / entry).replace(folder / entry)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"{archive.name}: cannot be unpacked ({error}); fetch it again") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[PurePosixPath, IO[bytes]]]]:
    """Path and content of an archive's files; every name is looked at before the first content is."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            entries = [(_inside(archive, e.filename), e) for e in file.infolist()]
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
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise ValueError(f"{archive.name}: {name!r} leads out of the folder; nothing was unpacked")
    return path


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
