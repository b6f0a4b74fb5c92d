"""Arrays as short texts in records: base64 of zlib, read with a limit on what a text may grow to."""

from __future__ import annotations

import base64
import zlib

MOST_BYTES = 64 * 2**20  # a table of matches of COCO's val2017 takes under 2 MB


def packed(data: bytes) -> str:
    """Base64 of zlib."""
    return base64.b64encode(zlib.compress(data, 9)).decode()


def unpacked(text: str, what: str, most_bytes: int = MOST_BYTES) -> bytes:
    """What `packed` was given; ValueError, naming `what` it is, for a damaged text or one of more than `most_bytes`."""
    try:
        inflating = zlib.decompressobj()
        data = inflating.decompress(base64.b64decode(text, validate=True), most_bytes)
        if inflating.unconsumed_tail:
            raise ValueError(f"it grows to more than {most_bytes / 2**20:g} MiB")
        if not inflating.eof or inflating.unused_data:
            raise ValueError("it is cut short, or something follows it")
    except (ValueError, zlib.error) as error:
        raise ValueError(f"{what} cannot be read: {error}") from None
    return data
