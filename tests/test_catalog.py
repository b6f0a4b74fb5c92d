"""Finding and loading paper folders, bundled and the user's own, whole and broken."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hpe_bench import catalog
from hpe_bench.catalog import CLAIM_COLUMNS, BrokenPaper, CatalogError

HEADER = ",".join(CLAIM_COLUMNS)
ROW = {
    "id": "cost",
    "statement": "It is cheap",
    "printed": "1.0",
    "variant": "tiny",
    "kind": "value",
    "metric": "macs",
    "convention": "true",
    "value": "1.0",
    "unit": "GMAC",
    "input_hw": "64x48",
    "status": "published",
}
PAPER = """
from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.declare import Ablation, Arm, Paper, Recipe, Variant
from hpe_bench.training.losses import HeatmapMSE
from torch import nn

def tiny(joints):
    return nn.Conv2d(3, joints, 4, 4)

VARIANT = Variant("tiny", tiny, (64, 48))
RECIPE = Recipe("short", HeatmapMSE(), Gaussian(), samples=8, batch=4)
paper = Paper(
    slug="{slug}", title="T", authors="A", venue="V", year=2024, url="", bibtex="", summary="", reading="",
    variants=(VARIANT,), recipes=(RECIPE,),
    headline=Ablation("headline", "?", (Arm("only", "{slug}", VARIANT, RECIPE),), control="only"),
)
"""


def row(**changes: str) -> str:
    return ",".join((ROW | changes).get(column, "") for column in CLAIM_COLUMNS)


class Shelf:
    """A user's own folder of papers. Slugs are never used twice: modules stay imported for the whole session."""

    numbers = itertools.count()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fresh_slug(self) -> str:
        return f"cat_{next(self.numbers)}"

    def add(self, slug: str, paper: str = PAPER, claims: str | None = f"{HEADER}\n{row()}\n", folder: str = "") -> Path:
        place = self.folder / (folder or slug)
        place.mkdir()
        (place / "paper.py").write_text(paper.replace("{slug}", slug))
        if claims is not None:
            (place / "claims.csv").write_text(claims)
        return place


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("HPE_BENCH_PAPERS", str(tmp_path))
    return Shelf(tmp_path)


# ------------------------------------------------------------------------------------------------ finding


