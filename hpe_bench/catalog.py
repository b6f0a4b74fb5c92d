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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

import hpe_bench.papers
from hpe_bench.declare import Checkpoint, Claim, Curriculum, Paper, Protocol, Recipe, Reported, Unreachable, Variant
from hpe_bench.metrics import digits

if TYPE_CHECKING:
    from torch import nn

_BUNDLED = tuple(Path(p) for p in hpe_bench.papers.__path__)
# What the suite's own pages and records go by: a paper of such a name would overwrite them.
RESERVED = frozenset((
    *("ceilings", "mean_pose", "own", "submitted"),  # folders of results
    *("compare", "costs", "docs", "robustness", "scores", "tables"),  # folders of pages
))  # fmt: skip
RECIPE_COLUMN = "recipe"
CLAIM_COLUMNS = tuple(f.name for f in fields(Claim) if f.name not in (RECIPE_COLUMN, "checkpoint"))


class CatalogError(ValueError):
    """A paper that cannot be found or loaded: names the file, the line and what is wrong."""


@dataclass(frozen=True)
class LoadedPaper:
    """A paper, its claims, where they lie, and the weights that were released of it."""

    paper: Paper
    claims: tuple[Claim, ...]
    folder: Path
    checkpoints: tuple[Checkpoint, ...] = ()


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
    releases = read_checkpoints(folder / "checkpoints.csv", paper)
    claims = (*read_claims(folder / "claims.csv", paper), *reported_claims(releases, paper))
    return LoadedPaper(paper, claims, folder, releases)


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
    if slug in RESERVED:
        raise CatalogError(f"{folder}: {slug!r} names pages or records of the suite itself; rename the folder")
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
    columns = CLAIM_COLUMNS
    if RECIPE_COLUMN in _header(path):
        columns = (*CLAIM_COLUMNS, RECIPE_COLUMN)
    claims: dict[str, Claim] = {}
    for line, row in _rows(path, columns):
        claim = _claim(row, columns, f"{path}:{line}", paper)
        if claim.id in claims:
            raise CatalogError(f"{path}:{line}: id: {claim.id!r} stands twice; ids must be unique")
        claims[claim.id] = claim
    return tuple(claims.values())


def _header(path: Path) -> list[str]:
    """A CSV file's first row."""
    return _table(path)[0]


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file with these columns, with their line numbers; CatalogError with what is wrong."""
    header, rows = _table(path)
    if tuple(header) != columns:
        raise CatalogError(f"{path}:1: the columns must be {','.join(columns)}")
    for line, row in rows:
        if len(row) != len(columns):
            raise CatalogError(
                f"{path}:{line}: {len(row)} cells, expected {len(columns)}; quote cells that hold commas"
            )
        yield line, row


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The first row of a CSV file and the others with their line numbers."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            return header, [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise CatalogError(f"{path}: missing; a file with nothing but the line of column names will do") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: not a CSV file in UTF-8: {error}") from None


CHECKPOINT_COLUMNS = (
    *("name", "variant", "file", "trained_by", "sha256", "address", "page"),
    *("colours", "joints", "protocol", "reported", "note"),
)


def read_checkpoints(path: Path, paper: Paper) -> tuple[Checkpoint, ...]:
    """The rows of a `checkpoints.csv`, none where there is no such file.

    `reported` lists what its source reports under `protocol`, in percent: "ap=74.6 ap50=90.4".
    """
    if not path.exists():
        return ()
    found: dict[str, Checkpoint] = {}
    for line, row in _rows(path, CHECKPOINT_COLUMNS):
        where = f"{path}:{line}"
        cells: dict[str, Any] = dict(zip(CHECKPOINT_COLUMNS, row, strict=True))
        protocol, reported = cells.pop("protocol"), cells.pop("reported").split()
        cells["joints"] = int(cells["joints"]) if cells["joints"].isdecimal() else cells["joints"]
        try:
            cells["reported"] = tuple(_reported(protocol, text, where) for text in reported)
            checkpoint = Checkpoint(**cells)
        except ValidationError as error:
            raise CatalogError(f"{where}: {_problem(error)}") from None
        if checkpoint.name in found:
            raise CatalogError(f"{where}: name: {checkpoint.name!r} stands twice; names must be unique")
        own = [v.name for v in paper.variants]
        if checkpoint.variant not in own:
            raise CatalogError(
                f"{where}: variant: no variant {checkpoint.variant!r}; {nearest(checkpoint.variant, own)}"
            )
        found[checkpoint.name] = checkpoint
    return tuple(found.values())


def _reported(protocol: str, text: str, where: str) -> Reported:
    key, _, printed = text.partition("=")
    value = _number(printed, f"{where}: reported")
    if value is None or not key:
        raise CatalogError(f"{where}: reported: {text!r} is no score; write such as ap=74.6")
    return Reported(protocol, key, value, printed)


def reported_claims(checkpoints: Iterable[Checkpoint], paper: Paper) -> tuple[Claim, ...]:
    """The scores that sources of released weights report for them, as claims about those weights alone."""
    sizes = {v.name: v.input_hw for v in paper.variants}
    return tuple(
        Claim(
            id=f"{c.name}-{r.protocol}-{re.sub('[^a-z0-9_.-]', '-', r.metric)}",
            statement=f"{c.variant} as released by {c.trained_by} ({c.name}) reaches {r.printed} {r.metric}",
            printed=r.printed,
            variant=c.variant,
            baseline="",
            kind="value",
            metric=r.metric,
            convention="",
            value=r.value,
            unit="percent",
            input_hw=sizes[c.variant],
            protocol=r.protocol,
            source=f"{c.trained_by}'s release {c.name}",
            status="published" if c.by_authors else "secondary",
            checkpoint=c.name,
        )
        for c in checkpoints
        for r in c.reported
    )


def _claim(row: list[str], columns: tuple[str, ...], where: str, paper: Paper) -> Claim:
    """One row as a Claim about one of the paper's variants (or about none)."""
    cells: dict[str, Any] = dict(zip(columns, row, strict=True))
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
    if claim.variant:
        _check_variant(claim.variant, where, paper)
    recipes = [r.name for r in all_recipes(paper)]
    if claim.recipe and claim.recipe not in recipes:
        raise CatalogError(f"{where}: recipe: no recipe {claim.recipe!r}; {nearest(claim.recipe, recipes)}")
    return claim


