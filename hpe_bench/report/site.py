"""Writes the pages: one folder a page, static, read from disk without a server, the same bytes for the same records.

A page carries its own style and scripts; what its closed folds hold lies beside it and is loaded when they are opened
(`folds`).

Every page but the score pages carries the digest of the records it shows (`shown`).
`reports/index.html` helps to choose a network, `reports/board.html` is the whole board, `reports/<slug>/index.html` a
paper, `reports/compare/<a>-vs-<b>/index.html` a comparison, `reports/ceilings/index.html` what codecs cost by
themselves, `reports/costs/index.html` what published costs count, the address of a paper's `LatencyQuestion` what its
network saves in time, that of its `SideBySide` networks of several papers, `reports/docs/` the
documentation. Beside each page lie its tables as CSV; beside the board the whole of it and all latencies as CSV and
JSON, beside a paper its verdicts as CSV and its records as JSON.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hpe_bench import catalog, protocols
from hpe_bench.catalog import LoadedPaper
from hpe_bench.ceilings.contenders import contenders
from hpe_bench.ceilings.measure import CEILINGS, data_protocols
from hpe_bench.cost.dispatched import count_on_meta
from hpe_bench.data import csv_files
from hpe_bench.declare import Curriculum, Protocol, SideBySide, Variant
from hpe_bench.files import whole_file, write_atomically
from hpe_bench.plan import MEAN_POSE
from hpe_bench.records import frame, store
from hpe_bench.records.query import Records
from hpe_bench.records.schema import RunRecord
from hpe_bench.report import folds
from hpe_bench.report.kit import pixels
from hpe_bench.report.kit.tables import Table
from hpe_bench.report.kit.text import metric, number, span
from hpe_bench.report.pages import (
    architecture,
    ceilings_page,
    comparison,
    costs_page,
    docs_page,
    entries,
    front_page,
    latency_question_page,
    leaderboard,
    paper_page,
    robustness,
    side_by_side_page,
)
from hpe_bench.report.pages.comparison import ComparisonPage
from hpe_bench.report.pages.leaderboard import Leaderboard
from hpe_bench.report.pages.score_page import ScorePage
from hpe_bench.report.shown import RecordFiles, stated
from hpe_bench.timing import rows as latency_rows
from hpe_bench.verdicts import STATUSES, Verdict, judge_suite

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
STATIC = Path(__file__).parent / "static"
BOARD_BYTES, PAGE_BYTES = 390_000, 590_000  # of the leaderboard and of other pages, before their folds are opened
SHARED = ("style.css", "table.js")  # which parts of pages share


def suite() -> dict[str, Protocol]:
    """The suite's protocols by name: those of miniatures with the headline decoders first, then those of full size."""
    return {p.name: p for p in (*(p for group in protocols.POCKET.values() for p in group), *protocols.FULL)}


# ---------------------------------------------------------------------------------------------------- pages


@dataclass(frozen=True, eq=False)
class Sources:
    """What pages are made from: the papers that load and the records of some folders."""

    papers: tuple[LoadedPaper, ...]
    records: Records
    files: RecordFiles

    @classmethod
    def of(cls, *folders: Path) -> Sources:
        """All papers, and the records of the folders, read once."""
        return cls(tuple(catalog.load_all()[0]), store.load_folders(folders), RecordFiles(folders))

    def asked(self, make: Callable[[Sources], T]) -> T:
        """What is made from these sources: without the records that, read whole, contradict themselves."""
        return store.speaking(self.records, lambda records: make(self.of_records(records)))

    def of_records(self, records: Records) -> Sources:
        """The same with other records."""
        return self if records is self.records else Sources(self.papers, records, self.files)

    def about(self, slugs: Collection[str] | None) -> Records:
        """The records of some papers; all of them for None."""
        return self.records if slugs is None else Records(r for r in self.records if r.identity.paper in slugs)

    def digest(self, slugs: Collection[str] | None) -> str:
        """What a page about some papers carries."""
        return self.files.digest(self.about(slugs))

    @cached_property
    def judged(self) -> Mapping[str, Sequence[Verdict]]:
        """All verdicts by paper, each among the others."""
        return judge_suite([(p.paper, p.claims) for p in self.papers], self.records)

    @cached_property
    def trained(self) -> frozenset[str]:
        """Papers with trainings: each has a part in how far seeds lie apart, and in how many tests there are."""
        return frozenset(r.identity.paper for r in self.records if r.identity.kind == "accuracy")

    def loaded(self, slug: str) -> LoadedPaper | None:
        """A paper that loads, by its slug."""
        return next((p for p in self.papers if p.paper.slug == slug), None)


