"""Records that contradict themselves where nobody looks until a page asks: left out by name, and no page stops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpe_bench.catalog import LoadedPaper
from hpe_bench.errors import RecordWarning
from hpe_bench.records import store
from hpe_bench.report import site
from hpe_bench.report.shown import RecordFiles
from tests import synthetic_records as made
from tests.synthetic_paper import CONTROL, PAPER, PROPOSAL, claim
from tests.synthetic_records import Level

LOADED = LoadedPaper(PAPER, (claim(),), Path("tiny"))
Edit = Callable[[dict[str, Any]], None]

REFUSED: dict[str, tuple[str, Edit]] = {
    "another rate of a part": (
        "its counts per image say",
        lambda c: c["tallies"][2].update(hits=c["tallies"][2]["counts"]),
    ),
    "a part of fewer images": ("images but", lambda c: c["tallies"][2].update(hits=[1], counts=[2])),
    "more hits than counts": ("between 0 and counts", lambda c: c["tallies"][3]["hits"].__setitem__(0, 99)),
    "a part that was not measured": ("has counts per image but no value", lambda c: c["tallies"][2].update(key="x")),
    "a person of two sizes": ("joints", lambda c: c["samples"][0].update(scores=[0.5])),
    "a person without joints": (
        "has no joints",
        lambda c: c["samples"][0].update(truth=[], labelled=[], predicted=[], scores=[]),
    ),
    "a heatmap that is none": (
        "damaged",
        lambda c: c["samples"][0].update(heatmap={"hw": [8, 8], "window": [0, 0, 8, 8], "peak": 1.0, "pixels": "AAAA"}),
    ),
    "a table of matches that is none": (
        "cannot be read",
        lambda c: c.update(matches=[{"key": "ap", "packed": "AAAA"}]),
    ),
    "a curve of words": ("valid number", lambda c: c["curve"][1].update(probe="high")),
}
ODD: dict[str, Edit] = {
    "a box without extent": lambda c: [s.update(box=[5.0, 5.0, 0.0, 0.0]) for s in c["samples"]],  # type: ignore[dict-item]
    "five joints": lambda c: [  # type: ignore[dict-item]
        s.update({k: s[k][:5] for k in ("truth", "labelled", "predicted", "scores")}) for s in c["samples"]
    ],
    "an image before the first": lambda c: [s.update(image=-4) for s in c["samples"]],  # type: ignore[dict-item]
    "a curve that stands still": lambda c: [p.update(samples=0) for p in c["curve"]],  # type: ignore[dict-item]
    "one point of a curve": lambda c: c.update(curve=c["curve"][:1]),
}


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.architecture, "architectures", lambda *_: ())


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for seed in range(3):
        for arm, level in ((CONTROL, 60.0), (PROPOSAL, 55.0)):
            store.save(made.accuracy(arm, seed, Level(level)), tmp_path / "results")
    return tmp_path / "results"


def edited(results: Path, edit: Edit) -> Path:
    """A record of the proposal, changed by hand."""
    path = sorted((results / "tiny").glob("*.json"))[0]
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(store.compact(json.dumps(content)) + "\n")
    return path


def sources(results: Path) -> site.Sources:
    return site.Sources((LOADED,), store.load_folders([results]), RecordFiles([results]))


def written(results: Path, reports: Path) -> tuple[site.Sources, list[Path]]:
    """The paper's page and the board, and from what they were made in the end."""

    def make(from_these: site.Sources) -> tuple[site.Sources, list[Path]]:
        pages = [page for page in site.site_pages(from_these, reports) if page.path.parent.name in ("tiny", "reports")]
        return from_these, [path for page in pages for path in page.write()]

    return sources(results).asked(make)


@pytest.mark.parametrize("name", REFUSED)
def test_a_contradiction_that_only_a_page_sees_leaves_the_record_out(name: str, results: Path, tmp_path: Path) -> None:
    message, edit = REFUSED[name]
    path = edited(results, edit)
    there = sources(results)
    assert len(there.records) == 6, "nothing looks at it while records are loaded"
    with pytest.warns(RecordWarning, match=message):
        used, pages = written(results, tmp_path / "reports")
    assert {p.name for p in pages} == {"index.html", "board.html"}
    assert len(used.records) == 5
    assert str(path) in used.records.passed_over[0]
    assert path.stem.rpartition("__")[2] not in {r.id for r in used.records}
    assert site.stated(tmp_path / "reports" / "tiny" / "index.html") == used.digest(
        site.paper_page_of(LOADED, used, tmp_path / "reports").slugs
    )


@pytest.mark.parametrize("name", ODD)
def test_odd_parts_stop_no_page(name: str, results: Path, tmp_path: Path) -> None:
    edited(results, ODD[name])
    used, pages = written(results, tmp_path / "reports")
    assert {p.name for p in pages} == {"index.html", "board.html"}
    assert len(used.records) == 6


def test_a_record_that_goes_while_pages_are_made_is_left_out(results: Path, tmp_path: Path) -> None:
    there = sources(results)
    path = sorted((results / "tiny").glob("*.json"))[0]
    path.unlink()
    with pytest.warns(RecordWarning, match="is no file"):
        left = there.asked(lambda s: [r.curve for r in s.records])
    assert len(left) == 5
