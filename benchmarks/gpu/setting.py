"""What every part of a session is told, and how it reports: JSON lines in a file of its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where things lie and on what they run. `extra` is for one part alone."""

    data: str | None
    work: str
    device: str
    pocket: str = ""
    cores: int = 12
    rehearse: bool = False
    only: tuple[str, ...] = ()  # the parts that are run; all of them if empty
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(self.work)

    @property
    def results(self) -> Path:
        """Records as they are made."""
        return self.folder / "results"

    @property
    def runs(self) -> Path:
        """Checkpoints, weights, predictions."""
        return self.folder / "runs"

    def wants(self, part: str) -> bool:
        """Whether a part is to be run."""
        return not self.only or part in self.only

    def with_extra(self, **extra: Any) -> Setting:
        """The same with something for one part."""
        return dataclasses.replace(self, extra=extra)

    def to_text(self) -> str:
        """As one argument of a command."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Setting:
        """What `to_text` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "only": tuple(fields["only"])})


class Reporter:
    """Appends {"key": ..., "value": ...} to a part's file; what is written is kept, however the part ends."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, key: str, value: Any) -> None:
        print(f"{key}: {value}", flush=True)
        with self.path.open("a") as file:
            file.write(json.dumps({"key": key, "value": value}) + "\n")


def report_file(work: Path, part: str) -> Path:
    """Where a part reports."""
    folder = work / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{part}.jsonl"


def reported(work: Path, part: str) -> dict[str, Any]:
    """All that a part has reported so far; a line cut off by its end is left out."""
    path, found = report_file(work, part), {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[entry["key"]] = entry["value"]
    return found
