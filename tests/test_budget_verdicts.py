"""What a study at several budgets says: exact on curves whose truth is known, then on a page."""

from __future__ import annotations

from math import log2, sqrt

import pytest

from hpe_bench.catalog import load
from hpe_bench.declare import Ablation, Arm, Budgets, replace
from hpe_bench.plan import points
from hpe_bench.protocols import POCKET
from hpe_bench.records.query import ScoringCondition
from hpe_bench.records.schema import ImageCounts, RunRecord
from hpe_bench.records.throughput import quickest
from hpe_bench.report.pages import budget_view, paper_page
from hpe_bench.verdicts import budgets, judge_all
from hpe_bench.verdicts.budgets import MACS, SAMPLES, BudgetPoint, Curve
from hpe_bench.verdicts.evidence import Estimate
from hpe_bench.verdicts.pools import SeedPools
from tests import synthetic_records as make
from tests.synthetic_paper import CONTROL, OLD_LOSS, PAPER, PROPOSAL, claim, relation

KEY = "pckh@0.5"
AT = (10_000, 20_000, 40_000, 80_000)
STUDY = Ablation("budget", "At which budgets?", (CONTROL, PROPOSAL, OLD_LOSS), "base_mse", budgets=Budgets(AT))
WITH_BUDGETS = replace(PAPER, ablations=(*PAPER.ablations, STUDY))
WHERE = ScoringCondition("pocket", "mannequins-v1-dark", "p0", "e0")


def exact(arm: Arm, samples: int, seed: int, accuracy: float) -> RunRecord:
    """A record of very nearly this accuracy in every image, to whole joints of a thousand."""
    record = make.accuracy(arm, seed, make.Level(50.0), samples_seen=samples)
    m = replace(record.measurements[0], value=accuracy, interval=None)
    hits = (round(10_000 * accuracy),) * make.IMAGES
    tally = ImageCounts(key=KEY, hits=hits, counts=(1_000_000,) * make.IMAGES)
    return record.model_copy(update={"measurements": (m,), "tallies": (tally,)})


def curve(arm: Arm, offset: float, macs: float = 1.0) -> Curve:
    """10 points for each doubling, three seeds that differ by what they are numbered."""
    found = []
    for samples in AT:
        runs = {s: exact(arm, samples, s, 30 + offset + s + 10 * log2(samples / AT[0])) for s in range(3)}
        found.append(BudgetPoint(samples, arm, runs, {SAMPLES: samples, MACS: macs * samples}))
    return tuple(found)


def test_twice_the_samples_for_equal_accuracy() -> None:
    factor = budgets.samples_for_equal_accuracy(curve(PROPOSAL, -10), curve(CONTROL, 0), KEY)
    assert factor is not None
    assert factor.value == pytest.approx(2.0)
    assert factor.each == pytest.approx((2.0, 2.0, 2.0))
    assert factor.interval == pytest.approx((2.0, 2.0))
    same = budgets.samples_for_equal_accuracy(curve(PROPOSAL, 0), curve(CONTROL, 0), KEY)
    assert same is not None
    assert same.value == pytest.approx(1.0)
    assert budgets.samples_for_equal_accuracy(curve(PROPOSAL, 0), curve(CONTROL, 35), KEY) is None


def test_at_equal_cost_a_dearer_network_is_read_between_its_points() -> None:
    """Of equal accuracy at equal samples and sqrt(2) times the MACs: half a doubling, so 5 points behind."""
    pools = SeedPools(())
    found = budgets.equal_cost(curve(PROPOSAL, 0, sqrt(2)), curve(CONTROL, 0), MACS, KEY, pools)
    assert [a.samples for a in found] == [20_000, 40_000, 80_000]  # below its first point nothing is said
    assert [a.gain.value for a in found] == pytest.approx([-5.0, -5.0, -5.0], abs=1e-3)
    level = budgets.equal_cost(curve(PROPOSAL, 0, sqrt(2)), curve(CONTROL, 0), SAMPLES, KEY, pools)
    assert [a.gain.value for a in level] == pytest.approx([0.0] * 4, abs=1e-3)


def test_what_else_a_machine_does_makes_no_network_dearer() -> None:
    """A training beside others took as long as one of twice the samples; another processor is twice as quick."""
    trainings = {
        "ours": [
            make.took(PROPOSAL, 10_000, 40.0),
            make.took(PROPOSAL, 20_000, 40.0),
            make.took(PROPOSAL, 20_000, 20.0, device="Another CPU"),
        ],
        "theirs": [make.took(CONTROL, 10_000, 15.0), make.took(CONTROL, 20_000, 90.0)],
        "never": [],
    }
    assert quickest(trainings) == pytest.approx({"ours": 0.002, "theirs": 0.0015})
    assert quickest({"never": []}) == {}


