"""Which network? The answer in sentences, computed from a view of the full-size networks.

`static/networks.js` says the same of whatever a reader asks for; the browser tests hold the two to the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpe_bench.report.kit.latency_text import named
from hpe_bench.report.kit.text import number, plural, span
from hpe_bench.report.pages.networks import FASTEST, NetworkEntry, View, in_order
from hpe_bench.timing.rows import NetworkTime

POINTS = 1.0  # below the best that a faster network may be
MOST_NAMED = 3  # networks without a figure that a sentence names


@dataclass(frozen=True)
class Phrase:
    """A piece of a sentence; with an address it is a link."""

    text: str
    href: str = ""


Sentence = tuple[Phrase, ...]


@dataclass(frozen=True)
class Candidate:
    """A network that was timed as asked, with its figure of the field, if one was printed."""

    network: NetworkEntry
    name: str  # with its input size where two of a view share a name
    time: NetworkTime
    value: float | None
    printed: str
    record: str  # address of its time's record


@dataclass(frozen=True)
class Advice:
    """Sentences, and the network that they lead to, if there is one."""

    sentences: tuple[Sentence, ...]
    pick: Candidate | None = None

    @property
    def text(self) -> list[str]:
        """The sentences as plain text."""
        return ["".join(s.text for s in sentence) for sentence in self.sentences]


def candidates(networks: Sequence[NetworkEntry], view: View, links: Mapping[str, str]) -> list[Candidate]:
    """Networks timed as asked: those with a figure first, the most accurate first, of equal ones the faster.

    `links` are addresses of records by id.
    """
    timed = [(n, t) for n in in_order(networks, view) if view.has(n) and (t := n.time(view.host, view.runtime))]
    names = [n.name for n, _ in timed]
    found = []
    for n, t in timed:
        figure = n.printed.get(view.field)
        name = n.name if names.count(n.name) == 1 else f"{n.name} {n.size}"
        value, text = (None, "") if figure is None else (figure.value, figure.claim.printed)
        found.append(Candidate(n, name, t, value, text, links.get(t.record.id, "")))
    return found


def advise(found: Sequence[Candidate], view: View) -> Advice:
    """What a reader who asks for this view should know."""
    rated = [c for c in found if c.value is not None]
    if not rated:
        return Advice((_nothing(found, view),))
    best, fastest = rated[0], min(rated, key=lambda c: c.time.median_ms)
    within = [c for c in rated if c.time.median_ms <= view.within_ms]
    pick = within[0] if within else None
    near = min((c for c in rated if _below(best, c) <= POINTS + 1e-9), key=lambda c: c.time.median_ms)
    told = [_within(pick, best, fastest, view), _best(best, view)]
    if near is not best:
        told.append(
            (Phrase("Fastest within 1 point of it: "), *_named(near, view), Phrase(f", {_against(near, best)}."))
        )
    elif len(rated) > 1:
        told.append((Phrase("No timed network within 1 point of it is faster."),))
    unrated = [c for c in found if c.value is None and c.time.median_ms < (pick or fastest).time.median_ms]
    if unrated:
        told.append(_unrated(unrated, (pick or fastest), view))
    return Advice(tuple(told), pick or fastest)


def _nothing(found: Sequence[Candidate], view: View) -> Sentence:
    if not found:
        return (Phrase(f"No network was timed {_conditions(view)}."),)
    figure = f"{view.field.name} under {view.field.protocol}"
    return (Phrase(f"None of the {plural(len(found), 'network')} timed {_conditions(view)} has a published {figure}."),)


def _conditions(view: View) -> str:
    runtime = "in any runtime" if view.runtime == FASTEST else f"in {named(view.runtime)}"
    return f"{runtime} on {plural(view.host.threads, 'thread')} of {view.host.machine}"


def _within(pick: Candidate | None, best: Candidate, fastest: Candidate, view: View) -> Sentence:
    limit = f"{view.within_ms:g} ms"
    if pick is None:
        return (
            Phrase(f"No network with a published {view.field.name} takes at most {limit}; the fastest is "),
            *_named(fastest, view),
            Phrase("."),
        )
    spans = [Phrase(f"Most accurate within {limit}: "), *_named(pick, view)]
    if pick is best:
        spans.append(Phrase("; no timed network is more accurate"))
    else:
        spans.append(Phrase(f", {_against(pick, best)}"))
    high = pick.time.interval_ms
    over = high is not None and high[1] > view.within_ms
    return (*spans, Phrase(f". Its 95 % CI reaches past {limit}." if over else "."))


def _best(best: Candidate, view: View) -> Sentence:
    return (Phrase("Most accurate of all timed: "), *_named(best, view), Phrase("."))


def _named(c: Candidate, view: View) -> list[Phrase]:
    """Name, figure and time with its interval, and the runtime where each network has its own."""
    told = f" {span(c.time.interval_ms)}".rstrip()
    if view.runtime == FASTEST:
        told += f" in {named(c.time.runtime)}"
    figure = [] if c.value is None else [Phrase(f" with {c.printed} {view.field.name}, ")]
    time = Phrase(f"{number(c.time.median_ms, 1)} ms", c.record)
    return [Phrase(c.name, f"#{c.network.id}"), *(figure or [Phrase(", ")]), time, Phrase(told)]


def _below(best: Candidate, c: Candidate) -> float:
    assert best.value is not None
    assert c.value is not None
    return best.value - c.value


def _against(c: Candidate, best: Candidate) -> str:
    """What it costs, and what it saves."""
    less, share = _below(best, c), c.time.median_ms / best.time.median_ms
    accuracy = "as accurate as" if less < 0.05 else f"{number(less, 1)} points less than"
    there = "" if c.time.runtime == best.time.runtime else f" in {named(best.time.runtime)}"
    return f"{accuracy} {best.name} at ×{number(share, 2)} of its time{there}"


def _unrated(found: Sequence[Candidate], than: Candidate, view: View) -> Sentence:
    spans = [Phrase(f"Faster than {than.name}, but without a published {view.field.name} here: ")]
    for k, c in enumerate(sorted(found, key=lambda c: c.time.median_ms)[:MOST_NAMED]):
        spans += [Phrase(", ")] if k else []
        spans += [Phrase(c.name, f"#{c.network.id}"), Phrase(f" ({number(c.time.median_ms, 1)} ms)")]
    rest = len(found) - MOST_NAMED
    return (*spans, Phrase(f" and {rest} more." if rest > 0 else "."))
