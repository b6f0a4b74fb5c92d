"""A paper's paragraph: what held, what did not, what is open, from verdicts and records alone."""

from __future__ import annotations

from collections.abc import Sequence

from hpe_bench.declare import Claim
from hpe_bench.records.schema import RunRecord
from hpe_bench.verdicts import Verdict
from hpe_bench.verdicts.findings import MOST_NAMED, findings
from tests import synthetic_records as make
from tests.synthetic_paper import CONTROL, claim

RECORD = make.accuracy(CONTROL, 0, make.Level(60.0), samples_seen=20_000)
LONGER = make.accuracy(CONTROL, 1, make.Level(60.0), samples_seen=80_000)
AHEAD = claim(id="ahead", statement="It is more accurate", kind="direction", metric="ap", baseline="a/b", value=None)
OPEN = claim(id="open", statement="It reaches 70 AP", metric="ap")


def verdict(of: str, status: str, **changes: object) -> Verdict:
    fields: dict[str, object] = {"claim": of, "status": status, "scale": "pocket", "reason": "Because."}
    return Verdict(**{**fields, **changes})  # type: ignore[arg-type]


def told_of(claims: Sequence[Claim], verdicts: Sequence[Verdict], records: Sequence[RunRecord]) -> str:
    """Every group as a sentence."""
    return " ".join(group.text for group in findings(claims, verdicts, records))


def test_it_names_figure_data_and_budget_and_counts_costs() -> None:
    held = verdict(
        "ahead", "confirmed", value=1.25, unit="points", interval=(0.5, 2.0), protocol="mannequins-v1-dark",
        records=(RECORD.id, LONGER.id),
    )  # fmt: skip
    other = verdict("ahead", "differs", value=-2.0, unit="points", protocol="lsp-pc-v1-dark", records=(RECORD.id,))
    cost = verdict("c", "confirmed", scale="cost")
    wrong = verdict("d", "differs", scale="cost")
    waits = verdict("open", "not attempted", needs="A GPU.", reason="Nothing was at hand.")
    claims = [AHEAD, OPEN, claim(id="c"), claim(id="d")]
    told = told_of(claims, [held, other, cost, wrong, waits], [RECORD, LONGER])
    assert "Held: 1 of 2 claims on costs, by one counter at least; “It is more accurate”" in told
    assert "+1.2 points [+0.5, +2.0], in miniature after 20,000 to 80,000 samples (mannequins-v1-dark)" in told
    assert "Did not hold: 1 of 2 claims on costs, by one counter at least; “It is more accurate”: -2.0 points" in told
    assert told.endswith("Cannot be known from here, 1 of 4 claims: 1: Nothing was at hand.")
    assert "Undecided" not in told


def test_a_figure_stands_with_its_own_conditions_and_others_of_its_verdict_behind_it() -> None:
    fields = {"value": 1.25, "unit": "points", "protocol": "mannequins-v1-dark", "records": (RECORD.id,)}
    first = verdict("ahead", "confirmed", **fields)
    alike = verdict("ahead", "confirmed", **{**fields, "value": 9.0, "protocol": "mannequins-v1-quarter"})
    longer = verdict("ahead", "confirmed", **{**fields, "value": 9.0, "records": (LONGER.id,)})
    told = told_of([AHEAD], [first, alike], [RECORD, LONGER])
    assert "samples (mannequins-v1-dark), likewise under mannequins-v1-quarter." in told
    told = told_of([AHEAD], [first, alike, longer], [RECORD, LONGER])
    assert "+1.2 points, in miniature after 20,000 samples (mannequins-v1-dark), likewise after" in told
    assert "9.0" not in told
    assert told_of([AHEAD], [first, first], [RECORD]).count("likewise") == 0


def test_many_of_a_kind_are_counted_and_not_listed() -> None:
    claims = [claim(id=f"c{i}", statement=f"S{i}") for i in range(MOST_NAMED + 3)]
    told = told_of(claims, [verdict(c.id, "inconclusive", value=float(i)) for i, c in enumerate(claims)], [])
    assert told.count("“") == MOST_NAMED
    assert "3 more of the kind" in told


def test_claims_that_rest_on_one_figure_are_told_with_it_once() -> None:
    fields = {"value": -3.1, "unit": "points", "protocol": "p", "records": (RECORD.id,)}
    claims = [claim(id=f"c{i}", statement=f"S{i}") for i in range(3)]
    same = [verdict(c.id, "confirmed", **fields) for c in claims[:2]]
    (group,) = findings(claims, [*same, verdict("c2", "confirmed", **{**fields, "value": 4.0})], [RECORD])
    assert group.lead == "Held"
    assert [item.partition(" points")[0] for item in group.items] == ["“S0”, “S1”: -3.1", "“S2”: +4.0"]
    assert findings([], [], []) == ()
