"""The reference of public names: a line `::: module.name` of a document becomes its signature and docstring.

mkdocstrings writes such lines too. The documents name what is public; nothing else is shown.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import Any

LINE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
WIDTH = 88  # characters of a signature on one line


def filled(text: str) -> str:
    """A document with its references filled in. ValueError names one that leads to nothing."""
    return LINE.sub(lambda found: entry(found[1]), text)


def entry(dotted: str) -> str:
    """Markdown about a public function or class: heading, signature, docstring, and a class's public members."""
    found = _named(dotted)
    short = dotted.rpartition(".")[2] if inspect.isclass(found) else dotted
    lines = [f"### {short}", ""]
    if inspect.isclass(found):
        members = list(_members(found))
        return "\n".join([*lines, _docstring(found), "", *members])
    return "\n".join([*lines, "```python", signature(dotted, found), "```", "", _docstring(found)])


def signature(name: str, function: Any) -> str:
    """A function's signature as it stands in the source, a parameter a line where it is long."""
    asked = inspect.signature(function)
    parts, keyword_only = [], False
    for parameter in asked.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        parts.append(_parameter(parameter))
    answer = f" -> {asked.return_annotation}" if asked.return_annotation is not asked.empty else ""
    line = f"{name}({', '.join(parts)}){answer}"
    return line if len(line) <= WIDTH else f"{name}(\n    " + ",\n    ".join(parts) + f",\n){answer}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = (
        "**" if parameter.kind is parameter.VAR_KEYWORD else "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
    )
    annotated = f": {parameter.annotation}" if parameter.annotation is not parameter.empty else ""
    default = f" = {parameter.default!r}" if parameter.default is not parameter.empty else ""
    return f"{stars}{parameter.name}{annotated}{default}"


def _members(owner: type) -> Iterator[str]:
    """A line a public field, property and method of a class that says something about itself, own or inherited."""
    names = [f.name for f in dataclasses.fields(owner)] if dataclasses.is_dataclass(owner) else []
    if names:
        yield f"Fields: {', '.join(f'`{name}`' for name in names)}."
        yield ""
    seen = {name for base in owner.__mro__[:-1] for name in vars(base)}
    for name in sorted(seen - set(names)):
        member = inspect.getattr_static(owner, name)
        is_method = inspect.isfunction(member)
        if name.startswith("_") or not (is_method or isinstance(member, property | cached_property)):
            continue
        call = signature(name, member).replace("(self, ", "(").replace("(self)", "()") if is_method else name
        if said := _docstring_of_member(owner, name):
            yield f"- `{' '.join(call.split())}`: {' '.join(said.split())}"


def _docstring_of_member(owner: type, name: str) -> str:
    """A member's docstring, or that of what it overrides."""
    found = (inspect.getdoc(vars(base)[name]) for base in owner.__mro__ if name in vars(base))
    return next((text for text in found if text), "")


def _docstring(found: Any) -> str:
    text = inspect.getdoc(found)
    if not text:
        raise ValueError(f"{found!r} is in the reference and has no docstring; write one")
    return text


def _named(dotted: str) -> Any:
    """What a dotted name stands for."""
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the reference names {dotted}, which is not there: {error}") from None
