"""Pages: what they must show, how they are labelled, that they are safe, self-contained and reproducible."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.data.mannequins import render as render_scene
from hpe_bench.data.mannequins.body import JOINTS as MANNEQUIN_JOINTS
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import Claim, Paper, replace
from hpe_bench.records import store
from hpe_bench.records.schema import RunRecord, Sample
from hpe_bench.report import site
from hpe_bench.report.kit import pixels, plots, svgdraw, theme
from hpe_bench.report.kit.tables import Table
from hpe_bench.report.pages import comparison, docs_page, leaderboard, paper_page
from hpe_bench.report.pages.claims_view import ClaimView
from hpe_bench.report.pages.paper_page import PaperPage
from tests import synthetic_records as make
from tests.synthetic_paper import (
    BASE_FULL,
    BASE_POCKET,
    CONTROL,
    FULL,
    OLD_LOSS,
    PAPER,
    POCKET,
    PRINTED,
    PROPOSAL,
    claim,
    macs,
    relation,
)
from tests.synthetic_records import Level

VOID = {"meta", "link", "img", "br", "input", "hr"}
DARK, QUARTER, LSP = "mannequins-v1-dark", "mannequins-v1-quarter", "lsp-pc-v1-dark"
CLAIMS = (
    claim(id="params"),
    macs(id="macs"),
    relation(id="gain"),
    relation(id="saving", kind="percent change", metric="macs", convention="unknown", printed="58%", value=-58.0),
    claim(
        id="val-ap",
        statement="It reaches 70.4 AP",
        metric="ap",
        printed="70.4",
        value=70.4,
        unit="percent",
        protocol="coco-val2017-det56",
    ),
)


class Page(HTMLParser):
    """Elements of a page with their attributes; raises on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.elements if tag in tags]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def runs(protocol: str = DARK, seeds: int = 2) -> list[RunRecord]:
    levels = ((CONTROL, Level(70)), (PROPOSAL, Level(73, 6000)), (OLD_LOSS, Level(66, 12_000)))
    made = [make.accuracy(a, s, level, protocol, f"hash of {protocol}") for a, level in levels for s in range(seeds)]
    return [*made, make.mean_pose(protocol, f"hash of {protocol}")]


COSTS = [
    make.cost("tiny", PRINTED, 33_999_697, 5_426_000_000, int(8.991 * 2**30), 91.25),
    make.cost("tiny", FULL, 24_311_000, 4_042_000_000, int(3.765 * 2**30), 61.5),
    make.cost("tiny", POCKET, 210_000, 33_100_000, 31_900_000, 2.125),
    make.cost("base", BASE_POCKET, 280_000, 44_200_000, 61_000_000, 3.25),
    make.cost("base", BASE_FULL, 33_999_697, 5_426_000_000, int(8.991 * 2**30), 91.25),
]
ALL = [*COSTS, *runs()]


def build(found: list[RunRecord], paper: Paper = PAPER, claims: tuple[Claim, ...] = CLAIMS) -> PaperPage:
    return paper_page.build(paper, claims, found, site.suite(), {})


def view_of(page: PaperPage, claim: str) -> ClaimView:
    return next(v for v in page.tested if v.claim.id == claim)


def render(page: PaperPage) -> str:
    return site.render("paper.html.j2", page=page, root="../")


@pytest.fixture(scope="module")
def whole() -> PaperPage:
    """Three protocols on two data sets."""
    return build([*ALL, *runs(QUARTER), *runs(LSP)])


@pytest.fixture(scope="module")
def usual() -> PaperPage:
    """One protocol."""
    return build(ALL)


@pytest.fixture(scope="module")
def text(whole: PaperPage) -> str:
    return render(whole)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


# ---------------------------------------------------------------------------------------------------- content


