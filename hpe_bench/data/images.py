"""Photographs on disk.

OpenCV decodes (its libjpeg; decoders differ by a grey level here and there, and drift between versions, so pixel tests
use a tolerance). `cv2.imread` fills the missing part of a truncated JPEG with grey and only `cv2.imdecode` refuses it
(4.14), so completeness is not left to the decoder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class FileImages:
    """Images in files, in the order of `paths`; implements `persons.Images`."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return self.paths[index].name

    def digest(self) -> str:
        """SHA-256 over names and file sizes, first 8 hex digits; ValueError naming a file that is missing."""
        h = hashlib.sha256()
        for path in self.paths:
            try:
                h.update(f"{path.name} {path.stat().st_size}\n".encode())
            except OSError as error:
                raise ValueError(f"{path}: cannot be read ({error.strerror}); fetch the data set again") from error
        return h.hexdigest()[:8]

    def read(self, index: int) -> np.ndarray:
        """Pixels as uint8 RGB [height, width, 3], not turned by EXIF; ValueError naming the file if it is unusable."""
        path = self.paths[index]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror}); fetch the data set again") from error
        fault = incomplete(data)
        if fault:
            raise ValueError(f"{path}: {fault}; fetch the file again")
        # Annotations are in stored pixels: HRNet's loader ignores the EXIF orientation too.
        pixels_bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels_bgr is None:
            raise ValueError(f"{path}: not an image that OpenCV can decode; fetch the file again")
        return cv2.cvtColor(pixels_bgr, cv2.COLOR_BGR2RGB)


def incomplete(data: bytes) -> str:
    """What is missing from the bytes of an image file, or an empty string; JPEG and PNG are looked at.

    A whole JPEG has an end marker behind its last scan (a thumbnail has its own markers, earlier); inside a scan 0xFF
    is always stuffed, so neither marker can occur there by chance (ITU-T T.81, B.1.1.5).
    """
    if not data:
        return "the file is empty"
    if data.startswith(JPEG_START) and data.rfind(JPEG_END) <= data.rfind(JPEG_SCAN):
        return "the JPEG is truncated (no end marker behind the last scan)"
    if data.startswith(PNG_START) and PNG_END not in data[-64:]:
        return "the PNG is truncated (no IEND chunk at its end)"
    return ""
