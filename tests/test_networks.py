"""The first screen: which networks stand in a view, the sentences computed from it, names beside marks, the plots."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Claim, SideBySide, Variant, replace
from hpe_bench.records import query
from hpe_bench.records.schema import RunRecord
from hpe_bench.report import site
from hpe_bench.report.kit import labels
from hpe_bench.report.pages import advice, choice, latency_multiples, networks, side_by_side_page
from hpe_bench.report.pages.advice import Advice
from hpe_bench.report.pages.leaderboard import Leaderboard
from hpe_bench.report.pages.networks import FASTEST, Host, NetworkEntry, ScoreField, View
from hpe_bench.timing.rows import NetworkTimes, rows
from tests.synthetic_latency import latency
from tests.synthetic_paper import PAPER, claim
from tests.synthetic_records import cost

AP = ScoreField("coco-val2017-det56", "ap")
CPU1, CPU2 = Host("Example CPU", 1), Host("Example CPU", 2)


def small(joints: int = 17) -> None: ...
def middle(joints: int = 17) -> None: ...
def large(joints: int = 17) -> None: ...
def unprinted(joints: int = 17) -> None: ...
def other_joints(joints: int = 16) -> None: ...


SMALL = Variant("small_256x192", small, (256, 192))
WIDE = Variant("small_384x288", small, (384, 288))
MIDDLE = Variant("middle_256x192", middle, (256, 192))
LARGE = Variant("large_256x192", large, (256, 192))
UNPRINTED = Variant("unprinted_256x192", unprinted, (256, 192))
MPII = Variant("mpii_256x256", other_joints, (256, 256), joints=16)
CALLED = (("small", "Small"), ("middle", "Middle"), ("large", "Large"), ("unprinted", "Unprinted"), ("mpii", "Other"))


def score(variant: Variant, value: float, **changes: object) -> Claim:
    fields: dict[str, object] = {"metric": "ap", "unit": "percent", "protocol": AP.protocol, "value": value}
    fields |= {"id": f"{variant.name}-{value}", "variant": variant.name, "printed": f"{value:.1f}", "source": "Table 2"}
    return claim(**(fields | changes))


CLAIMS = (score(SMALL, 60.0), score(MIDDLE, 70.0), score(LARGE, 70.8))
LOADED = LoadedPaper(
    replace(PAPER, variants=(SMALL, WIDE, MIDDLE, LARGE, UNPRINTED, MPII), called=CALLED), CLAIMS, Path("tiny")
)


def timed(variant: Variant, ms: float) -> RunRecord:
    """`ms` on one thread in OpenVINO, the fastest; on two threads 0.6 of it."""
    return latency("tiny", variant, 2 * ms, 4.0, 4.0)


def found(*records: RunRecord, loaded: LoadedPaper = LOADED) -> tuple[NetworkEntry, ...]:
    asked = query.of(records)
    return networks.build([loaded], asked, NetworkTimes(asked), rows(asked), {})


def advised(within_ms: float, *records: RunRecord, runtime: str = FASTEST, host: Host = CPU1) -> Advice:
    nets = found(*records)
    view = networks.view_of(nets, AP, host, runtime, within_ms)
    return advice.advise(advice.candidates(nets, view, {}), view)


def told(advised: Advice) -> list[str]:
    return [text.replace("\N{NO-BREAK SPACE}", " ") for text in advised.text]


# ---------------------------------------------------------------------------------------------------- sentences


def test_the_most_accurate_within_the_limit_is_held_against_the_best_of_all() -> None:
    found = advised(30, timed(SMALL, 10), timed(MIDDLE, 20), timed(LARGE, 80))
    first, best, near = told(found)
    assert first.startswith("Most accurate within 30 ms: Middle with 70.0 AP, 20.")
    assert "in OpenVINO, 0.8 points less than Large at ×0.25 of its time." in first
    assert best.startswith("Most accurate of all timed: Large with 70.8 AP, 80.")
    assert near.startswith("Fastest within 1 point of it: Middle with 70.0 AP")
    assert found.pick is not None
    assert found.pick.network.command == "hpe-bench profile tiny middle_256x192"


def test_where_the_best_is_within_the_limit_nothing_is_given_up() -> None:
    first, _, near = told(advised(30, timed(SMALL, 10), timed(LARGE, 20)))
    assert first.endswith("; no timed network is more accurate.")
    assert near == "No timed network within 1 point of it is faster."


def test_one_network_alone_is_not_called_the_fastest_of_several() -> None:
    assert len(told(advised(30, timed(LARGE, 20)))) == 2


def test_where_none_is_within_the_limit_the_fastest_is_named() -> None:
    found = advised(5, timed(SMALL, 10), timed(LARGE, 20))
    assert told(found)[0].startswith("No network with a published AP takes at most 5 ms; the fastest is Small with")
    assert found.pick is not None
    assert found.pick.name == "Small"


def test_an_interval_that_reaches_past_the_limit_is_told() -> None:
    ms = timed(LARGE, 20)
    middle = advised(1e9, ms).pick
    assert middle is not None
    assert "Its 95 % CI reaches past" in told(advised(middle.time.median_ms, ms))[0]
    assert "reaches past" not in told(advised(30, ms))[0]


def test_equal_accuracy_is_no_loss_and_the_faster_one_is_the_best() -> None:
    claims = (*CLAIMS[:1], score(MIDDLE, 70.8), CLAIMS[2])
    nets = found(timed(MIDDLE, 20), timed(LARGE, 40), loaded=replace_claims(claims))
    view = networks.view_of(nets, AP, CPU1, FASTEST, 30)
    first, best, near = told(advice.advise(advice.candidates(nets, view, {}), view))
    assert first.endswith("; no timed network is more accurate.")
    assert best.startswith("Most accurate of all timed: Middle")
    assert near == "No timed network within 1 point of it is faster."


def replace_claims(claims: tuple[Claim, ...]) -> LoadedPaper:
    return LoadedPaper(LOADED.paper, claims, LOADED.folder)


def test_faster_networks_without_a_figure_are_named_and_no_others() -> None:
    """One of another data set's joints is none of them, nor is a slower one."""
    *_, last = told(advised(50, timed(LARGE, 40), timed(UNPRINTED, 10), timed(MPII, 5)))
    assert last == "Faster than Large, but without a published AP here: Unprinted (10.1 ms)."
    assert "Faster than" not in " ".join(told(advised(50, timed(LARGE, 40), timed(UNPRINTED, 60))))