@dataclass(frozen=True)
class Page:
    """A page of the site: where it lies, whose records it shows (None: everybody's), and how it is written.

    `write` returns the paths of what was written; nothing where no record speaks for the page.
    """

    path: Path
    slugs: frozenset[str] | None
    write: Callable[[], list[Path]]

    def is_current(self, sources: Sources) -> bool:
        """Whether it was written from the records as they are."""
        return stated(self.path) == sources.digest(self.slugs)


def site_pages(sources: Sources, reports: Path) -> list[Page]:
    """Every page that records lead to: papers, comparisons with the yardstick and those written before, the rest."""
    pairs = [comparison.with_yardstick(p, sources.papers) for p in sources.papers]
    sides = dict.fromkeys(tuple(p.paper.slug for p in pair) for pair in pairs if pair)
    sides |= dict.fromkeys(_compared_before(sources, reports))
    return [
        *(paper_page_of(p, sources, reports) for p in sources.papers),
        *(comparison_page_of(slugs, sources, reports) for slugs in sides),
        Page(reports / CEILINGS / "index.html", frozenset([CEILINGS]), partial(_write_ceilings, sources, reports)),
        Page(reports / "costs" / "index.html", None, partial(_write_costs, sources, reports)),
        *_latency_pages_of(sources, reports),
        *_robustness_pages_of(sources, reports),
        *_side_by_side_pages_of(sources, reports),
        Page(reports / "index.html", None, partial(_write_board, sources, reports)),
    ]


def write_site(results: Path, reports: Path, *others: Path) -> list[Path]:
    """Write every page; returns their paths. Records are read once, from `results` and other folders."""
    pages = Sources.of(results, *others).asked(
        lambda sources: [path for page in site_pages(sources, reports) for path in page.write()]
    )
    return [*pages, write_docs(reports)]


def refresh(results: Path, reports: Path, *slugs: str) -> list[Path]:
    """Write the pages of some papers and the leaderboard, and every page there is that shows a changed record.

    Returns the paths of what was written.
    """
    return Sources.of(results).asked(lambda sources: _refresh(sources, reports, slugs))


def _refresh(sources: Sources, reports: Path, slugs: Sequence[str]) -> list[Path]:
    wanted = {reports / slug / "index.html" for slug in slugs} | {reports / "index.html"}
    for slug in slugs:
        if (loaded := sources.loaded(slug)) and (pair := comparison.with_yardstick(loaded, sources.papers)):
            wanted.add(reports / comparison.address([p.paper.slug for p in pair]))
    written = [write_docs(reports)]
    for page in site_pages(sources, reports):
        if page.path in wanted or (page.path.exists() and not page.is_current(sources)):
            written += page.write()
    return written


def write_paper(slug: str, results: Path, reports: Path) -> Path:
    """Write a paper's page, its downloads and its comparison with the yardstick; returns the page's path."""
    loaded = catalog.load(slug)
    write_docs(reports)

    def written(sources: Sources) -> Path:
        if pair := comparison.with_yardstick(loaded, sources.papers):
            comparison_page_of([p.paper.slug for p in pair], sources, reports).write()
        return paper_page_of(loaded, sources, reports).write()[0]

    return Sources.of(results).asked(written)


def paper_page_of(loaded: LoadedPaper, sources: Sources, reports: Path) -> Page:
    """The page of a paper; it shows its own records, and those of whatever its claims and studies speak about. All
    trainings have a part in its intervals and verdicts.
    """
    slugs = frozenset(_spoken_about(loaded)) | sources.trained
    path = reports / loaded.paper.slug / "index.html"
    return Page(path, slugs, partial(_write_paper, loaded, slugs, sources, reports))


def _spoken_about(loaded: LoadedPaper) -> Iterator[str]:
    """Slugs of a paper, of its studies' arms and their teachers, of its claims' baselines, and the mean pose's."""
    yield from (loaded.paper.slug, MEAN_POSE)
    arms = [a for study in loaded.paper.studies for a in study.arms]
    for arm in (*arms, *(a for sweep in loaded.paper.sweeps for a in sweep.arms)):
        yield arm.paper
        if isinstance(arm.recipe, Curriculum) and arm.recipe.teacher is not None:
            yield arm.recipe.teacher.paper
    yield from (claim.baseline.partition("/")[0] for claim in loaded.claims if claim.baseline)


