"""Processes that end with whoever started them, and signals that end a command as Ctrl-C does.

A process that we start calls `belong_to_parent` first. It then ends when its parent does, however that happens: a
thread waits on the pipe that the parent holds open, which the system closes when the parent is gone, on Linux, macOS
and Windows alike. Ctrl-C, which reaches the whole group of a terminal, it leaves to its parent, who ends it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

LONGEST_SOCKET = 103  # bytes of its path: macOS allows 103, Linux 107
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """The command was asked to end by a signal; unwinds like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def unwinding_when_terminated() -> Iterator[None]:
    """SIGTERM (of `kill`, `timeout`, a container that stops) and SIGHUP raise `Terminated` while the block runs.

    Only the first one does: what is being cleaned up then is not interrupted again. In the main thread alone, and not
    for signals that whoever started us had ignored, as `nohup` does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    ours = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def unwind(number: int, frame: FrameType | None) -> None:
        for other in ours:
            signal.signal(other, signal.SIG_IGN)
        raise Terminated(number)

    for number in ours:
        signal.signal(number, unwind)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


def terminated_by(error: BaseException | None) -> int | None:
    """The signal that an exception goes back to, if it does."""
    while error is not None:
        if isinstance(error, Terminated):
            return error.number
        error = error.__cause__ or error.__context__
    return None


_forked_from: tuple[str, ...] = ()  # the modules of the process that the next ones fork from, once there is one


def forking(modules: tuple[str, ...]) -> Any:
    """A `multiprocessing` context of processes that have these modules imported already.

    They fork from one process that has done nothing but import them; where the system cannot fork, or the name of the
    folder for temporary files leaves no room for that of a socket, each imports them for itself. One that has imported
    others is ended first: how much memory a process takes must not depend on what its command did before. A new process
    finds the environment of that one: hand it the present one, for `adopt`.
    """
    global _forked_from
    import multiprocessing
    from multiprocessing import forkserver, util

    socket = f"{util.get_temp_dir()}/listener-12345678"
    if "forkserver" not in multiprocessing.get_all_start_methods() or len(os.fsencode(socket)) > LONGEST_SOCKET:
        return multiprocessing.get_context("spawn")
    if _forked_from not in ((), modules):
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # there is no public way to end one
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    _forked_from = modules
    return context


def adopt(environment: Mapping[str, str]) -> None:
    """Make this the environment of the process, for a process that was forked from one that has an older one."""
    os.environ.clear()
    os.environ.update(environment)


def belong_to_parent() -> None:
    """End with the parent process, and leave Ctrl-C to it. For processes that `multiprocessing` has started."""
    import multiprocessing  # which the command line does not need to answer

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="parent-watch", daemon=True).start()


def _end_with(sentinel: int) -> None:
    """Wait for the parent's end, then end at once: nobody is left to clean up for."""
    from multiprocessing.connection import wait

    wait([sentinel])
    os._exit(1)
