"""The groups of joints that branches can be built for: found in data, by body structure, at random, or one.

`groups.json` holds what `grouping.py` found, with where it was found and how.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Groups = tuple[tuple[int, ...], ...]
"""Joint indices of each group; a joint may stand in several."""

FOUND = Path(__file__).with_name("groups.json")

# Connected parts, five groups as our default has: head (and trunk), two arms, two legs; by number of joints.
BODY: dict[int, Groups] = {
    17: ((0, 1, 2, 3, 4), (5, 7, 9), (6, 8, 10), (11, 13, 15), (12, 14, 16)),
    16: ((6, 7, 8, 9), (12, 11, 10), (13, 14, 15), (2, 1, 0), (3, 4, 5)),
    14: ((12, 13), (8, 7, 6), (9, 10, 11), (2, 1, 0), (3, 4, 5)),
}


@cache
def _recorded() -> dict[str, Any]:
    record: dict[str, Any] = json.loads(FOUND.read_text())
    return record


def found(source: str, count: int) -> Groups:
    """The `count` groups found in the annotations of a data set ("coco", "mpii", "lsp", "mannequins")."""
    return tuple(tuple(group) for group in _recorded()[source]["groups"][str(count)])


def overlapping(source: str, count: int) -> Groups:
    """The groups found, each with the joint outside it that on average shares most information with its members."""
    mutual_JJ = np.array(_recorded()[source]["mutual_information_nats"])
    widened = []
    for group in found(source, count):
        shared_J = mutual_JJ[list(group)].mean(axis=0)
        shared_J[list(group)] = -np.inf
        widened.append((*group, int(shared_J.argmax())))
    return tuple(widened)


def shuffled(groups: Groups, seed: int) -> Groups:
    """Groups of the same sizes with the joints dealt out at random."""
    joints = np.random.default_rng(seed).permutation(sum(map(len, groups)))
    cuts = np.cumsum([len(group) for group in groups])[:-1]
    return tuple(tuple(sorted(part.tolist())) for part in np.split(joints, cuts))


def single(joints: int) -> Groups:
    """One group of all joints."""
    return (tuple(range(joints)),)
