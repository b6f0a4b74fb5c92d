"""Markdown as HTML in the look of the other pages: anchors, tables, code, links between documents, and cited codes.

The dialect is CommonMark with GitHub's tables and GitHub's anchors, so that a document reads and links alike there and
here. Raw HTML is shown as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

SHELL = re.compile(r"^(hpe-bench|make|python3?|pip|export|git|torchrun|HPE_\w+=\S+) ", re.MULTILINE)
CODE = re.compile(r"(?<=\()[FMR]\d+(?=[,:)])|(?<=, )[FMR]\d+(?=[,)])")  # as (F19) or (M3, M8)
CODES_PAGE = "footguns"
DOCUMENT = re.compile(r"docs/([\w-]+)\.md")


@dataclass(frozen=True)
class Heading:
    """A heading with its level and its anchor."""

    level: int
    text: str
    id: str


@dataclass(frozen=True)
class TextPart:
    """A heading and the words below it, up to the next one: what a search finds."""

    heading: Heading
    words: str


@dataclass(frozen=True)
class Rendered:
    """A document as HTML, with its headings and what stands below each."""

    html: str
    parts: tuple[TextPart, ...]

    @property
    def headings(self) -> tuple[Heading, ...]:
        return tuple(part.heading for part in self.parts)


def rendered(text: str, stems: Iterable[str]) -> Rendered:
    """A document as HTML; `stems` are the documents that links may lead to."""
    known = frozenset(stems)
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    parts = _anchored(tokens)
    _code_items(tokens)
    _table_cells(tokens)
    for token in tokens:
        if token.children:
            token.children = _linked(token.children, known)
    for name, rule in RULES.items():
        parser.add_render_rule(name, rule)
    return Rendered(parser.renderer.render(tokens, parser.options, {}), parts)


# ---------------------------------------------------------------------------------------------------- tokens


def _anchored(tokens: Sequence[Token]) -> tuple[TextPart, ...]:
    """Give headings their anchors, GitHub's; returns them with the words below each."""
    taken: dict[str, int] = {}
    parts: list[tuple[Heading, list[str]]] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            words = _words(tokens[place + 1])
            base = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            taken[base] = taken.get(base, -1) + 1
            heading = Heading(int(token.tag[1]), words, f"{base}-{taken[base]}" if taken[base] else base)
            token.attrSet("id", heading.id)
            parts.append((heading, []))
        elif token.type in ("inline", "fence", "code_block") and parts and tokens[place - 1].type != "heading_open":
            parts[-1][1].append(_words(token))
    return tuple(TextPart(heading, " ".join(below)) for heading, below in parts)


def _words(token: Token) -> str:
    """What a reader sees of a token."""
    if token.children is None:
        return token.content
    seen = ("text", "code_inline", "softbreak")
    return "".join(" " if t.type == "softbreak" else t.content for t in token.children if t.type in seen)


def _code_items(tokens: Sequence[Token]) -> None:
    """Items of a list that begin with a code in bold carry it as their anchor."""
    for place, token in enumerate(tokens):
        if token.type == "list_item_open" and tokens[place + 2].type == "inline":
            first = (tokens[place + 2].children or [])[:3]
            kinds = [t.type for t in first]
            if "strong_open" in kinds and (code := re.fullmatch(r"[FMR]\d+", first[-1].content)):
                token.attrSet("id", code[0])


def _table_cells(tokens: Sequence[Token]) -> None:
    """Cells as those of our tables: the first of a row heads it, numbers are aligned, phones show the column's name."""
    names: list[str] = []
    column, in_head = 0, False
    for place, token in enumerate(tokens):
        match token.type:
            case "thead_open":
                names, in_head = [], True
            case "thead_close":
                in_head = False
            case "tr_open":
                column = 0
            case "th_open" | "td_open":
                closing = next(t for t in tokens[place:] if t.type == token.type.replace("open", "close"))
                text = _words(tokens[place + 1])
                if "right" in str(token.attrs.pop("style", "")):
                    token.attrJoin("class", "num")
                if in_head:
                    names.append(text)
                    token.attrSet("scope", "col")
                elif column == 0:
                    token.tag = closing.tag = "th"
                    token.attrSet("scope", "row")
                else:
                    token.attrSet("data-label", names[column])
                    if not text:
                        token.attrJoin("class", "empty")
                column += 1