def test_more_than_three_without_a_figure_are_counted() -> None:
    nets = found(timed(LARGE, 40), timed(UNPRINTED, 10))
    base = next(n for n in nets if n.name == "Unprinted")
    more = [replace_network(base, f"U{k}") for k in range(5)]
    rest = [n for n in nets if n.name == "Large"]
    view = networks.view_of(rest, AP, CPU1, FASTEST, 50)
    *_, last = told(advice.advise(advice.candidates([*rest, *more], view, {}), view))
    assert last.endswith("U2 (10.1 ms) and 2 more.")


def replace_network(network: NetworkEntry, name: str) -> NetworkEntry:
    return replace(network, name=name)


def test_where_there_is_nothing_to_choose_from_that_is_said() -> None:
    assert told(advised(30, runtime="eager")) == ["No network was timed in PyTorch, eager on 1 thread of Example CPU."]
    assert told(advised(30, timed(UNPRINTED, 10), host=CPU2)) == [
        "None of the 1 network timed in any runtime on 2 threads of Example CPU has a published AP under "
        "coco-val2017-det56."
    ]


def test_a_runtime_that_is_asked_for_is_not_repeated_in_every_sentence() -> None:
    first = told(advised(1000, timed(LARGE, 20), runtime="openvino"))[0]
    assert "OpenVINO" not in first


# ---------------------------------------------------------------------------------------------------- views


def test_a_network_has_the_time_that_its_builder_took_at_its_input_size() -> None:
    record = timed(SMALL, 10)
    moved = tuple(t.model_copy(update={"input_hw": (384, 288)}) for t in record.timings)
    nets = found(record.model_copy(update={"timings": moved}))
    by_name = {n.variant.name: n for n in nets}
    assert by_name["small_384x288"].time(CPU1, FASTEST) is not None
    assert by_name["small_256x192"].time(CPU1, FASTEST) is None


