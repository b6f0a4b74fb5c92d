"""Outlines and drawings of networks: blocks, what feeds them, what they cost, where they stand."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from torch import Tensor, nn

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.cost.dispatched import on_meta
from hpe_bench.cost.outline import IMAGE, MOST, Outline, outline, outline_of
from hpe_bench.nn.hourglass import Hourglass
from hpe_bench.report.pages import architecture
from hpe_bench.report.pages.architecture import amount, places, rows_of, short

PAPERS = catalog.load_all()[0]


def conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)


class TwoStreams(nn.Module):
    """A stem, two streams of unequal resolution that exchange features by functional code, a head on their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 8, 2), nn.ReLU(inplace=True), conv(8, 8))
        self.fine = nn.Sequential(conv(8, 8), nn.ReLU(inplace=True), conv(8, 8))
        self.coarse = nn.Sequential(conv(8, 16, 2), nn.ReLU(inplace=True), conv(16, 8))
        self.head = conv(8, 5)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        fine, coarse = self.fine(x), self.coarse(x)
        up = nn.functional.interpolate(coarse, scale_factor=2.0)
        return [self.head(fine + up)]


def built(module: type[nn.Module]) -> nn.Module:
    with on_meta():
        return module()


@pytest.fixture(scope="module")
def streams() -> Outline:
    return outline_of(built(TwoStreams), (32, 16))


def test_data_flows_through_what_costs_nothing(streams: Outline) -> None:
    assert [b.name for b in streams.blocks] == ["stem", "fine", "coarse", "head"]
    assert [b.inputs for b in streams.blocks] == [(IMAGE,), (0,), (0,), (1, 2)]
    assert streams.outputs[0].inputs == (3,)
    assert (streams.outputs[0].joints, streams.outputs[0].hw) == (5, (16, 8))


def test_blocks_know_what_they_give_and_cost(streams: Outline) -> None:
    stem, _, coarse, head = streams.blocks
    assert (coarse.channels, coarse.hw, coarse.convolutions) == (8, (8, 4), 2)
    assert stem.macs == 16 * 8 * 9 * (3 * 8 + 8 * 8)
    assert head.params == 9 * 8 * 5
    assert streams.left_out == 0


def test_stages_add_up_to_the_whole(streams: Outline) -> None:
    assert sum(s.macs for s in streams.stages) == streams.cost.macs
    assert sum(s.macs_hrnet_counter for s in streams.stages) == streams.cost.macs_hrnet_counter
    assert sum(s.activations for s in streams.stages) == streams.cost.activations
    assert sum(s.params for s in streams.stages) == streams.cost.params


def test_streams_stand_in_the_rows_of_their_resolution(streams: Outline) -> None:
    placed, end = places(streams)
    assert rows_of(streams) == [(16, 8), (8, 4)]
    assert [p.row for p in placed] == [0, 0, 1, 0]
    assert placed[1].column == placed[2].column  # side by side, not one after the other
    assert end.column > placed[3].column > placed[2].column


class Glass(nn.Module):
    """Three hourglasses in a row, with a residual stream around each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8, 4)
        self.glasses = nn.ModuleList(Hourglass(3, 8) for _ in range(3))
        self.head = conv(8, 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        for glass in self.glasses:
            x = x + glass(x)
        return [self.head(x)]


def test_a_network_with_room_is_opened_whole_and_a_crowded_one_folds_its_repeats() -> None:
    model = built(Glass)
    opened = outline_of(model, (64, 64), most=60)
    assert sum(b.name.startswith("glasses.1.") for b in opened.blocks) == 10
    folded = outline_of(model, (64, 64), most=20)
    names = [b.name for b in folded.blocks]
    assert sum(n.startswith("glasses.0.") for n in names) == 10
    assert [n for n in names if n.startswith(("glasses.1", "glasses.2"))] == ["glasses.1", "glasses.2"]
    tall = folded.blocks[names.index("glasses.2")]
    assert tall.spans == ((16, 16), (8, 8), (4, 4), (2, 2))
    assert tall.inputs[0] == names.index("stem")  # the stream goes around every hourglass
    assert names.index("glasses.1") in tall.inputs


def test_the_skip_of_an_hourglass_leaves_from_before_its_pooling() -> None:
    found = outline_of(built(Glass), (64, 64), most=60)
    names = [b.name for b in found.blocks]
    up, low = (found.blocks[names.index(f"glasses.0.{n}")] for n in ("up1", "low1"))
    assert up.inputs == low.inputs == (names.index("stem"),)
    assert (up.hw, low.hw) == ((16, 16), (8, 8))


@pytest.fixture(scope="module", params=PAPERS, ids=lambda p: p.paper.slug)
def drawn(request: pytest.FixtureRequest) -> tuple[LoadedPaper, tuple[architecture.Architecture, ...]]:
    loaded: LoadedPaper = request.param
    return loaded, architecture.architectures(loaded.paper, loaded.claims)


def test_every_paper_is_drawn_readably_and_the_same_twice(
    drawn: tuple[LoadedPaper, tuple[architecture.Architecture, ...]],
) -> None:
    loaded, found = drawn
    assert found
    variant = next(v for v in loaded.paper.variants if f"{v.name}, full size" == found[0].title)
    again = outline(variant)
    assert len(again.blocks) <= MOST
    assert all(b.inputs for b in again.blocks), "a block that nothing feeds"
    assert all(-1 <= i < len(again.blocks) for b in again.blocks for i in b.inputs)
    assert {i for b in again.blocks for i in b.inputs} | {i for o in again.outputs for i in o.inputs} == {
        IMAGE,
        *range(len(again.blocks)),
    }, "a block that feeds nothing"
    assert sum(s.macs for s in again.stages) == again.cost.macs
    assert architecture.drawing(f"net-{variant.name}", variant.name, again) == found[0].svg


def test_boxes_of_a_drawing_do_not_overlap(drawn: tuple[LoadedPaper, tuple[architecture.Architecture, ...]]) -> None:
    for a in drawn[1]:
        boxes = re.findall(r'class="ground" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', a.svg)
        placed = [tuple(map(float, b)) for b in boxes]
        for k, (x, y, w, h) in enumerate(placed):
            for x2, y2, w2, h2 in placed[:k]:
                assert x >= x2 + w2 or x2 >= x + w or y >= y2 + h2 or y2 >= y + h


class Wellformed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def test_a_drawing_has_a_title_and_says_its_flow_in_words(streams: Outline) -> None:
    svg = architecture.drawing("net-x", '<b>"x"', streams)
    assert "<b>" not in svg
    assert Wellformed(str(svg)).seen[:3] == ["svg", "title", "desc"]
    assert "head: 5 channels, 16×8, from fine, coarse" in svg
    assert svg.count('class="flow"') == 6


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("layer1", "layer1"),
        ("stage3.0.branches.1", "stage3.0.b.1"),
        ("hourglasses.0.low2.low2.up1", "h.0.l.l.up1"),
        ("a.very_long_last_word", "…g_last_word"),
    ],
)
def test_names_are_shortened_from_their_longest_words(name: str, text: str) -> None:
    assert short(name) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (16_800, "16.8 k"), (999_999, "1.00 M"), (1_472_000_000, "1.47 G")],
)
def test_amounts_have_three_figures(count: int, text: str) -> None:
    assert amount(count) == text