def _linked(tokens: Sequence[Token], stems: frozenset[str]) -> list[Token]:
    """Links between documents lead to their pages, names of documents and cited codes become links, and what leads
    to other files of the repository, which the site does not hold, is plain text.
    """
    found: list[Token] = []
    inside = dropped = False
    for token in tokens:
        if token.type == "link_open":
            address = target(str(token.attrs["href"]), stems)
            inside, dropped = True, address is None
            if address is None:
                continue
            token.attrSet("href", address)
        elif token.type == "link_close":
            inside, skip, dropped = False, dropped, False
            if skip:
                continue
        elif not inside and token.type == "code_inline" and (name := DOCUMENT.fullmatch(token.content)):
            if name[1] in stems:
                found += _link(f"{name[1]}.html", token)
                continue
        elif not inside and token.type == "text" and CODES_PAGE in stems:
            found += _cited(token)
            continue
        found.append(token)
    return found


def target(href: str, stems: frozenset[str]) -> str | None:
    """Where a document's link leads on the site; None for a file that the site does not hold."""
    if href.startswith(("https://", "http://", "#")):
        return href
    file, _, anchor = href.partition("#")
    anchor = f"#{anchor}" if anchor else ""
    if file.endswith(".md") and file.removesuffix(".md") in stems:
        return f"{file.removesuffix('.md')}.html{anchor}"
    return "../index.html" if file == "../reports/index.html" else None


def _cited(token: Token) -> list[Token]:
    """A text with its cited codes as links."""
    pieces: list[Token] = []
    end = 0
    for code in CODE.finditer(token.content):
        pieces.append(_text(token.content[end : code.start()]))
        pieces += _link(f"{CODES_PAGE}.html#{code[0]}", _text(code[0]))
        end = code.end()
    return [*pieces, _text(token.content[end:])]


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _link(address: str, inner: Token) -> list[Token]:
    return [Token("link_open", "a", 1, attrs={"href": address}), inner, Token("link_close", "a", -1)]


# ---------------------------------------------------------------------------------------------------- code


def _code(content: str, language: str) -> str:
    """A block of code; commands of a shell are known by their first words."""
    language = language or ("bash" if SHELL.search(content) else "")
    return f'<pre tabindex="0"><code>{highlighted(content, language)}</code></pre>\n'


def highlighted(content: str, language: str) -> str:
    """Code as HTML with Pygments' short classes; as it stands where the language is none of its."""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return escapeHtml(content)
    text: str = highlight(content, lexer, HtmlFormatter(nowrap=True))
    return text


# ---------------------------------------------------------------------------------------------------- rules

CELL = '<span class="cell">'  # content in one box, as phones lay out a cell's name beside it


def _fence(renderer: RendererHTML, tokens: Sequence[Token], place: int, *_: Any) -> str:
    return _code(tokens[place].content, tokens[place].info.strip())


def _cell_open(renderer: RendererHTML, tokens: Sequence[Token], place: int, options: Any, _: Any) -> str:
    return renderer.renderToken(tokens, place, options, {}) + CELL


def _cell_close(renderer: RendererHTML, tokens: Sequence[Token], place: int, *_: Any) -> str:
    return f"</span></{tokens[place].tag}>"


def _table_open(*_: Any) -> str:
    return '<div class="table-box" tabindex="0"><table class="data">\n'


def _table_close(*_: Any) -> str:
    return "</table></div>\n"


RULES: dict[str, Callable[..., str]] = {
    "fence": _fence,
    "code_block": _fence,
    "th_open": _cell_open,
    "td_open": _cell_open,
    "th_close": _cell_close,
    "td_close": _cell_close,
    "table_open": _table_open,
    "table_close": _table_close,
}
