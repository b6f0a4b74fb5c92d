"""Finds and loads paper folders: the bundled ones and, from `HPE_BENCH_PAPERS`, the user's own.

A paper folder is a folder with a `paper.py`; its name is the paper's slug. `HPE_BENCH_PAPERS` names folders that
contain paper folders, separated like `PATH`. Listing imports no paper and no torch; loading one imports its `paper.py`.
"""

from __future__ import annotations

import csv
import difflib
import importlib
import math
import os
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

import hpe_bench.papers
from hpe_bench import digits
from hpe_bench.declare import Claim, Paper, Variant

if TYPE_CHECKING:
    from torch import nn

_BUNDLED = tuple(Path(p) for p in hpe_bench.papers.__path__)
CLAIM_COLUMNS = tuple(f.name for f in fields(Claim))


class CatalogError(ValueError):
    """A paper that cannot be found or loaded: names the file, the line and what is wrong."""


@dataclass(frozen=True)
class LoadedPaper:
    """A paper, its claims, and where they lie."""

    paper: Paper
    claims: tuple[Claim, ...]
    folder: Path


@dataclass(frozen=True)
class BrokenPaper:
    """A paper folder that could not be loaded, and why."""

    slug: str
    message: str


# ----------------------------------------------------------------------------------------------------- finding


def slugs() -> list[str]:
    """The slugs of all paper folders, sorted. CatalogError if `HPE_BENCH_PAPERS` names a folder that is missing."""
    return sorted(_folders())


def _folders() -> dict[str, list[Path]]:
    """Paper folders by slug; more than one for a slug that is taken twice."""
    found: dict[str, list[Path]] = {}
    for parent in dict.fromkeys(p.resolve() for p in (*_BUNDLED, *_user_folders())):
        for file in sorted(parent.glob("*/paper.py")):
            found.setdefault(file.parent.name, []).append(file.parent)
    return found


def _user_folders() -> list[Path]:
    """The folders in `HPE_BENCH_PAPERS`, put on the import path of `hpe_bench.papers`."""
    named = [Path(p).resolve() for p in os.environ.get("HPE_BENCH_PAPERS", "").split(os.pathsep) if p]
    for folder in named:
        if not folder.is_dir():
            raise CatalogError(f"HPE_BENCH_PAPERS names {folder}, which is no folder; correct or unset the variable")
    hpe_bench.papers.__path__ = [str(p) for p in dict.fromkeys((*_BUNDLED, *named))]
    importlib.invalidate_caches()
    return named


def nearest(name: str, known: Iterable[str]) -> str:
    """What to try in place of an unknown name: the most similar one, else all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known) or 'none'}"


# ----------------------------------------------------------------------------------------------------- loading


def load(slug: str) -> LoadedPaper:
    """Import a paper and read its claims; CatalogError says what is wrong and where."""
    folders = _folders()
    if slug not in folders:
        raise CatalogError(f"no paper {slug!r}; {nearest(slug, sorted(folders))}")
    if len(folders[slug]) > 1:
        places = " and ".join(str(folder) for folder in folders[slug])
        raise CatalogError(f"two papers have the slug {slug!r}: {places}; rename one of the folders")
    folder = folders[slug][0]
    paper = _import(slug, folder, [p.parent for places in folders.values() for p in places])
    return LoadedPaper(paper, read_claims(folder / "claims.csv", paper), folder)


def load_all() -> tuple[list[LoadedPaper], list[BrokenPaper]]:
    """Every paper that loads, and every one that does not with the reason."""
    loaded, broken = [], []
    for slug in slugs():
        try:
            loaded.append(load(slug))
        except CatalogError as error:
            broken.append(BrokenPaper(slug, str(error)))
    return loaded, broken


def _import(slug: str, folder: Path, parents: list[Path]) -> Paper:
    """The `paper` object of a folder's `paper.py`."""
    file = folder / "paper.py"
    if not slug.isidentifier():
        raise CatalogError(f"{folder}: the folder's name must be a Python name; use letters, digits and '_'")
    try:
        module = importlib.import_module(f"hpe_bench.papers.{slug}.paper")
    except SyntaxError as error:
        raise CatalogError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:  # a paper folder is the user's code and may raise anything
        line = _deepest_line(error, parents) or str(file)
        raise CatalogError(f"{line}: {_problem(error)}") from error
    paper = getattr(module, "paper", None)
    if not isinstance(paper, Paper):
        raise CatalogError(f"{file}: defines no `paper`; end the file with `paper = Paper(...)`")
    if paper.slug != slug:
        raise CatalogError(f"{file}: the slug is {paper.slug!r} but the folder is called {slug!r}; make them equal")
    return paper