def _write_paper(loaded: LoadedPaper, slugs: frozenset[str], sources: Sources, reports: Path) -> list[Path]:
    slug, found = loaded.paper.slug, sources.about(slugs)
    drawn = architecture.architectures(loaded.paper, loaded.claims)
    verdicts = sources.judged[slug]
    page = paper_page.build(
        loaded.paper, loaded.claims, found, suite(), pixels.readers(suite()), drawn, verdicts, _macs_of
    )
    if pair := comparison.with_yardstick(loaded, sources.papers):
        page = replace(page, beside=comparison.address([p.paper.slug for p in pair]))
    folder = reports / slug
    own = [r for r in found if r.identity.paper == slug or any(r.id in v.records for v in verdicts)]
    _write(folder / "verdicts.csv", verdicts_csv(verdicts))
    _write_records(folder / "records.json", own)
    _write_tables(folder, page.tables)
    return [_write_page(folder / "index.html", "paper.html.j2", sources.digest(slugs), page=page, root="../")]


@cache
def _macs_of(variant: Variant) -> float:
    """Multiply-adds of a network as it is declared."""
    return float(count_on_meta(variant.builder, variant.joints, variant.input_hw).macs)


def board(*results: Path) -> Leaderboard:
    """The leaderboard over all papers that load and the records of some folders."""
    return Sources.of(*results).asked(lambda sources: leaderboard.build(sources.papers, sources.records, suite()))


def write_leaderboard(results: Path, reports: Path) -> Path:
    """Write `reports/index.html` with the whole board and its downloads; returns its path."""
    return Sources.of(results).asked(lambda sources: _write_board(sources, reports))[0]


def _write_board(sources: Sources, reports: Path) -> list[Path]:
    """The front page, the whole board beside it, and the board's downloads."""
    scored = {path.name for path in (reports / "scores").glob("*.html")}
    built = leaderboard.build(sources.papers, sources.records, suite(), scored)
    _write_frame(reports / "leaderboard", entries.frame_of(built.entries))
    if built.runtimes:
        _write_frame(reports / "latency", entries.frame_of(built.runtimes.rows))
    _write_tables(reports, built.tables)
    digest = sources.digest(None)
    return [
        _write_page(reports / f"{name}.html", template, digest, board=built, root="")
        for name, template in (("index", "index.html.j2"), ("board", "leaderboard.html.j2"))
    ]


def refresh_readme(file: Path, *results: Path) -> None:
    """Make the table of verdicts and the findings in a README anew, between their markers."""
    _write(file, front_page.refreshed(file.read_text(encoding="utf-8"), board(*results)))


def write_ceilings(results: Path, reports: Path) -> Path | None:
    """Write the page of the codec ceilings; None where no current record speaks about them."""
    written = Sources.of(results).asked(lambda sources: _write_ceilings(sources, reports))
    return written[0] if written else None


def _write_ceilings(sources: Sources, reports: Path) -> list[Path]:
    own = sources.about([CEILINGS])
    page = ceilings_page.build(contenders(), data_protocols().values(), own)
    if page is None:
        return []
    folder = reports / CEILINGS
    _write_records(folder / "records.json", own)
    _write_tables(folder, page.tables)
    return [_write_page(folder / "index.html", "ceilings.html.j2", sources.digest([CEILINGS]), page=page, root="../")]


def write_robustness(results: Path, reports: Path) -> Path | None:
    """Write the page of robustness; None where no model was measured under corruptions."""
    pages = _robustness_pages_of(Sources.of(results), reports)
    return pages[0].write()[0] if pages else None


def _robustness_pages_of(sources: Sources, reports: Path) -> list[Page]:
    """The page of robustness, if any model was measured under corruptions."""
    page = robustness.build(sources.records, {p.paper.slug: p.paper for p in sources.papers})
    path = reports / robustness.ROBUSTNESS / "index.html"
    return [Page(path, None, partial(_write_robustness, page, sources, path.parent))] if page else []


def _write_robustness(page: robustness.RobustnessPage, sources: Sources, folder: Path) -> list[Path]:
    _write_tables(folder, page.tables)
    digest = sources.digest(None)
    return [_write_page(folder / "index.html", "robustness.html.j2", digest, page=page, root="../")]


