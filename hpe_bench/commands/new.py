"""`hpe-bench new`: a folder of a paper or a predictor that loads and runs, to be filled in."""

from __future__ import annotations

import datetime
import keyword
import re
from pathlib import Path
from string import Template

from hpe_bench import catalog
from hpe_bench.files import whole_folder

FILES = Path(__file__).parent / "new_paper"
PREDICTOR_FILES = Path(__file__).parent / "new_predictor"
# What the written files say where a person has to say something else; a paper that still says so is not described.
PLACEHOLDERS = (
    *("AUTHORS", "VENUE", "https://example.org", "a placeholder"),
    *("Say in two sentences what the paper does", "Say which parts are published"),
    *("say in a sentence what the paper claims", "say what the study below asks"),
)
SLUG = re.compile(r"[a-z][a-z0-9_]*")


def new_paper(slug: str, parent: Path) -> Path:
    """Write `parent/slug` whole or not at all and return it; ValueError for a bad or taken name."""
    _check_slug(slug, "a paper")
    if slug in catalog.RESERVED:
        raise ValueError(f"{slug!r} names pages or records of the suite itself; choose another name")
    folder = parent / slug
    if folder.exists():
        raise ValueError(f"{folder} exists already; choose another name, or another place with --to")
    if slug in catalog.slugs():
        raise ValueError(f"there is a paper {slug!r} already; choose another name")
    with whole_folder(folder) as draft:
        for source in sorted(FILES.glob("*.txt")):
            (draft / source.stem).write_text(filled(source, slug), encoding="utf-8")
    return folder


def new_predictor(slug: str, parent: Path) -> Path:
    """Write `parent/slug` with a predictor and its contract tests; ValueError for a bad or taken name."""
    _check_slug(slug, "a predictor")
    folder = parent / slug
    if folder.exists():
        raise ValueError(f"{folder} exists already; choose another name, or another place with --to")
    with whole_folder(folder) as draft:
        for source in sorted(PREDICTOR_FILES.glob("*.txt")):
            (draft / source.stem).write_text(filled(source, slug), encoding="utf-8")
    return folder


def _check_slug(slug: str, what: str) -> None:
    if not SLUG.fullmatch(slug) or keyword.iskeyword(slug):
        raise ValueError(
            f"{slug!r} cannot name {what}: begin with a lower-case letter, go on with letters, digits, '_'"
        )


def unfilled(folder: Path) -> list[str]:
    """The placeholders that a paper's folder still holds, as `file: placeholder`."""
    texts = {source.stem: (folder / source.stem).read_text(encoding="utf-8") for source in sorted(FILES.glob("*.txt"))}
    return [f"{name}: {p}" for name, text in texts.items() for p in PLACEHOLDERS if p in text]


def filled(source: Path, slug: str) -> str:
    """One file of the folder."""
    title = slug.replace("_", " ").capitalize()
    year = datetime.datetime.now(datetime.UTC).year
    return Template(source.read_text(encoding="utf-8")).substitute(slug=slug, title=title, year=year)


def next_steps(folder: Path) -> list[str]:
    """What to type next; a folder that no command would find must be named first."""
    found = folder.name in catalog.slugs()
    export = [] if found else [f"export HPE_BENCH_PAPERS={folder.parent.resolve()}"]
    return [*export, f"hpe-bench show {folder.name}", f"hpe-bench reproduce {folder.name}"]
