"""Photographs on disk.

OpenCV decodes (its libjpeg; decoders differ by a grey level here and there, and drift between versions, so pixel tests
use a tolerance). `cv2.imread` fills the missing part of a truncated JPEG with grey and only `cv2.imdecode` refuses it
(4.14), so completeness is not left to the decoder. Nor is size: it is read from the header before anything is decoded.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

from hpe_bench.data.file_kinds import content, told

JPEG_START, PNG_START = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")
JPEG_AFTER_SCAN = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # within a scan, 0xFF is stuffed or a restart
JPEG_SCAN, JPEG_END = 0xDA, 0xD9
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers whose segments hold the picture's size
JPEG_BARE = {0x01, 0xD8, *range(0xD0, 0xD8)}  # markers without a segment
MOST_PIXELS = 178_956_970  # what Pillow takes for a decompression bomb: 512 MiB as RGB
EXIF_ORIENTATION, UPRIGHT = 0x0112, 1

logging.getLogger("PIL").setLevel(logging.CRITICAL)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with a file is said once, by us


class FileImages:
    """Images in files, in the order of `paths`; implements `persons.Images`.

    `names` are what their data set calls them, such as paths below its folder; the files' own names by default.
    """

    def __init__(self, paths: Sequence[Path], names: Sequence[str] | None = None) -> None:
        self.paths = tuple(paths)
        self.names = tuple(path.name for path in paths) if names is None else tuple(names)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return self.names[index]

    def digest(self) -> str:
        """SHA-256 over names and file sizes, first 8 hex digits; ValueError naming a file that is missing."""
        h = hashlib.sha256()
        for path, name in zip(self.paths, self.names, strict=True):
            try:
                h.update(f"{name} {path.stat().st_size}\n".encode("utf-8", "surrogateescape"))
            except (OSError, ValueError) as error:
                raise ValueError(f"{path}: cannot be read ({_reason(error)}); fetch the data set again") from error
        return h.hexdigest()[:8]

    def read(self, index: int) -> np.ndarray:
        """Pixels as uint8 RGB [height, width, 3], not turned by EXIF; ValueError naming the file if it is unusable."""
        path = self.paths[index]
        return decoded(content(path, "an image", "fetch the data set again"), str(path))

    def orientation(self, index: int) -> int:
        """The EXIF orientation of a file, 1 (upright) to 8; 1 where it says none."""
        return orientation(content(self.paths[index], "an image"))


def decoded(data: bytes, where: str) -> np.ndarray:
    """Pixels of an image file's bytes as uint8 RGB [height, width, 3]; ValueError beginning with `where`.

    Annotations are in stored pixels: HRNet's loader ignores the EXIF orientation, too. Alpha is dropped, 16 bits become
    8, palettes and CMYK become RGB.
    """
    if fault := incomplete(data):
        raise ValueError(f"{where}: {fault}; fetch the file again")
    width, height = size_wh(data)
    if width * height > MOST_PIXELS:
        raise ValueError(f"{where}: {width:,} x {height:,} pixels, more than {MOST_PIXELS:,} in all; scale it down")
    try:
        pixels_bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels_bgr is not None:
            return cv2.cvtColor(pixels_bgr, cv2.COLOR_BGR2RGB)
    except MemoryError:
        raise ValueError(f"{where}: larger than the memory that is free; scale the image down") from None
    except cv2.error as error:
        raise ValueError(f"{where}: not an image that OpenCV can decode ({error.err}); convert it") from None
    raise ValueError(f"{where}: not an image that OpenCV can decode; {told(data) or 'fetch the file again'}")


def incomplete(data: bytes) -> str:
    """What is missing from the bytes of an image file, or an empty string; JPEG and PNG are looked at.

    Both are walked from their start to the end marker of the picture itself: cameras and tools append whatever they
    like behind it (a video, a second picture), and a thumbnail before it has an end marker of its own.
    """
    if not data:
        return "the file is empty"
    if data.startswith(JPEG_START) and not _walk_jpeg(data)[0]:
        return "the JPEG is truncated (no end marker behind its scans)"
    if data.startswith(PNG_START) and not _walk_png(data):
        return "the PNG is truncated (no IEND chunk behind its data)"
    return ""


def size_wh(data: bytes) -> tuple[int, int]:
    """Width and height from the header; (0, 0) where it cannot be told, which the decoder then finds out."""
    if data.startswith(JPEG_START):
        return _walk_jpeg(data)[1]
    if data.startswith(PNG_START):
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    before = PIL.Image.MAX_IMAGE_PIXELS
    PIL.Image.MAX_IMAGE_PIXELS = None  # only the header is read; whether it is too large is judged by the caller
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return PIL.Image.open(io.BytesIO(data)).size
    except Exception:  # its readers raise many kinds of errors over damaged headers
        return 0, 0
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = before


def orientation(data: bytes) -> int:
    """The EXIF orientation in an image file's bytes, 1 to 8; 1 where there is none."""
    found = None
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # a damaged header or tag says nothing
        warnings.simplefilter("ignore")
        found = PIL.Image.open(io.BytesIO(data)).getexif().get(EXIF_ORIENTATION)
    return found if isinstance(found, int) and UPRIGHT <= found <= 8 else UPRIGHT


def _walk_jpeg(data: bytes) -> tuple[bool, tuple[int, int]]:
    """Whether the picture's own end marker is there, and its (width, height), by its segments (ITU-T T.81, B.1)."""
    at, size, pattern = 2, (0, 0), JPEG_MARKER
    while found := pattern.search(data, at):
        marker, at, pattern = found[1][0], found.end(), JPEG_MARKER
        if marker == JPEG_END:
            return True, size
        if marker in JPEG_BARE:
            continue
        if marker in JPEG_FRAMES and size == (0, 0):
            size = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 3 : at + 5], "big")
        at += max(int.from_bytes(data[at : at + 2], "big"), 2)
        if marker == JPEG_SCAN:
            pattern = JPEG_AFTER_SCAN
    return False, size


def _walk_png(data: bytes) -> bool:
    """Whether the chunks lead to a whole IEND (W3C PNG, section 5.3: length, type, data, checksum)."""
    at = len(PNG_START)
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
