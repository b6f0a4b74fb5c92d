"""Verdict rules: printed digits, counting conventions, signs with intervals, convergence, and what is not tried."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from hpe_bench.declare import Ablation, Arm, Augmentation, Claim
from hpe_bench.metrics.oks_ap import OksAP
from hpe_bench.records.schema import Measurement, Release, RunRecord
from hpe_bench.run import scoring
from hpe_bench.verdicts import STATUSES, Verdict, count, evidence, judge, judge_all
from hpe_bench.verdicts.families import over_suite, within_paper
from hpe_bench.verdicts.pairs import pocket_pair
from hpe_bench.verdicts.pools import SeedPools
from hpe_bench.verdicts.printed import decimals, matches
from tests import synthetic_records as make
from tests.synthetic_latency import latency
from tests.synthetic_paper import (
    BASE_FULL,
    BASE_POCKET,
    CONTROL,
    FULL,
    MSE,
    OLD_LOSS,
    PAPER,
    POCKET,
    PRINTED,
    PROPOSAL,
    RCE,
    claim,
    macs,
    relation,
)
from tests.synthetic_records import Level
from tests.test_average_precision import spread as persons_of

G30 = 2**30


def judged(c: Claim, *records: RunRecord) -> list[Verdict]:
    return judge(c, PAPER, records)


# ---------------------------------------------------------------------------------------------------- digits


@pytest.mark.parametrize(
    ("printed", "value", "unit", "places"),
    [
        ("34.0M", 34.0, "M", 1),
        ("58%", -58.0, "percent", 0),
        ("27 009 770", 27009770.0, "count", 0),
        ("7.10", 7.1, "GMAC/2^30", 2),
        ("34.0M", 34_000_000.0, "count", -5),
        ("", 71.7, "percent", 1),
        ("", 3.0, "M", 0),
    ],
)
def test_printed_decimals(printed: str, value: float, unit: str, places: int) -> None:
    assert decimals(claim(printed=printed, value=value, unit=unit)) == places


@pytest.mark.parametrize(
    ("exact", "how"),
    [
        ("8.9", "rounds"),
        ("8.949999", "rounds"),
        ("8.95", "truncates"),  # rounds half up to 9.0
        ("8.999999", "truncates"),
        ("9.0", ""),
        ("8.85", "rounds"),
        ("8.849999", ""),
        ("-8.9", ""),
    ],
)
def test_rounding_and_truncation_at_the_edges(exact: str, how: str) -> None:
    assert matches(Fraction(exact), macs()) == how


def test_negative_changes_round_away_from_zero_and_truncate_towards_it() -> None:
    c = claim(kind="percent change", baseline="base/x", metric="macs", printed="58%", value=-58.0, unit="percent")
    assert [matches(Fraction(x), c) for x in ("-58.5", "-57.5", "-58.99", "-57.49")] == [
        "truncates",
        "rounds",
        "truncates",
        "",
    ]


# ---------------------------------------------------------------------------------------------------- costs


def cost(params: int = 33_999_697, true: int = 5_426_000_000, hrnet: float = 8.991 * G30) -> RunRecord:
    return make.cost("tiny", PRINTED, params, true, int(hrnet))


def test_parameters_that_round_to_the_printed_digits_are_confirmed() -> None:
    (v,) = judged(claim(), cost())
    assert (v.status, v.scale, v.unit) == ("confirmed", "cost", "M")
    assert v.value == 33.999697
    assert "rounds" in v.reason


def test_within_one_percent_is_still_different() -> None:
    (v,) = judged(claim(), cost(params=34_100_000))
    assert v.status == "differs"
    assert "+0.29 %" in v.reason
    assert "within 1 %" in v.reason


def test_printed_megabytes_are_mebibytes_of_four_byte_parameters() -> None:
    (v,) = judged(claim(printed="103.0", value=103.0, unit="MB"), cost(params=27_009_770))
    assert v.status == "confirmed"  # 27 009 770 parameters are 103.03 MiB; CPN prints such sizes


def test_macs_are_judged_under_the_papers_counter_and_counted_again_as_a_note() -> None:
    (paper,) = judged(macs(), cost())
    assert (paper.status, paper.convention) == ("confirmed", "HRNet counter")
    assert "truncates" in paper.reason  # 8.991 is printed as 8.9
    note = paper.recount
    assert note is not None
    assert (note.convention, note.unit) == ("true multiply-adds", "GMAC")
    assert note.value == pytest.approx(5.426)
    assert "HRNet counter (F19)" in note.reason


def test_our_own_convention_is_judged_once() -> None:
    (v,) = judged(macs(convention="true", printed="5.43", value=5.43, unit="GMAC"), cost())
    assert v.status == "confirmed"


def test_millions_are_counted_as_millions() -> None:
    (v,) = judged(macs(convention="true", printed="242M", value=242.0, unit="MMAC"), cost(true=241_900_000))
    assert (v.status, v.unit) == ("confirmed", "MMAC")


def test_an_unknown_convention_is_named_if_one_explains_the_figure() -> None:
    (fits,) = judged(macs(convention="unknown", printed="10.9", value=10.9), cost(true=5_450_000_000))
    assert (fits.status, fits.convention) == ("confirmed", "2 FLOPs per multiply-add")
    assert fits.caveat == "convention inferred from the fit"
    assert fits.recount is not None


def test_an_unknown_convention_that_misses_the_digits_is_named_and_decides_nothing() -> None:
    (near,) = judged(macs(convention="unknown", printed="9.05", value=9.05), cost())
    assert (near.status, near.convention) == ("not comparable", "nearest: HRNet counter")
    assert "none of the known ones gives its digits; the nearest, HRNet counter, is -0.65 % off" in near.reason


def test_a_figure_that_holds_under_its_own_counter_never_also_differs() -> None:
    for printed, value in (("8.9", 8.9), ("8.99", 8.99)):
        verdicts = judged(macs(printed=printed, value=value), cost())
        assert [v.status for v in verdicts] == ["confirmed"]


def test_a_figure_that_no_convention_explains_is_not_comparable() -> None:
    (none,) = judged(macs(convention="unknown", printed="20.0", value=20.0), cost())
    assert none.status == "not comparable"
    assert "none of the known ones" in none.reason


def test_another_input_size_is_not_comparable() -> None:
    (v,) = judged(macs(input_hw=(384, 288)), cost())
    assert v.status == "not comparable"
    assert "384x288" in v.reason
    assert "256x192" in v.reason


def test_what_was_not_measured_says_what_it_would_take() -> None:
    (v,) = judged(claim())
    assert v.status == "not attempted"
    assert "hpe-bench reproduce tiny --scale cost" in v.needs
    (v,) = judged(claim(variant=""), cost())
    assert v.status == "not attempted"
    assert "none of this paper's variants" in v.reason


def test_a_record_of_an_older_declaration_does_not_count() -> None:
    record = make.cost("tiny", replace(PRINTED, stride=8), 33_999_697, 1, 1)
    assert judged(claim(), record)[0].status == "not attempted"


def test_the_newest_of_two_records_counts() -> None:
    old = make.cost("tiny", PRINTED, 1_000_000, 1, 1, started="2026-01-01T00:00:00+00:00")
    new = make.cost("tiny", PRINTED, 34_000_000, 1, 1, started="2026-02-01T00:00:00+00:00")
    assert judged(claim(), new, old)[0].status == "confirmed"


def test_latency_of_another_machine_is_not_comparable_but_is_shown() -> None:
    (v,) = judged(claim(metric="latency", printed="9 ms", value=9.0, unit="ms"), cost())
    assert v.status == "not comparable"
    assert v.value == 10.0


def timed(ours_ms: float, theirs_ms: float, settled: bool = True) -> list[Verdict]:
    quick = relation(kind="direction", metric="latency", printed="", value=None, unit="ms")
    ours, theirs = (
        make.cost(s, v, 1, 1, 1, ms) for s, v, ms in (("tiny", FULL, ours_ms), ("base", BASE_FULL, theirs_ms))
    )
    if not settled:
        moved = [
            replace(m, scope=m.scope + ", warm-up not settled") if m.key == "latency/median" else m
            for m in ours.measurements
        ]
        ours = ours.model_copy(update={"measurements": tuple(moved)})
    return judged(quick, ours, theirs)


def test_the_direction_of_latency_is_by_timing_runs_where_there_are_any() -> None:
    """In turns the ratio is certain although single medians drift by 5 %; one side alone of them decides nothing."""
    quick = relation(kind="direction", metric="latency", printed="", value=None, unit="ms")
    counted = (make.cost("tiny", FULL, 1, 1, 1, 90), make.cost("base", BASE_FULL, 1, 1, 1, 50))
    ours, theirs = latency("tiny", FULL, 98.0, 4.0, 4.0), latency("base", BASE_FULL, 100.0, 4.0, 4.0)
    (v, *_) = judged(quick, *counted, ours, theirs)
    assert (v.status, v.value) == ("confirmed", pytest.approx(-2.0, abs=0.1))
    assert v.interval is not None
    assert v.interval[1] < 0
    assert {ours.id, theirs.id} <= set(v.records)
    assert "timed in turns" in v.reason
    (alone, *_) = judged(quick, *counted, ours)
    assert alone.status == "not comparable"
    assert "not timed alike" in alone.reason


def test_the_direction_of_latency_needs_intervals_apart_and_settled_medians() -> None:
    assert timed(50, 90)[0].status == "confirmed"
    assert timed(90, 50)[0].status == "differs"
    assert timed(50, 51)[0].status == "inconclusive"
    assert timed(50, 90, settled=False)[0].status == "inconclusive"


FASTER = relation(
    kind="percent change", metric="macs", convention="unknown", printed="58%", value=-58.0, unit="percent"
)
SAVING = (
    make.cost("tiny", FULL, 24_311_000, 4_042_000_000, int(3.765 * G30)),
    make.cost("base", BASE_FULL, 33_999_697, 5_426_000_000, int(8.991 * G30)),
)
SMALL = (
    make.cost("tiny", POCKET, 200_000, 33_000_000, 30_000_000),
    make.cost("base", BASE_POCKET, 280_000, 44_000_000, 60_000_000),
)


def test_the_58_percent_hold_in_one_counter_only_and_prove_no_more_than_a_consistent_reading() -> None:
    (paper,) = judged(FASTER, *SAVING)
    ours = paper.recount
    assert ours is not None
    assert (paper.status, paper.convention) == ("confirmed", "HRNet counter")
    assert paper.value == pytest.approx(-58.12, abs=0.01)
    assert "no independent confirmation" in paper.reason
    assert "chosen to fit" in paper.reason
    assert paper.caveat == "consistent with our reading"
    assert (ours.convention, ours.unit) == ("true multiply-adds", "percent")
    assert ours.value == pytest.approx(-25.5, abs=0.05)


def test_the_miniatures_change_is_shown_once_and_held_against_nothing() -> None:
    (small,) = judged(FASTER, *SAVING, *SMALL)[1:]
    assert (small.status, small.scale, small.convention) == ("not comparable", "pocket", "true multiply-adds")
    assert small.value == pytest.approx(-25.0)
    assert "by construction: -50.0 % (HRNet counter), -25.0 % (true multiply-adds), tiny/pocket" in small.reason
    fewer = relation(kind="direction", metric="params", printed="", value=None, unit="M")
    (small,) = judged(fewer, *SAVING, *SMALL)[1:]
    assert (small.status, small.value) == ("not comparable", pytest.approx(100 * (20 / 28 - 1)))
    assert "by construction: -28.6 %, tiny/pocket" in small.reason


def test_a_change_says_whether_it_is_a_larger_or_a_smaller_saving() -> None:
    note = judged(FASTER, *SAVING)[0].recount
    assert note is not None
    smaller = note.reason
    assert smaller.startswith("-25.5 % (true multiply-adds): a saving 32.5 points smaller than the printed 58%.")
    assert "appears to follow another count, the HRNet counter" in smaller
    (larger,) = judged(replace(FASTER, convention="true", printed="20%", value=-20.0), *SAVING)
    assert "a saving 5.5 points larger than the printed 20%" in larger.reason
    (dearer,) = judged(replace(FASTER, convention="true", printed="20%", value=20.0), *SAVING)
    assert "45.5 points from the printed 20%" in dearer.reason


def test_a_direction_without_a_figure_means_less_cost() -> None:
    less = relation(kind="direction", metric="params", printed="", value=None, unit="M")
    (v,) = judged(less, *SAVING)
    assert v.status == "confirmed"
    assert v.reason.startswith(
        "small_256x192 has 24.31 M parameters against 34.00 M (-28.5 %). The paper gives no size"
    )
    swapped = (make.cost("tiny", FULL, 40_000_000, 1, 1), SAVING[1])
    assert judged(less, *swapped)[0].status == "differs"


# ---------------------------------------------------------------------------------------------------- accuracy


def arms(ours: float, theirs: float, seeds: int = 3, **more: object) -> list[RunRecord]:
    return [
        make.accuracy(arm, seed, Level(level), **more)  # type: ignore[arg-type]
        for arm, level in ((PROPOSAL, ours), (CONTROL, theirs))
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "status"), [(76.0, 66.0, "confirmed"), (66.0, 76.0, "differs"), (70.0, 70.0, "inconclusive")]
)
def test_in_miniature_the_sign_of_a_difference_is_tested(ours: float, theirs: float, status: str) -> None:
    (v,) = judged(relation(), *arms(ours, theirs))
    assert (v.status, v.scale, v.protocol, v.key) == (status, "pocket", "mannequins-v1-dark", "pckh@0.5")
    assert v.interval is not None
    assert v.interval[0] <= (v.value or 0) <= v.interval[1]
    assert v.n == make.IMAGES
    assert "Only the sign" in v.reason
    assert v.command == "hpe-bench reproduce tiny --scale pocket"


@pytest.mark.parametrize("level", [76.0, 66.0, 71.0])
def test_of_our_own_reading_no_status_stands_without_its_caveat(level: float) -> None:
    ours = replace(POCKET, reading="ours")
    subject, against = replace(PROPOSAL, variant=ours), replace(OLD_LOSS, variant=ours)
    paper = replace(
        PAPER,
        headline=replace(PAPER.headline, arms=(CONTROL, subject)),
        ablations=(replace(PAPER.ablations[0], arms=(CONTROL, subject, against)),),
    )
    sides = ((subject, level), (CONTROL, 71.0), (against, 71.0))
    records = [make.accuracy(arm, seed, Level(value)) for arm, value in sides for seed in range(3)]
    for c in (relation(), FASTER_TRAINING):
        (v,) = judge(c, paper, records)
        assert v.caveat == "our reading, in miniature"
        assert v.reason.endswith("it neither refutes nor confirms the paper.")


def test_a_claimed_loss_of_accuracy_is_confirmed_by_a_loss() -> None:
    assert judged(relation(printed="-1.3", value=-1.3), *arms(66.0, 76.0))[0].status == "confirmed"


def test_every_protocol_gives_its_own_verdict() -> None:
    both = arms(76.0, 66.0) + arms(66.0, 76.0, protocol="lsp-pc-v1-dark", protocol_hash="p1")
    found = {v.protocol: v for v in judged(relation(), *both)}
    assert {k: v.status for k, v in found.items()} == {"mannequins-v1-dark": "confirmed", "lsp-pc-v1-dark": "differs"}
    assert "--data lsp" in found["lsp-pc-v1-dark"].command


def test_unequal_budgets_are_not_comparable() -> None:
    records = [*arms(76.0, 66.0)[:3], *arms(76.0, 66.0, samples_seen=80_000)[3:]]
    (v,) = judged(relation(), *records)
    assert v.status == "not comparable"
    assert "F5" in v.reason


def test_seeds_that_do_not_meet_cannot_be_paired() -> None:
    records = [make.accuracy(PROPOSAL, 0, Level(70)), make.accuracy(CONTROL, 1, Level(70))]
    assert judged(relation(), *records)[0].status == "not comparable"


def test_a_metric_without_tallies_needs_two_seeds_for_an_interval() -> None:
    bare = [r.model_copy(update={"tallies": ()}) for r in arms(76.0, 66.0, seeds=1)]
    assert judged(relation(), *bare)[0].status == "inconclusive"
    bare = [r.model_copy(update={"tallies": ()}) for r in arms(76.0, 66.0, seeds=3)]
    (v,) = judged(relation(), *bare)
    assert v.status == "confirmed"
    assert v.interval is not None


def test_one_seed_decides_nothing_at_any_scale() -> None:
    (v,) = judged(relation(), *arms(80.0, 60.0, seeds=1))
    assert (v.status, v.p_value) == ("inconclusive", None)
    assert "from one seed" in v.reason
    full = [make.accuracy(arm, 0, Level(level), scale="full") for arm, level in SIDES]
    (v,) = judged(relation(), *full)
    assert (v.status, v.scale, v.p_value) == ("inconclusive", "full", None)
    assert v.interval is not None
    assert v.interval[0] > 0  # images alone would have told them apart


SIDES = ((replace(PROPOSAL, variant=FULL), 80.0), (replace(CONTROL, variant=BASE_FULL), 60.0))
OF_THE_LOSS = relation(baseline="tiny/small_256x192", kind="direction", value=None, printed="")
LARGE_RCE, LARGE_MSE = replace(PROPOSAL, variant=FULL), replace(OLD_LOSS, variant=FULL)


def large(arm: Arm, level: float, seeds: int = 3, **more: object) -> list[RunRecord]:
    return [make.accuracy(arm, seed, Level(level), scale="full", **more) for seed in range(seeds)]  # type: ignore[arg-type]


def test_a_claim_about_the_loss_never_holds_a_run_against_itself() -> None:
    (v,) = judged(OF_THE_LOSS, *large(LARGE_RCE, 80))
    assert (v.status, v.value, v.records) == ("not attempted", None, ())
    (v,) = judged(OF_THE_LOSS, *large(LARGE_RCE, 80), *large(LARGE_MSE, 60))
    assert (v.status, v.scale, len(v.records)) == ("confirmed", "full", 6)
    assert v.value == pytest.approx(20, abs=2)
    assert "small_256x192 (rce) against tiny/small_256x192 (mse)" in v.reason
    (v,) = judged(OF_THE_LOSS, *large(LARGE_RCE, 60), *large(LARGE_MSE, 80))
    assert v.status == "differs"


def test_a_control_that_differs_in_more_than_the_loss_is_none() -> None:
    longer = replace(LARGE_MSE, recipe=replace(MSE, name="mse_longer", augmentation=Augmentation(flip_p=0.0)))
    paper = replace(PAPER, recipes=(*PAPER.recipes, longer.recipe))
    (v,) = judge(OF_THE_LOSS, paper, [*large(LARGE_RCE, 80), *large(longer, 60)])
    assert v.status == "not attempted"


def test_arms_of_one_training_are_no_pair() -> None:
    twin = replace(PROPOSAL, name="twin")
    study = Ablation("twins", "Are they one?", (PROPOSAL, twin), "twin")
    paper = replace(PAPER, ablations=(study,))
    records = [make.accuracy(PROPOSAL, seed, Level(70)) for seed in range(3)]
    (v,) = judge(relation(variant="pocket", baseline="tiny/pocket"), paper, records)
    assert v.status == "not attempted"
    assert pocket_pair(relation(variant="pocket", baseline="base/base_pocket"), paper) is not None


def test_full_size_sides_are_one_recipe_each() -> None:
    base = large(replace(CONTROL, variant=BASE_FULL), 70)
    both = judged(relation(), *large(LARGE_RCE, 80), *large(LARGE_MSE, 60), *base)
    assert {v.reason.partition(" against")[0]: v.status for v in both} == {
        "small_256x192 (rce)": "differs",  # the printed 1.3 is far from 10
        "small_256x192 (mse)": "differs",
    }
    assert sorted(round(v.value or 0, -1) for v in both) == [-10, 10]
    (shorter,) = judged(relation(), *large(LARGE_RCE, 80, samples_seen=20_000), *base)
    assert (shorter.status, "samples seen" in shorter.reason) == ("not comparable", True)
    undeclared = replace(LARGE_RCE, recipe=replace(RCE, name="of_somebody"))
    assert judged(relation(), *large(undeclared, 80), *base)[0].status == "not attempted"


def test_full_size_sides_of_another_execution_or_start_are_not_comparable() -> None:
    base, ours = large(replace(CONTROL, variant=BASE_FULL), 70), large(LARGE_RCE, 80)
    half = [r.model_copy(update={"identity": r.identity.model_copy(update={"execution": "bf16"})}) for r in ours]
    (v,) = judged(relation(), *half, *base)
    assert v.status == "not comparable"
    assert "execution: bf16 against strict float32" in v.reason
    taught = [r.provenance.model_copy(update={"flags": {"start": "r50.pth"}}) for r in ours]
    started = [r.model_copy(update={"provenance": p}) for r, p in zip(ours, taught, strict=True)]
    (v,) = judged(relation(), *started, *base)
    assert "start: ImageNet weights against random weights" in v.reason


def test_released_weights_and_trainings_are_no_pair() -> None:
    release = Release(file="w.pth", sha256="0" * 64, checkpoint="", trained_by="", colours="rgb")
    (first, *_), base = large(LARGE_RCE, 80), large(replace(CONTROL, variant=BASE_FULL), 70)
    identity = first.identity.model_copy(
        update={"recipe": "", "recipe_hash": "", "seed": None, "samples_seen": 0, "train_digest": ""}
    )
    weights = first.model_copy(update={"release": release, "identity": identity})
    assert judged(relation(), weights, *base)[0].status == "not attempted"
    theirs = weights.model_copy(
        update={"id": "t", "identity": identity.model_copy(update={"paper": "base", "variant": "big_256x192"})}
    )
    (v,) = judged(relation(), weights, theirs)
    assert (v.status, v.scale) == ("inconclusive", "full")


def below_mean_pose(records: list[RunRecord], floor: float) -> RunRecord:
    """The mean pose, measured under the same condition."""
    i = records[0].identity.model_copy(
        update={"paper": "mean_pose", "variant": "mean_pose", "recipe": "", "seed": None}
    )
    m = replace(records[0].measurements[0], value=floor, interval=None)
    return records[0].model_copy(update={"id": "mean", "identity": i, "measurements": (m,), "tallies": ()})


@pytest.mark.parametrize(("ours", "theirs"), [(20.0, 60.0), (60.0, 20.0)])
def test_an_arm_below_the_mean_pose_decides_nothing(ours: float, theirs: float) -> None:
    records = arms(ours, theirs)
    (v,) = judged(relation(), *records)
    assert v.status in ("confirmed", "differs")
    (v,) = judged(relation(), *records, below_mean_pose(records, 30.0))
    assert (v.status, v.p_value) == ("inconclusive", None)
    assert "has not learned under this budget" in v.reason
    (v,) = judged(FASTER_TRAINING, *losses(Level(20, 5000), Level(20, 12000)), below_mean_pose(records, 30.0))
    assert v.status == "inconclusive"


# ---------------------------------------------------------------------------------------------------- many tests


def test_two_decoders_of_one_training_are_one_family_and_its_largest_p_counts() -> None:
    dark, quarter = arms(76.0, 66.0), arms(69.6, 66.0, protocol="mannequins-v1-quarter", protocol_hash="p1")
    found = judge_all([relation()], PAPER, [*dark, *quarter])
    assert len({v.family for v in found}) == 1
    largest = max(v.p_value or 0 for v in found)
    assert [v.p_paper for v in found] == [largest, largest]
    assert len({v.p_value for v in found}) == 2


def test_what_is_decided_alone_and_not_among_others_becomes_inconclusive() -> None:
    made = [
        Verdict(f"c{k}", "confirmed", "pocket", "Told apart.", p_value=p, family=f"f{k}")
        for k, p in enumerate((0.001, 0.03, 0.04))
    ]
    found = within_paper(made)
    assert [v.status for v in found] == ["confirmed", "inconclusive", "inconclusive"]
    assert [v.p_paper for v in found] == pytest.approx([0.003, 0.06, 0.06])
    assert "p = 0.030, p = 0.060 among the 3 relations of the paper that were tested (Holm), which" in found[1].reason


def test_over_the_suite_p_values_are_shown_and_statuses_kept() -> None:
    papers = {
        slug: within_paper([Verdict("c", "differs", "pocket", "Apart.", p_value=p, family=f"{slug} {p}")])
        for slug, p in (("a", 0.001), ("b", 0.02), ("c", 0.04), ("d", 0.9))
    }
    found = over_suite(papers)
    assert [v.status for slug in "abc" for v in found[slug]] == ["differs"] * 3
    assert [v.p_suite for slug in "abcd" for v in found[slug]] == pytest.approx([0.004, 0.06, 0.08, 0.9])
    assert found["a"][0].reason.endswith("Among the 4 of the suite p = 0.004, and holds.")
    assert found["b"][0].reason.endswith("Among the 4 of the suite p = 0.060, where it would not be decided.")


def test_exact_costs_are_no_tests() -> None:
    (v,) = judge_all([claim()], PAPER, [cost()])
    assert (v.status, v.p_value, v.p_paper) == ("confirmed", None, None)


def test_ranks_follow_paired_tests_and_never_one_seed_or_an_arm_that_has_not_learned() -> None:
    made = arms(76.0, 66.0)
    rows = [made[:3], made[3:]]
    assert evidence.better_rows(rows, "pckh@0.5") == {(0, 1)}
    assert evidence.better_rows(rows[::-1], "pckh@0.5") == {(1, 0)}
    assert evidence.better_rows([made[:3], made[3:4]], "pckh@0.5") == set()
    assert evidence.better_rows([made[:1], made[3:4]], "pckh@0.5", fewest=1) == {(0, 1)}
    pools = SeedPools([*made, below_mean_pose(made, 90.0)])
    assert evidence.better_rows(rows, "pckh@0.5", pools) == set()


def with_ap(made: list[RunRecord], error_px: float) -> list[RunRecord]:
    """The same runs with AP measured on persons that every run shares."""
    found = []
    for r in made:
        truth, predictions = persons_of(0, error_px=error_px + 0.3 * (r.identity.seed or 0))
        scores = [s for s in OksAP().evaluate_predictions(truth, predictions) if s.key == "ap"]
        measured, _ = scoring.as_measured(scores, r.identity.protocol)
        matches = scoring.matches_of(scores)
        found.append(r.model_copy(update={"measurements": measured, "tallies": (), "matches": matches}))
    return found


def test_ap_over_seeds_is_accumulated_again_from_the_records() -> None:
    made = arms(70.0, 70.0)
    good, bad = with_ap(made[:3], 6.0), with_ap(made[3:], 14.0)
    estimate = evidence.pooled(good, "ap")
    assert estimate.method.startswith("AP accumulated again over images and seeds")
    assert estimate.interval is not None
    assert estimate.interval[0] < estimate.value < estimate.interval[1]
    gain = evidence.difference(dict(enumerate(good)), dict(enumerate(bad)), "ap")
    assert gain is not None
    assert (gain.sign, gain.seeds) == (1, 3)
    assert gain.p_value is not None
    assert evidence.better_rows([bad, good], "ap") == {(1, 0)}
    older = [r.model_copy(update={"matches": ()}) for r in good]
    assert evidence.pooled(older, "ap").method == "widest of the seeds' own intervals"


def test_a_pool_of_settings_narrows_intervals_and_leaves_out_what_has_not_learned() -> None:
    arm_of = [replace(PROPOSAL, recipe=replace(PROPOSAL.recipe, name=f"r{k}")) for k in range(8)]
    made = [make.accuracy(arm, seed, Level(60.0)) for arm in arm_of for seed in range(3)]
    pools = SeedPools(made)
    variance = pools.variance(made[0], "pckh@0.5")
    assert variance is not None
    assert (variance.settings, variance.freedom) == (8, 16)
    own, pooled = (evidence.pooled(made[:3], "pckh@0.5", p) for p in (None, pools))
    assert own.value == pooled.value
    assert "degrees of freedom" in pooled.method
    lost = SeedPools([*made, below_mean_pose(made, 99.0)])
    assert lost.variance(made[0], "pckh@0.5") is None
    assert lost.spread(made[:3], "pckh@0.5") is None
    other = make.accuracy(arm_of[0], 0, Level(60.0), samples_seen=80_000)
    assert pools.variance(other, "pckh@0.5") is None  # another budget is another pool


def test_a_relation_without_runs_says_what_it_would_take() -> None:
    (v,) = judged(relation())
    assert v.status == "not attempted"
    assert "hpe-bench reproduce tiny --scale pocket" in v.needs
    (v,) = judged(relation(baseline="elsewhere/model"))
    assert "No study of ours" in v.reason


ABSOLUTE = claim(
    metric="pckh@0.5", printed="88.0", value=88.0, unit="percent", protocol="mpii-val", input_hw=(256, 192)
)


def full(value: float, interval: tuple[float, float], protocol: str = "mpii-val", key: str = "pckh@0.5") -> RunRecord:
    made = make.accuracy(replace(PROPOSAL, variant=PRINTED), 0, Level(70), scale="full", protocol=protocol)
    m = Measurement(key=key, value=value, unit="percent", n=3000, interval=interval)
    return made.model_copy(update={"measurements": (m,), "tallies": ()})


def test_a_pocket_score_is_never_held_against_an_absolute_figure() -> None:
    (v,) = judged(ABSOLUTE, *arms(88.0, 88.0))
    assert v.status == "not attempted"
    assert v.value is None
    assert "mpii" in v.needs


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ((88.1,), "inconclusive"),  # one training of ours: how far another seed lies is open
        ((87.9, 88.1, 88.0), "confirmed"),
        ((90.1, 89.9, 90.0), "differs"),
        ((85.0, 88.0, 91.0), "inconclusive"),  # too wide to tell neighbouring rows apart
    ],
)
def test_full_scale_trainings_are_held_against_absolute_figures(values: tuple[float, ...], status: str) -> None:
    made = [full(v, (v - 0.5, v + 0.5)) for v in values]
    runs = [
        r.model_copy(update={"id": f"s{k}", "identity": r.identity.model_copy(update={"seed": k})})
        for k, r in enumerate(made)
    ]
    (v,) = judged(ABSOLUTE, *runs)
    assert (v.status, v.scale) == (status, "full")


def test_a_full_run_under_another_protocol_lists_the_differing_fields() -> None:
    (v,) = judged(ABSOLUTE, full(76.0, (75.0, 77.0), protocol="coco-val2017-gt", key="ap"))
    assert v.status == "not comparable"
    assert "protocol mpii-val in the paper, coco-val2017-gt here" in v.reason
    assert "metric pckh@0.5 in the paper, ap here" in v.reason


def test_an_unknown_figure_is_not_attempted() -> None:
    (v,) = judged(claim(value=None, printed="", status="unknown"), cost())
    assert v.status == "not attempted"
    assert "not available" in v.reason


# ---------------------------------------------------------------------------------------------------- convergence

FASTER_TRAINING = relation(
    baseline="tiny/small_256x192", kind="direction", metric="convergence", printed="", value=None, unit=""
)


def losses(ours: Level, theirs: Level, seeds: int = 3) -> list[RunRecord]:
    pairs = ((PROPOSAL, ours), (OLD_LOSS, theirs))
    return [make.accuracy(arm, seed, level) for arm, level in pairs for seed in range(seeds)]


def test_convergence_compares_arms_that_differ_in_the_loss_alone() -> None:
    (v,) = judged(FASTER_TRAINING, *losses(Level(70, 5000), Level(70, 12000)))
    assert (v.status, v.unit, v.n) == ("confirmed", "percent", 3)
    assert v.interval is not None
    assert v.interval[0] < v.value < v.interval[1] < 0  # type: ignore[operator]
    assert "90 % of the control's final accuracy after " in v.reason
    assert "90 % of its own final accuracy after " in v.reason
    assert v.command == "hpe-bench ablate tiny --study losses"


def test_convergence_by_hand() -> None:
    records = losses(Level(70, 5000), Level(70, 12000))
    (v,) = judged(FASTER_TRAINING, *records)

    def samples_to(record: RunRecord, target: float) -> float:
        return float(np.interp(target, [p.probe for p in record.curve], [p.samples for p in record.curve]))

    targets = [0.9 * r.curve[-1].probe for r in records[3:]]
    ratios = [samples_to(a, t) / samples_to(b, t) for a, b, t in zip(records[:3], records[3:], targets, strict=True)]
    assert v.value == pytest.approx(100 * (np.exp(np.mean(np.log(ratios))) - 1), abs=0.5)


def test_ending_higher_is_not_converging_faster() -> None:
    """An arm that ends higher passes the control's mark early and settles late: the tests disagree."""
    (v,) = judged(FASTER_TRAINING, *losses(Level(80, 9000), Level(60, 5000)))
    assert v.status == "inconclusive"
    assert "do not agree" in v.reason


