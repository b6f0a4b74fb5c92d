"""What became of every detection, as a short text: enough to accumulate AP again under any weights of the images.

Of the range of all areas alone. D detections by falling score, T OKS thresholds, I images.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np

from hpe_bench.metrics.average_precision import FIGURES, Evaluation
from hpe_bench.metrics.packed import packed, unpacked
from hpe_bench.metrics.precision_recall import PrecisionRecall, curves

TABLE = "the table of matches"
THRESHOLDS = 10
KEYS = tuple(f.key for f in FIGURES if f.area == "all")  # the figures that can be accumulated again


def pack(evaluation: Evaluation) -> str:
    """Base64 of zlib of little-endian arrays: I and D (int64), which images are concerned (bits), persons by image
    (uint16), image by detection (uint32), which are right and which ignored at each threshold (bits, [D,T])."""
    found = evaluation.curves["all"]
    parts = (
        np.array([len(evaluation.concerned_I), len(found.image_D)], dtype="<i8"),
        np.packbits(evaluation.concerned_I),
        found.persons_I.astype("<u2"),
        found.image_D.astype("<u4"),
        np.packbits(_marked(found, [at.right_K for at in found.thresholds])),
        np.packbits(_marked(found, [at.ignored_G for at in found.thresholds])),
    )
    return packed(b"".join(part.tobytes() for part in parts))


def unpack(text: str) -> Evaluation:
    """What `pack` was given, in the range of all areas; the others are empty. ValueError for a damaged text."""
    data = unpacked(text, TABLE)
    images, detections = (int(v) for v in np.frombuffer(data[:16].ljust(16, b"\0"), "<i8"))
    bits, cells = -(-images // 8), -(-detections * THRESHOLDS // 8)
    ends = (0, *accumulate((16, bits, 2 * images, 4 * detections, cells, cells)))
    if min(images, detections) < 0 or len(data) != ends[-1]:
        raise ValueError(f"{TABLE} cannot be read: {len(data)} bytes for {images} images and {detections} detections")
    _, concerned, persons, image, right, ignored = (data[a:b] for a, b in pairwise(ends))
    persons_I, image_D = np.frombuffer(persons, "<u2").astype(int), np.frombuffer(image, "<u4").astype(int)
    if detections and image_D.max() >= images:
        raise ValueError(f"{TABLE} cannot be read: a detection in image {image_D.max()} of {images}")
    right_DT, ignored_DT = (_unmarked(part, detections) for part in (right, ignored))
    every = curves(right_DT, ignored_DT, image_D, persons_I)
    none = curves(right_DT[:0], ignored_DT[:0], image_D[:0], np.zeros_like(persons_I))
    concerned_I = np.unpackbits(np.frombuffer(concerned, np.uint8), count=images).astype(bool)
    return Evaluation({"all": every, "medium": none, "large": none}, concerned_I)


def _marked(found: PrecisionRecall, places: list[np.ndarray]) -> np.ndarray:
    marked_DT = np.zeros((len(found.image_D), len(places)), dtype=bool)
    for t, at in enumerate(places):
        marked_DT[at, t] = True
    return marked_DT


def _unmarked(part: bytes, detections: int) -> np.ndarray:
    flat = np.unpackbits(np.frombuffer(part, np.uint8), count=detections * THRESHOLDS)
    return flat.reshape(detections, THRESHOLDS).astype(bool)
