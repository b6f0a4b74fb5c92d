"""Which documents there are, and in which order: `docs/index.md` says so by its headings and links.

A document that it does not link to is appended under `REST`, so that a new file is never lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PLACES = (  # a wheel carries the documents in the package; in a checkout they lie beside it
    Path(__file__).parents[2] / "docs",
    Path(__file__).parents[3] / "docs",
)
INDEX = "index"
REST = "More"
LINK = re.compile(r"\[([^\]]+)\]\(([\w-]+)\.md\)")
COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


@dataclass(frozen=True)
class DocsSource:
    """A Markdown file: its stem, what the navigation calls it, the section it stands in, and its text."""

    stem: str
    label: str
    section: str
    text: str


def folder() -> Path:
    """Where the documents lie."""
    return next(place for place in PLACES if (place / f"{INDEX}.md").is_file())


def documents(docs: Path) -> tuple[DocsSource, ...]:
    """All documents of a folder, the index first and then as it links to them. ValueError for a link to none."""
    texts = {path.stem: COMMENT.sub("", path.read_text(encoding="utf-8")) for path in sorted(docs.glob("*.md"))}
    found = {INDEX: DocsSource(INDEX, "Overview", "", texts[INDEX])}
    for section, label, stem in _linked(texts[INDEX]):
        if stem not in texts:
            raise ValueError(f"{docs / INDEX}.md: links to {stem}.md, which is not there")
        found.setdefault(stem, DocsSource(stem, label, section, texts[stem]))
    for stem in texts.keys() - found.keys():
        found[stem] = DocsSource(stem, title(texts[stem]), REST, texts[stem])
    linked, rest = [d for d in found.values() if d.section != REST], [d for d in found.values() if d.section == REST]
    return (*linked, *sorted(rest, key=lambda d: d.stem))


def _linked(index: str) -> Iterator[tuple[str, str, str]]:
    """Section, label and stem of each document that the index's lists link to."""
    section = ""
    for line in index.splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif section and line.startswith("- ") and (link := LINK.search(line)):
            yield section, link[1], link[2]


def title(text: str) -> str:
    """A document's first heading."""
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"a document begins {text[:40]!r}; its first line must be `# Title`")
    return found[1]
