"""Folds that are filled when they are opened: what they hold lies on a page of its own beside the page.

A page is written whole and then `parted`: each closed `<details>` of some weight keeps its summary and a link, and what
it holds becomes a page beside it, `<page>.part.<name>.html`, that can be opened, linked to and printed. On the page,
the script opens that page in a frame out of sight, which hands its contents over by `postMessage`: the one way between
two files that browsers allow without a server. Without scripts the link is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import quote

from markupsafe import Markup

LIGHT_BYTES = 6000  # of a fold that stays on its page
INFIX = ".part."  # in the name of a part's file, between its page's and its own

_DETAILS = re.compile(r"<details\b[^>]*>|</details>")
_TARGET = re.compile(r'<(?:tr|tbody|table|h[1-6]|section|details|figure)\b[^>]*?\sid="([^"]+)"')
_ID = re.compile(r'\sid="([^"]+)"')
_LINK = re.compile(r'(<a\b[^>]*?\shref=")#([^"]+)"')
_QUOTED = re.compile(r'="[^"]*"')
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Part:
    """What a fold holds, as a page: its file's name, its title, its contents, and the page it belongs to."""

    file: str
    title: str
    body: Markup
    page: str


def parted(text: str, page: str, budget_bytes: int | None = None) -> tuple[str, list[Part]]:
    """A page of ours without what its closed folds hold, and that; `page` is the name of its file.

    Where the page is heavier than the budget even so, its open folds are closed as well, from the last on, until it
    is not. The markup is read by its tags: everything that is not ours is escaped in it.
    """
    folds = [f for f in _folds(text) if f.weight >= LIGHT_BYTES]
    closed = {f.start: f for f in folds if not f.is_open}
    if budget_bytes is not None:
        excess = len(text.encode()) - sum(f.weight for f in closed.values()) - budget_bytes
        for fold in reversed([f for f in folds if f.is_open]):
            if excess <= 0:
                break
            within = [f for f in closed.values() if fold.start < f.start < fold.end]
            excess -= fold.weight - sum(f.weight for f in within)
            closed = {k: f for k, f in closed.items() if f not in within} | {fold.start: fold}
    return _without(text, page, [closed[start] for start in sorted(closed)])


def _without(text: str, page: str, closed: Sequence[_Fold]) -> tuple[str, list[Part]]:
    parts: list[Part] = []
    kept: list[str] = []
    at, taken = 0, {""}
    for fold in closed:
        head, body = text[fold.start : fold.body], text[fold.body : fold.end]
        name = _name(body, taken)
        taken.add(name)
        part = _part(head, body, f"{page.removesuffix('.html')}{INFIX}{name}.html", page)
        parts.append(part)
        tag = head[: head.index(">")]
        shut = re.sub(r"\sopen(?=\s|$)", "", tag)
        kept += [text[at : fold.start], shut, _attributes(body, part.file), head[len(tag) :], _instead(part)]
        at = fold.end
    return "".join([*kept, text[at:]]), parts


@dataclass(frozen=True)
class _Fold:
    """Where the tag of a fold begins, what it holds, and its closing tag; and how heavy that is, in bytes."""

    start: int
    body: int
    end: int
    weight: int
    is_open: bool


def _folds(text: str) -> list[_Fold]:
    """The folds that are in no other one or in one that is open in turn, of the open ones only the outermost."""
    around: list[tuple[int, bool, bool]] = []  # start, whether open, whether any around it is closed
    found = []
    for tag in _DETAILS.finditer(text):
        if tag[0] != "</details>":
            hidden = bool(around) and (around[-1][2] or not around[-1][1])
            around.append((tag.start(), _is_open(text, tag.start()), hidden))
            continue
        start, is_open, hidden = around.pop()
        body = text.find("</summary>", start, tag.start()) + len("</summary>")
        if not hidden and not (is_open and around) and body > start:
            weight = len(text[body : tag.start()].encode())
            found.append(_Fold(start, body, tag.start(), weight, is_open))
    return sorted(found, key=lambda f: f.start)


def _is_open(text: str, start: int) -> bool:
    bare = _QUOTED.sub("", text[start : text.index(">", start)])
    return "open" in bare.split()


def _name(body: str, taken: set[str]) -> str:
    """By the first thing in it that can be linked to, so that it stays when others come and go; else by number."""
    first = _TARGET.search(body)
    named = first[1] if first and _SAFE.fullmatch(first[1]) else ""
    number = 1
    while named in taken:
        named, number = f"{number}", number + 1
    return named


def _attributes(body: str, file: str) -> str:
    """For the script: the file, what in it may be linked to (ids but for their numbers), and how many rows it has."""
    families = dict.fromkeys(re.sub(r"-[0-9a-f]+$", "", found) for found in _TARGET.findall(body))
    rows = body.count("<tr") - body.count("<thead") - body.count("data-kept")
    return f' data-part="{quote(file)}" data-ids="{" ".join(families)}" data-rows="{rows}"'


def _instead(part: Part) -> str:
    return f'\n<p class="hint part"><a href="{quote(part.file)}">On a page of its own</a></p>\n'


def _part(head: str, body: str, file: str, page: str) -> Part:
    """Links to what is not in the part lead to its page, also from the page itself."""
    own = set(_ID.findall(body))
    body = _LINK.sub(lambda m: m[0] if m[2] in own else f'{m[1]}{quote(page)}#{m[2]}"', body)
    title = " ".join(unescape(_TAG.sub(" ", head[head.index("<summary") :])).split())
    return Part(file, title, Markup(body), page)
