"""Folds that are filled when they are opened: what stays on a page, what goes beside it, and that nothing is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hpe_bench import catalog
from hpe_bench.ceilings.measure import CEILINGS
from hpe_bench.commands.new import SLUG
from hpe_bench.plan import MEAN_POSE
from hpe_bench.report import site
from hpe_bench.report.folds import LIGHT_BYTES, Part, parted
from hpe_bench.run.latency import OWN
from hpe_bench.run.submission import SUBMITTED
from tests.test_report import ALL

FILLING = "<p>" + "x" * LIGHT_BYTES + "</p>"


def fold(summary: str, body: str, is_open: bool = False, attributes: str = ' class="block"') -> str:
    return f"<details{attributes}{' open' if is_open else ''}><summary>{summary}</summary>{body}</details>"


def filled(text: str, parts: list[Part]) -> str:
    """The page as it was before it was parted."""
    for part in parts:
        place = re.compile(rf' data-part="{re.escape(part.file)}" data-ids="[^"]*" data-rows="\d+"')
        assert len(place.findall(text)) == 1
        text = place.sub("", text)
        body = str(part.body).replace(f'href="{part.page}#', 'href="#')
        text = text.replace(f'\n<p class="hint part"><a href="{part.file}">On a page of its own</a></p>\n', body)
    return text


def test_what_closed_folds_hold_goes_beside_the_page_and_the_rest_stays() -> None:
    rows = "".join(f'<tr id="record-{k:04x}"><td>{k}</td></tr>' for k in range(400))
    table = f'<table id="runs"><thead><tr><th>Record</th></tr></thead><tbody>{rows}</tbody></table>'
    text = (
        '<main><a href="#record-0003">three</a>'
        + fold("light", "<p>a word</p>")
        + fold("Every <b>record</b> &amp; more", table + '<a href="#top">up</a><a href="#runs">down</a>')
        + fold("open", "<p>seen</p>" + fold("within", FILLING) + fold("last", FILLING), is_open=True)
        + fold("outer", FILLING + fold("inner", FILLING) + fold("shown within", FILLING, is_open=True))
        + '</main><details class="x open"><summary>named so</summary>'
        + FILLING
        + "</details>"
    )
    page, parts = parted(text, "index.html")
    assert [p.file for p in parts] == ["index.part.runs.html", *(f"index.part.{k}.html" for k in (1, 2, 3, 4))]
    assert [p.title for p in parts] == ["Every record & more", "within", "last", "outer", "named so"]
    assert "<p>a word</p>" in page
    assert "<p>seen</p>" in page
    assert len(page) < 3000
    assert 'data-ids="runs record" data-rows="400"' in page
    assert '<a href="index.html#top">up</a><a href="#runs">down</a>' in parts[0].body
    assert filled(page, parts) == text


def test_a_page_over_its_budget_closes_its_open_folds_from_the_last_on() -> None:
    text = "".join(fold(name, FILLING + fold("within", FILLING), is_open=True) for name in "abc")
    page, parts = parted(text, "board.html", budget_bytes=LIGHT_BYTES * 2)
    assert [p.title for p in parts] == ["within", "b", "c"]
    assert page.count(" open") == 1
    assert len(page) < LIGHT_BYTES * 2
    untouched, _ = parted(text, "board.html", budget_bytes=LIGHT_BYTES * 4)
    assert untouched.count(" open") == 3


def test_parts_of_an_earlier_build_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"text": fold("one", f'<p id="x">{FILLING}</p><h3 id="one">1</h3>') + fold("two", FILLING)}

    def rendered(template: str, records: str = "", **values: Any) -> str:
        return shown["text"] if template == "page" else f"<h1>{values['part'].title}</h1>"

    monkeypatch.setattr(site, "render", rendered)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.2.html").write_text("another page")
    site._write_page(tmp_path / "a" / "index.html", "page", root="../")
    names = {p.name for p in (tmp_path / "a").iterdir()}
    assert names == {"index.html", "index.part.one.html", "index.part.1.html", "index.2.html"}
    assert {p.name for p in tmp_path.iterdir()} == {"a", "style.css", "table.js"}
    shown["text"] = fold("two", FILLING)
    site._write_page(tmp_path / "a" / "index.html", "page", root="../")
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"index.html", "index.part.1.html", "index.2.html"}


def test_records_are_written_one_by_one_as_one_list(tmp_path: Path) -> None:
    for found in ([], ALL[:1], ALL[:5]):
        site._write_records(tmp_path / "records.json", found)
        text = (tmp_path / "records.json").read_text()
        assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
        assert [r["id"] for r in json.loads(text)] == [r.id for r in found]


@pytest.mark.slow
def test_no_paper_can_take_a_name_that_the_suite_writes(built_site: Path, committed: Path) -> None:
    """Both ways: whatever lies at the top of `reports/` and `results/` is a paper, reserved, or no name for a paper."""
    slugs = {p.paper.slug for p in catalog.load_all()[0]}
    pages = {path.name for path in built_site.iterdir()} | {"scores"}  # which `site.write_score` writes
    results = {path.name for path in (committed / "results").iterdir()} | {CEILINGS, MEAN_POSE, OWN, SUBMITTED}
    taken = {name for name in (pages | results) - slugs if SLUG.fullmatch(name)}
    assert taken == catalog.RESERVED


def test_score_pages_lie_where_no_paper_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Scored:
        name, protocol, tables = "somebody", "coco", ()

    monkeypatch.setattr(site, "render", lambda *_, **__: "<p></p>")
    site.write_score(Scored(), tmp_path, "a,b\n")  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} <= catalog.RESERVED


def test_only_what_is_ours_is_read_as_markup() -> None:
    text = fold("&lt;details&gt;", "&lt;/details&gt;" + FILLING)
    page, (part,) = parted(text, "index.html")
    assert part.title == "<details>"
    assert filled(page, [part]) == text
