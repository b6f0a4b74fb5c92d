"""The pages of the committed records in a real browser: they work, stay by themselves, and can be read by everyone.

Every page is opened from its file. Beside what a test asks, each one fails on errors in the console and on requests
that leave the page.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpe_bench.records import frame
from hpe_bench.report import site
from hpe_bench.report.kit.tables import Cell, Column, Table
from hpe_bench.report.pages import advice, choice, entries, leaderboard, networks, score_page
from hpe_bench.report.pages.entries import Entry
from hpe_bench.report.pages.leaderboard import Group, Leaderboard
from hpe_bench.report.pages.score_page import Rival
from hpe_bench.run import submission
from tests import browser
from tests import test_networks as nets
from tests.browser import DESK_PX, PHONE_PX, Visits, fill, thin, unfold, violations
from tests.synthetic_latency import latency
from tests.synthetic_paper import POCKET
from tests.test_latency_board import ALL, LOADED
from tests.test_submissions import BAD, GOOD, TRUTH, file_of, record_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

PAGES = {
    "front": "index.html",
    "board": "board.html",
    "paper": "fasterpose/index.html",
    "comparison": "compare/simple_baseline-vs-fasterpose/index.html",
    "ceilings": "ceilings/index.html",
    "costs": "costs/index.html",
    "without-a-gpu": "without-a-gpu/index.html",
    "small-networks": "small-networks/index.html",
}
TEXTS_ONLY = {  # pages without tables that sort
    "docs": "docs/index.html",
    "docs-api": "docs/api.html",
    "docs-costs": "docs/costs.html",
}
every_page = pytest.mark.parametrize("name", PAGES.values(), ids=PAGES.keys())
page_or_text = pytest.mark.parametrize("name", (PAGES | TEXTS_ONLY).values(), ids=(PAGES | TEXTS_ONLY).keys())


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with ExitStack() as stack:
        try:
            running = stack.enter_context(browser.launched())
        except ValueError as error:
            pytest.skip(str(error))
        yield running


@pytest.fixture
def visits(chromium: Browser) -> Iterator[Visits]:
    """Opens pages; at the end nothing may have gone wrong on any of them."""
    watched = Visits(chromium)
    yield watched
    watched.close()


@pytest.fixture
def board(visits: Visits, built_site: Path) -> Page:
    """The board, freshly opened."""
    return visits((built_site / "board.html").as_uri())


@pytest.fixture(scope="module")
def filled(chromium: Browser, built_site: Path) -> Iterator[tuple[Page, Visits]]:
    """The board with all of its folds filled, once for all tests that do no more to it than filter: it takes long."""
    watched = Visits(chromium)
    page = watched((built_site / "board.html").as_uri())
    fill(page)
    yield page, watched
    watched.close()


@pytest.fixture
def whole(filled: tuple[Page, Visits]) -> Iterator[Page]:
    """The whole board as its bare address shows it. A test that sorts or unfolds opens its own."""
    page, watched = filled
    page.evaluate("document.activeElement.blur()")  # a word that was typed is done
    page.evaluate("history.pushState(null, '', location.pathname); dispatchEvent(new PopStateEvent('popstate'))")
    yield page
    assert watched.problems == []


def address(page: Page) -> str:
    """The fragment of a page's address."""
    return page.evaluate("location.hash")


# ---------------------------------------------------------------------------------------------------- the watch


def test_what_goes_wrong_on_a_page_is_seen(chromium: Browser, tmp_path: Path) -> None:
    watched = Visits(chromium)
    bad = tmp_path / "bad.html"
    bad.write_text('<img src="http://example.org/x.png"><script>console.error("said"); throw Error("thrown")</script>')
    watched(bad.as_uri()).context.close()
    assert {"said", "thrown"} < set(watched.problems)
    assert "a request leaves the page: http://example.org/x.png" in watched.problems


