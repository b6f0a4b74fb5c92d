"""Somebody's own Python code, found as `FILE.py:callable` or `package.module:callable`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpe_bench.errors import sentence


def callable_at(where: str) -> Callable[[], Any]:
    """What stands at a place; ValueError saying what is missing or why importing it failed."""
    place, _, name = where.rpartition(":")
    try:
        module = imported(place)
    except Exception as error:  # it is somebody's code and may raise anything
        raise ValueError(f"{where}: importing {place} failed: {sentence(error)}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise ValueError(f"{where}: {place} has no callable {name!r}; give FILE.py:callable")
    return found


def imported(place: str) -> Any:
    """A file, which may import its neighbours, or a module, also one in the present folder."""
    path = Path(place)
    is_file = path.suffix == ".py"
    if is_file and not path.is_file():
        raise ValueError("no such file")
    sys.path.insert(0, str(path.parent.resolve() if is_file else Path.cwd()))
    try:
        if not is_file:
            return importlib.import_module(place)
        name = f"own_code_{path.stem}"  # which hides no other module
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up there
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.pop(0)