def test_times_in_process_stand_under_eager_alone() -> None:
    nets = found(cost("tiny", LARGE, 1_000_000, 4_000_000_000, 4_000_000_000, 60.0))
    (net,) = [n for n in nets if n.times]
    host = next(iter(net.times))
    assert net.time(host, "eager") is not None
    assert net.time(host, FASTEST) is None


def test_of_several_printed_figures_the_papers_own_speaks() -> None:
    claims = (
        score(LARGE, 71.9, status="secondary", id="a"),
        score(LARGE, 70.1, recipe="other", id="b"),
        score(LARGE, 70.8, id="c"),
        score(LARGE, 1.0, unit="points", id="gain"),
    )
    figure = networks.printed(claims, LARGE.name)[AP]
    assert (figure.claim.id, [c.id for c in figure.others], figure.secondary) == ("c", ["b", "a"], False)
    assert networks.printed(claims[:1], LARGE.name)[AP].secondary


def test_the_page_opens_with_what_most_timed_networks_have() -> None:
    nets = found(timed(SMALL, 10), timed(LARGE, 20))
    view = networks.first_view(nets, 30)
    assert view is not None
    assert (view.field, view.host, view.runtime) == (AP, CPU2, FASTEST)
    assert networks.first_view((), 30) is None
    assert choice.build((), {}) is None


def test_the_table_shows_the_view_and_folds_the_rest_away() -> None:
    nets = found(timed(SMALL, 10), timed(LARGE, 20), timed(UNPRINTED, 5), timed(MPII, 5))
    built = choice.build(nets, {})
    assert built is not None
    assert [row[0].text for row in built.table.rows] == ["Large", "Small", "Unprinted"]
    assert built.others is not None
    assert {row[0].text for row in built.others.rows} == {"Middle", "Other"}
    assert "Large" in built.plot
    assert "Unprinted" not in built.plot
    page = site.render("index.html.j2", board=board_of(built), root="")
    assert page.count("data-network=") == 5


def board_of(built: choice.Choice | None) -> Leaderboard:
    return Leaderboard(
        papers=(), measured=(), costs=None, published=(), has_ceilings=False, latency_questions=(), choice=built
    )


def test_a_size_is_named_where_two_networks_share_a_name() -> None:
    nets = found(timed(SMALL, 10), timed(WIDE, 30), loaded=replace_claims((*CLAIMS, score(WIDE, 66.0))))
    view = networks.view_of(nets, AP, CPU1, FASTEST, 50)
    assert [c.name for c in advice.candidates(nets, view, {})] == ["Small 384×288", "Small 256×192"]
    narrowed = networks.view_of(nets, AP, CPU1, FASTEST, 50, "256×192")
    assert [c.name for c in advice.candidates(nets, narrowed, {})] == ["Small"]


# ---------------------------------------------------------------------------------------------------- names


def test_every_full_size_network_has_one_name_of_its_own() -> None:
    """A name with an input size and a number of joints is one variant, and no name is a slug."""
    named = [
        (p.paper.name_of(v.name), v.input_hw, v.joints)
        for p in catalog.load_all()[0]
        for v in p.paper.variants
        if v.scale == "full"
    ]
    assert len(set(named)) == len(named)
    assert not [name for name, *_ in named if "_" in name]
    assert catalog.load("hrnet").paper.name_of("w32_384x288") == "HRNet-W32"
    assert LOADED.paper.name_of("nobody_1x1") == "tiny nobody"


def test_names_and_sides_are_checked_where_they_are_declared() -> None:
    with pytest.raises(ValueError, match="called names 'smal'"):
        replace(PAPER, called=(("smal", "Small"),))
    with pytest.raises(ValueError, match="display names"):
        replace(LOADED.paper, called=(("small", "Same"), ("middle", "Same")))
    with pytest.raises(ValueError, match="write paper/variant"):
        SideBySide("a-page", "Title", "Question?", ("no_slash",))


# ---------------------------------------------------------------------------------------------------- marks


marks = st.lists(
    st.tuples(
        st.integers(60, 660), st.integers(20, 280), st.sampled_from(["HRNet-W32", "LPN-50", "SimpleBaseline-R50"])
    ),
    max_size=25,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(marks)
def test_no_label_covers_a_label_or_a_mark(found: list[tuple[int, int, str]]) -> None:
    placed = labels.place(found, (52, 0, 680, 294))
    boxes = [
        labels._box(label.x, label.y, label.anchor, labels.LETTER_PX * len(name))
        for label, (*_, name) in zip(placed, found, strict=True)
        if label is not None
    ]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if labels._meet(a, b)]
    assert all(labels._inside(box, (52, 0, 680, 294)) for box in boxes)
    centres = [(x - 1, y - 1, x + 1, y + 1) for x, y, _ in found]
    assert not [1 for box in boxes for centre in centres if labels._meet(box, centre)]