def test_convergence_slower_or_undecided() -> None:
    assert judged(FASTER_TRAINING, *losses(Level(70, 12000), Level(70, 5000)))[0].status == "differs"
    for seeds in (1, 2):
        few = judged(FASTER_TRAINING, *losses(Level(70, 5000), Level(70, 12000), seeds=seeds))[0]
        assert few.status == "inconclusive"
        assert few.interval is None
        assert "needs 3 seeds" in few.reason


def test_convergence_on_different_grids_is_not_comparable() -> None:
    records = losses(Level(70, 5000), Level(70, 12000))
    records[0] = records[0].model_copy(update={"curve": records[0].curve[1:]})
    assert judged(FASTER_TRAINING, *records)[0].status == "not comparable"


def test_convergence_is_stated_once_for_runs_scored_twice() -> None:
    records = losses(Level(70, 5000), Level(70, 12000))
    again = [
        r.model_copy(update={"identity": r.identity.model_copy(update={"protocol": "mannequins-v1-quarter"})})
        for r in records
    ]
    assert len(judged(FASTER_TRAINING, *records, *again)) == 1


# ---------------------------------------------------------------------------------------------------- the set


def test_every_claim_gets_a_verdict_and_counts_cover_all_statuses() -> None:
    claims = [claim(id="a"), macs(id="b"), replace(ABSOLUTE, id="c"), relation(id="d")]
    verdicts = judge_all(claims, PAPER, [cost()])
    assert {v.claim for v in verdicts} == {"a", "b", "c", "d"}
    counts = count(verdicts)
    assert tuple(counts) == STATUSES
    assert sum(counts.values()) == len(verdicts)
    assert all(v.reason for v in verdicts)
    assert all(v.needs for v in verdicts if v.status == "not attempted")
