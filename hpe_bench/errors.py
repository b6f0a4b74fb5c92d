"""Errors as sentences."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


class Notice(UserWarning):
    """Something that a person should know and that stops nothing: a sentence of ours."""


def notice(text: str) -> None:
    """Say a sentence once, wherever the work happens; the command line prints it, a training hands it to its runner."""
    warnings.warn(text, Notice, stacklevel=2)


def not_installed(package: str, extra: str) -> str:
    """What to do about a missing optional package. hpe-bench is on no index: a clone of it is what is installed."""
    remedy = f"pip install -c constraints.txt -e '.[{extra}]'"
    return f"{package} is not installed; `{remedy}` in the clone of hpe-bench adds it"


def sentence(error: BaseException) -> str:
    """An exception as one line for a person: our own messages as they are, others with their kind."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f" at {error.filename}" if error.filename else ""
        return f"the disk is full{where} ({error.strerror}); free some room and run the same command again"
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"


def first_line(error: BaseException) -> str:
    """Of what a package says, as much as fits a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:160]


@contextmanager
def notices_to(say: Callable[[str], None]) -> Iterator[None]:
    """Hand every warning of ours to `say`, each text once, while the block runs; others go where they went."""
    with warnings.catch_warnings():
        elsewhere, said = warnings.showwarning, set[str]()

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category.__module__.partition(".")[0] != __package__:
                elsewhere(message, category, filename, lineno, file, line)
            elif str(message) not in said:
                said.add(str(message))
                say(str(message))

        warnings.filterwarnings("always", module=rf"{__package__}\b")
        warnings.showwarning = show
        yield


class RecordWarning(UserWarning):
    """A file under a folder of results that was passed over, and why."""
