"""The page of known ways to get a benchmark wrong, which other pages cite by their codes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PLACES = (  # a wheel carries the document in the folder above; in a checkout it lies in docs/
    Path(__file__).parents[1] / "footguns.md",
    Path(__file__).parents[3] / "docs" / "footguns.md",
)
ITEM = re.compile(r"- \*\*([FMR]\d+)\*\*: (.+)")


@dataclass(frozen=True)
class Section:
    """A heading, and codes with what they stand for."""

    name: str
    items: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        """Of its heading, for links."""
        return re.sub(r"[^a-z]+", "-", self.name.lower())


def sections() -> tuple[Section, ...]:
    """The document's sections. ValueError for a line that is no item of it."""
    file = next(place for place in PLACES if place.is_file())
    _, *parts = file.read_text(encoding="utf-8").split("\n## ")
    return tuple(_section(*part.split("\n", 1)) for part in parts)


def _section(name: str, text: str) -> Section:
    items = []
    for line in filter(None, text.splitlines()):
        found = ITEM.fullmatch(line)
        if found is None:
            raise ValueError(f"docs/footguns.md: {line[:60]!r} is no item; write `- **F1**: one sentence` on one line")
        items.append((found[1], found[2]))
    return Section(name, tuple(items))