def _write_costs(sources: Sources, reports: Path) -> list[Path]:
    """The page of published costs, if there are any."""
    page = costs_page.build(sources.papers, sources.records)
    if page is None:
        return []
    _write_tables(reports / "costs", page.tables)
    return [_write_page(reports / "costs" / "index.html", "costs.html.j2", sources.digest(None), page=page, root="../")]


def _latency_pages_of(sources: Sources, reports: Path) -> list[Page]:
    """The pages of papers' questions about latency."""
    asking = [(p, q.address) for p in sources.papers if (q := p.paper.latency_question) is not None]
    return [
        Page(reports / address / "index.html", None, partial(_write_latency_question, p, sources, reports / address))
        for p, address in asking
    ]


def _write_latency_question(loaded: LoadedPaper, sources: Sources, folder: Path) -> list[Path]:
    """The page of a paper's question about latency, once its network was timed."""
    page = latency_question_page.build(loaded, sources.papers, latency_rows.rows(sources.records))
    if page is None:
        return []
    _write_tables(folder, page.tables)
    return [_write_page(folder / "index.html", "latency_question.html.j2", sources.digest(None), page=page, root="../")]


def _side_by_side_pages_of(sources: Sources, reports: Path) -> list[Page]:
    """The pages on which papers set networks side by side."""
    asked = [a for p in sources.papers if (a := p.paper.side_by_side) is not None]
    return [
        Page(reports / a.address / "index.html", None, partial(_write_side_by_side, a, sources, reports / a.address))
        for a in asked
    ]


def _write_side_by_side(asked: SideBySide, sources: Sources, folder: Path) -> list[Path]:
    """The page, once its baseline and another network were timed."""
    page = side_by_side_page.build(asked, leaderboard.full_size(sources.papers, sources.records))
    if page is None:
        return []
    _write_tables(folder, page.tables)
    return [_write_page(folder / "index.html", "side_by_side.html.j2", sources.digest(None), page=page, root="../")]


def write_docs(reports: Path) -> Path:
    """The documentation, which every page links to, and what its search reads; pages of documents that are gone go."""
    docs, folder = docs_page.bundled(), reports / "docs"
    _write(folder / "search.js", docs.search_index)
    written = {
        _write(
            folder / f"{page.document.stem}.html",
            render("docs.html.j2", docs=docs, page=page, html=Markup(page.rendered.html), root="../"),
        )
        for page in docs.pages
    }
    for old in set(folder.glob("*.html")) - written:
        old.unlink()
    return folder / "index.html"


def compare(slugs: Sequence[str], results: Path) -> ComparisonPage:
    """Papers side by side, as values: for the terminal and for the page."""
    for slug in slugs:
        catalog.load(slug)  # which says what is wrong with one that does not load
    return Sources.of(results).asked(lambda sources: _compared(slugs, sources))


def _compared(slugs: Sequence[str], sources: Sources) -> ComparisonPage:
    papers = [p for slug in slugs if (p := sources.loaded(slug)) is not None]
    shown = sources.about(_shown_beside(slugs, sources))
    return comparison.build(papers, shown, suite(), pixels.readers(suite()))


def _shown_beside(slugs: Sequence[str], sources: Sources) -> frozenset[str]:
    """Whose records a comparison shows."""
    spoken = frozenset(s for slug in slugs if (p := sources.loaded(slug)) is not None for s in _spoken_about(p))
    return spoken | sources.trained  # all trainings have a part in the intervals


def _compared_before(sources: Sources, reports: Path) -> list[tuple[str, ...]]:
    """Papers whose comparison was written before, as far as all of them still load."""
    named = [tuple(page.parent.name.split("-vs-")) for page in sorted(reports.glob("compare/*/index.html"))]
    return [slugs for slugs in named if len(slugs) > 1 and all(sources.loaded(slug) for slug in slugs)]


def write_comparison(slugs: Sequence[str], results: Path, reports: Path) -> Path:
    """Write the comparison of two papers or more, its accuracies and differences as CSV and JSON beside it."""
    write_docs(reports)
    return Sources.of(results).asked(lambda sources: comparison_page_of(slugs, sources, reports).write())[0]


def comparison_page_of(slugs: Sequence[str], sources: Sources, reports: Path) -> Page:
    """The comparison of papers that load."""
    path = reports / comparison.address(slugs)
    return Page(path, _shown_beside(slugs, sources), partial(_write_comparison, slugs, path, sources))