def test_what_cannot_be_read_is_seen(visits: Visits, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text('<body style="background: #fff"><p style="color: #ddd">pale</p><button></button>')
    found = {line.partition(":")[0] for line in violations(visits(bad.as_uri()))}
    assert {"color-contrast", "button-name", "html-has-lang"} <= found


# ---------------------------------------------------------------------------------------------------- sorting


def board_of(measured: tuple[Group, ...] = (), costs: Table | None = None) -> Leaderboard:
    """A leaderboard of nothing else."""
    return Leaderboard(
        papers=(),
        measured=measured,
        costs=costs,
        published=(),
        has_ceilings=False,
        latency_questions=(),
        has_robustness=False,
    )


def crafted(*columns: tuple[Column, list[Cell]]) -> str:
    """The leaderboard with one table, made of these columns."""
    rows = tuple(zip(*(cells for _, cells in columns), strict=True))
    table = Table("crafted", "Made to be hard to sort.", tuple(c for c, _ in columns), rows)
    return site.render("leaderboard.html.j2", board=board_of(costs=table), root="")


TEXTS = """(table, column) => Array.from(table.tBodies[0].rows, (row) =>
    (row.cells[column].querySelector(".cell")?.firstChild ?? row.cells[column]).textContent.trim())"""


def texts(table: Locator, column: int) -> list[str]:
    """What stands in a column, top to bottom, without second lines."""
    return table.evaluate(TEXTS, column)


def test_sorting_is_by_number_with_ties_in_place_and_empty_cells_last(visits: Visits, tmp_path: Path) -> None:
    numbers = [("9", 9.0), ("100", 100.0), ("–", None), ("10", 10.0), ("9", 9.0), ("1,000", 1000.0)]
    spans = ["[−1.0, 2.0]", "[+9.5, +9.9]", "", "[+10.1, +11]", "[−3.2, −2.0]", "[+0.5, +0.7]"]
    sizes = ["96×64", "256×192", "–", "128×96", "64×64", "1024×768"]
    page_text = crafted(
        (Column("Name"), [Cell(name) for name in "abcdef"]),
        (Column("Number", numeric=True), [Cell(text, sort=value) for text, value in numbers]),
        (Column("Interval"), [Cell(text) for text in spans]),
        (Column("Size"), [Cell(text) for text in sizes]),
    )
    (tmp_path / "index.html").write_text(page_text)
    page = visits((tmp_path / "index.html").as_uri())
    table = page.locator("#crafted")

    def orders(column: str) -> list[str]:
        button = table.get_by_role("button", name=column)
        found = []
        for _ in range(2):
            button.click()
            found.append("".join(texts(table, 0)))
        return found

    assert orders("Number") == ["fbdaec", "aedbfc"]  # descending first; a and e are a tie
    assert orders("Name") == ["abcdef", "fedcba"]
    assert orders("Interval") == ["eafbdc", "dbfaec"]
    assert orders("Size") == ["eadbfc", "fbdaec"]


CLICK_ALL = (
    """(table) => Array.from(table.tHead.rows[0].cells, (head, column) => [1, 2].map(() => {
    head.querySelector("button").click();
    const marked = Array.from(table.querySelectorAll("th[aria-sort]"));
    return [column, marked.length === 1 && marked[0] === head && head.getAttribute("aria-sort"), ("""
    + TEXTS
    + """)(table, column)];
})).flat()"""
)


@every_page
def test_every_sortable_column_sorts_both_ways(visits: Visits, built_site: Path, name: str) -> None:
    page = visits((built_site / name).as_uri())
    tables = page.locator("table.sortable:has(button.sort)").all()
    assert tables
    for table in tables:
        told = table.evaluate(CLICK_ALL)
        assert [way for _, way, _ in told[:2]] in (["ascending", "descending"], ["descending", "ascending"])
        for column, way, shown in told:
            assert in_order(page, shown, way), (table.get_attribute("id"), column, way)


def in_order(page: Page, shown: list[str], way: str) -> bool:
    """By the numbers shown where there are numbers, else as the browser collates words; empty cells last."""
    sign = {"ascending": 1, "descending": -1}[way]
    filled = [t for t in shown if t not in ("", "–")]
    numbers = [sign * v for t in filled if (v := as_number(t)) is not None]
    words = [t for t in filled if as_number(t) is None]
    descents = """([words, sign]) => words.slice(1).filter(
        (word, i) => sign * words[i].localeCompare(word, "en", { numeric: true }) > 0)"""
    collated = len(words) < 2 or page.evaluate(descents, [words, sign]) == []
    return shown[: len(filled)] == filled and numbers == sorted(numbers) and collated


def as_number(text: str) -> float | None:
    """The number that a cell begins with, if it begins with one: 1,234.5, +0.3, [−1.2, 3.4], 2e-06, 6.9G or 4–10."""
    found = re.match(r"\[?([+−-]?[\d,]*\d(?:\.\d+)?(?:e[+-]\d+)?)(?:G\b|(?![\w×]))", text)
    return float(found[1].replace("−", "-").replace(",", "")) if found else None


# ---------------------------------------------------------------------------------------------------- filters, links


ROWS = """() => Array.from(document.querySelectorAll(".group:not([hidden]) tbody > tr[data-paper]:not([hidden])"),
    (row) => row.id || row.cells[0].textContent)"""


def rows(page: Page) -> list[str]:
    """Ids of the rows that can be filtered and are shown."""
    return page.evaluate(ROWS)


# Of every value of a select: itself, the rows shown, how many have it, what the page says of them, and how many rows
# are hidden that are to stay: what a model must beat.
CHOOSE_ALL = (
    """(facet) => Array.from(document.querySelectorAll(`#filters [name=${facet}] > option + option`), (option) => {
    option.selected = true;
    option.parentElement.dispatchEvent(new Event("change", { bubbles: true }));
    const count = (what) => document.querySelectorAll(what).length;
    const said = document.querySelector("#filters .shown").textContent;
    const lost = count(".group:not([hidden]) tr[data-kept][hidden]");
    return [option.value, ("""
    + ROWS
    + """)(), count(`tr[data-${facet}="${option.value}"]`), said, lost];
})"""
)


@pytest.mark.parametrize("facet", ["data", "protocol", "scale", "by", "paper"])
def test_a_filter_shows_the_rows_it_names_and_no_others(whole: Page, facet: str) -> None:
    everything = rows(whole)
    parts = []
    for value, shown, expected, said, lost in whole.evaluate(CHOOSE_ALL, facet):
        assert len(shown) == expected > 0, value
        assert said == f"{len(shown)} of {len(everything)} rows"
        assert not lost, value
        parts += shown
    assert parts
    if facet in ("scale", "by", "paper"):  # cost rows have neither data set nor protocol
        assert sorted(parts) == sorted(everything)
    whole.get_by_role("button", name="Show all").click()
    assert rows(whole) == everything
    assert address(whole) == ""


def test_search_finds_rows_with_all_words_in_any_order(whole: Page) -> None:
    whole.locator("#filters [name=q]").fill("POCKET_MSE hrnet")
    found = whole.evaluate(
        """Array.from(document.querySelectorAll(".group:not([hidden]) tr[data-paper]:not([hidden])"),
            (row) => row.textContent)"""
    )
    assert found
    assert all("pocket_mse" in text and "hrnet" in text for text in found)
    whole.locator("#filters [name=q]").fill("no such model")
    assert rows(whole) == []
    assert whole.locator("#nothing").is_visible()
    assert not whole.locator("#measured").is_visible()


def test_a_link_opens_the_same_view_and_back_undoes_it(whole: Page, visits: Visits) -> None:
    filters = whole.locator("#filters")
    before = rows(whole)
    filters.locator("[name=paper]").select_option("hrnet")
    one = rows(whole)
    filters.locator("[name=q]").press_sequentially("pocket")
    two = rows(whole)
    filters.locator("[data-axis=latency]").click()
    assert len(before) > len(one) > len(two) > 0

    other = visits(whole.url)
    assert rows(other) == two
    assert other.locator("#filters [name=paper]").input_value() == "hrnet"
    assert other.locator("#filters [name=q]").input_value() == "pocket"
    assert other.locator("#filters [data-axis=latency]").get_attribute("aria-pressed") == "true"
    assert other.locator("#filters").is_visible()

    whole.go_back()
    assert whole.locator("#filters [data-axis=macs]").get_attribute("aria-pressed") == "true"
    assert rows(whole) == two
    whole.go_back()  # the whole word at once
    assert rows(whole) == one
    whole.go_back()
    assert rows(whole) == before
    whole.go_forward()
    assert rows(whole) == one


def test_an_address_of_nonsense_shows_everything(visits: Visits, board: Page) -> None:
    strange = visits(board.url + "#paper=nobody&axis=height&zz=1")
    assert rows(strange) == rows(board) != []
    count = strange.locator("#filters .shown").inner_text()  # also of the rows in folds, that are still to be filled
    assert count == board.locator("#filters .shown").inner_text()
    assert " of " not in count
    assert strange.locator("#filters [data-axis=macs]").get_attribute("aria-pressed") == "true"


TIMED = """(runtime) => {
    const kept = document.querySelectorAll(".group:not([hidden]) tbody > tr[data-paper]:not([hidden])");
    return Array.from(kept, (row) => row.dataset.runtime === runtime || row.querySelector(`[data-in="${runtime}"]`));
}"""


def test_the_filter_by_runtime_and_its_link(whole: Page, visits: Visits) -> None:
    whole.locator("#filters [name=runtime]").select_option("OpenVINO")
    whole.locator("#filters [name=threads]").select_option("1")
    shown = rows(whole)
    assert shown
    assert len(shown) == whole.locator("#latency tr[data-runtime=OpenVINO][data-threads='1']").count()
    assert not whole.locator("#measured").is_visible()  # its rows have no number of threads
    other = visits(whole.url)
    assert rows(other) == shown
    assert other.locator("#filters [name=runtime]").input_value() == "OpenVINO"
    other.locator("#filters [name=threads]").select_option("")
    assert all(other.evaluate(TIMED, "OpenVINO"))
    other.locator("#filters [name=runtime]").select_option("PyTorch, eager")
    assert other.locator("#measured tr[data-paper]:visible").count() > 0  # its latencies are eager PyTorch's


def test_ranked_rows_show_the_latency_of_the_runtime_that_is_asked_for(visits: Visits, tmp_path: Path) -> None:
    records = [*ALL, latency("tiny", POCKET, 4.0, 0.03, 0.03)]
    board = leaderboard.build([LOADED], records, site.suite())
    (tmp_path / "index.html").write_text(site.render("leaderboard.html.j2", board=board, root=""))
    page = visits((tmp_path / "index.html").as_uri())
    table = page.locator("#measured table").first
    cell = table.locator("tr[data-paper=tiny] td").last
    own, sorted_by = cell.inner_text(), cell.get_attribute("data-sort")
    assert own.startswith("4.0")  # of the timing run, beside which the older time of 2.1 ms in process does not stand
    assert float(sorted_by or "") == pytest.approx(4, rel=0.05)
    page.locator("#filters [name=runtime]").select_option("OpenVINO")
    assert cell.inner_text().startswith("2.0")
    assert "OpenVINO" in cell.inner_text()
    assert table.locator("tr[data-paper=base]").is_hidden()  # not timed in it
    assert float(cell.get_attribute("data-sort") or "") == pytest.approx(2, rel=0.05)
    page.go_back()
    assert cell.inner_text() == own
    assert cell.get_attribute("data-sort") == sorted_by


def test_a_long_table_is_folded_until_its_rows_are_asked_for(board: Page, visits: Visits) -> None:
    board.locator("#runtimes summary").click()
    shown = board.locator("#latency tbody tr:visible")
    shown.first.wait_for()
    total = board.locator("#latency tbody tr").count()
    assert total > 30
    assert shown.count() == 20
    board.get_by_role("button", name=f"Show all {total} rows").click()
    assert shown.count() == total
    linked = visits(board.url + f"#latency-{total - 1}")
    linked.locator(f"#latency-{total - 1}").wait_for(state="visible")


def test_a_filter_unfolds_long_tables(whole: Page) -> None:
    whole.locator("#filters [name=runtime]").select_option("PyTorch, eager")
    timed = whole.locator("#costs tr[data-runtime]")
    assert timed.count() > 30
    assert whole.locator("#costs tr[data-runtime]:visible").count() == timed.count()


def test_claims_of_a_paper_are_filtered_by_verdict_and_by_word(visits: Visits, built_site: Path) -> None:
    page = visits((built_site / PAGES["paper"]).as_uri())
    claims = page.locator("#claims-table > tbody:not([hidden])")
    total = claims.count()
    page.locator("[data-status=confirmed]").click()
    confirmed = claims.count()
    assert 0 < confirmed < total
    assert all("confirmed" in (c.get_attribute("data-statuses") or "") for c in claims.all())
    page.locator("[data-search]").fill("no such claim")
    assert claims.count() == 0
    page.locator("[data-search]").fill("")
    page.locator("[data-status=confirmed]").click()
    assert claims.count() == total


# ---------------------------------------------------------------------------------------------------- plots


def test_buttons_choose_the_cost_that_plots_show(whole: Page) -> None:
    for key in ("latency", "params", "macs"):
        whole.locator(f"[data-axis={key}]").first.click()
        seen = whole.evaluate("Array.from(document.querySelectorAll('figure:not([hidden])'), (f) => f.dataset.axis)")
        assert seen
        assert set(seen) == {key}
        assert whole.locator("#filters [aria-pressed=true]").get_attribute("data-axis") == key


def test_a_mark_tells_its_model_to_pointer_and_keyboard(board: Page) -> None:
    figure = board.locator("#measured figure:visible").first
    marks = figure.locator("a[data-row]")
    marks.first.scroll_into_view_if_needed()
    marks.last.locator("circle").hover()
    assert figure.locator(".told").inner_text() == f"{marks.last.get_attribute('aria-label')}."
    board.mouse.move(0, 0)  # so that no mark slides under the pointer when the page scrolls to the one in focus
    marks.first.focus()
    assert figure.locator(".told").inner_text() == f"{marks.first.get_attribute('aria-label')}."
    row = board.locator(f"[id='{marks.first.get_attribute('data-row')}']")
    value = row.locator("td.num .cell").first.inner_text()
    assert f": {value} % " in (marks.first.get_attribute("aria-label") or "")


def test_marks_of_hidden_rows_are_dimmed(whole: Page) -> None:
    whole.locator("#filters [name=paper]").select_option("hrnet")
    hidden = whole.evaluate("new Set(Array.from(document.querySelectorAll('tr[hidden]'), (row) => row.id)).size")
    assert hidden > 0
    wrong = """Array.from(document.querySelectorAll("a[data-row]")).filter((mark) =>
        mark.classList.contains("dim") !== document.getElementById(mark.dataset.row).hidden).length"""
    assert whole.evaluate(wrong) == 0


# ---------------------------------------------------------------------------------------------------- links


def file_of_link(page: Page, href: str) -> Path:
    """The file that a link of a page names."""
    return Path(page.evaluate("(href) => decodeURI(new URL(href, location).pathname)", href))


def test_a_measured_number_leads_to_its_record(board: Page) -> None:
    link = board.locator("#measured td.num a").first
    record = (link.get_attribute("href") or "").partition("#")[2]
    link.click()
    row = board.locator(f"[id='{record}']")
    row.wait_for(state="visible")  # its details were unfolded
    assert row.evaluate("(row) => row.matches(':target')")
    seen = """(id) => {
        const y = document.getElementById(id).getBoundingClientRect().top;
        return 0 <= y && y < innerHeight;
    }"""
    board.wait_for_function(seen, arg=record)  # it scrolls there
    assert record.removeprefix("record-").startswith(row.locator("th .cell").inner_text())


@every_page
def test_tables_download_with_as_many_rows_as_they_show(visits: Visits, built_site: Path, name: str) -> None:
    page = visits((built_site / name).as_uri())
    fill(page)
    tables = page.locator("table:has(caption a.download[href^='tables/'])").evaluate_all(
        """tables => tables.map((table) => [table.querySelector("caption a.download").getAttribute("href"),
            table.querySelectorAll("tbody > tr").length])"""
    )
    assert tables
    for href, shown in tables:
        with file_of_link(page, href).open(encoding="utf-8", newline="") as file:
            header, *downloaded = csv.reader(file)
        assert all(len(row) == len(header) for row in downloaded), href
        assert len(downloaded) == shown, href


def test_the_whole_board_downloads_as_csv_and_json(whole: Page) -> None:
    shown = whole.locator(":is(#measured, #submitted, #published) tr[data-paper]").count()
    found = {}
    for kind in ("csv", "json"):
        href = whole.locator("#filters ~ .note a[download]", has_text=kind.upper()).get_attribute("href")
        found[kind] = file_of_link(whole, href or "").read_text(encoding="utf-8")
    listed, objects = list(csv.DictReader(found["csv"].splitlines())), json.loads(found["json"])
    assert len(listed) == len(objects) == shown
    assert [float(row["value_percent"]) for row in listed] == [o["value_percent"] for o in objects]


# ---------------------------------------------------------------------------------------------------- documentation


def test_the_documentation_is_searched_and_its_links_followed_from_disk(visits: Visits, tmp_path: Path) -> None:
    page = visits(site.write_docs(tmp_path).as_uri())
    assert page.locator(".docs-nav a[aria-current=page]").inner_text() == "Overview"
    field = page.locator("#find")
    field.fill("transposed stride counter")
    first = page.locator("#found a").first
    first.wait_for()
    assert "costs.html#" in (first.get_attribute("href") or "")
    field.fill("no such words anywhere zzz")
    assert page.locator("#found").inner_text() == "Nothing has all of these words."
    field.press("Escape")
    assert page.locator("#contents").is_visible()
    field.fill("claims.csv columns")
    field.press("Enter")
    page.wait_for_url("**/claims.html#**")
    page.locator(".turn a[rel=next]").click()
    page.wait_for_url("**/contributing.html")


def test_on_a_phone_a_document_begins_with_its_text(visits: Visits, tmp_path: Path) -> None:
    page = visits((site.write_docs(tmp_path).parent / "metrics.html").as_uri(), width_px=PHONE_PX)
    assert page.locator("#contents").get_attribute("open") is None
    assert page.locator("h1").bounding_box()["y"] < 400  # type: ignore[index]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_PX


# ---------------------------------------------------------------------------------------------------- for everyone


@page_or_text
def test_axe_finds_nothing_in_light_and_in_dark(visits: Visits, built_site: Path, name: str) -> None:
    page = visits((built_site / name).as_uri())
    unfold(page)
    thin(page)
    can_be_read_by_everyone(page)


def can_be_read_by_everyone(page: Page) -> None:
    """Dark colours change what the rules of colour see alone."""
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, runOnly=["color-contrast", "link-in-text-block"]) == [], "in dark colours"