def test_the_page_shows_claims_verdicts_arms_and_the_baseline(page: Page) -> None:
    for expected in (
        "Tiny: an invented network",
        "What the paper claims",
        "It has 34.0 million parameters",
        "consistent with our reading",
        "Base, squared error (control)",
        "Tiny, RCE",
        "Mean training pose",
        "mannequins-v1-dark, pocket scale",
        "lsp-pc-v1-dark, pocket scale",
        "make reproduce PAPER=tiny",
        "@article{tiny2020",
        "Example CPU",
    ):
        assert expected in page.words, expected


def test_verdict_badges_carry_words_not_only_colours(page: Page) -> None:
    for status in ("confirmed", "inconclusive", "not attempted"):
        assert status in page.words


def test_without_records_every_section_names_the_command_that_fills_it() -> None:
    words = Page(render(build([]))).words
    for command in (
        "hpe-bench reproduce tiny --scale pocket",
        "hpe-bench ablate tiny --study losses",
        "hpe-bench reproduce tiny --scale cost",
        "make reproduce PAPER=tiny",
    ):
        assert command in words


def test_data_sets_and_decoders_stand_in_blocks_of_their_own(whole: PaperPage) -> None:
    found = whole.headline.blocks
    assert [b.title.split(",")[0] for b in found] == [DARK, QUARTER, LSP]
    assert [b.is_open for b in found] == [True, False, True]


def test_the_first_tile_is_the_true_saving_beside_what_the_paper_printed(usual: PaperPage) -> None:
    tile = usual.tiles[0]
    assert [(r.value, r.label, r.status) for r in tile.readings] == [
        ("−58.1\xa0%", "HRNet counter", "confirmed"),
        ("−25.5\xa0%", "true count", None),
    ]
    assert tile.readings[0].caveat == "consistent with our reading"
    assert "the paper prints 58\xa0% fewer and names no counter" in tile.detail
    assert view_of(usual, "saving").published == "−58\xa0%"


def test_the_measured_latency_stands_beside_the_saving_without_a_verdict(usual: PaperPage) -> None:
    tile = usual.tiles[1]
    assert tile.what == "Latency, full size, 1\xa0thread"
    assert [(r.value, r.status) for r in tile.readings] == [("−32.6\xa0%", None)]
    said = "91.2 → 61.5 ms, medians, n = 200 calls each, timed in process, Example CPU; ratio [0.63, 0.72]; "
    assert tile.detail.replace("\xa0", " ") == f"{said}the paper prints none"


def test_what_our_reading_shows_is_never_shown_without_its_caveat() -> None:
    ours = replace(PROPOSAL, variant=replace(POCKET, reading="ours"))
    paper = replace(PAPER, headline=replace(PAPER.headline, arms=(CONTROL, ours)), ablations=())
    found = build([make.accuracy(a, s, Level(v)) for a, v in ((CONTROL, 76), (ours, 66)) for s in range(3)], paper)
    (tile,) = found.tiles
    assert [(r.status, r.caveat) for r in tile.readings] == [("differs", "our reading, in miniature")]
    assert "our reading, in miniature" in Page(render(found)).words


def test_only_what_the_paper_itself_prints_speaks_for_its_protocol(usual: PaperPage) -> None:
    told = {row[0].text: row[-1].text for row in usual.protocols.rows}
    assert usual.protocols.columns[-1].name == "Published by the paper"
    assert told["Data set"] == "coco-val2017-det56"
    assert told["Test-time flip"] == "not available to us"
    others = tuple(replace(c, status="secondary") for c in CLAIMS)
    assert {row[-1].text for row in build(ALL, claims=others).protocols.rows} == {"not available to us"}


def test_an_ablation_that_has_only_headline_arms_names_what_is_missing() -> None:
    headline_only = [r for r in ALL if r.identity.recipe != "mse" or r.identity.paper == "base"]
    found = build(headline_only)
    assert found.headline.blocks
    assert [(s.blocks, s.missing) for s in found.ablations] == [((), "Tiny, squared error")]
    words = Page(render(found)).words
    assert "Not run yet: Tiny, squared error. hpe-bench ablate tiny --study losses" in words


