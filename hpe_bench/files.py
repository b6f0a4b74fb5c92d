"""Files that appear whole: one partial name a target, under a lock, and the umask decides who may read them.

Whoever writes a target claims it first: the partial file or folder `.<name>.part` lies beside it, what a killed process
left under that name is removed by the next one that claims it, and a second process waits for its turn. The lock
`.<name>.lock` goes when the work ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock


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
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(f"{path} exists and is not an empty folder; choose another target or empty it")
        partial.mkdir()
        yield partial
        partial.replace(path)


def require_free(targets: Iterable[Path], inputs: Iterable[Path], force: bool) -> None:
    """ValueError, while nothing is written yet, for a target that is an input or a folder, or that exists already.

    With `force`, what exists is replaced; an input never is.
    """
    read = {identity for path in inputs if (identity := _identity(path))}
    taken: list[Path] = []
    for target in targets:
        if target.is_dir():
            raise ValueError(f"{target} is a folder; name a file in it")
        identity = _identity(target)
        if identity is not None and identity in read:
            raise ValueError(f"{target} is one of the inputs and would be overwritten; name another target")
        if identity is not None:
            taken.append(target)
    if taken and not force:
        more = f" (and {len(taken) - 1} more files)" if len(taken) > 1 else ""
        raise ValueError(f"{taken[0]}{more} exists already; name another target, or replace it with --force")


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