def _write_comparison(slugs: Sequence[str], path: Path, sources: Sources) -> list[Path]:
    found = _compared(slugs, sources)
    _write_tables(path.parent, found.tables)
    for name, rows in (("accuracies", found.rows), ("differences", found.gaps)):
        if rows:
            _write_frame(path.parent / name, frame.from_flat(list(rows)))
    digest = sources.digest(_shown_beside(slugs, sources))
    return [_write_page(path, "comparison.html.j2", digest, comparison=found, root="../../")]


def write_score(page: ScorePage, reports: Path, persons_csv: str = "") -> Path:
    """Write the page of a submission: `scores/<name>--<protocol>.html`, its tables in a folder of the same name.

    `persons_csv` are the persons' scores one by one, which lie there too.
    """
    write_docs(reports)
    stem = f"{page.name}--{page.protocol}"
    if persons_csv:
        _write(reports / "scores" / stem / "persons.csv", persons_csv)
    _write_tables(reports / "scores" / stem, page.tables)
    return _write_page(reports / "scores" / f"{stem}.html", "score.html.j2", page=page, root="../")


# ---------------------------------------------------------------------------------------------------- rendering


def _write_page(path: Path, template: str, records: str = "", *, root: str, **values: Any) -> Path:
    """Write a page and, before it, what its closed folds hold; parts of an earlier build are removed after it."""
    budget_bytes = PAGE_BYTES if root else BOARD_BYTES
    text, parts = folds.parted(render(template, records, root=root, **values), path.name, budget_bytes)
    written = {_write(path.parent / p.file, render("part.html.j2", part=p, root=root)) for p in parts}
    for name in SHARED if parts else ():
        _write(Path(os.path.normpath(path.parent / root / name)), _static(name))
    _write(path, text)
    mine = (p for p in path.parent.glob("*.html") if p.name.startswith(f"{path.stem}{folds.INFIX}"))
    for old in set(mine) - written:
        old.unlink()
    return path


def render(template: str, records: str = "", **values: Any) -> str:
    """A page from a template: autoescaped (R4), style and script inlined (R5), with the digest of what it shows."""
    text = _environment().get_template(template).render(static=_static, statuses=STATUSES, records=records, **values)
    return re.sub(r"[ \t]+\n", "\n", text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hpe_bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(metric=metric, number=number, span=span)
    return environment


def _static(name: str) -> Markup:
    """A style sheet or script of ours, as it stands."""
    return Markup((STATIC / name).read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------------------------------- downloads


def _write(path: Path, text: str) -> Path:
    write_atomically(path, text.encode())
    return path


def _write_frame(stem: Path, found: pd.DataFrame) -> None:
    """A frame as CSV and as JSON."""
    _write(stem.with_suffix(".csv"), frame.as_csv(found))
    _write(stem.with_suffix(".json"), frame.as_json(found))


def _write_tables(folder: Path, tables: Iterable[Table]) -> None:
    """The tables as CSV under `tables/`; those of an earlier build that the page no longer has are removed."""
    written = {_write(folder / "tables" / f"{t.id}.csv", t.csv()) for t in tables}
    for old in set((folder / "tables").glob("*.csv")) - written:
        old.unlink()


def verdicts_csv(verdicts: Iterable[Verdict]) -> str:
    """Verdicts at full precision, one a row."""
    names = [f.name for f in fields(Verdict)]
    rows: list[list[object]] = [list(names)]
    for v in verdicts:
        row = asdict(v)
        row["interval"] = "" if v.interval is None else f"{v.interval[0]!r} {v.interval[1]!r}"
        row["records"] = " ".join(v.records)
        row["recount"] = "" if v.recount is None else v.recount.reason
        rows.append([row[name] for name in names])
    return csv_files.text(rows)


def _write_records(path: Path, found: Iterable[RunRecord]) -> None:
    """`records_json`, record by record."""
    with whole_file(path) as file:
        for text in records_json(found):
            file.write(text.encode())


def records_json(found: Iterable[RunRecord]) -> Iterator[str]:
    """Measurements and identity of the records behind a page, in pieces; per-image tables stay in `results/`."""
    kept = {"id", "identity", "status", "reason", "provenance", "measurements", "predictions_sha256", "weights_sha256"}
    before = "["
    for r in found:
        value = json.dumps(r.model_dump(mode="json", include=kept), indent=1, ensure_ascii=False)
        yield before + "\n " + value.replace("\n", "\n ")
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"
