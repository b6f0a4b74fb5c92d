"""Pages in a real browser: Chromium driven by Playwright, with every complaint and every request of a page watched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome")
VARIABLE = "HPE_BENCH_CHROMIUM"
LOCAL = ("file:", "data:", "blob:", "about:")
DESK_PX, PHONE_PX = 1280, 390  # widths of the window
ROOT = Path(__file__).parents[1]
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"


def chromium() -> str | None:
    """The Chromium that the environment variable names, or the first one on PATH; None without any."""
    return os.environ.get(VARIABLE) or next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless Chromium. Raises ValueError that says what to install."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise ValueError(f"no Playwright ({error}): pip install 'hpe-bench[dev]'") from None
    executable = chromium()
    if executable is None:
        raise ValueError(f"no Chromium: install one ({' or '.join(NAMES)} on PATH), or name it in {VARIABLE}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Visits:
    """Opens pages and keeps what went wrong on any of them: script errors, console errors, requests that leave."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.problems: list[str] = []
        self.contexts: list[BrowserContext] = []

    def __call__(self, address: str, width_px: int = DESK_PX, **emulated: Any) -> Page:
        """The page in a window of its own; `emulated` as in Playwright's `new_context`, such as color_scheme."""
        context = self.browser.new_context(viewport={"width": width_px, "height": 900}, **emulated)
        context.set_default_timeout(20_000)
        context.set_offline(True)  # files are there all the same; asking Python for each takes as long as reading them
        context.on("request", self._watch)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(address)
        return page

    def _watch(self, request: Request) -> None:
        if not request.url.startswith(LOCAL):
            self.problems.append(f"a request leaves the page: {request.url}")

    def close(self) -> None:
        """Close the pages, of which none may have had a problem."""
        for context in self.contexts:
            context.close()
        assert self.problems == []


FILLED = """async () => {
  while (document.querySelector("[data-part]")) await fillAll(document.querySelectorAll("[data-part]"));
}"""


def fill(page: Page) -> None:
    """Bring everything that is folded onto the page, and leave it folded."""
    page.evaluate(FILLED)


def unfold(page: Page) -> None:
    """Fill and open everything that is folded and lay out what is out of sight, so that all of a page is looked at."""
    fill(page)
    page.evaluate("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
    page.add_style_tag(content=".group { content-visibility: visible !important; }")


# Kinds differ in where they are, tag, classes, attributes, colours, or in being blank: what is not like the rest stays.
# The first of its neighbours stays too: a table has rows, a list has items.
ONE_OF_EACH = """() => {
    const kinds = new Map(), numbers = new Map(), kept = new Set();
    document.body.querySelectorAll("*").forEach((e) => {
        const { color, backgroundColor, fill } = getComputedStyle(e);
        const named = Array.from(e.attributes, (a) => a.name + !a.value.trim()).filter((n) => !n.startsWith("data-"));
        const blank = !e.childElementCount && !e.textContent.trim();
        const own = [e.localName, e.getAttribute("class"), e.getAttribute("role"), ...named, blank];
        const kind = [kinds.get(e.parentElement), ...own, color, backgroundColor, fill].join();
        if (!numbers.has(kind)) numbers.set(kind, numbers.size);
        kinds.set(e, numbers.get(kind));
    });
    const mark = "svg :not(defs, defs *, symbol, symbol *)";
    const repeated = `:is(tbody, tr, li, figure, details, ${mark}):not(:first-of-type)`;
    document.querySelectorAll(repeated).forEach((e) => {
        if (!e.isConnected) return;
        const within = [e, ...e.querySelectorAll("*")];
        if (within.every((o) => kept.has(kinds.get(o)))) return e.remove();
        const own = within.filter((o) => o.closest(repeated) === e); // the others have their turn
        own.forEach((o) => kept.add(kinds.get(o)));
    });
}"""


def thin(page: Page) -> None:
    """Leave one of every kind of row, mark and fold: axe takes a minute over thousands, seconds over some."""
    page.evaluate(ONE_OF_EACH)


def violations(page: Page, **options: Any) -> list[str]:
    """What axe-core objects to, one line an element; all of its rules, best practices too, but for its own options."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    return page.evaluate(
        """async (options) => (await axe.run(document, options)).violations.flatMap(
            (rule) => rule.nodes.map((node) => `${rule.id}: ${rule.help}: ${node.html.slice(0, 160)}`))""",
        {"resultTypes": ["violations"], **options},
    )
