"""Errors as sentences."""

from __future__ import annotations

import errno


def sentence(error: BaseException) -> str:
    """An exception as one line for a person: our own messages as they are, others with their kind."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f" at {error.filename}" if error.filename else ""
        return f"the disk is full{where} ({error.strerror}); free some room and run the same command again"
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"


class RecordWarning(UserWarning):
    """A file under a folder of results that was passed over, and why."""
