"""The leaderboard of 10,000 records: reading them, building its rows and plots, rendering its page.

    pytest -o addopts= benchmarks/bench_site.py

The records are synthetic: 1,100 models of three seeds under three protocols on 150 images, and 100 costs. Beside the
rows' intervals, which resample the images once for all, stands a loop that resamples them for each row. In the browser,
a page of 10,000 rows is sorted and filtered, layout included, beside a reload of the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpe_bench.catalog import LoadedPaper
from hpe_bench.declare import Ablation, Arm, fingerprint, replace
from hpe_bench.metrics import bootstrap
from hpe_bench.records import store
from hpe_bench.records.schema import RunRecord
from hpe_bench.report import site
from hpe_bench.report.pages import leaderboard
from tests import browser
from tests import synthetic_records as make
from tests.synthetic_paper import PAPER, POCKET, RCE, claim
from tests.synthetic_records import Level
from tests.test_browser import many_rows

PROTOCOLS, VARIANTS, RECIPES, SEEDS = 3, 100, 11, 3

Made = tuple[LoadedPaper, list[RunRecord]]


@pytest.fixture(scope="module")
def made() -> Made:
    """A paper of eleven studies; the records of one arm are turned into those of all others."""
    variants = tuple(replace(POCKET, name=f"v{i}", input_hw=(128 + 4 * i, 96)) for i in range(VARIANTS))
    recipes = tuple(replace(RCE, name=f"r{i}", batch=16 + i) for i in range(RECIPES))
    studies = [
        Ablation(r.name, "?", tuple(Arm(f"{v.name}_{r.name}", "tiny", v, r) for v in variants), f"v0_{r.name}")
        for r in recipes
    ]
    paper = replace(PAPER, variants=variants, recipes=recipes, headline=studies[0], ablations=tuple(studies[1:]))
    first = [
        make.accuracy(studies[0].arms[0], seed, Level(60 + seed), f"p{p}", f"p{p}")
        for p in range(PROTOCOLS)
        for seed in range(SEEDS)
    ]
    found = [under(r, arm, i) for i, arm in enumerate(a for s in studies for a in s.arms) for r in first]
    found += [make.cost("tiny", v, 10**6 + i, 10**8 + i, 10**8, 1 + i / 10) for i, v in enumerate(variants)]
    assert len(found) == 10_000
    return LoadedPaper(paper, (claim(id="params", variant="v0"),), Path("tiny")), found


def under(record: RunRecord, arm: Arm, shift: int) -> RunRecord:
    """The record as another arm's, its hits and counts shifted along the images."""
    at = shift % make.IMAGES

    def turned(values: tuple[int, ...]) -> tuple[int, ...]:
        return values[at:] + values[:at]

    tallies = tuple(t.model_copy(update={"hits": turned(t.hits), "counts": turned(t.counts)}) for t in record.tallies)
    variant, recipe = arm.variant, arm.recipe
    names = {"variant": variant.name, "recipe": recipe.name}
    hashes = {"variant_hash": fingerprint(variant), "recipe_hash": fingerprint(recipe)}
    digest = make.digest(arm.name, record.id)
    changed = {"id": digest[:16], "tallies": tallies, "predictions_sha256": digest}
    return record.model_copy(update={**changed, "identity": record.identity.model_copy(update=names | hashes)})


@pytest.mark.benchmark(group="whole")
def test_read(benchmark: Any, made: Made, tmp_path: Path) -> None:
    for r in made[1]:
        (tmp_path / "tiny").mkdir(exist_ok=True)
        (tmp_path / "tiny" / r.filename).write_text(r.model_dump_json())
    assert len(benchmark.pedantic(store.load_all, (tmp_path,), rounds=1)) == 10_000


@pytest.mark.benchmark(group="whole")
def test_build(benchmark: Any, made: Made) -> None:
    board = benchmark.pedantic(leaderboard.build, ([made[0]], made[1], site.suite()), rounds=1)
    assert len(board.entries) == PROTOCOLS * VARIANTS * RECIPES


@pytest.mark.benchmark(group="whole")
def test_render(benchmark: Any, made: Made) -> None:
    board = leaderboard.build([made[0]], made[1], site.suite())
    benchmark.pedantic(site.render, ("leaderboard.html.j2",), {"board": board, "root": ""}, rounds=1)


def models(made: Made) -> list[list[bootstrap.HitsAndCounts]]:
    """The headline tallies of 300 models."""
    tallies = [(r.tallies[0].hits, r.tallies[0].counts) for r in made[1][: 300 * SEEDS]]
    return [list(tallies[i : i + SEEDS]) for i in range(0, len(tallies), SEEDS)]


@pytest.mark.benchmark(group="300 intervals")
def test_intervals_at_once(benchmark: Any, made: Made) -> None:
    benchmark(bootstrap.pooled_intervals, models(made))


@pytest.mark.benchmark(group="300 intervals")
def test_intervals_one_by_one(benchmark: Any, made: Made) -> None:
    benchmark(lambda: [bootstrap.pooled_interval(m) for m in models(made)])


# ---------------------------------------------------------------------------------------------------- in the browser

SETTLED = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
STEPS = {
    "sort": "document.querySelector('#many-3 th.num .sort').click()",
    "search": "const q = document.querySelector('[name=q]'); q.value = q.value ? '' : '199';"
    "q.dispatchEvent(new Event('input'))",
    "reload": "",
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A page of 10,000 rows, opened."""
    file = tmp_path_factory.mktemp("many") / "index.html"
    file.write_text(site.render("leaderboard.html.j2", board=many_rows(), root=""))
    with browser.launched() as running:
        yield browser.Visits(running)(file.as_uri())


@pytest.mark.benchmark(group="10,000 rows in the browser")
@pytest.mark.parametrize("step", STEPS)
def test_in_the_browser(benchmark: Any, shown: Any, step: str) -> None:
    def act() -> None:
        if step == "reload":
            shown.reload()
        shown.evaluate(f"() => {{ {STEPS[step]}; return {SETTLED}; }}")

    benchmark.pedantic(act, rounds=5)
