"""Where generated data and cached crops lie: `HPE_BENCH_CACHE`, else `~/.cache/hpe-bench`."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A folder below the cache, created if it is missing."""
    base = os.environ.get("HPE_BENCH_CACHE")
    folder = (Path(base) if base else Path.home() / ".cache" / "hpe-bench").joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
