"""The house: few modules on the top floor, imports in one direction and without circles, no paper in the framework."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import hpe_bench

ROOT = Path(hpe_bench.__file__).parent
PAPERS = ROOT.parent / "papers"

# Left to right, as data flow: a room imports itself and rooms to its left. What stands in one line may see each other.
FLOW = (
    ("declare", "errors", "files", "processes"),
    ("terminal", "data", "codecs", "nn", "metrics", "papers"),
    ("protocols", "catalog", "codehash"),
    ("plan",),
    ("records",),
    ("training", "inference", "ceilings", "cost"),
    ("timing",),
    ("run",),
    ("verdicts",),
    ("truth",),
    ("report",),
    ("commands",),
    ("cli", "__init__", "__main__"),
)
# Words that the left shares with the right: what a record or a training is made of, as plain values.
VOCABULARY = {"records.schema", "training.execution"}


def modules() -> dict[str, Path]:
    """Every module of the framework by its dotted name without `hpe_bench.`; packages by their own."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] != "papers":
            found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(path: Path, *, lazy: bool) -> Iterator[str]:
    """The framework's modules that a file imports when it is imported; with `lazy`, whenever."""
    known = modules()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if lazy else _at_once(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hpe_bench" and not node.level:
            inside = (node.module or "").partition(".")[2]
            for alias in node.names:
                full = f"{inside}.{alias.name}" if inside else alias.name
                yield full if full in known else inside


def _at_once(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run on import: not those of functions, nor of `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _at_once(node)


@cache
def _graph() -> dict[str, frozenset[str]]:
    return {name: frozenset(i for i in imports(path, lazy=False) if i) for name, path in modules().items()}


def test_the_top_floor_is_small() -> None:
    assert len([p for p in ROOT.glob("*.py") if not p.name.startswith("__")]) <= 10


def test_no_module_imports_itself_by_a_detour() -> None:
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"a circle: {' -> '.join((*trail[trail.index(name) :], name))}"
        if name not in done:
            for other in sorted(_graph().get(name, ())):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(_graph()):
        visit(name, ())


def test_imports_go_from_right_to_left() -> None:
    place = {room: i for i, rooms in enumerate(FLOW) for room in rooms}
    wrong = [
        f"{name} imports {other}"
        for name, others in sorted(_graph().items())
        for other in sorted(others - VOCABULARY)
        if place[other.split(".")[0]] > place[name.split(".")[0]]
    ]
    assert not wrong


def _outside_of_docstrings(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes but for strings that stand as statements."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield node
            yield from _outside_of_docstrings(node)


def test_no_paper_is_named_in_the_framework() -> None:
    slugs = {p.parent.name for p in PAPERS.glob("*/paper.py")}
    assert slugs
    a_slug = re.compile(rf"\b({'|'.join(slugs)})\b")
    named = [
        f"{name} line {node.lineno}: {node.value}"
        for name, path in sorted(modules().items())
        for node in _outside_of_docstrings(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and a_slug.search(node.value)
    ]
    assert not named


def test_pages_and_kits_do_not_reach_into_one_another() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in sorted(_graph().items())
        for other in sorted(others)
        if name.startswith("report.kit.") and other.startswith("report.pages.")
    ]
    assert not wrong


def test_no_queue_stands_between_processes() -> None:
    """A queue between processes is fed by a thread that the interpreter waits for when it ends: for ever, if the
    process at the other end was killed. Pipes of our own, one a process, never hold anybody up.
    """
    for name, path in modules().items():
        text = path.read_text(encoding="utf-8")
        for word in ("ProcessPoolExecutor", "multiprocessing.Queue", "multiprocessing.Pool", "multiprocessing.Manager"):
            assert word not in text, f"{name} uses {word}"
