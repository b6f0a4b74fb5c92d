"""A data set of one's own in COCO's layout: its joints, flip pairs, limbs and sigmas, from the category or a file.

The category with `keypoints` also has `skeleton`, pairs of joints counted from 1. `flip_pairs` (pairs of names, or of
numbers from 0) and `sigmas` may stand there, too; without the first, joints whose names differ in left and right alone
are each other's mirror image.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from hpe_bench.data.json_files import Anything, finite, parse, shown, whole
from hpe_bench.data.known_skeletons import ALL
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import DataSource

Pairs = tuple[tuple[int, int], ...]
SIDES = re.compile(r"(?<![a-z])(left|right|l|r)(?![a-z])|^(left|right)|(left|right)$", re.IGNORECASE)
OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}


class Categories(TypedDict):
    """An annotation file, of which the categories alone are looked at."""

    categories: Anything


CATEGORIES = TypeAdapter(Categories)


@dataclass(frozen=True)
class OwnData(DataSource):
    """A data set that only an annotation file knows: scored with --truth."""

    joints: Skeleton

    name = "own"

    @property
    def skeleton(self) -> Skeleton:
        return self.joints

    def load(self, split: str, root: str | None) -> PersonSet:
        raise ValueError("a data set of one's own is read from --truth FILE alone")


@dataclass(frozen=True)
class Found:
    """A skeleton, and in words where its sigmas are from."""

    skeleton: Skeleton
    sigmas_from: str


def read_skeleton(path: Path, sigmas: Path | None) -> Found:
    """The skeleton of an annotation file, with the sigmas of a file, else of the category, else of known joints.

    Where nothing says them they are 1/J, as users of pycocotools set them. ValueError naming file and field.
    """
    document = parse(path, CATEGORIES, "COCO keypoint annotations", {"categories": "category"})
    listed = document["categories"] if isinstance(document["categories"], list) else []
    posed = [c for c in listed if isinstance(c, dict) and isinstance(c.get("keypoints"), list) and c["keypoints"]]
    if len(posed) != 1:
        raise ValueError(f"{path}: {len(posed)} categories have 'keypoints', expected one, which names the joints")
    category = posed[0]
    joints = _names(category["keypoints"], path)
    skeleton = Skeleton(
        name=f"own-{len(joints)}",
        joints=joints,
        flip_pairs=_flip_pairs(category.get("flip_pairs"), joints, path),
        limbs=_limbs(category.get("skeleton"), joints, path),
        groups=(),
    )
    found, source = _sigmas(category, joints, sigmas, path)
    return Found(replace(skeleton, sigmas=found), source)


def _names(listed: Sequence[Any], path: Path) -> tuple[str, ...]:
    names = tuple(listed)
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{path}: its category's 'keypoints' hold {shown(names)}, expected names")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{path}: its category's 'keypoints' name {twice[0]!r} twice; names must be unique")
    return tuple(re.sub(r"[^A-Za-z0-9_.-]+", "_", name) for name in names)  # they become parts of keys


def _limbs(found: Any, joints: tuple[str, ...], path: Path) -> Pairs:
    """Pairs of joints, counted from 0; limbs are for drawing, so none is needed."""
    if found is None:
        return ()
    pairs = [_pair(pair) for pair in found] if isinstance(found, list) else [None]
    if not all(pair is not None and all(1 <= j <= len(joints) for j in pair) for pair in pairs):
        raise ValueError(
            f"{path}: its category's 'skeleton' is {shown(found)}, expected pairs of joints from 1 to {len(joints)}"
        )
    return tuple((a - 1, b - 1) for a, b in (pair for pair in pairs if pair is not None))


def _pair(found: Any) -> tuple[int, int] | None:
    numbers = [whole(v) for v in found] if isinstance(found, list) and len(found) == 2 else [None]
    first, *rest = numbers
    return (first, rest[0]) if first is not None and rest and rest[0] is not None else None


def _flip_pairs(found: Any, joints: tuple[str, ...], path: Path) -> Pairs:
    """Mirror images: as given, else by the names."""
    if found is None:
        mirrored = {j: joints.index(other) for j, name in enumerate(joints) if (other := _mirrored(name)) in joints}
        return tuple((a, b) for a, b in mirrored.items() if a < b and mirrored.get(b) == a)
    listed = found if isinstance(found, list) else []
    pairs = [tuple(joints.index(v) if v in joints else whole(v) for v in p) for p in listed if isinstance(p, list)]
    flat = [j for pair in pairs for j in pair]
    right = all(len(p) == 2 for p in pairs) and len(pairs) == len(listed) and bool(listed)
    if not right or not all(j is not None and 0 <= j < len(joints) for j in flat) or len(set(flat)) < len(flat):
        raise ValueError(
            f"{path}: its category's 'flip_pairs' are {shown(found)}, expected pairs of joints, by name or from 0, "
            "each joint once"
        )
    return tuple((int(a or 0), int(b or 0)) for a, b in pairs)


def _mirrored(name: str) -> str:
    """The name with left and right exchanged, in the case that it has."""

    def other(match: re.Match[str]) -> str:
        word = match[0]
        turned = OTHER_SIDE[word.lower()]
        return turned.upper() if word.isupper() else turned.capitalize() if word[0].isupper() else turned

    return SIDES.sub(other, name) if SIDES.search(name) else ""


# ---------------------------------------------------------------------------------------------------- sigmas


def _sigmas(
    category: dict[str, Any], joints: tuple[str, ...], file: Path | None, path: Path
) -> tuple[tuple[float, ...], str]:
    """Sigmas and where they are from."""
    if file is not None:
        return read_sigmas(file, joints), f"sigmas of {file.name}"
    if category.get("sigmas") is not None:
        return _checked(category["sigmas"], joints, f"{path}: its category's 'sigmas'"), "sigmas of its category"
    for known in ALL.values():
        if known.joints == joints and known.sigmas:
            return known.sigmas, f"sigmas of {known.name}, whose joints it has"
    return (1 / len(joints),) * len(joints), f"sigmas all 1/{len(joints)}, as no file says them (--sigmas)"


def read_sigmas(path: Path, joints: tuple[str, ...]) -> tuple[float, ...]:
    """Sigmas from a TOML or JSON file: `sigmas`, a list in the order of the joints or a table by their names.

    A JSON file may be that list or table itself. ValueError for another number of them, and for unknown joints.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"--sigmas {path}: no such file; give a TOML or JSON file") from None
    try:
        found: Any = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise ValueError(f"{path}: no {kind} ({error})") from None
    if isinstance(found, dict) and "sigmas" in found:
        found = found["sigmas"]
    if isinstance(found, dict):
        unknown = [name for name in found if name not in joints]
        missing = [name for name in joints if name not in found]
        if unknown or missing:
            told = f"names no joint {unknown[0]!r}" if unknown else f"has none for {missing[0]!r}"
            raise ValueError(f"{path}: {told}; the joints are {', '.join(joints)}")
        found = [found[name] for name in joints]
    return _checked(found, joints, str(path))


def _checked(found: Any, joints: tuple[str, ...], said: str) -> tuple[float, ...]:
    if not isinstance(found, list) or len(found) != len(joints):
        count = f"{len(found)} of them" if isinstance(found, list) else shown(found)
        raise ValueError(f"{said}: sigmas: {count}, expected {len(joints)}, one a joint")
    values = [finite(v) for v in found]
    for name, value in zip(joints, values, strict=True):
        if value is None or not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{said}: sigma of {name!r} is {shown(found[joints.index(name)])}; it must be positive")
    return tuple(v for v in values if v is not None)