def _deepest_line(error: BaseException, parents: list[Path]) -> str | None:
    """`file:line` of the innermost stack frame that lies in a paper folder."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [f for f in frames if any(Path(f.filename).resolve().is_relative_to(p) for p in parents)]
    return f"{inside[-1].filename}:{inside[-1].lineno}" if inside else None


def _problem(error: Exception) -> str:
    """What an exception says; of pydantic's the first finding alone, with the field it is about."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    first = error.errors()[0]
    return "".join(f"{part}: " for part in first["loc"]) + first["msg"].removeprefix("Value error, ")


# ------------------------------------------------------------------------------------------------------ claims


def read_claims(path: Path, paper: Paper) -> tuple[Claim, ...]:
    """The rows of a `claims.csv`, whose columns are the fields of `Claim` in order. An empty cell means none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = tuple(next(reader, []))
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise CatalogError(f"{path}: missing; a file with nothing but the line of column names will do") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if columns != CLAIM_COLUMNS:
        raise CatalogError(f"{path}:1: the columns must be {','.join(CLAIM_COLUMNS)}")
    claims: dict[str, Claim] = {}
    for line, row in rows:
        claim = _claim(row, f"{path}:{line}", paper)
        if claim.id in claims:
            raise CatalogError(f"{path}:{line}: id: {claim.id!r} stands twice; ids must be unique")
        claims[claim.id] = claim
    return tuple(claims.values())


def _claim(row: list[str], where: str, paper: Paper) -> Claim:
    """One row as a Claim about one of the paper's variants (or about none)."""
    if len(row) != len(CLAIM_COLUMNS):
        raise CatalogError(f"{where}: {len(row)} cells, expected {len(CLAIM_COLUMNS)}; quote cells that hold commas")
    cells: dict[str, Any] = dict(zip(CLAIM_COLUMNS, row, strict=True))
    cells["value"] = _number(cells["value"], f"{where}: value")
    cells["input_hw"] = _size(cells["input_hw"], f"{where}: input_hw")
    try:
        claim = Claim(**cells)
    except ValidationError as error:
        raise CatalogError(f"{where}: {_problem(error)}") from None
    if claim.printed and claim.value is not None and not digits.says(claim.printed, claim.value):
        raise CatalogError(
            f"{where}: value: {claim.value:g} is not what {claim.printed!r} says; correct one of the two, or leave "
            "`printed` empty where no page prints the figure"
        )
    own = [v.name for v in paper.variants]
    if claim.variant and claim.variant not in own:
        raise CatalogError(f"{where}: variant: no variant {claim.variant!r}; {nearest(claim.variant, own)}")
    return claim


def _number(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise CatalogError(f"{where}: {text!r} is no number; leave the cell empty where there is none")
    return number


def _size(text: str, where: str) -> tuple[int, int] | None:
    """(height, width) from text such as 256x192."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise CatalogError(f"{where}: {text!r} is no size; write height x width, such as 256x192")
    return int(match[1]), int(match[2])


# ----------------------------------------------------------------------------------------------------- looking up


def find_variant(loaded: LoadedPaper, name: str) -> Variant:
    """A paper's variant by name; CatalogError with the nearest name if there is none."""
    variants = {v.name: v for v in loaded.paper.variants}
    if name not in variants:
        raise CatalogError(f"paper {loaded.paper.slug!r} has no variant {name!r}; {nearest(name, variants)}")
    return variants[name]


def build_model(paper: str, variant: str, joints: int | None = None) -> nn.Module:
    """The network of a variant, freshly initialised, for its own number of joints or another.

    `build_model("simple_baseline", "r50_256x192")(images)[-1]` are heatmaps [N,17,64,48], before any activation.
    """
    found = find_variant(load(paper), variant)
    model: nn.Module = found.builder(found.joints if joints is None else joints)
    return model
