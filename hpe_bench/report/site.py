"""Writes the pages: one folder a page, static, self-contained, the same bytes for the same records.

`reports/index.html` is the leaderboard, `reports/<slug>/index.html` a paper, `reports/compare/<a>-vs-<b>/index.html` a
comparison, `reports/ceilings/index.html` what codecs cost by themselves, `reports/costs/index.html` what published
costs count, `reports/without-a-gpu/index.html` what FasterPose saves on a processor, `reports/footguns/index.html` what
pages cite by code. Beside each page lie its tables as CSV; beside the leaderboard the whole board and all latencies as
CSV and JSON, beside a paper its verdicts as CSV and its records as JSON.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hpe_bench import catalog, protocols
from hpe_bench.catalog import LoadedPaper
from hpe_bench.ceilings.contenders import contenders
from hpe_bench.ceilings.measure import CEILINGS, data_protocols
from hpe_bench.declare import Protocol
from hpe_bench.files import write_atomically
from hpe_bench.records import store
from hpe_bench.records.query import Records
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit import pixels
from hpe_bench.report.kit.tables import Table
from hpe_bench.report.kit.text import metric, number, span
from hpe_bench.report.pages import (
    architecture,
    ceilings_page,
    comparison,
    costs_page,
    entries,
    footguns_page,
    front_page,
    leaderboard,
    paper_page,
    without_gpu_page,
)
from hpe_bench.report.pages.comparison import Comparison
from hpe_bench.report.pages.leaderboard import Leaderboard
from hpe_bench.report.pages.score_page import ScorePage
from hpe_bench.verdicts import STATUSES, Verdict, judge_suite

STATIC = Path(__file__).parent / "static"


def suite() -> dict[str, Protocol]:
    """The suite's protocols by name, headline decoders first."""
    return {p.name: p for group in protocols.POCKET.values() for p in group}


# ---------------------------------------------------------------------------------------------------- pages


def write_site(results: Path, reports: Path, *others: Path) -> list[Path]:
    """Write every paper's page, its comparison with the yardstick, the codec ceilings and the leaderboard.

    Returns their paths. Records are read once, from `results` and whatever other folders are named.
    """
    papers, _ = catalog.load_all()
    found = store.load_folders([results, *others])
    judged = _judged(papers, found)
    pages = [page for loaded in papers for page in _write_paper(loaded, papers, found, judged, reports)]
    ceilings = _write_ceilings(found, reports)
    pages += [] if ceilings is None else [ceilings]
    pages += _write_costs(papers, found, reports)
    pages += _write_without_gpu(papers, found, reports)
    pages.append(_write_footguns(reports))
    return [*pages, _write_board(papers, found, reports)]


def write_paper(slug: str, results: Path, reports: Path) -> Path:
    """Write a paper's page and its downloads; returns the page's path."""
    loaded = catalog.load(slug)
    papers, found = catalog.load_all()[0], store.load_all(results)
    _write_footguns(reports)
    return _write_paper(loaded, papers, found, _judged(papers, found), reports)[0]


Judged = Mapping[str, Sequence[Verdict]]


def _judged(papers: Sequence[LoadedPaper], found: Records) -> Judged:
    """All verdicts by paper, each among the others."""
    return judge_suite([(p.paper, p.claims) for p in papers], found)


def _write_paper(
    loaded: LoadedPaper, papers: Sequence[LoadedPaper], found: Records, judged: Judged, reports: Path
) -> list[Path]:
    """The page of a paper, and its comparison with the yardstick unless it is the yardstick."""
    slug = loaded.paper.slug
    pair = comparison.with_yardstick(loaded, papers)
    drawn = architecture.architectures(loaded.paper, loaded.claims)
    verdicts = judged[slug]
    page = paper_page.build(loaded.paper, loaded.claims, found, suite(), pixels.readers(suite()), drawn, verdicts)
    if pair:
        page = replace(page, beside=comparison.address([p.paper.slug for p in pair]))
    folder = reports / slug
    own = [r for r in found if r.identity.paper == slug or any(r.id in v.records for v in verdicts)]
    _write(folder / "verdicts.csv", verdicts_csv(verdicts))
    _write(folder / "records.json", records_json(own))
    _write_tables(folder, page.tables)
    written = _write(folder / "index.html", render("paper.html.j2", page=page, root="../"))
    return [written, *([_write_comparison(_compared(pair, found), reports)] if pair else [])]


def board(*results: Path) -> Leaderboard:
    """The leaderboard over all papers that load and the records of some folders."""
    papers, _ = catalog.load_all()
    return leaderboard.build(papers, store.load_folders(results), suite())


def write_leaderboard(results: Path, reports: Path) -> Path:
    """Write `reports/index.html` and its downloads."""
    return _write_board(catalog.load_all()[0], store.load_all(results), reports)


def _write_board(papers: Sequence[LoadedPaper], found: Records, reports: Path) -> Path:
    scored = {path.name for path in (reports / "scores").glob("*.html")}
    built = leaderboard.build(papers, found, suite(), scored)
    _write(reports / "leaderboard.csv", entries.as_csv(built.entries))
    _write(reports / "leaderboard.json", entries.as_json(built.entries))
    if built.runtimes:
        _write(reports / "latency.csv", entries.as_csv(built.runtimes.rows))
        _write(reports / "latency.json", entries.as_json(built.runtimes.rows))
    _write_tables(reports, built.tables)
    return _write(reports / "index.html", render("leaderboard.html.j2", board=built, root=""))


