"""Processes end with whoever started them, begin with what they need, and a command that is asked to end unwinds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from hpe_bench.processes import Terminated, adopt, forking, terminated_by, unwinding_when_terminated

ROOT = Path(__file__).resolve().parents[1]
FIRST, SECOND = ("colorsys",), ("mailbox",)  # modules that nothing here imports

# Starts a child in one of the ways we do and says its process id; the child never ends by itself.
PARENT = """
import multiprocessing, os, sys, time
from hpe_bench.processes import belong_to_parent

def busy(folder):
    belong_to_parent()
    with open(f"{folder}/{os.getpid()}", "w"):
        pass
    while True:
        sum(range(1000))

if __name__ == "__main__":
    kind, folder = sys.argv[1:]
    child = multiprocessing.get_context(kind).Process(target=busy, args=(folder,), daemon=True)
    child.start()
    print("started", flush=True)
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("kind", ["spawn", "forkserver"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_parent_however_that_ends(tmp_path: Path, kind: str, number: int) -> None:
    script, pids = tmp_path / "parent.py", tmp_path / "pids"
    script.write_text(PARENT)
    pids.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(script), kind, str(pids)], env=environment, cwd=tmp_path) as parent:
        while not (children := [int(p.name) for p in pids.iterdir()]):
            assert parent.poll() is None
            time.sleep(0.02)
        parent.send_signal(number)
        parent.wait(30)
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in children):
        assert time.monotonic() < deadline, "a child outlives its parent"
        time.sleep(0.05)


def test_being_terminated_unwinds_once_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    steps = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            steps.append("went on")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # again, while it cleans up
            steps.append("cleaned")

    with pytest.raises(Terminated) as caught, unwinding_when_terminated():
        work()
    assert steps == ["cleaned"]
    assert signal.getsignal(signal.SIGTERM) is before
    assert caught.value.number == signal.SIGTERM
    outer = SystemExit(130)
    outer.__context__ = caught.value
    assert terminated_by(outer) == signal.SIGTERM
    assert terminated_by(KeyboardInterrupt()) is None


def test_signals_that_were_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with unwinding_when_terminated():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, before)


def tell(environment: dict[str, str], wire: Connection) -> None:
    adopt(environment)
    wire.send(({name for name in (*FIRST, *SECOND) if name in sys.modules}, os.environ.get("SAID"), os.getppid()))


def asked(modules: tuple[str, ...]) -> tuple[set[str], str | None, int]:
    context = forking(modules)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=tell, args=(dict(os.environ), theirs))
    process.start()
    theirs.close()
    found: tuple[set[str], str | None, int] = ours.recv()
    process.join()
    assert process.exitcode == 0
    return found


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_they_have_these_modules_and_no_others_and_the_present_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAID", "first")
    loaded, said, parent = asked(FIRST)
    assert (loaded, said) == (set(FIRST), "first")
    monkeypatch.setenv("SAID", "second")
    assert asked(FIRST) == (set(FIRST), "second", parent)  # from the same process
    loaded, said, other = asked(SECOND)
    assert (loaded, said) == (set(SECOND), "second")
    assert other != parent
    monkeypatch.delenv("SAID")
    assert asked(FIRST)[:2] == (set(FIRST), None)


def test_where_no_socket_can_have_a_name_they_start_all_the_same(tmp_path: Path) -> None:
    script, deep = tmp_path / "parent.py", tmp_path / ("x" * 100)
    deep.mkdir()
    script.write_text(
        "from hpe_bench.processes import forking\n"
        "def say():\n    print('started')\n"
        "if __name__ == '__main__':\n"
        "    process = forking(('colorsys',)).Process(target=say)\n    process.start()\n    process.join()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(deep)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("started\n", 0), done.stderr