def test_a_single_mark_is_named_beside_it_without_a_line() -> None:
    (label,) = labels.place([(300, 100, "HRNet-W32")], (52, 0, 680, 294))
    assert label is not None
    assert not label.led
    assert labels.place([(300, 100, "")], (52, 0, 680, 294)) == [None]


# ---------------------------------------------------------------------------------------------------- other pages


def test_panels_show_every_network_in_every_runtime_fastest_first() -> None:
    (found_on,) = latency_multiples.build(found(timed(SMALL, 10), timed(LARGE, 20)), {})
    assert (found_on.machine, found_on.threads) == ("Example CPU", (2, 1))
    assert [p.title for p in found_on.panels] == ["OpenVINO", "ONNX Runtime", "PyTorch, eager"]
    assert all(p.svg.count("<circle") == 4 for p in found_on.panels)
    assert found_on.panels[0].svg.index("Small") < found_on.panels[0].svg.index("Large")
    assert latency_multiples.build(found(), {}) == ()


def test_a_side_by_side_page_stands_once_its_baseline_and_another_are_timed() -> None:
    papers = catalog.load_all()[0]
    (asked,) = [p.paper.side_by_side for p in papers if p.paper.side_by_side]
    base, other = (n.split("/") for n in asked.networks[:2])
    variants = [catalog.find_variant(catalog.load(slug), name) for slug, name in (base, other)]
    records = [latency(s[0], v, ms, 5.4, 8.9) for s, v, ms in zip((base, other), variants, (100, 80), strict=True)]

    def nets(*records: RunRecord) -> tuple[NetworkEntry, ...]:
        asked = query.of(records)
        return networks.build(papers, asked, NetworkTimes(asked), rows(asked), {})

    short = replace(asked, networks=asked.networks[:3])
    assert side_by_side_page.build(short, nets(records[1])) is None
    assert side_by_side_page.asked_of(papers, nets(*records[:1])) == []
    assert side_by_side_page.asked_of(papers, nets(*records)) == [asked]
    page = side_by_side_page.build(short, nets(*records))
    assert page is not None
    assert [row[0].text for row in page.accuracy.rows] == [row[0].text for row in page.make.rows]
    assert len(page.accuracy.rows) == 3
    assert len(page.untimed) == len(page.commands) == 1
    assert [t.id for t in page.timings] == ["threads-2", "threads-1"]
    assert "no counter can be read" in page.energy
    assert "takes" in page.why[0]
    assert page.answer[0].endswith("in OpenVINO on 2\N{NO-BREAK SPACE}threads.")
    assert "takes ×0.80 of its time" in page.answer[0]
    (answer,) = side_by_side_page.build(short, nets(records[0], in_eager(records[1]))).answer
    assert "takes ×0.80 of its time" in answer  # both in the runtime that both were timed in
    assert answer.endswith("in PyTorch, eager on 2\N{NO-BREAK SPACE}threads.")
    text = site.render("side_by_side.html.j2", page=page, root="../")
    assert page.commands[0] in text


def in_eager(record: RunRecord) -> RunRecord:
    """A network that was timed in eager PyTorch alone."""
    return record.model_copy(update={"timings": tuple(t for t in record.timings if t.runtime == "eager")})


def test_a_ratio_across_runtimes_names_the_other_one() -> None:
    first = told(advised(30, timed(SMALL, 10), in_eager(timed(LARGE, 40))))[0]
    assert "in OpenVINO, 10.8 points less than Large at ×0.12 of its time in PyTorch, eager." in first


def test_a_view_keeps_networks_of_other_joints_out() -> None:
    nets = found(timed(LARGE, 20), timed(MPII, 5))
    view = networks.view_of(nets, AP, CPU1, FASTEST, 30)
    assert isinstance(view, View)
    assert [n.name for n in nets if view.has(n) and n.time(CPU1, FASTEST)] == ["Large"]