def refresh_readme(file: Path, *results: Path) -> None:
    """Make the table of verdicts in a README anew, between its markers."""
    _write(file, front_page.refreshed(file.read_text(encoding="utf-8"), board(*results)))


def write_ceilings(results: Path, reports: Path) -> Path | None:
    """Write the page of the codec ceilings; None where no current record speaks about them."""
    return _write_ceilings(store.load_all(results, [CEILINGS]), reports)


def _write_ceilings(found: Records, reports: Path) -> Path | None:
    own = Records(r for r in found if r.identity.paper == CEILINGS)
    page = ceilings_page.build(contenders(), data_protocols().values(), own)
    if page is None:
        return None
    folder = reports / CEILINGS
    _write(folder / "records.json", records_json(own))
    _write_tables(folder, page.tables)
    return _write(folder / "index.html", render("ceilings.html.j2", page=page, root="../"))


def _write_costs(papers: Sequence[LoadedPaper], found: Records, reports: Path) -> list[Path]:
    """The page of published costs, if there are any."""
    page = costs_page.build(papers, found)
    if page is None:
        return []
    _write_tables(reports / "costs", page.tables)
    return [_write(reports / "costs" / "index.html", render("costs.html.j2", page=page, root="../"))]


def _write_without_gpu(papers: Sequence[LoadedPaper], found: Records, reports: Path) -> list[Path]:
    """The page of FasterPose's latency, once it was measured."""
    page = without_gpu_page.build(papers, found)
    if page is None:
        return []
    folder = reports / "without-a-gpu"
    _write_tables(folder, page.tables)
    return [_write(folder / "index.html", render("without_gpu.html.j2", page=page, root="../"))]


def _write_footguns(reports: Path) -> Path:
    """What the codes on the pages stand for."""
    text = render("footguns.html.j2", sections=footguns_page.sections(), root="../")
    return _write(reports / "footguns" / "index.html", text)


def compare(slugs: Sequence[str], results: Path) -> Comparison:
    """Papers side by side, as values: for the terminal and for the page."""
    return _compared([catalog.load(s) for s in slugs], store.load_all(results))


def _compared(papers: Sequence[LoadedPaper], found: Records) -> Comparison:
    return comparison.build(papers, found, suite(), pixels.readers(suite()))


def write_comparison(slugs: Sequence[str], results: Path, reports: Path) -> Path:
    """Write the comparison of two papers or more."""
    return _write_comparison(compare(slugs, results), reports)


def _write_comparison(found: Comparison, reports: Path) -> Path:
    page = reports / comparison.address([p.paper.slug for p in found.papers])
    _write_tables(page.parent, found.tables)
    return _write(page, render("comparison.html.j2", comparison=found, root="../../"))


def write_score(page: ScorePage, reports: Path) -> Path:
    """Write the page of a submission: `scores/<name>--<protocol>.html`, its tables in a folder of the same name."""
    stem = f"{page.name}--{page.protocol}"
    _write_tables(reports / "scores" / stem, page.tables)
    return _write(reports / "scores" / f"{stem}.html", render("score.html.j2", page=page, root="../"))


# ---------------------------------------------------------------------------------------------------- rendering


def render(template: str, **values: Any) -> str:
    """A page from a template: autoescaped (R4), style and script inlined (R5)."""
    environment = Environment(
        loader=PackageLoader("hpe_bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(metric=metric, number=number, span=span)
    text = environment.get_template(template).render(static=_static, statuses=STATUSES, **values)
    return re.sub(r"[ \t]+\n", "\n", text)


def _static(name: str) -> Markup:
    """A style sheet or script of ours, as it stands."""
    return Markup((STATIC / name).read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------------------------------- downloads


def _write(path: Path, text: str) -> Path:
    write_atomically(path, text.encode())
    return path


def _write_tables(folder: Path, tables: Iterable[Table]) -> None:
    """The tables as CSV under `tables/`; those of an earlier build that the page no longer has are removed."""
    written = {_write(folder / "tables" / f"{t.id}.csv", t.csv()) for t in tables}
    for old in set((folder / "tables").glob("*.csv")) - written:
        old.unlink()


def verdicts_csv(verdicts: Iterable[Verdict]) -> str:
    """Verdicts at full precision, one a row."""
    buffer = io.StringIO()
    names = [f.name for f in fields(Verdict)]
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for v in verdicts:
        row = asdict(v)
        row["interval"] = "" if v.interval is None else f"{v.interval[0]!r} {v.interval[1]!r}"
        row["records"] = " ".join(v.records)
        row["recount"] = "" if v.recount is None else v.recount.reason
        writer.writerow(row)
    return buffer.getvalue()


def records_json(found: Iterable[RunRecord]) -> str:
    """Measurements and identity of the records behind a page; per-image tables stay in `results/`."""
    kept = {"id", "identity", "status", "reason", "provenance", "measurements", "predictions_sha256", "weights_sha256"}
    values = [r.model_dump(mode="json", include=kept) for r in found]
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"
