"""Comparisons: costs beside each other, where each wins, what differs in training; any number of papers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Paper, fingerprint, replace
from hpe_bench.records.schema import RunRecord, Timing
from hpe_bench.report import site
from hpe_bench.report.pages import comparison, comparison_costs
from hpe_bench.report.pages.comparison import ComparisonPage
from tests import synthetic_records as make
from tests.synthetic_paper import BASE_FULL, BASE_POCKET, CONTROL, FULL, OLD_LOSS, PAPER, POCKET, PROPOSAL
from tests.synthetic_records import Level
from tests.test_diagnosis_view import diagnosed

THIRD_POCKET = replace(POCKET, name="third_pocket")
THIRD = replace(PROPOSAL, name="third_rce", paper="third", variant=THIRD_POCKET, label="Third")


def loaded(paper: Paper) -> LoadedPaper:
    return LoadedPaper(paper, (), Path(paper.slug))


TINY = loaded(replace(PAPER, variants=(FULL,), ablations=()))
BASE = loaded(
    replace(
        PAPER,
        slug="base",
        variants=(BASE_FULL,),
        headline=replace(PAPER.headline, arms=(PROPOSAL, CONTROL), control=PROPOSAL.name),
        ablations=(),
    )
)
OTHER = loaded(
    replace(
        PAPER,
        slug="third",
        variants=(replace(FULL, name="third_256x256", input_hw=(256, 256)),),
        headline=replace(PAPER.headline, arms=(CONTROL, THIRD), control=CONTROL.name),
        ablations=(),
    )
)
COSTS = [
    make.cost("tiny", FULL, 24_000_000, 4_000_000_000, 4 * 2**30, 60.0),
    make.cost("base", BASE_FULL, 34_000_000, 5_000_000_000, 9 * 2**30, 50.0),
    make.cost("tiny", POCKET, 210_000, 33_000_000, 32_000_000, 2.0),
    make.cost("base", BASE_POCKET, 280_000, 44_000_000, 61_000_000, 3.0),
    make.cost("third", THIRD_POCKET, 300_000, 55_000_000, 55_000_000, 4.0),
]
ARMS = ((PROPOSAL, 75.0), (CONTROL, 65.0), (THIRD, 65.0))


def runs(parts: bool = False) -> list[RunRecord]:
    made = [make.accuracy(arm, seed, Level(level)) for arm, level in ARMS for seed in range(3)]
    return [diagnosed(r) for r in made] if parts else made


@pytest.fixture(scope="module")
def two() -> ComparisonPage:
    return comparison.build([TINY, BASE], [*COSTS, *runs(parts=True)], site.suite())


@pytest.fixture(scope="module")
def three() -> ComparisonPage:
    return comparison.build([TINY, BASE, OTHER], [*COSTS, *runs()], site.suite())


def test_ratios_are_of_one_input_size_and_to_the_first_paper(two: ComparisonPage) -> None:
    full, pocket = two.ratios
    assert (full.id, pocket.id) == ("ratios-256x192", "ratios-pocket")
    macs = next(row for row in full.rows if row[0].text.startswith("MACs, true count"))
    hrnet = next(row for row in full.rows if row[0].text.startswith("MACs, HRNet"))
    assert [c.note for c in macs[1:]] == ["", "×\N{NO-BREAK SPACE}1.25"]
    assert [c.note for c in hrnet[1:]] == ["", "×\N{NO-BREAK SPACE}2.25"]
    assert all(row[0].text.endswith((", M", ", ms")) for t in two.ratios for row in t.rows)


def test_sentences_say_who_wins_and_that_macs_do_not_order_speed(two: ComparisonPage) -> None:
    full, pocket, accuracy = two.wins
    assert "tiny leads base by" in accuracy
    assert "tiny small_256x192 needs the fewest MACs (true count), 80\N{NO-BREAK SPACE}%" in full
    assert "it is not the fastest: base big_256x192 is" in full
    assert "is also the fastest (×0.67 [" in pocket
    assert "of base base_pocket's time" in pocket
    assert "timed in process" in pocket


def test_what_cannot_be_told_apart_is_said(three: ComparisonPage) -> None:
    even = [line for line in three.wins if "base and third" in line]
    assert even == ["mannequins-v1-dark, pocket scale: base and third cannot be told apart in PCKh@0.5."]


def test_three_papers_have_every_pair(three: ComparisonPage) -> None:
    assert len(three.differences[0].rows) == 3
    (detail,) = three.details
    (joints,) = detail.tables
    assert [c.name.partition(",")[0] for c in joints.columns[1:]] == ["tiny − base", "tiny − third", "base − third"]
    assert {t.id for t in three.ratios} == {"ratios-256x192", "ratios-pocket"}  # 256x256 has one paper only
    text = site.render("comparison.html.j2", comparison=three, root="../../")
    assert text.count('id="gallery"') == 1


def test_parts_and_kinds_stand_behind_the_headline(two: ComparisonPage) -> None:
    (detail,) = two.details
    assert [t.id.partition("-")[0] for t in detail.tables] == ["joints", "parts", "kinds"]
    assert [("kinds" in f.svg) for f in detail.figures] == [False, True]
    assert detail.persons


def test_recipes_are_compared_field_by_field(two: ComparisonPage) -> None:
    (table,) = two.recipes
    assert [[c.text for c in row] for row in table.rows] == [["loss: name", "rce", "mse"]]
    same = comparison.build([TINY, OTHER], [*COSTS, *runs()], site.suite())
    assert same.recipes == ()


def timing(ms: float, **changes: object) -> Timing:
    fields: dict[str, object] = {"runtime": "onnx", "input_hw": (256, 192), "batch": 1, "threads": 1}
    fields |= {"deviation": 1e-6, "tolerance": 1e-3}
    return Timing(**(fields | {"rounds_ms": ((ms, ms), (ms, 9 * ms))} | changes))  # type: ignore[arg-type]


def latency(slug: str, base: RunRecord, *timings: Timing) -> RunRecord:
    identity = base.identity.model_copy(update={"kind": "latency", "paper": slug})
    return base.model_copy(update={"id": f"{slug}-latency", "identity": identity, "timings": timings})


def test_latencies_by_runtime_are_paired_where_both_count() -> None:
    failed = {"status": "failed", "reason": "no such operator", "rounds_ms": ()}
    ours = latency("tiny", COSTS[0], timing(20.0), timing(5.0, precision="bf16"), timing(1.0, runtime="openvino"))
    theirs = latency(
        "base",
        COSTS[1],
        timing(30.0),
        timing(5.0, precision="bf16", deviation=0.5, tolerance=0.1),
        timing(1.0, runtime="openvino", **failed),
    )
    (entrants, _) = comparison_costs.fields([TINY, BASE], [("tiny", POCKET), ("base", BASE_POCKET)], COSTS)
    found = comparison_costs.ratios(entrants, [ours, theirs])
    by_runtime = [r for r in found if "onnx" in r.what or "openvino" in r.what]
    assert [(r.what, r.values) for r in by_runtime] == [
        ("Latency, median; onnx (fp32), network, 256×192, batch 1, 1\N{NO-BREAK SPACE}thread", (20.0, 30.0))
    ]


def test_times_of_two_machines_are_not_held_against_each_other() -> None:
    moved = COSTS[1].model_copy(update={"provenance": COSTS[1].provenance.model_copy(update={"device": "Another CPU"})})
    (entrants, _) = comparison_costs.fields(
        [TINY, BASE], [("tiny", POCKET), ("base", BASE_POCKET)], [COSTS[0], moved, *COSTS[2:]]
    )
    found = comparison_costs.ratios(entrants, [])
    assert [r.unit for r in found] == ["M"] * 4
    assert comparison_costs.sentence(entrants, found).endswith("; they were not timed alike.")


def speeds(cheap: float, dear: float, *, rounds: int = 4) -> str:
    """What is said of two networks, of which `tiny` needs fewer MACs, by their times."""

    def timed(slug: str, base: RunRecord, ms: float) -> RunRecord:
        calls = tuple((ms * (1 + 0.1 * k),) * 3 for k in range(rounds))
        return latency(slug, base, timing(ms, runtime="eager", rounds_ms=calls))

    records = [timed("tiny", COSTS[0], cheap), timed("base", COSTS[1], dear)]
    (entrants, _) = comparison_costs.fields([TINY, BASE], [("tiny", POCKET), ("base", BASE_POCKET)], COSTS)
    found = comparison_costs.ratios(entrants, [*COSTS, *records])
    return comparison_costs.sentence(entrants, found).replace("\N{NO-BREAK SPACE}", " ")


def test_the_sentence_on_speed_names_a_ratio_and_whose() -> None:
    where = "network only, batch 1, eager fp32, 1 thread"
    also = speeds(50.0, 100.0)
    assert "tiny small_256x192 needs the fewest MACs" in also
    assert also.endswith(f"it is also the fastest (×0.50 [0.50, 0.50] of base big_256x192's time; {where}).")
    other = speeds(100.0, 71.0)
    assert "it is not the fastest: base big_256x192 is (×0.71 [0.71, 0.71] of tiny small_256x192's time; " in other


def test_the_sentence_on_speed_decides_nothing_where_the_interval_holds_one() -> None:
    """Without a common timing run the drift of 30 % within each is no help."""
    apart = speeds_apart(99.0, 100.0)
    assert "the 95 % CI of its ratio to the slowest includes 1 (tiny small_256x192 takes ×0.99 [" in apart
    turned = speeds_apart(100.0, 99.0)
    assert "none is faster with a 95 % CI that excludes 1 (base big_256x192 takes ×0.99 [" in turned


def speeds_apart(cheap: float, dear: float) -> str:
    """As `speeds`, timed on different days."""
    later = COSTS[1].provenance.model_copy(update={"started": "2026-03-01T00:00:00+00:00"})
    moved = COSTS[1].model_copy(update={"provenance": later})

    def timed(slug: str, base: RunRecord, ms: float) -> RunRecord:
        calls = tuple((ms * (0.85 + 0.1 * k),) * 3 for k in range(4))
        return latency(slug, base, timing(ms, runtime="eager", rounds_ms=calls))

    records = [timed("tiny", COSTS[0], cheap), timed("base", moved, dear)]
    (entrants, _) = comparison_costs.fields([TINY, BASE], [("tiny", POCKET), ("base", BASE_POCKET)], COSTS)
    found = comparison_costs.ratios(entrants, [*COSTS, *records])
    return comparison_costs.sentence(entrants, found).replace("\N{NO-BREAK SPACE}", " ")


def test_an_older_declaration_does_not_enter() -> None:
    changed = loaded(replace(TINY.paper, variants=(replace(FULL, joints=16),)))
    assert fingerprint(changed.paper.variants[0]) != fingerprint(FULL)
    assert comparison_costs.fields([changed, BASE], [], COSTS) == []
    assert OLD_LOSS not in [c.arm for c in comparison.contenders([TINY])]
