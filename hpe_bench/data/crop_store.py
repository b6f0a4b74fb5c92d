"""Training crops as JPEG in one file: COCO's take 4 GB in place of 50, and come out as fast as a GPU asks for them.

The file holds the compressed crops one after the other in any order, then where each begins and how long it is, then
the shape. Crops are compressed at quality 95 without subsampling colours; they are for training alone, never scored.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from hpe_bench import files

SUFFIX = "-jpeg95.crops"
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
BITS_PER_PIXEL = 3.0  # about what photographs take at this quality, to see beforehand whether the disk has room
TAIL = 4 * 8  # bytes of the shape at the end
WAITING = 16  # batches decoded ahead at most
THREADS = 8

Shape = tuple[int, int, int, int]


class CropStore:
    """Crops [N,h,w,3] uint8 RGB, decoded when rows are asked for; the part of an array's interface that feeds need."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path = path
        self.data = np.memmap(path, np.uint8, "r")
        shape = self.data[-TAIL:].view(np.int64)
        self.shape: Shape = (int(shape[0]), int(shape[1]), int(shape[2]), int(shape[3]))
        table = self.data[-TAIL - 16 * len(self) : -TAIL].view(np.int64).reshape(2, -1)
        self.starts, self.lengths = table
        self.threads = threads or min(THREADS, os.cpu_count() or 1)
        self.pool = ThreadPoolExecutor(self.threads, "crops")  # OpenCV decodes without Python's lock
        self.waiting: dict[bytes, list[Future[list[np.ndarray]]]] = {}

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Of the file."""
        return len(self.data)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Crops of some rows [B,h,w,3]; at once if they were expected."""
        wanted = np.arange(len(self))[rows]
        parts = self.waiting.pop(wanted.tobytes(), None) or self._begun(wanted)
        found = [crop for part in parts for crop in part.result()]
        return np.stack(found) if found else np.empty((0, *self.shape[1:]), np.uint8)

    def expect(self, rows: np.ndarray) -> None:
        """Begin to decode rows that will be asked for, in this order; forgets the oldest of too many."""
        key = rows.tobytes()
        if key not in self.waiting:
            self.waiting[key] = self._begun(rows)
            while len(self.waiting) > WAITING:
                for part in self.waiting.pop(next(iter(self.waiting))):
                    part.cancel()

    def _begun(self, rows: np.ndarray) -> list[Future[list[np.ndarray]]]:
        return [self.pool.submit(self._decoded, part) for part in np.array_split(rows, self.threads) if len(part)]

    def _decoded(self, rows: np.ndarray) -> list[np.ndarray]:
        return [self._crop(int(row)) for row in rows]

    def _crop(self, row: int) -> np.ndarray:
        start = int(self.starts[row])
        crop = cv2.imdecode(self.data[start : start + int(self.lengths[row])], cv2.IMREAD_COLOR)
        if crop is None or crop.shape != self.shape[1:]:
            raise ValueError(f"{self.path}: crop {row} is damaged; delete the file and run again")
        return cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)


def open_store(path: Path, shape: Shape, crops: Iterator[tuple[int, np.ndarray]]) -> CropStore:
    """The store at a path, written from (row, crop) first if it is not there; one that is damaged is made again.

    ValueError if the disk has no room for it, or cannot be written.
    """
    if files.state(path) != "sound":
        check_room(path.parent, shape)
        try:
            with files.claimed(path) as partial:
                if files.state(path) == "damaged":
                    files.set_aside(path, "and cut again")
                if files.state(path) != "sound":
                    _write(partial, shape, crops)
                    files.name_with_digest(partial, path)
        except OSError as error:
            raise ValueError(
                f"cannot write crops to {path.parent}: {error}; free space or set HPE_BENCH_CACHE"
            ) from error
    found = CropStore(path)
    if found.shape != shape:
        raise ValueError(f"{path}: holds crops of shape {found.shape}, expected {shape}; delete the file")
    return found


def check_room(folder: Path, shape: Shape) -> None:
    """ValueError saying what is needed and what is free, before hours of cutting rather than after."""
    needed = int(np.prod(shape[:3], dtype=np.int64) * BITS_PER_PIXEL / 8)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ValueError(
            f"{folder}: {shape[0]:,} crops need about {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free; "
            "free some, or name another disk with HPE_BENCH_CACHE"
        )


def _write(path: Path, shape: Shape, crops: Iterator[tuple[int, np.ndarray]]) -> None:
    starts, lengths = (np.zeros(shape[0], np.int64) for _ in range(2))
    with path.open("xb") as file:
        for row, crop in crops:
            whole, encoded = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), QUALITY)
            assert whole, "OpenCV encodes any uint8 image"
            starts[row], lengths[row] = file.tell(), len(encoded)
            file.write(encoded.tobytes())
        file.write(b"\0" * (-file.tell() % 8))  # tables lie at multiples of their numbers' size
        file.write(starts.tobytes() + lengths.tobytes() + np.array(shape, np.int64).tobytes())
        file.flush()
        os.fsync(file.fileno())
