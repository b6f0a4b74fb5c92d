"""Names of files that come from files: whether they stay inside their folder, and how they are shown."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

PLAIN = re.compile(r"\w[\w-]*(\.[\w-]+)*")  # nearly every name of a data set's image


def leads_out(name: str) -> bool:
    """Whether a name is no relative path of a file below a folder: absolute, upwards, on a drive, or none at all."""
    if PLAIN.fullmatch(name):
        return False
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    absolute = posix.is_absolute() or windows.is_absolute() or bool(windows.drive) or windows.root != ""
    return absolute or ".." in windows.parts or not posix.name or "\0" in name


def printable(text: str) -> str:
    r"""Text without what a terminal would obey: control characters and marks of direction become \xNN or \uNNNN.

    Newlines and tabs stay; lone surrogates, which stand for bytes that are no text, become \udcNN.
    """
    return "".join(c if _harmless(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def _harmless(c: str) -> bool:
    code = ord(c)
    control = (code < 0x20 and c not in "\n\t") or 0x7F <= code < 0xA0
    direction = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 or code in (0x200E, 0x200F, 0x061C)
    return not (control or direction or 0xD800 <= code <= 0xDFFF)
