"""What follows from the code of a network: kept in the cache folder until that code, or who reads it, changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError

from hpe_bench.codehash import code_digest
from hpe_bench.data.cache import cache_folder
from hpe_bench.declare import fingerprint
from hpe_bench.files import write_atomically

T = TypeVar("T")


@dataclass(frozen=True)
class KeptCounts(Generic[T]):
    """Values of one type, made by some functions, under a folder of the cache.

    A damaged entry is made anew. A folder that cannot be written only costs time.
    """

    folder: str
    type: type[T]
    makers: Sequence[Callable[..., Any]]

    def of(self, builder: Callable[..., Any], joints: int, input_hw: tuple[int, int], make: Callable[[], T]) -> T:
        """What `make` says of the network that `builder` builds, if it is not known yet."""
        path = self._path(builder, joints, input_hw)
        value = self._read(path)
        if value is None:
            value = make()
            self._write(path, value)
        return value

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self.type)

    def _path(self, builder: Callable[..., Any], joints: int, input_hw: tuple[int, int]) -> Path:
        """Named by everything that a value follows from: the network's code, its size, and who reads it."""
        known = [fingerprint((builder, joints, input_hw)), code_digest([builder]), code_digest(self.makers)]
        key = " ".join([*known, torch.__version__, version("fvcore")])
        return cache_folder(self.folder) / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.kept"

    def _read(self, path: Path) -> T | None:
        """An entry whose first line is the digest of the rest; None for one that is missing or damaged."""
        try:
            digest, _, text = path.read_bytes().partition(b"\n")
            return self._adapter.validate_json(text) if digest == _digest(text) else None
        except (OSError, ValidationError):
            return None

    def _write(self, path: Path, value: T) -> None:
        text = self._adapter.dump_json(value)
        try:
            write_atomically(path, _digest(text) + b"\n" + text)
        except OSError:  # a full or read-only disk; the next time takes as long again
            return


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
