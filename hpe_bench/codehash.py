"""Hashes of code: so that a changed model, loss or codec is not taken for what was run before the change.

A declared value's fingerprint names its builder and its classes; this covers what they say.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterable
from functools import lru_cache
from types import ModuleType
from typing import Any

SUBJECTS = ("hpe_bench.papers.", "hpe_bench.nn.", "hpe_bench.codecs.", "hpe_bench.training.losses")


def code_digest(objects: Iterable[Any]) -> str:
    """SHA-256 (16 hex digits) over the modules that define some functions and values, and over those they draw on.

    Models, losses and codecs count; comments, docstrings and layout do not. Modules without a source file are left out.
    """
    found: dict[str, ModuleType] = {}
    waiting = {_module_name(o) for o in objects}
    while waiting:
        name = waiting.pop()
        if name not in found and name in sys.modules:
            found[name] = sys.modules[name]
            waiting |= {n for n in map(_module_name, vars(found[name]).values()) if n.startswith(SUBJECTS)}
    text = "\n".join(f"{name}:{_essence(found[name])}" for name in sorted(found))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _module_name(value: Any) -> str:
    """The module of a function or class, or of a value's class."""
    name = getattr(value, "__module__", None)
    return name if isinstance(name, str) else ""


@lru_cache(maxsize=256)
def _essence(module: ModuleType) -> str:
    """A module's syntax tree without docstrings."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)