def test_an_arm_that_was_not_run_is_named_under_the_table(usual: PaperPage) -> None:
    without = [r for r in ALL if r.identity.recipe != "rce"]
    (block,) = build(without).ablations[0].blocks
    assert block.table.note.endswith("Not run yet: Tiny, RCE.")
    assert len(block.table.rows) == 3  # two arms and the mean pose
    assert "Not run yet" not in usual.headline.blocks[0].table.note


def test_every_code_that_pages_link_to_is_explained() -> None:
    root = Path(site.__file__).parents[2]
    shown = next(page for page in docs_page.bundled().pages if page.document.stem == "footguns")
    listed = {attrs["id"] for attrs in Page(shown.rendered.html).all("li") if "id" in attrs}
    sources = [*(root / "hpe_bench").rglob("*.py"), *(root / "docs").glob("*.md")]
    cited = {code for p in sources for code in re.findall(r"\(([FMR]\d+)\)", p.read_text())}
    assert cited
    assert cited <= listed


def test_a_failed_run_is_shown_with_its_reason() -> None:
    failed = runs()[0].model_copy(
        update={"id": "f", "status": "failed", "reason": "disk full", "measurements": (), "tallies": ()}
    )
    assert "disk full" in Page(render(build([*COSTS, failed]))).words


def test_records_of_an_older_declaration_are_counted_not_shown() -> None:
    changed = replace(PROPOSAL, recipe=replace(PROPOSAL.recipe, batch=64))
    old = make.accuracy(changed, 0, Level(99), started="2025-12-01T10:00:00+00:00")
    found = build([*ALL, old])
    assert found.outdated == 1
    assert old.id not in render(found)


# ---------------------------------------------------------------------------------------------------- labels


PLAIN_COUNTS = {"Images/s", "Rank", "Records", "Seed", "Training samples seen", "Training samples"}


def check_labels(tables: list[Table]) -> None:
    """Every column of numbers names its unit; every table has a caption; costs never stand without latency (F20)."""
    assert tables
    for t in tables:
        assert t.caption
        for c in t.columns:
            if c.numeric and c.name not in PLAIN_COUNTS and not t.id.startswith(("metrics-", "ratios-")):
                assert re.search(r", (%|points|M\b|MiB\b|ms\b|h$|true count|[GM]MAC/2)", c.name), (t.id, c.name)
        names = " ".join(c.name for c in t.columns)
        assert "MAC" not in names or "Latency, ms" in names, t.id
        assert all(len(row) == len(t.columns) for row in t.rows), t.id


def test_every_number_is_labelled(whole: PaperPage) -> None:
    check_labels(whole.tables)


def test_both_counting_conventions_stand_in_the_cost_table(usual: PaperPage) -> None:
    claimed, full, pocket = usual.costs
    names = [c.name for c in full.columns]
    assert [c.name for c in claimed.columns] == names
    assert [(r[0].text, r[3].note) for r in claimed.rows] == [
        ("big_256x192 (baseline)", ""),
        ("small_256x192", "−25.5\xa0%"),
    ]
    assert claimed.emphasised == (0,)
    assert claimed.rows[1][-1].note == "−32.6\xa0% · [59.7,\xa064.0] · p90\xa067.7 · n\xa0200 · timed in process"
    assert "GMAC, true count" in names
    assert "HRNet counter, GMAC/2³⁰" in names
    row = next(r for r in full.rows if r[0].text == "printed_256x192")
    assert [c.text for c in row[1:5]] == ["256×192", "34.00", "5.43", "8.99"]
    assert row[3].title == "5426000000.0 MAC"  # full precision on hover
    assert "MMAC, true count" in [c.name for c in pocket.columns]


def test_tables_are_semantic(page: Page) -> None:
    tables = sum(1 for tag, _ in page.elements if tag == "table")
    assert tables == len(page.all("caption"))
    assert all(th.get("scope") in ("col", "row", "rowgroup") for th in page.all("th"))


