"""Files that appear whole: one partial name a target, under a lock, and the umask decides who may read them.

Whoever writes a target claims it first: the partial file or folder `.<name>.part` lies beside it, what a killed process
left under that name is removed by the next one that claims it, and a second process waits for its turn. The lock
`.<name>.lock` goes when the work ends.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from filelock import FileLock, Timeout

from hpe_bench.errors import notice


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: partial file, fsync, rename. OSError names the file if the disk is full."""
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that gets its name when the block ends well, and is gone if it does not."""
    with claimed(path) as partial, naming(path):
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that gets its name when the block ends well, and is gone if it does not.

    ValueError if `path` exists and is not an empty folder.
    """
    with claimed(path) as partial, naming(path):
        require_empty(path)
        partial.mkdir()
        yield partial
        partial.replace(path)


def require_empty(folder: Path) -> None:
    """ValueError, while nothing is written yet, if a folder to be filled exists and is not an empty folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not an empty folder; choose another target or empty it")


def require_free(targets: Iterable[Path], inputs: Iterable[Path], force: bool) -> None:
    """ValueError, while nothing is written yet, for a target that is an input or a folder, or that exists already.

    With `force`, what exists is replaced; an input never is.
    """
    read = {identity for path in inputs if (identity := _identity(path))}
    taken: list[Path] = []
    for target in targets:
        if target.is_dir() and not _is_package(target):
            raise ValueError(f"{target} is a folder; name a file in it")
        identity = _identity(target)
        if identity is not None and identity in read:
            raise ValueError(f"{target} is one of the inputs and would be overwritten; name another target")
        if identity is not None:
            taken.append(target)
    if taken and not force:
        more = f" (and {len(taken) - 1} more files)" if len(taken) > 1 else ""
        raise ValueError(f"{taken[0]}{more} exists already; name another target, or replace it with --force")


def _is_package(folder: Path) -> bool:
    """Whether a folder is what its users take for a file: one of Core ML's packages."""
    return folder.suffix == ".mlpackage" and (folder / "Manifest.json").is_file()


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells files apart whatever their names (links included); None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


@contextmanager
def claimed(path: Path) -> Iterator[Path]:
    """The partial name of a target, with nothing there, for this process alone; what lies there afterwards is removed.

    A target that exists when the turn comes was perhaps finished by the process that was waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    with turn(path):
        remove(partial)
        try:
            yield partial
        finally:
            remove(partial)


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait until no other process works on `path`, in a folder that exists; the lock ends with the process, however."""
    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows keeps an open file; the next turn finds and removes it
                lock.unlink()  # who waits on it notices that it has gone, and makes a new one


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A folder of this block's own below `parent`, gone afterwards; those that killed processes left there go first."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in [p for p in parent.iterdir() if p.is_dir()]:
        _remove_unless_held(left, left.with_name(f".{left.name}.lock"))
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    with turn(parent / name):
        try:
            (parent / name).mkdir()
            yield parent / name
        finally:
            remove(parent / name)


def sweep(folder: Path, pattern: str = "*") -> None:
    """Remove what killed processes left of targets in a folder, whoever made them; what is being written now stays."""
    for partial in folder.glob(f".{pattern}.part"):
        _remove_unless_held(partial, partial.with_suffix(".lock"))


def _remove_unless_held(path: Path, lock: Path) -> None:
    held = FileLock(lock, timeout=0)
    with contextlib.suppress(Timeout), held:
        remove(path)
        with contextlib.suppress(OSError):
            lock.unlink()


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the operating system name `path` where they name nothing: writing to an open file does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


# ---------------------------------------------------------------------------------------------------- digests
#
# A file that a later step trusts has its SHA-256 beside it, `<name>.sha256` as `sha256sum` writes it; a folder has one
# `SHA256SUMS` inside. The digest is there before the file is: a kill between the two leaves a digest without a file,
# never a file that cannot be told from a damaged one.

SUMS = "SHA256SUMS"

