"""The committed site: its pages are what the records say, to the byte; and hostile text never becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import JointGroups, Paper
from hpe_bench.records.schema import RunRecord
from hpe_bench.report import site
from hpe_bench.report.pages import comparison, front_page, leaderboard, paper_page
from tests.synthetic_latency import latency
from tests.synthetic_paper import CONTROL, FULL, OLD_LOSS, PAPER, POCKET, PROPOSAL, claim, macs, relation
from tests.test_report import ALL, INJECTION, LSP, Page, runs

ROOT = Path(__file__).parents[1]


# ---------------------------------------------------------------------------------------------------- bytes


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_the_committed_pages_are_what_the_records_say(built_site: Path) -> None:
    """Both ways, but for what stands on its own command, and whatever the machine (see the fixture).

    Scenes of the gallery are rendered from their numbers.
    """
    written = files(built_site)
    committed = {name: data for name, data in files(ROOT / "reports").items() if not name.startswith("scores/")}
    remedy = "run `make leaderboard` and commit reports/"
    assert sorted(written) == sorted(committed), remedy
    assert [name for name in written if written[name] != committed[name]] == [], remedy


@pytest.mark.slow
def test_links_stay_within_the_site_and_resolve(built_site: Path) -> None:
    """Only the folder of the pages is published: whatever is no web address is a file in it, with the anchor."""
    pages = {p: Page(p.read_text(encoding="utf-8")) for p in built_site.rglob("*.html")}
    anchors = {p: {attrs["id"] for _, attrs in page.elements if "id" in attrs} for p, page in pages.items()}
    checked = 0
    for page, content in pages.items():
        found = {a[name] or "" for _, a in content.elements for name in ("href", "src") if name in a}
        for href in (h for h in found if not h.startswith(("https://", "http://", "data:"))):
            file, _, anchor = href.partition("#")
            target = (page.parent / file).resolve() if file else page
            assert target.is_relative_to(built_site.resolve()), (page, href)
            assert target.is_file(), (page, href)
            assert not anchor or anchor in anchors.get(target, ()), (page, href)
            checked += 1
    assert checked > 1000


def test_the_readme_says_what_the_records_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPE_BENCH_PAPERS", raising=False)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert front_page.refreshed(readme, site.board(ROOT / "results")) == readme, "run `make leaderboard`"


def test_a_text_without_the_markers_is_refused() -> None:
    board = leaderboard.build([LoadedPaper(PAPER, (), Path("tiny"))], ALL, site.suite())
    with pytest.raises(ValueError, match="verdicts"):
        front_page.refreshed("no markers here", board)
    text = f"before\n{front_page.BEGIN}\nold\n{front_page.END}\nafter\n"
    fresh = front_page.refreshed(text, board)
    assert fresh.startswith("before\n")
    assert fresh.endswith("\nafter\n")
    assert "old" not in fresh
    assert front_page.refreshed(fresh, board) == fresh


# ---------------------------------------------------------------------------------------------------- escaping


def hostile_paper() -> Paper:
    """Every text of a paper's declaration that is free; names are held to a pattern by the declaration itself."""
    arms = [replace(arm, label=f"{arm.name} {INJECTION}") for arm in (CONTROL, PROPOSAL, OLD_LOSS)]
    headline = replace(PAPER.headline, question=INJECTION, arms=tuple(arms[:2]))
    losses = replace(PAPER.ablations[0], question=INJECTION, arms=tuple(arms))
    texts: dict[str, Any] = dict.fromkeys(
        ("title", "authors", "venue", "url", "bibtex", "summary", "reading"), INJECTION
    )
    groups = (JointGroups(INJECTION, len(COCO_17.joints), ((0, 1), (2, 3)), INJECTION),)
    variants = tuple(replace(v, note=INJECTION) for v in PAPER.variants)
    return replace(PAPER, **texts, variants=variants, headline=headline, ablations=(losses,), joint_groups=groups)


CELLS = ("statement", "printed", "unit", "source", "note", "protocol", "metric")
CLAIMS = (
    claim(id="value", **{**dict.fromkeys(CELLS, INJECTION), "metric": "params"}),
    claim(id="unit", unit=f"M{INJECTION}"),
    claim(
        id="published",
        metric="ap",
        unit="percent",
        protocol=f"coco-{INJECTION}",
        printed=INJECTION,
        statement=INJECTION,
    ),
    claim(id="unknown", status="unknown", metric=f"ap {INJECTION}", statement=INJECTION),
    macs(id="cost", statement=INJECTION, source=INJECTION, note=INJECTION),
    relation(id="gain", statement=INJECTION, printed=INJECTION, unit=INJECTION, protocol=INJECTION),
)