def test_figures_say_protocol_scale_n_and_interval(usual: PaperPage) -> None:
    block = usual.headline.blocks[0]
    assert len(block.figures) == 3
    for f in block.figures:
        assert f"{DARK}, pocket scale" in f.caption
        assert "2 seeds an arm" in f.caption
        assert [label for _, label in f.legend] == ["Base, squared error", "Tiny, RCE"]
    for f in block.figures[:2]:
        assert "95 % CI" in f.caption
        assert "n = 150\xa0images, 2,550\xa0joints (the image is what is resampled)" in f.caption
    assert "no interval" in block.figures[2].caption


def test_training_curves_are_drawn_once_for_both_decoders(whole: PaperPage) -> None:
    drawn = ["curves-" in str(b.figures[-1].svg) for b in whole.headline.blocks]
    assert drawn == [True, False, True]


def test_downloads_hold_full_precision(usual: PaperPage) -> None:
    block = usual.headline.blocks[0]
    rows = list(csv.DictReader(io.StringIO(block.table.csv())))
    value = float(rows[1]["PCKh@0.5, %"])
    made = [r for r in ALL if r.identity.paper == "tiny" and r.identity.recipe == "rce"]
    assert value == np.mean([r.measurements[0].value for r in made])
    assert rows[1]["Runs"] == "2.0"
    assert rows[1]["Runs: note"] == "×\xa0150\xa0images"


# ---------------------------------------------------------------------------------------------------- safety


INJECTION = "<script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover='alert(3)"


def test_hostile_text_is_escaped_wherever_it_enters() -> None:
    arm = replace(PROPOSAL, label=INJECTION)
    paper = replace(
        PAPER,
        title=INJECTION,
        reading=INJECTION,
        bibtex=INJECTION,
        headline=replace(PAPER.headline, question=INJECTION, arms=(CONTROL, arm)),
    )
    hostile = claim(id="evil", statement=INJECTION, printed=f"34.0 {INJECTION}", source=INJECTION, note=INJECTION)
    failed = runs()[0].model_copy(
        update={"id": "f", "status": "failed", "reason": INJECTION, "measurements": (), "tallies": ()}
    )
    found = Page(render(build([*ALL, failed], paper, (hostile, *CLAIMS))))
    assert len(found.all("script")) == 1  # ours
    assert not any("onerror" in attrs or "onmouseover" in attrs for _, attrs in found.elements)
    assert "alert(1)" in found.words


def test_nothing_is_loaded_from_elsewhere(text: str, page: Page) -> None:
    for tag, attrs in page.elements:
        if tag in ("a",):
            continue
        for name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
            value = attrs.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, name, value)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    assert "http" not in style


def test_links_between_pages_and_downloads_are_relative(page: Page) -> None:
    links = [a["href"] or "" for a in page.all("a")]
    outside = [link for link in links if link.startswith("http")]
    assert outside == [PAPER.url]
    assert "../index.html" in links
    assert "../docs/footguns.html" in links
    assert "../docs/index.html" in links


def test_ids_are_unique_and_references_resolve(page: Page) -> None:
    ids = Counter(attrs["id"] for _, attrs in page.elements if "id" in attrs)
    assert [i for i, n in ids.items() if n > 1] == []
    for _, attrs in page.elements:
        for name in ("href", "xlink:href"):
            if (attrs.get(name) or "").startswith("#"):
                assert (attrs[name] or "")[1:] in ids
        for found in re.findall(r"url\(#([^)]+)\)", " ".join(v or "" for v in attrs.values())):
            assert found in ids
        for found in (attrs.get("aria-labelledby") or "").split():
            assert found in ids


# ---------------------------------------------------------------------------------------------------- drawings