SCREEN_PX, SCREENS = 844, 15  # of a phone


@page_or_text
def test_a_phone_scrolls_down_only_not_for_long_and_axe_finds_nothing(
    visits: Visits, built_site: Path, name: str
) -> None:
    page = visits((built_site / name).as_uri(), PHONE_PX)
    if name in PAGES.values():
        assert page.evaluate("document.documentElement.scrollHeight") < SCREENS * SCREEN_PX
    unfold(page)
    scrolls_down_only(page)
    thin(page)
    assert violations(page) == []  # a phone has another layout and colours of its own


@pytest.fixture(scope="module")
def score(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a submission held against another one."""
    found = submission.differences(TRUTH, file_of(GOOD), file_of(BAD), ("a", "b"))
    page = score_page.build(record_of("somebody", GOOD), TRUTH, GOOD, Rival("other", BAD, found), None)
    return site.write_score(page, tmp_path_factory.mktemp("score"))


@pytest.mark.parametrize("width_px", [DESK_PX, PHONE_PX], ids=["desk", "phone"])
def test_a_score_page_works_and_can_be_read_by_everyone(visits: Visits, score: Path, width_px: int) -> None:
    page = visits(score.as_uri(), width_px)
    unfold(page)
    button = page.locator("table.sortable .sort").first
    button.click()
    assert button.locator("xpath=..").get_attribute("aria-sort") in ("ascending", "descending")
    scrolls_down_only(page)
    thin(page)
    can_be_read_by_everyone(page)


def scrolls_down_only(page: Page) -> None:
    """Whatever is wider than the window scrolls inside its own box."""
    assert page.evaluate("document.documentElement.scrollWidth === innerWidth")
    cut = """Array.from(document.querySelectorAll("main *")).filter((e) => {
        const box = e.getBoundingClientRect();
        return box.width > 1 && box.right > innerWidth + 1 && !e.closest(".table-box, .figure-box, pre, .sr");
    }).map((e) => e.outerHTML.slice(0, 120))"""
    assert page.evaluate(cut) == []


def test_columns_can_be_sorted_on_a_phone(visits: Visits, built_site: Path) -> None:
    page = visits((built_site / "board.html").as_uri(), PHONE_PX)
    page.locator("#measured summary h2").click()
    table = page.locator("#measured table").first
    button = table.get_by_role("button", name="Latency")
    assert button.is_visible()
    button.click()
    assert in_order(page, texts(table, 9), "descending")


A4_PX = 718  # the width of A4 between margins of 10 mm, 96 px to the inch
CUT_OFF = """Array.from(document.querySelectorAll(".table-box, .figure-box, pre"))
    .filter((box) => box.scrollWidth > box.clientWidth + 1)
    .map((box) => `${box.scrollWidth} of ${box.clientWidth} px: ${box.textContent.trim().slice(0, 80)}`)"""


@page_or_text
def test_print_is_dark_on_white_and_without_controls(visits: Visits, built_site: Path, name: str) -> None:
    page = visits((built_site / name).as_uri(), color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator(".filters:visible, .toc:visible, .download:visible, .skip:visible").count()
    style = (
        "(e) => { const s = getComputedStyle(e); return [s.color, s.backgroundColor].map((c) => c.match(/\\d+/g)[0]); }"
    )
    ink, paper = map(int, page.locator("body").evaluate(style))
    assert ink < 64
    assert paper == 255
    assert page.pdf(format="A4").startswith(b"%PDF")
    unfold(page)
    page.set_viewport_size({"width": A4_PX, "height": 1000})
    assert page.evaluate(CUT_OFF) == []


def test_the_keyboard_reaches_every_control_and_focus_is_seen(visits: Visits, built_site: Path) -> None:
    whole = visits((built_site / "board.html").as_uri())
    reached = []
    for _ in range(90):
        whole.keyboard.press("Tab")
        reached.append(whole.evaluate(FOCUSED))
        if reached[-1]["name"] == "reset":
            break
    names = [r["name"] for r in reached]
    assert names[0] == "skip"
    wanted = [
        "data",
        "protocol",
        "scale",
        "by",
        "paper",
        "runtime",
        "threads",
        "batch",
        "q",
        "macs",
        "latency",
        "params",
        "reset",
    ]
    assert [n for n in dict.fromkeys(names) if n in wanted] == wanted, "in the order of the page"
    assert [r for r in reached if not r["outlined"]] == [], "focus is seen"
    assert [r for r in reached if not r["inside"]] == [], "focus is never out of sight"


FOCUSED = """(() => {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  return {
    name: e.name || e.dataset.axis || e.type === "reset" && "reset" || e.className || e.textContent.trim(),
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    inside: box.width > 1 && box.bottom > 0 && box.top < innerHeight && box.left >= 0 && box.right <= innerWidth,
  };
})()"""


def test_enter_and_space_sort(board: Page) -> None:
    table = board.locator("#measured table").first
    button = table.get_by_role("button", name="Latency")
    head = button.locator("xpath=..")
    button.focus()
    board.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    board.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "ascending"
    assert board.evaluate("document.activeElement.textContent") == button.inner_text()


@pytest.mark.parametrize("width_px", [1280, PHONE_PX])
def test_an_address_or_the_contents_lead_to_a_section(visits: Visits, built_site: Path, width_px: int) -> None:
    """Also past tables that have not been laid out yet; near its end a page has no more to scroll."""
    led = """name => {
        const top = document.getElementById(name).getBoundingClientRect().top;
        const left = document.documentElement.scrollHeight - innerHeight - scrollY;
        return top >= 0 && (top < 40 || (left < 1 && top < innerHeight));
    }"""
    page = visits((built_site / "board.html").as_uri() + "#runtimes", width_px)
    assert page.evaluate(led, "runtimes")
    links = page.locator(".toc a")
    for k in range(links.count() if links.first.is_visible() else 0):
        links.nth(k).click()
        page.wait_for_timeout(100)
        assert page.evaluate(led, (links.nth(k).get_attribute("href") or "")[1:])


def test_nothing_moves(visits: Visits, built_site: Path) -> None:
    page = visits((built_site / "board.html").as_uri())
    moving = """Array.from(document.querySelectorAll("*")).filter((e) => {
        const s = getComputedStyle(e);
        return s.scrollBehavior === "smooth" || s.animationName !== "none" || parseFloat(s.transitionDuration) > 0;
    }).length"""
    assert page.evaluate(moving) == 0


def test_everything_is_shown_without_scripts(visits: Visits, built_site: Path) -> None:
    page = visits((built_site / "board.html").as_uri(), java_script_enabled=False)
    assert not page.locator("#filters").is_visible()
    for fold in page.locator("#measured details").all():
        fold.evaluate("(box) => { box.open = true; }")
    assert page.locator("#measured :is(tbody tr, .part a)").first.is_visible()
    page.locator(".part a").last.evaluate("(a) => a.click()")
    page.wait_for_url(re.compile(r"\.part\."))
    assert page.locator("tbody tr").first.is_visible()


@page_or_text
def test_pages_keep_their_weight(built_site: Path, name: str) -> None:
    limit = site.PAGE_BYTES if "/" in name else site.BOARD_BYTES
    assert (built_site / name).stat().st_size < limit + 10_000
    assert max(p.stat().st_size for p in (built_site / name).parent.glob("*.html")) < 3_000_000


def test_a_fold_is_filled_when_it_is_opened(visits: Visits, built_site: Path) -> None:
    """From its file, without a server; its tables sort, and its links lead where they led on the page."""
    page = visits((built_site / PAGES["paper"]).as_uri())
    fold = page.locator("#gallery details[data-part]").first
    assert not page.locator("#gallery svg.person").count()
    fold.locator("summary").click()
    page.locator("#gallery svg.person").first.wait_for(state="visible")
    assert not page.locator("iframe").count()
    record = page.locator("details[data-ids~=record]").get_attribute("data-part") or ""
    wanted = re.findall(r'id="(record-[0-9a-f]+)"', (built_site / PAGES["paper"]).with_name(record).read_text())[-1]
    there = visits(page.url + f"#{wanted}")
    there.locator(f"#{wanted}").wait_for(state="visible")
    assert there.locator("#runs th button.sort").count(), "its tables sort"
    alone = visits((built_site / PAGES["paper"]).with_name(record).as_uri() + f"#{wanted}")
    assert alone.locator(f"#{wanted}").is_visible()
    assert alone.locator("#runs th button.sort").count()


# ---------------------------------------------------------------------------------------------------- the front page

INDEX_BYTES = 400_000
SAID = "Array.from(document.querySelectorAll('#answer li'), (li) => li.textContent)"
NAMED = "Array.from(document.querySelectorAll('#networks tbody tr'), (row) => row.id)"
CHOOSE_VIEWS = f"""(views) => views.map((view) => {{
    const fields = Object.keys(view).map((name) => document.querySelector(`#choice [name=${{name}}]`));
    fields.forEach((field) => {{
        field.value = view[field.name];
        field.dispatchEvent(new Event(field.localName === "select" ? "change" : "input", {{ bubbles: true }}));
    }});
    return [Object.fromEntries(fields.map((field) => [field.name, field.value])), {SAID}, {NAMED}];
}})"""
COVERED = """() => {
    const box = (e, by) => {
        const b = e.getBoundingClientRect();
        return [b.left + by, b.top + by, b.right - by, b.bottom - by];
    };
    const all = (what) => Array.from(document.querySelectorAll(`#choice-plot ${what}`));
    const texts = all("text.name").map((e) => [e.textContent, box(e, 1.5)]);
    const dots = all("circle").map((e) => ["a mark", box(e, 1)]);
    const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
    const met = (a, others) => others.filter((b) => meet(a[1], b[1])).map((b) => [a[0], b[0]]);
    return texts.flatMap((a, i) => met(a, texts.slice(0, i).concat(dots)));
}"""


@pytest.fixture
def front(visits: Visits, built_site: Path) -> Page:
    """The front page, freshly opened."""
    return visits((built_site / "index.html").as_uri())


def test_the_script_says_what_the_page_was_written_with(visits: Visits, tmp_path: Path) -> None:
    """Every view: the same sentences, the same rows in the same order, as Python computes them."""
    claims = (*nets.CLAIMS, nets.score(nets.MPII, 88.25, protocol="mpii-val", metric="pckh@0.5"))
    claims += (nets.score(nets.WIDE, 70.8),)
    records = [nets.timed(v, ms) for v, ms in ((nets.SMALL, 10), (nets.LARGE, 41), (nets.MIDDLE, 22), (nets.MPII, 7))]
    records += [nets.timed(nets.UNPRINTED, 5), nets.in_eager(nets.timed(nets.WIDE, 30))]
    found = nets.found(*records, loaded=nets.replace_claims(claims))
    built = choice.build(found, {})
    assert built is not None
    (tmp_path / "index.html").write_text(site.render("index.html.j2", board=nets.board_of(built), root=""))
    page = visits((tmp_path / "index.html").as_uri())
    assert page.evaluate(SAID) == built.advice.text
    asked = [
        (field, runtime, host, within, size)
        for field, _ in built.fields
        for runtime, _ in built.runtimes
        for host in networks.hosts(found)
        for within, size in ((30, ""), (3, ""), (1000, "256×192"))
    ]
    names = ("figure", "in", "threads", "size", "within")
    views = [dict(zip(names, (f.key, r, str(h.threads), size, str(ms)), strict=True)) for f, r, h, ms, size in asked]
    seen = set()
    shown = page.evaluate(CHOOSE_VIEWS, views)
    for (field, runtime, host, within, size), wanted, (chosen_view, said, named) in zip(
        asked, views, shown, strict=True
    ):
        assert chosen_view == wanted
        view = networks.view_of(found, field, host, runtime, within, size)
        chosen = advice.candidates(found, view, {})
        expected = advice.advise(chosen, view).text
        assert said == expected
        assert named == [c.network.id for c in chosen]
        seen.add(expected[0].partition(":")[0].partition(";")[0])
    assert len(seen) > 3, "views of several kinds"


def test_the_first_screen_answers(front: Page) -> None:
    """A network for 30 ms on two cores, what it costs, on what evidence, how to repeat it: before any scrolling."""
    front.set_viewport_size({"width": 1400, "height": 900})
    for part in ("#answer li", "#choice-plot svg", ".evidence", "#repeat"):
        box = front.locator(part).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 900, part
    assert front.locator("#choice [name=threads]").input_value() == "2"
    assert "30 ms" in front.locator("#answer li").first.inner_text()
    assert front.locator("#repeat").inner_text().startswith("hpe-bench profile ")
    assert front.locator("#answer a[href*='#record-']").count() > 0
    assert front.locator("h1").count() == 1
    assert front.evaluate(
        "document.querySelector('#studies h3').compareDocumentPosition("
        "document.querySelector('#studies table')) & Node.DOCUMENT_POSITION_FOLLOWING"
    )


@pytest.mark.parametrize("width_px", [1400, PHONE_PX])
def test_names_of_marks_cover_nothing_in_any_view(visits: Visits, built_site: Path, width_px: int) -> None:
    page = visits((built_site / "index.html").as_uri(), width_px)
    options = "(name) => Array.from(document.querySelector(`#choice [name=${name}]`).options, (o) => o.value)"
    for runtime in page.evaluate(options, "in"):
        page.locator("#choice [name=in]").select_option(runtime)
        for figure in page.evaluate(options, "figure")[:3]:
            page.locator("#choice [name=figure]").select_option(figure)
            assert page.evaluate(COVERED) == [], (runtime, figure)


def test_a_view_is_kept_in_the_address(front: Page, visits: Visits) -> None:
    before = front.evaluate(SAID)
    front.locator("#choice [name=in]").select_option("openvino")
    front.locator("#choice [name=within]").fill("120")
    said, shown = front.evaluate(SAID), front.evaluate(NAMED)
    assert said != before
    other = visits(front.url)
    assert (other.evaluate(SAID), other.evaluate(NAMED)) == (said, shown)
    front.get_by_role("button", name="Start again").click()
    assert front.evaluate(SAID) == before
    front.go_back()
    assert front.evaluate(SAID) == said
    strange = visits(front.url.partition("#")[0] + "#in=nothing&threads=99&within=many")
    assert strange.locator("#choice [name=in]").input_value() == "fastest"


def test_marks_and_times_lead_to_records(front: Page) -> None:
    hrefs = front.evaluate(
        "Array.from(document.querySelectorAll('#choice-plot a, .multiple a'), (a) => a.getAttribute('href'))"
    )
    assert len(hrefs) > 20
    assert all("/index.html#record-" in href for href in hrefs)


def test_the_front_page_is_light(built_site: Path) -> None:
    assert (built_site / "index.html").stat().st_size < INDEX_BYTES


def test_a_folded_section_opens_by_its_heading_and_by_a_link(visits: Visits, built_site: Path) -> None:
    page = visits((built_site / "fasterpose" / "index.html").as_uri(), PHONE_PX)
    claims = page.locator("#claims table").first
    assert claims.is_hidden()
    page.locator("#claims summary h2").click()
    assert claims.is_visible()
    page.locator(".toc a[href='#headline']").click()
    page.wait_for_function("document.querySelector('#headline > details').open")
    assert page.locator("#headline h2").evaluate("(h) => Math.abs(h.getBoundingClientRect().top) < 80")
    wide = visits((built_site / "fasterpose" / "index.html").as_uri())
    assert wide.locator("#claims table").first.is_visible()
    assert wide.locator("details.section").count() == 0


def test_the_front_page_without_scripts_shows_its_first_view(visits: Visits, built_site: Path) -> None:
    page = visits((built_site / "index.html").as_uri(), java_script_enabled=False)
    assert not page.locator("#choice").is_visible()
    assert page.locator("#answer li").first.is_visible()
    assert page.locator("#networks tbody tr").first.is_visible()
    assert page.locator("#choice-plot svg").is_visible()


def test_the_keyboard_reaches_the_choice(front: Page) -> None:
    names = []
    for _ in range(30):
        front.keyboard.press("Tab")
        names.append(front.evaluate("document.activeElement.name || ''"))
    wanted = ["figure", "in", "threads", "machine", "size", "within"]
    assert [n for n in dict.fromkeys(names) if n in wanted] == wanted


# ---------------------------------------------------------------------------------------------------- ten thousand rows

MANY = 10_000


def many_rows() -> Leaderboard:
    """A board of five protocols with 2,000 models each, their order shuffled by a full cycle of steps."""
    groups = []
    for p in range(5):
        size = MANY // 5
        made = [
            Entry("us", "pocket", f"data{p}-v1", "pck@0.2", f"paper{i % 7}", f"v{i}", (i * 977 % size) / 20)
            for i in range(size)
        ]
        cells = tuple((Cell(e.variant, note=e.paper), Cell(f"{e.value:.1f}", sort=e.value)) for e in made)
        attributes = tuple({"id": f"row-{p}-{i}", **e.facets} for i, e in enumerate(made))
        columns = (Column("Model"), Column("PCK, %", numeric=True))
        table = Table(f"many-{p}", f"Protocol {p}.", columns, cells, attributes=attributes)
        groups.append(Group(table, tuple(made), ()))
    return board_of(measured=tuple(groups))


def test_ten_thousand_rows_sort_and_filter(visits: Visits, tmp_path: Path) -> None:
    board = many_rows()
    (tmp_path / "index.html").write_text(site.render("leaderboard.html.j2", board=board, root=""))
    page = visits((tmp_path / "index.html").as_uri())
    assert page.locator("#filters .shown").inner_text() == f"{MANY} rows"
    table = page.locator("#many-3")
    table.get_by_role("button", name="PCK").click()
    assert texts(table, 1) == [f"{i / 20:.1f}" for i in reversed(range(MANY // 5))]
    page.locator("#filters [name=paper]").select_option("paper3")
    expected = sum(e.paper == "paper3" for e in board.entries)
    assert len(rows(page)) == expected
    page.locator("#filters [name=q]").fill("v1990")
    assert len(rows(page)) == sum(e.paper == "paper3" and "v1990" in e.variant for e in board.entries)
    assert len(frame.as_csv(entries.frame_of(board.entries)).splitlines()) == MANY + 1
