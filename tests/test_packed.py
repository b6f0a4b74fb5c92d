"""Arrays as texts in records: what comes out is what went in, and no text grows beyond its limit."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest

from hpe_bench.metrics import match_tables, robustness
from hpe_bench.metrics.packed import packed, unpacked


def test_what_is_packed_is_unpacked() -> None:
    for data in (b"", b"\0" * 1000, bytes(range(256))):
        assert unpacked(packed(data), "it", most_bytes=1000) == data


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (packed(b"\0" * 1001), "grows to more than"),
        (base64.b64encode(zlib.compress(b"some" * 9)[:-5]).decode(), "cut short"),
        (base64.b64encode(zlib.compress(b"some") + b"more").decode(), "follows"),
        (base64.b64encode(b"never compressed").decode(), "header"),
        ("not base64!", "cannot be read"),
    ],
)
def test_a_damaged_text_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        unpacked(text, "the text", most_bytes=1000)
    assert str(caught.value).startswith("the text cannot be read: ")


def test_a_small_text_that_grows_to_gigabytes_is_refused() -> None:
    bomb = packed(b"\0" * (65 * 2**20))
    assert len(bomb) < 100_000
    for read in (match_tables.unpack, robustness.unpack):
        with pytest.raises(ValueError, match="grows to more than 64 MiB"):
            read(bomb)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack("<qq", -8, 0),
        struct.pack("<qq", 1 << 62, 1 << 62),
        struct.pack("<qq", 1, 1) + b"\x80" + b"\1\0" + struct.pack("<I", 5) + b"\0\0" * 2,  # image 5 of 1
    ],
)
def test_a_table_of_matches_that_contradicts_itself_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="the table of matches cannot be read"):
        match_tables.unpack(packed(data))