def test_plots_follow_the_theme_and_repeat_to_the_byte() -> None:
    points = [
        ("a", theme.Style(0), plots.PlotPoint(1, 50, (45, 55))),
        ("b & c", theme.Style(1), plots.PlotPoint(2, 60, None)),
    ]
    first, second = (plots.scatter("fig", points, "MMAC", "PCKh@0.5, %") for _ in range(2))
    assert first == second
    assert "var(--series-1)" in first
    assert not any(sentinel in first for sentinel in theme.CSS)
    assert "DejaVu" not in first
    assert "<!--" not in first
    Page(str(first))


def test_series_beyond_the_palette_never_reuse_the_controls_colour() -> None:
    styles = [theme.Style(i) for i in range(20)]
    assert all(s.sentinel != styles[0].sentinel for s in styles[1:])
    assert len({(s.sentinel, s.marker, str(s.dash)) for s in styles}) == 20


def sample(**changes: object) -> Sample:
    return make.person(0, np.random.default_rng(0), 1.0).model_copy(update=changes)


def test_large_errors_are_marked_and_unlabelled_joints_are_not() -> None:
    still = sample()
    assert svgdraw.large_errors(still) == []
    moved = list(still.predicted)
    moved[9] = (moved[9][0] + 20, moved[9][1])
    moved[15] = (moved[15][0] + 20, moved[15][1])  # unlabelled
    assert svgdraw.large_errors(still.model_copy(update={"predicted": tuple(moved)})) == [9]


def test_an_embedded_crop_lies_under_its_skeleton() -> None:
    """A white square on black, centred on a joint, must come back centred on that joint."""
    image = np.zeros((200, 160, 3), np.uint8)
    image[70:75, 76:81] = 255  # centre (78, 72): the left wrist
    window = svgdraw.window_of([sample()])
    drawing = svgdraw.person(sample(), image, window, "a person")
    data = re.search(r"base64,([^\"]+)", drawing)
    assert data is not None
    crop = cv2.imdecode(np.frombuffer(base64.b64decode(data[1]), np.uint8), cv2.IMREAD_GRAYSCALE)
    inside = np.where(crop > 200)
    centre = [(np.mean(axis) + 0.5) * window.side / len(crop) for axis in (inside[1], inside[0])]
    assert centre == pytest.approx([78 - window.x, 72 - window.y], abs=0.15)


def test_scenes_are_shown_only_if_the_person_is_in_them() -> None:
    data = site.suite()[DARK].data
    assert isinstance(data, Mannequins)
    scene = render_scene(0, split="test", dials=data.dials)
    order = [MANNEQUIN_JOINTS.index(j) for j in COCO_17.joints]
    joints = scene.joints_px[0][order].round(2)
    there = sample(image=0, truth=tuple((float(x), float(y)) for x, y in joints), labelled=(True,) * 17)
    reader = pixels.readers(site.suite())
    assert set(reader) == {DARK, QUARTER, "mannequins-v1"}  # photographs are never embedded
    shown = reader[DARK](there)
    assert shown is not None
    assert np.array_equal(shown, scene.image)
    elsewhere = there.model_copy(update={"truth": tuple((x + 1, y) for x, y in there.truth)})
    assert reader[DARK](elsewhere) is None


def test_the_gallery_says_why_there_are_no_photographs() -> None:
    (gallery,) = build([*COSTS, *runs(LSP)]).galleries
    assert "may not be passed on" in gallery.caption
    assert all(not p.has_pixels for p in gallery.persons)


# ---------------------------------------------------------------------------------------------------- ranks


def loaded(paper: Paper = PAPER, claims: tuple[Claim, ...] = CLAIMS) -> LoadedPaper:
    return LoadedPaper(paper, claims, Path("tiny"))


