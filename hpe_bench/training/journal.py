"""A training's journal: how far it is, how fast, and when it will end, as JSON lines beside its checkpoint."""

from __future__ import annotations

import json
import time
from pathlib import Path

JOURNAL = "progress.jsonl"


class Journal:
    """Lines of {"samples", "of", "loss", "probe", "samples_per_second", "seconds_left", "time"}, appended.

    The speed is that since this start, so what an earlier start did does not count. A damaged last line of a killed
    process stays as it is: readers skip what is no JSON.
    """

    def __init__(self, folder: Path, total: int, first: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.total, self.first = folder / JOURNAL, total, first
        self.began = time.monotonic()

    def write(self, samples: int, loss: float, probe: float | None = None) -> None:
        """A line: samples seen, mean training loss since the last point of the curve, and a probe if one was taken."""
        speed = (samples - self.first) / max(time.monotonic() - self.began, 1e-9)
        line = {
            "samples": samples,
            "of": self.total,
            "loss": loss,
            "probe": probe,
            "samples_per_second": round(speed, 1),
            "seconds_left": round((self.total - samples) / speed, 1) if speed > 0 else None,
            "time": round(time.time(), 3),
        }
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
