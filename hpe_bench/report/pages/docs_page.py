"""Pages of the documentation: each document with the way to all others, and what a search knows of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from hpe_bench.report.docs import contents, markup, reference
from hpe_bench.report.docs.contents import DocsSource
from hpe_bench.report.docs.markup import Heading, Rendered


@dataclass(frozen=True)
class DocsPage:
    """One document as it is shown: `before` and `after` are its neighbours in reading order."""

    document: DocsSource
    rendered: Rendered
    before: DocsSource | None
    after: DocsSource | None

    @property
    def title(self) -> str:
        return self.rendered.headings[0].text

    @property
    def headings(self) -> tuple[Heading, ...]:
        """What the navigation lists below the page."""
        return tuple(h for h in self.rendered.headings if h.level == 2)


@dataclass(frozen=True)
class Docs:
    """The whole documentation in reading order."""

    pages: tuple[DocsPage, ...]

    @property
    def sections(self) -> tuple[tuple[str, tuple[DocsSource, ...]], ...]:
        """Headings of the navigation, the first one empty, and the documents below."""
        documents = (page.document for page in self.pages)
        return tuple((name, tuple(found)) for name, found in groupby(documents, key=lambda d: d.section))

    @property
    def search_index(self) -> str:
        """A script that hands the search every part of every page: page, its title, anchor, heading, words."""
        rows = [
            [f"{page.document.stem}.html", page.title, part.heading.id, part.heading.text, part.words]
            for page in self.pages
            for part in page.rendered.parts
        ]
        return f"window.PARTS = {json.dumps(rows, ensure_ascii=False, separators=(',', ':'))};\n"


def build(documents: Sequence[DocsSource]) -> Docs:
    """Documents as pages, in the order given."""
    stems = [d.stem for d in documents]
    shown = [markup.rendered(reference.filled(d.text), stems) for d in documents]
    around = [None, *documents, None]
    return Docs(
        tuple(
            DocsPage(document, rendered, around[place], around[place + 2])
            for place, (document, rendered) in enumerate(zip(documents, shown, strict=True))
        )
    )


@cache
def bundled() -> Docs:
    """This package's documentation, read once."""
    return build(contents.documents(contents.folder()))
