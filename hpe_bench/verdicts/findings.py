"""What became of a paper's claims, told in groups: what held, where, at which budget; what did not; what is open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from hpe_bench.declare import Claim
from hpe_bench.records.schema import RunRecord
from hpe_bench.verdicts.verdict import Status, Verdict

LEADS: tuple[tuple[Status, str], ...] = (
    ("confirmed", "Held"),
    ("differs", "Did not hold"),
    ("inconclusive", "Undecided"),
    ("not comparable", "Not comparable"),
)
MOST_NAMED = 4  # claims or reasons of a kind


@dataclass(frozen=True)
class FindingGroup:
    """Claims that got one verdict, or the reasons why none was reached: what they share, and a phrase each."""

    lead: str
    items: tuple[str, ...]

    @property
    def text(self) -> str:
        """As one sentence."""
        return f"{self.lead}: {'; '.join(self.items)}".removesuffix(".") + "."


def findings(
    claims: Sequence[Claim], verdicts: Sequence[Verdict], records: Iterable[RunRecord]
) -> tuple[FindingGroup, ...]:
    """What was tested, and how many claims wait for what."""
    return (*tested(claims, verdicts, records), *_unknown(claims, verdicts))


def tested(
    claims: Sequence[Claim], verdicts: Sequence[Verdict], records: Iterable[RunRecord]
) -> tuple[FindingGroup, ...]:
    """Generated from verdicts and the records they rest on; no figure in it is written by hand. Empty without any.

    Printed costs are counted; relations are named with what was measured, on which data and after how many samples.
    """
    said = {c.id: c for c in claims}
    seen = {r.id: r.identity.samples_seen for r in records}
    found = (FindingGroup(lead, tuple(_of_status(status, verdicts, said, seen))) for status, lead in LEADS)
    return tuple(group for group in found if group.items)


def _of_status(
    status: Status, verdicts: Sequence[Verdict], said: Mapping[str, Claim], seen: Mapping[str, int]
) -> Iterator[str]:
    mine = [v for v in verdicts if v.status == status]
    costs = [v for v in mine if v.scale == "cost"]
    relations = [v for v in mine if v.scale != "cost"]
    if costs:
        of = len({v.claim for v in verdicts if v.scale == "cost" and v.status != "not attempted"})
        yield f"{len({v.claim for v in costs})} of {of} claims on costs, by one counter at least"
    alike: dict[str, list[str]] = {}  # claims that rest on one figure, by that figure in words
    for claim, group in groupby(relations, key=lambda v: v.claim):
        alike.setdefault(_figure(list(group), seen), []).append(f"“{said[claim].statement}”")
    for figure, statements in list(alike.items())[:MOST_NAMED]:
        yield f"{', '.join(statements)}: {figure}"
    if rest := sum(map(len, list(alike.values())[MOST_NAMED:])):
        yield f"{rest} more of the kind"


def _figure(verdicts: Sequence[Verdict], seen: Mapping[str, int]) -> str:
    """A claim's first figure and that one's conditions, then those under which it got the same verdict."""
    v, *others = verdicts
    figure = ""
    if v.value is not None:
        unit = {"points": " points", "percent": " %"}.get(v.unit, f" {v.unit}" if v.unit else "")
        around = f" [{v.interval[0]:+.1f}, {v.interval[1]:+.1f}]" if v.interval else ""
        figure = f"{v.value:+.1f}{unit}{around}, "
    where = "in miniature" if v.scale == "pocket" else f"at {v.scale} scale"
    said = f"{figure}{where}{_after(_budgets([v], seen))}"
    said += f" ({v.protocol})" if v.protocol else ""
    others = [x for x in others if (x.protocol, _budgets([x], seen)) != (v.protocol, _budgets([v], seen))]
    if not others:
        return said
    protocols = " and ".join(dict.fromkeys(x.protocol for x in others if x.protocol))
    samples = _budgets(others, seen)
    return f"{said}, likewise{'' if samples == _budgets([v], seen) else _after(samples)} under {protocols}"


def _budgets(verdicts: Sequence[Verdict], seen: Mapping[str, int]) -> list[int]:
    """After how many samples the trainings behind some verdicts ended."""
    return sorted({seen[i] for v in verdicts for i in v.records if seen.get(i)})


def _after(samples: Sequence[int]) -> str:
    return f" after {_several(samples)} samples" if samples else ""


def _several(numbers: Sequence[int]) -> str:
    words = [f"{n:,}" for n in numbers]
    return words[0] if len(words) == 1 else f"{words[0]} to {words[-1]}"


def _unknown(claims: Sequence[Claim], verdicts: Sequence[Verdict]) -> Iterator[FindingGroup]:
    """How many claims nothing here can decide, and what they wait for; nothing where all are decided."""
    decided = {v.claim for v in verdicts if v.status != "not attempted"}
    waiting = [c for c in claims if c.id not in decided]
    if not waiting:
        return
    reasons: dict[str, set[str]] = {}
    for v in verdicts:
        if v.claim not in decided:
            reasons.setdefault(v.reason, set()).add(v.claim)
    largest = sorted(reasons.items(), key=lambda r: (-len(r[1]), r[0]))[:MOST_NAMED]
    why = [f"{len(of)}: {reason}" for reason, of in largest]
    if rest := sum(len(of) for of in reasons.values()) - sum(len(of) for _, of in largest):
        why.append(f"{rest}: other reasons, with the claims")
    yield FindingGroup(f"Cannot be known from here, {len(waiting)} of {len(claims)} claims", tuple(why))