def hostile(record: RunRecord) -> RunRecord:
    """Every free text of a record; what it is matched by (hashes, arms' names, metric keys) must stay."""
    p = record.provenance
    texts: dict[str, Any] = dict.fromkeys(("version", "commit", "python", "platform", "device"), INJECTION)
    provenance = p.model_copy(update={**texts, "packages": {INJECTION: INJECTION}, "flags": {INJECTION: INJECTION}})
    measurements = tuple(
        replace(m, scope=f"{m.scope}, {INJECTION}", unit=m.unit if m.unit == "percent" else INJECTION)
        for m in record.measurements
    )
    identity = record.identity.model_copy(update={"protocol": f"{record.identity.protocol} {INJECTION}"})
    timings = tuple(
        t.model_copy(update={"runtime": INJECTION, "version": INJECTION, "reason": t.reason and INJECTION})
        for t in record.timings
    )
    absent = tuple(a.model_copy(update={"key": INJECTION, "reason": INJECTION}) for a in record.absent)
    changed = {"provenance": provenance, "measurements": measurements, "identity": identity}
    changed |= {"timings": timings, "absent": absent}
    ids = {"id": f"{record.id}{INJECTION}", "predictions_sha256": INJECTION, "weights_sha256": INJECTION}
    return record.model_copy(update={**changed, **ids})


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Every kind of page, over nothing but hostile texts."""
    failed = runs(seeds=1)[0].model_copy(
        update={"id": "f", "status": "failed", "reason": INJECTION, "measurements": (), "tallies": ()}
    )
    timed = [latency("tiny", variant, 100.0, gmac=4.0, hrnet=3.8) for variant in (FULL, POCKET)]
    found = [hostile(r) for r in (*ALL, *runs(LSP), *timed, failed)]
    loaded = LoadedPaper(hostile_paper(), CLAIMS, Path("tiny"))
    other = LoadedPaper(replace(hostile_paper(), slug="other"), (), Path("other"))
    own = paper_page.build(loaded.paper, CLAIMS, found, site.suite(), {})
    board = leaderboard.build([loaded], found, site.suite())
    side = comparison.build([loaded, other], found, site.suite())
    assert own.headline.blocks
    assert own.failed
    assert own.joint_groups
    assert board.measured
    assert board.published
    assert board.runtimes
    assert INJECTION in board.runtimes.untimed[0]
    return {
        "paper": site.render("paper.html.j2", page=own, root="../"),
        "leaderboard": site.render("leaderboard.html.j2", board=board, root=""),
        "comparison": site.render("comparison.html.j2", comparison=side, root="../../"),
    }


@pytest.mark.parametrize("kind", ["paper", "leaderboard", "comparison"])
def test_hostile_text_stays_text(pages: dict[str, str], kind: str) -> None:
    page = Page(pages[kind])
    assert len(page.all("script")) == 1  # ours
    assert page.all("img") == []
    for tag, attrs in page.elements:
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        assert set(attrs) <= KNOWN_ATTRIBUTES, (tag, set(attrs) - KNOWN_ATTRIBUTES)
    assert "alert(1)" in page.words
    ids = [attrs["id"] or "" for _, attrs in page.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[\w.-]+", i) for i in ids)


KNOWN_ATTRIBUTES = {
    *("id", "class", "href", "title", "style", "role", "name", "type", "value", "lang", "rel", "charset", "content"),
    *("scope", "colspan", "rowspan", "hidden", "open", "download", "aria-hidden", "aria-label", "aria-labelledby"),
    *("aria-pressed", "data-label", "data-sort", "data-filters", "data-search", "data-status", "data-statuses"),
    *("data-data", "data-protocol", "data-scale", "data-by", "data-paper", "data-kept", "data-row", "data-axis"),
    *("data-runtime", "data-threads", "data-batch", "data-machine", "data-in"),
    *("viewbox", "width", "height", "x", "y", "x1", "x2", "y1", "y2", "dx", "dy", "cx", "cy", "r", "d", "rx", "ry"),
    *("fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "text-anchor", "transform"),
    *("clip-path", "xmlns:xlink", "xlink:href", "preserveaspectratio", "points", "opacity", "fill-opacity"),
}


def test_a_protocol_that_names_a_path_stays_in_its_folder(tmp_path: Path) -> None:
    """Tables become files of their ids; a record may come from anywhere."""
    escaping = [
        r.model_copy(update={"identity": r.identity.model_copy(update={"protocol": "../../up"})}) for r in runs(LSP)
    ]
    printed = claim(id="p", metric="ap", unit="percent", protocol="../../up")
    board = leaderboard.build([LoadedPaper(PAPER, (printed,), Path("tiny"))], escaping, site.suite())
    site._write_tables(tmp_path / "a" / "b", board.tables)
    assert len(list(tmp_path.rglob("*.csv"))) == len(list((tmp_path / "a" / "b" / "tables").glob("*.csv"))) == 2


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", INJECTION])
def test_only_web_addresses_become_links(url: str) -> None:
    page = paper_page.build(replace(PAPER, url=url), (), [], site.suite(), {})
    links = [a["href"] or "" for a in Page(site.render("paper.html.j2", page=page, root="../")).all("a")]
    assert not any(link.startswith(url[:5]) for link in links)


@pytest.mark.parametrize("name", ["<script>", "a/b", "../up", "A", 'x"y', ""])
def test_names_that_become_file_names_are_held_to_a_pattern(name: str) -> None:
    for make in (
        lambda: replace(PAPER, slug=name),
        lambda: replace(PAPER.variants[0], name=name),
        lambda: replace(PAPER.recipes[0], name=name),
        lambda: replace(CONTROL, name=name),
        lambda: claim(id=name),
    ):
        with pytest.raises(ValueError, match="name"):
            make()


def test_a_paper_whose_folder_holds_markup_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "<b>x").mkdir()
    (tmp_path / "<b>x" / "paper.py").write_text("raise SystemExit('imported')")
    monkeypatch.setenv("HPE_BENCH_PAPERS", str(tmp_path))
    _, broken = catalog.load_all()
    assert [b.slug for b in broken] == ["<b>x"]