State = Literal["missing", "sound", "damaged", "unsealed"]
"""Of a file: not there; what its digest says; not what it says; without a digest, as older versions left them."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_with_digest(path: Path, data: bytes) -> None:
    """Write a whole file or nothing, and its digest beside it."""
    with claimed(path) as partial, naming(path):
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        name_with_digest(partial, path)


def name_with_digest(partial: Path, path: Path) -> None:
    """Give a finished file its name, and a digest of what it holds now. What had the name before is replaced."""
    digest, before = sha256_of(partial), _digests(path)
    beside = path.with_name(f"{path.name}.sha256")
    write_atomically(beside, _lines([digest, *before], path.name))  # so that either file is known at any moment
    partial.replace(path)
    if before:
        write_atomically(beside, _lines([digest], path.name))


def seal(path: Path) -> None:
    """Write the digest of a file that is there; a kill before leaves the file unsealed."""
    write_atomically(path.with_name(f"{path.name}.sha256"), _lines([sha256_of(path)], path.name))


def state(path: Path) -> State:
    """Whether a file is what its digest says."""
    if not path.is_file():
        return "missing"
    known = _digests(path)
    if not known:
        return "unsealed"
    return "sound" if _sha256_now(path) in known else "damaged"


def seal_folder(folder: Path) -> None:
    """Write the digests of a folder's files into it."""
    names = sorted(p.name for p in folder.iterdir() if p.name != SUMS)
    write_atomically(folder / SUMS, b"".join(_lines([sha256_of(folder / name)], name) for name in names))


def folder_state(folder: Path, *names: str) -> State:
    """Whether a sealed folder holds what its digests say; only some of its files, if any are named."""
    if not folder.is_dir():
        return "missing"
    try:
        known = {name: digest for digest, _, name in _parsed(folder / SUMS)}
    except FileNotFoundError:
        return "unsealed"
    wanted = names or tuple(known)
    sound = wanted and all(name in known and _is(folder / name, known[name]) for name in wanted)
    return "sound" if sound else "damaged"


def set_aside(path: Path, then: str) -> None:
    """Rename what is damaged to `<name>.damaged`, in place of what was damaged before, and say so and what comes."""
    aside = path.with_name(f"{path.name}.damaged")
    remove(aside)
    path.rename(aside)
    path.with_name(f"{path.name}.sha256").unlink(missing_ok=True)
    notice(f"{path} is damaged (it is not what its digest says); set aside as {aside.name}, {then}")


def refuse_damaged(path: Path, remedy: str) -> None:
    """ValueError for a file that is not what the digest beside it says; a file without a digest passes."""
    if state(path) == "damaged":
        raise ValueError(f"{path} is damaged (it is not what {path.name}.sha256 beside it says); {remedy}")


def discard(path: Path) -> None:
    """Remove a file that nobody needs any more, its digest, and what a killed process left of it."""
    for name in (path.name, f"{path.name}.sha256", f".{path.name}.part", f".{path.name}.sha256.part"):
        remove(path.with_name(name))


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and _sha256_now(path) == digest


def _sha256_now(path: Path) -> str:
    """SHA-256 of a file; computed once a process for as long as the file is not written to."""
    found = path.stat()
    return _sha256_at(path, found.st_ino, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256_at(path: Path, inode: int, size: int, mtime_ns: int) -> str:
    return sha256_of(path)


def _digests(path: Path) -> list[str]:
    """The digests that the file beside says; none where there is no such file, or nothing in it."""
    try:
        return [digest for digest, _, _ in _parsed(path.with_name(f"{path.name}.sha256"))]
    except FileNotFoundError:
        return []


def _parsed(sums: Path) -> list[tuple[str, str, str]]:
    """Digest, two spaces and name of every line."""
    return [line.partition("  ") for line in sums.read_text(encoding="utf-8", errors="replace").splitlines() if line]


def _lines(digests: Iterable[str], name: str) -> bytes:
    return "".join(f"{digest}  {name}\n" for digest in digests).encode()
