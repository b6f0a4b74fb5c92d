"""Files appear whole, follow the umask, take turns, and leave nothing behind."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpe_bench.errors import sentence
from hpe_bench.files import claimed, naming, whole_file, whole_folder, write_atomically


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_and_folders_follow_the_umask(tmp_path: Path, umask: int) -> None:
    write_atomically(tmp_path / "a" / "file", b"x")
    with whole_folder(tmp_path / "b") as folder:
        (folder / "file").write_bytes(b"x")
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("a/file", "b/file", "b")]
    assert modes == [0o666 & ~umask, 0o666 & ~umask, 0o777 & ~umask]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "file", "file"]


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def interrupted() -> None:
        with whole_file(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import sys, time
from pathlib import Path
from hpe_bench.files import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / ".file.part").read_bytes() == b"half"
    write_atomically(path, b"whole")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"whole"


def _append(path: Path, letter: bytes) -> None:
    for _ in range(20):
        with claimed(path) as partial:
            partial.write_bytes(path.read_bytes() if path.exists() else b"")
            time.sleep(0.001)
            with partial.open("ab") as file:
                file.write(letter)
            partial.replace(path)


def test_processes_take_turns(tmp_path: Path) -> None:
    """Nobody's letter is lost, which it would be if two read before one wrote."""
    path = tmp_path / "letters"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append, args=(path, letter)) for letter in (b"a", b"b", b"c")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert sorted(path.read_bytes()) == sorted(b"abc" * 20)
    assert list(tmp_path.iterdir()) == [path]


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / ".file.part").symlink_to(victim)
    write_atomically(tmp_path / "file", b"new")
    assert victim.read_bytes() == b"mine"
    assert not (tmp_path / "file").is_symlink()


def test_a_full_disk_is_named_by_place(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, naming(tmp_path / "big"):  # noqa: PT011
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(tmp_path / "big") in sentence(caught.value)
    assert "the disk is full" in sentence(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_write_to_a_full_device_names_the_target(tmp_path: Path) -> None:

    def write() -> None:
        with naming(tmp_path / "x"), Path("/dev/full").open("wb") as file:
            file.write(b"x" * 100_000)
            file.flush()

    with pytest.raises(OSError) as caught:  # noqa: PT011
        write()
    assert "disk is full at" in sentence(caught.value)