def test_only_rows_of_one_protocol_and_budget_are_ranked_together() -> None:
    longer = make.accuracy(PROPOSAL, 5, Level(90), DARK, f"hash of {DARK}", samples_seen=80_000)
    board = leaderboard.build([loaded()], [*ALL, *runs(LSP), longer], site.suite())
    sizes = {g.table.caption.split(":")[0]: len(g.table.rows) for g in board.measured}
    assert sizes == {
        f"{DARK}, pocket scale, 40,000 training samples each": 4,
        f"{DARK}, pocket scale, 80,000 training samples each": 2,
        f"{LSP}, pocket scale, 40,000 training samples each": 4,
    }
    for g in board.measured:
        assert (g.table.rows[-1][0].text, g.table.rows[-1][1].text) == ("–", "Mean training pose")
    check_labels(board.tables)


def test_published_figures_stand_apart_and_unranked() -> None:
    secondary = replace(CLAIMS[4], id="other", status="secondary", value=71.8, printed="71.8", source="a zoo")
    inferred = replace(CLAIMS[4], id="guess", status="inferred", value=99.0)
    board = leaderboard.build([loaded(claims=(*CLAIMS, secondary, inferred))], ALL, site.suite())
    (group,) = board.published
    assert [r[1].text for r in group.table.rows] == ["others", "the paper"]
    assert "Rank" not in [c.name for c in group.table.columns]
    Page(site.render("leaderboard.html.j2", board=board, root=""))


def test_a_comparison_pairs_what_was_run_alike() -> None:
    other = replace(
        PAPER,
        slug="base",
        headline=replace(PAPER.headline, arms=(PROPOSAL, CONTROL), control=PROPOSAL.name),
        ablations=(),
        variants=(BASE_FULL,),
    )
    found = comparison.build([loaded(), loaded(other)], [*ALL, *runs(LSP)], site.suite())
    assert len(found.accuracy) == len(found.differences) == 2
    check_labels(found.tables)
    row = next(s for s, t in zip(found.sections, found.tables, strict=True) if t is found.differences[0]).rows[0]
    assert row[0].startswith("tiny")
    assert row[1].startswith("+")
    Page(site.render("comparison.html.j2", comparison=found, root="../../"))
    nothing = comparison.build([loaded(), loaded(other)], [], site.suite())
    assert "hpe-bench reproduce tiny" in nothing.missing[0]


# ---------------------------------------------------------------------------------------------------- files


def test_a_rebuild_gives_the_same_bytes_and_drops_old_tables(tmp_path: Path) -> None:
    paper = catalog.load("fasterpose").paper
    made = [make.accuracy(arm, 0, Level(70)) for arm in paper.headline.arms]
    made.append(make.cost(paper.slug, paper.variants[0], 24_311_000, 4_042_000_000, 4_042_660_000))
    trees = []
    for name, order in (("a", made), ("b", made[::-1])):
        results, reports = tmp_path / name / "results", tmp_path / name / "reports"
        for record in order:
            store.save(record, results)
        (reports / "fasterpose" / "tables").mkdir(parents=True)
        (reports / "fasterpose" / "tables" / "old.csv").write_text("old")
        written = site.write_paper("fasterpose", results, reports)
        assert written == reports / "fasterpose" / "index.html"
        trees.append({p.relative_to(reports): p.read_bytes() for p in reports.rglob("*") if p.is_file()})
    assert trees[0] == trees[1]
    assert Path("fasterpose/tables/old.csv") not in trees[0]
    links = Page(trees[0][Path("fasterpose/index.html")].decode()).all("a")
    named = {Path("fasterpose") / (a["href"] or "") for a in links if "download" in a}
    assert named <= set(trees[0])
    assert json.loads(trees[0][Path("fasterpose/records.json")])


def test_a_grid_says_its_numbers_and_leaves_out_what_was_not_measured() -> None:
    svg = plots.grid("g", ["neck", "ankle"], ["one", "other"], [[90.0, None], [12.34, 56.0]], "rates, %")
    assert "neck: one 90.0; ankle: one 12.3, other 56.0" in svg
    shown = re.findall(r"<text[^>]*>([^<]+)</text>", svg)
    assert {"90.0", "12.3", "56.0", "neck", "other"} <= set(shown)
    assert "nan" not in svg.lower()
