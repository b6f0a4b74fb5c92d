"""The site: the same bytes for the same records, pages that say which; and hostile text never becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from docs import tables
from hpe_bench import catalog
from hpe_bench.catalog import LoadedPaper
from hpe_bench.data.skeletons import COCO_17
from hpe_bench.declare import JointGroups, Paper
from hpe_bench.records import store
from hpe_bench.records.marked import filled, marks
from hpe_bench.records.schema import RunRecord
from hpe_bench.report import site
from hpe_bench.report.pages import comparison, front_page, leaderboard, paper_page
from hpe_bench.report.shown import RecordFiles
from tests import synthetic_records as records
from tests.conftest import build_site
from tests.synthetic_latency import latency
from tests.synthetic_paper import CONTROL, FULL, OLD_LOSS, PAPER, POCKET, PROPOSAL, claim, macs, relation
from tests.test_report import ALL, INJECTION, LSP, Page, runs

ROOT = Path(__file__).resolve().parents[1]

# ---------------------------------------------------------------------------------------------------- bytes


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.torture
def test_pages_written_twice_are_the_same_bytes(built_site: Path, committed: Path, tmp_path: Path) -> None:
    """Whatever the hash seed, time zone, locale, number of threads and home of who writes them."""
    build_site(
        *(committed, tmp_path / "again", tmp_path / "home"),
        **{"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C", "LANG": "C", "OMP_NUM_THREADS": "1"},
    )
    first, again = files(built_site), files(tmp_path / "again")
    assert sorted(first) == sorted(again)
    assert [name for name in first if first[name] != again[name]] == []


def test_every_committed_page_carries_the_digest_of_the_committed_records_it_shows(
    committed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways: no page is missing, none is of older records."""
    monkeypatch.delenv("HPE_BENCH_PAPERS", raising=False)
    sources = site.Sources.of(committed / "results")
    pages = site.site_pages(sources, committed / "reports")
    remedy = "run `make leaderboard` and commit reports/"
    assert [str(page.path) for page in pages if not page.is_current(sources)] == [], remedy
    there = set((committed / "reports").rglob("index.html")) - {page.path for page in pages}
    assert [path.parent.name for path in there] == ["docs"]  # which show no records


def test_what_changes_a_record_rebuilds_every_page_that_shows_it_and_no_other(tmp_path: Path) -> None:
    results, reports = tmp_path / "results", tmp_path / "reports"
    papers = [catalog.load(slug).paper for slug in ("simple_baseline", "fasterpose", "cpn")]
    for paper in papers:
        store.save(records.cost(paper.slug, paper.variants[0], 24_311_000, 4_042_000_000, 4_042_660_000), results)
    for paper in papers:
        site.write_paper(paper.slug, results, reports)
    site.write_leaderboard(results, reports)
    site.write_comparison(["fasterpose", "cpn"], results, reports)
    sources = site.Sources.of(results)
    there = [page for page in site.site_pages(sources, reports) if page.path.exists()]
    assert len(there) == 7  # three papers, two beside the yardstick and one asked for, the board
    assert all(page.is_current(sources) for page in there)
    assert not site.refresh(results, reports)[3:]  # but for the documentation, the front page and the board

    cpn = papers[2]
    store.save(records.cost(cpn.slug, cpn.variants[0], 24_311_001, 4_042_000_000, 4_042_660_000), results)
    sources = site.Sources.of(results)
    stale = {str(page.path.parent.relative_to(reports)) for page in there if not page.is_current(sources)}
    assert stale == {"cpn", "compare/simple_baseline-vs-cpn", "compare/fasterpose-vs-cpn", "."}
    untouched = (reports / "fasterpose" / "index.html").read_bytes()
    site.refresh(results, reports)
    assert all(page.is_current(sources) for page in there)
    assert (reports / "fasterpose" / "index.html").read_bytes() == untouched
    assert not (reports / "hrnet").exists()


def test_a_page_shows_no_record_outside_of_its_digest() -> None:
    """A paper's page is given the records of what it speaks about: itself, arms, teachers, baselines, the mean pose."""
    sources = site.Sources((catalog.load("fpd"),), ALL, RecordFiles([]))
    page = site.paper_page_of(sources.papers[0], sources, Path("reports"))
    assert page.slugs is not None
    assert {"fpd", "mean_pose"} <= page.slugs
    assert {r.identity.paper for r in sources.about(page.slugs)} <= page.slugs
    assert len(sources.about(None)) == len(ALL)


@pytest.mark.slow
def test_links_stay_within_the_site_and_resolve(built_site: Path) -> None:
    """Only the folder of the pages is published: whatever is no web address is a file in it, with the anchor."""
    pages = {p: Page(p.read_text(encoding="utf-8")) for p in built_site.rglob("*.html")}
    anchors = {p: {attrs["id"] for _, attrs in page.elements if "id" in attrs} for p, page in pages.items()}
    for page, content in pages.items():  # a page leads to what its folds hold
        held = [attrs["data-part"] for _, attrs in content.elements if "data-part" in attrs]
        anchors[page] = anchors[page].union(*(anchors[page.with_name(name or "")] for name in held))
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


def test_the_readme_says_what_the_records_say(committed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPE_BENCH_PAPERS", raising=False)
    readme = (committed / "README.md").read_text(encoding="utf-8")
    assert front_page.refreshed(readme, site.board(committed / "results")) == readme, "run `make leaderboard`"


def test_the_docs_tables_say_what_the_records_say(committed: Path) -> None:
    for name, part, made in tables.made_of(store.load_all(committed / "results")):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert filled(text, part, tables.BY, made) == text, f"docs/{name}: run `make leaderboard`"


def test_a_text_without_the_markers_is_refused() -> None:
    board = leaderboard.build([LoadedPaper(PAPER, (), Path("tiny"))], ALL, site.suite())
    with pytest.raises(ValueError, match="verdicts"):
        front_page.refreshed("no markers here", board)
    table, findings = ("\nold\n".join(marks(name, front_page.BY)) for name in ("verdicts", "findings"))
    with pytest.raises(ValueError, match="findings"):
        front_page.refreshed(table, board)
    fresh = front_page.refreshed(f"before\n{table}\n{findings}\nafter\n", board)
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
        "front": site.render("index.html.j2", board=board, root=""),
        "leaderboard": site.render("leaderboard.html.j2", board=board, root=""),
        "comparison": site.render("comparison.html.j2", comparison=side, root="../../"),
    }


@pytest.mark.parametrize("kind", ["paper", "front", "leaderboard", "comparison"])
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
    *("data-network", "data-name", "data-in-process", "min", "step", "aria-live"),
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