def _check_variant(name: str, where: str, paper: Paper) -> None:
    own = [v.name for v in paper.variants]
    if name not in own:
        raise CatalogError(f"{where}: variant: no variant {name!r}; {nearest(name, own)}")


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


def all_recipes(paper: Paper) -> list[Recipe]:
    """Every recipe of a paper: its own list, those of its studies' settings, and their teachers'."""
    settings = [a.recipe for s in paper.studies for a in s.arms if a.paper == paper.slug]
    teachers = [r.teacher.recipe for r in settings if isinstance(r, Curriculum) and r.teacher is not None]
    return [*paper.recipes, *settings, *teachers]


def all_protocols() -> dict[str, Protocol]:
    """Every protocol by name: the suite's own and those that papers declare; CatalogError where a name stands twice."""
    from hpe_bench import protocols

    known = protocols.every()
    for loaded in load_all()[0]:
        for protocol in loaded.paper.protocols:
            if protocol.name in known:
                raise CatalogError(f"{loaded.folder}: protocol {protocol.name!r} exists already; give it another name")
            known[protocol.name] = protocol
    return known


def find_protocol(name: str) -> Protocol:
    """A protocol by its name, with a corruption or without; ValueError with what may have been meant, or with why it
    cannot be run."""
    from hpe_bench import protocols
    from hpe_bench.data import corruptions

    if "+" in name:
        return corruptions.named(name, find_protocol)
    if name in (suite := protocols.every()):
        return suite[name]
    known = all_protocols()
    if name in known:
        return known[name]
    if (why := unreachable().get(name)) is not None:
        raise ValueError(f"protocol {name!r} cannot be run: {why.reason} {why.instead}".rstrip())
    close = difflib.get_close_matches(name, known, n=4, cutoff=0.4)
    raise ValueError(f"no protocol {name!r}; {'close are' if close else 'known are'}: {', '.join(close or known)}")


def find_predicted(name: str) -> Protocol:
    """As `find_protocol`, also one that can be predicted in and is scored elsewhere."""
    there = unreachable().get(name)
    return find_protocol(name) if there is None or there.predicts is None else there.predicts


def unreachable() -> dict[str, Unreachable]:
    """The protocols that published numbers rest on and that cannot be run here, by name."""
    from hpe_bench import protocols

    own = [u for loaded in load_all()[0] for u in loaded.paper.unreachable]
    return {u.name: u for u in (*protocols.UNREACHABLE, *own)}


def find_variant(loaded: LoadedPaper, name: str) -> Variant:
    """A paper's variant by name; CatalogError with the nearest name if there is none."""
    variants = {v.name: v for v in loaded.paper.variants}
    if name not in variants:
        raise CatalogError(f"paper {loaded.paper.slug!r} has no variant {name!r}; {nearest(name, variants)}")
    return variants[name]


def build_model(paper: str, variant: str, joints: int | None = None) -> nn.Module:
    """The network of a variant, freshly initialised, for its own number of joints or another.

    `build_model("my_paper", "pocket")(images)[-1]` are heatmaps such as [N,17,32,24], before any activation.
    """
    found = find_variant(load(paper), variant)
    model: nn.Module = found.builder(found.joints if joints is None else joints)
    return model
