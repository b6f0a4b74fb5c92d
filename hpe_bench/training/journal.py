"""A training's journal: how far it is, how fast, and when it will end, as JSON lines beside its checkpoint.

TensorBoard's event files, which the training may keep as well, lie in a folder beside them.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

JOURNAL = "progress.jsonl"
EVENTS = "tensorboard"


class Journal:
    """Lines of {"samples", "of", "loss", "probe", "samples_per_second", "seconds_left", "time"}, appended.

    The speed is that since this start, so what an earlier start did does not count. A damaged last line of a killed
    process stays as it is: readers skip what is no JSON. With `events`, TensorBoard gets loss, probe and speed over
    samples; what a killed start wrote beyond `first` is overwritten there.
    """

    def __init__(self, folder: Path, total: int, first: int, events: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.events: Any = None
        if events:
            from torch.utils.tensorboard import SummaryWriter

            self.events = SummaryWriter(str(folder / EVENTS), purge_step=first + 1, flush_secs=10)
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
        if self.events is not None:
            for name in ("loss", "probe", "samples_per_second"):
                if line[name] is not None:
                    self.events.add_scalar(name, line[name], samples)

    def close(self) -> None:
        """Nothing more will be written."""
        if self.events is not None:
            self.events.close()