def test_a_cascades_detector_sees_part_of_the_samples() -> None:
    paper = load("bulat_cascade").paper
    study = next(s for s in paper.studies if s.name == "budget")
    shares = {arm.name: budgets.share_of("detector", arm.recipe) for arm in study.arms}
    assert shares == {"cascade": pytest.approx(0.6), "detector": 1.0}


def test_a_budget_by_itself_is_decided_only_among_all_of_them() -> None:
    one = Estimate(3.0, (0.1, 5.9), 100, 3, "", p_value=0.04)
    sure = replace(one, value=-4.0, interval=(-5.0, -3.0), p_value=1e-6)
    told = budgets.in_words({10_000: one, 20_000: sure})
    assert "is the other way round at 20,000 (-4.0)" in told
    assert "holds at 10,000 (+3.0)" in told  # 0.04 is the last of Holm's steps
    assert "is not told apart from none at 10,000 (+3.0)" in budgets.in_words({10_000: one, 20_000: one})
    assert budgets.in_words({10_000: one}) == ""


# ---------------------------------------------------------------------------------------------------- records


def records() -> list[RunRecord]:
    """A control, a proposal that is 6 points behind at every budget, and its old loss, 6 behind that."""
    found = [make.mean_pose()]
    for samples, point in points(STUDY).items():
        for arm in point.arms:
            level = 45 + 7 * log2(samples / AT[0]) - {"base_mse": 0, "tiny_rce": 6, "tiny_mse": 12}[arm.name]
            found += [make.accuracy(arm, seed, make.Level(level), samples_seen=samples) for seed in range(3)]
    macs = {"base_pocket": 44_000_000, "pocket": 33_000_000}
    arms = {a.variant.name: a for a in STUDY.arms}
    found += [make.cost(a.paper, a.variant, 1000, macs[name], macs[name]) for name, a in arms.items()]
    return found


def test_a_verdict_says_at_which_budgets_it_holds() -> None:
    (verdict,) = judge_all([relation()], WITH_BUDGETS, records())
    assert verdict.status == "differs"
    assert "is the other way round at 10,000" in verdict.reason
    assert "Holm over 4 budgets" in verdict.reason
    alone = judge_all([relation()], PAPER, records())[0]
    assert "Holm over 4 budgets" not in alone.reason
    assert (alone.value, alone.p_value) == (verdict.value, verdict.p_value)


def test_faster_convergence_is_judged_on_whole_trainings_as_well() -> None:
    faster = claim(
        id="faster", kind="direction", metric="convergence", variant="small_256x192", baseline="tiny/small_256x192",
        value=None, printed="", unit="",
    )  # fmt: skip
    on_curves, annealed = judge_all([faster], WITH_BUDGETS, records())
    assert "samples for equal" in annealed.reason
    assert annealed.value is not None
    assert annealed.value == pytest.approx(100 * (2 ** (-6 / 7) - 1), abs=6)  # 6 points of 7 a doubling ahead
    assert annealed.status == "confirmed"
    assert annealed.family != on_curves.family


def test_the_page_shows_curves_answers_and_what_is_left() -> None:
    found = records()
    curves = budgets.curves(STUDY, found, WHERE)
    view, again = (budget_view.view(WITH_BUDGETS, STUDY, curves, found, WHERE, "b") for _ in range(2))
    assert view is not None
    assert [str(f.svg) for f in view.figures] == [str(f.svg) for f in again.figures]  # type: ignore[union-attr]
    assert len(view.figures) == 2  # no record says how long its training took
    assert "10 k" in view.figures[0].svg
    assert len(view.table.rows) == len(AT) * 3
    assert view.equal is not None
    assert {row[0].text for row in view.equal.rows} == {"equal samples", "equal training MACs"}
    assert "times the control's samples" in view.table.note
    page = paper_page.build(WITH_BUDGETS, [], found, {p.name: p for p in POCKET["mannequins"]}, {})
    study = page.ablations[-1]
    assert (study.name, len(study.blocks), study.missing) == ("budget", 1, "")
    assert study.left.startswith("36 of 36")  # the other decoder's records are not there
    fewer = [r for r in found if r.identity.samples_seen != 80_000]
    page = paper_page.build(WITH_BUDGETS, [], fewer, {p.name: p for p in POCKET["mannequins"]}, {})
    assert page.ablations[-1].missing == "80,000 samples"
    alone = [r for r in found if r.identity.samples_seen == 40_000]  # nothing to draw, and yet it was run
    page = paper_page.build(WITH_BUDGETS, [], alone, {p.name: p for p in POCKET["mannequins"]}, {})
    assert page.ablations[-1].blocks == ()
    assert page.ablations[-1].missing == "; ".join(f"{n:,} samples" for n in AT if n != 40_000)


def test_an_arm_looks_the_same_at_every_budget() -> None:
    from hpe_bench.report.kit.studies import same, styles

    found = styles(WITH_BUDGETS)
    for point in points(STUDY).values():
        assert [found[same(a)] for a in point.arms] == [found[same(a)] for a in STUDY.arms]