def test_bundled_papers_are_listed_without_importing_torch_or_a_paper() -> None:
    code = """
        import sys
        from hpe_bench import catalog
        assert {"fasterpose", "simple_baseline"} <= set(catalog.slugs()), catalog.slugs()
        assert "torch" not in sys.modules
        assert not [m for m in sys.modules if m.startswith("hpe_bench.papers.")]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_user_papers_join_the_bundled_ones_and_may_import_them(shelf: Shelf) -> None:
    shelf.add("cat_user", PAPER + "from ..simple_baseline.model import pocket\nfrom . import extra\n")
    (shelf.folder / "cat_user" / "extra.py").write_text("")
    (shelf.folder / "no_paper").mkdir()
    assert {"cat_user", "fasterpose"} <= set(catalog.slugs())
    assert "no_paper" not in catalog.slugs()
    loaded = catalog.load("cat_user")
    assert (loaded.paper.slug, loaded.folder) == ("cat_user", shelf.folder / "cat_user")
    assert [(c.id, c.value, c.input_hw) for c in loaded.claims] == [("cost", 1.0, (64, 48))]


def test_several_folders_are_separated_like_a_path(
    shelf: Shelf, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Shelf(tmp_path_factory.mktemp("other"))
    shelf.add("cat_here")
    other.add("cat_there")
    monkeypatch.setenv("HPE_BENCH_PAPERS", os.pathsep.join((str(shelf.folder), str(other.folder))))
    assert catalog.load("cat_here").paper.slug == "cat_here"
    assert catalog.load("cat_there").folder.parent == other.folder
    monkeypatch.delenv("HPE_BENCH_PAPERS")
    assert "cat_here" not in catalog.slugs()


def test_a_named_folder_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HPE_BENCH_PAPERS", str(tmp_path / "nowhere"))
    with pytest.raises(CatalogError, match=r"HPE_BENCH_PAPERS names .*nowhere"):
        catalog.slugs()


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(CatalogError, match="no paper 'fastpose'; did you mean 'fasterpose'"):
        catalog.load("fastpose")
    with pytest.raises(CatalogError, match=r"no paper 'xyz'; known are: .*simple_baseline"):
        catalog.load("xyz")
    loaded = catalog.load("simple_baseline")
    assert catalog.find_variant(loaded, "r50_256x192").input_hw == (256, 192)
    with pytest.raises(
        CatalogError, match="'simple_baseline' has no variant 'r50_256x193'; did you mean 'r50_256x192'"
    ):
        catalog.find_variant(loaded, "r50_256x193")


def test_a_slug_taken_twice_names_both_places_and_breaks_nothing_else(shelf: Shelf) -> None:
    mine = shelf.add("fasterpose")
    with pytest.raises(CatalogError, match="two papers have the slug 'fasterpose'") as error:
        catalog.load("fasterpose")
    assert str(mine) in str(error.value)
    assert str(catalog.load("simple_baseline").folder.parent / "fasterpose") in str(error.value)


# ------------------------------------------------------------------------------------------------ broken folders


@pytest.mark.parametrize(
    ("paper", "message"),
    [
        ("x = 1\ndef f(:\n", r"paper\.py:2: invalid syntax"),
        ("import math\n\nmath.sqrt(-1)\n", r"paper\.py:3: ValueError: "),
        ("from .absent import thing\n", r"paper\.py:1: ModuleNotFoundError: .*absent"),
        ("from .helper import f\nf()\n", r"helper\.py:2: ZeroDivisionError"),
        ("paper = 3\n", r"paper\.py: defines no `paper`"),
        (PAPER.replace("{slug}", "another"), r"paper\.py: the slug is 'another' but the folder is called"),
        (
            PAPER.replace('"tiny", tiny, (64, 48)', '"tiny", tiny, (64, 0)'),
            r"paper\.py:10: variant 'tiny': input size, joints and stride must be positive$",
        ),
    ],
)
def test_a_broken_paper_is_told_with_file_and_line_and_stops_no_other(shelf: Shelf, paper: str, message: str) -> None:
    slug = shelf.fresh_slug()
    folder = shelf.add(slug, paper)
    (folder / "helper.py").write_text("def f():\n    return 1 / 0\n")
    loaded, broken = catalog.load_all()
    (mine,) = [b for b in broken if b.slug == slug]
    assert isinstance(mine, BrokenPaper)
    with pytest.raises(CatalogError, match=message) as error:
        catalog.load(slug)
    assert str(error.value) == mine.message
    assert str(folder) in mine.message
    assert {"fasterpose", "simple_baseline"} <= {p.paper.slug for p in loaded}


def test_a_folder_name_that_python_cannot_import_is_told(shelf: Shelf) -> None:
    shelf.add("cat-dash")
    with pytest.raises(CatalogError, match="must be a Python name"):
        catalog.load("cat-dash")


# ------------------------------------------------------------------------------------------------ claims


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        (None, r"claims\.csv: missing"),
        ("", r"claims\.csv:1: the columns must be id,statement,"),
        (f"{HEADER},extra\n", r"claims\.csv:1: the columns must be"),
        (f"{HEADER}\n{row()}\n{row(id='two')},\n", r"claims\.csv:3: 16 cells, expected 15"),
        (f"{HEADER}\n{row(value='many')}\n", r"claims\.csv:2: value: 'many' is no number"),
        (f"{HEADER}\n{row(value='nan')}\n", r"claims\.csv:2: value: 'nan' is no number"),
        (f"{HEADER}\n{row(input_hw='64,48')}\n", r"claims\.csv:2: 16 cells"),
        (f"{HEADER}\n{row(input_hw='64 48')}\n", r"claims\.csv:2: input_hw: '64 48' is no size"),
        (f"{HEADER}\n{row(status='rumour')}\n", r"claims\.csv:2: status: Input should be 'published'"),
        (f"{HEADER}\n{row(convention='mine')}\n", r"claims\.csv:2: convention: Input should be"),
        (f"{HEADER}\n{row(value='')}\n", r"claims\.csv:2: claim 'cost': no value; give one"),
        (f"{HEADER}\n{row(kind='difference')}\n", r"claims\.csv:2: claim 'cost': a difference claim needs a baseline"),
        (f"{HEADER}\n{row(id='Has Space')}\n", r"claims\.csv:2: claim name 'Has Space'"),
        (f"{HEADER}\n{row(variant='tinny')}\n", r"claims\.csv:2: variant: no variant 'tinny'; did you mean 'tiny'"),
        (f"{HEADER}\n{row()}\n{row()}\n", r"claims\.csv:3: id: 'cost' stands twice"),
        (f'{HEADER}\n"{row()}\n', r"claims\.csv: not a CSV file"),
    ],
)
def test_a_bad_claims_file_is_told_with_line_and_column(shelf: Shelf, claims: str | None, message: str) -> None:
    slug = shelf.fresh_slug()
    shelf.add(slug, claims=claims)
    with pytest.raises(CatalogError, match=message):
        catalog.load(slug)


def test_claims_may_hold_line_breaks_byte_order_marks_and_no_rows(shelf: Shelf) -> None:
    shelf.add("cat_empty", claims=f"{HEADER}\n")
    assert catalog.load("cat_empty").claims == ()
    shelf.add("cat_bom", claims=f"\ufeff{HEADER}\n" + row(statement='"first\nsecond"') + "\n" + row(id="x", value="?"))
    with pytest.raises(CatalogError, match=r"claims\.csv:4: value"):
        catalog.load("cat_bom")


def test_a_claims_file_in_another_encoding_is_told(shelf: Shelf) -> None:
    folder = shelf.add("cat_latin")
    (folder / "claims.csv").write_bytes(f"{HEADER}\n{row(statement='schön')}\n".encode("latin-1"))
    with pytest.raises(CatalogError, match="not a CSV file in UTF-8"):
        catalog.load("cat_latin")


# ------------------------------------------------------------------------------------------------ building


def test_build_model_gives_the_variant_with_its_own_or_another_number_of_joints() -> None:
    assert catalog.build_model("simple_baseline", "pocket").final_layer.out_channels == 17
    assert catalog.build_model("simple_baseline", "pocket", joints=14).final_layer.out_channels == 14
