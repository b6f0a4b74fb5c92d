"""Some joints of a skeleton, of persons and of a data set: parts, and what two skeletons have in common.

N persons, J joints.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hpe_bench.data.boxes import Boxes
from hpe_bench.data.known_skeletons import ALL
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import Skeleton
from hpe_bench.declare import NAME, DataSource


def restricted(skeleton: Skeleton, columns: list[int], name: str) -> Skeleton:
    """A skeleton of some joints, in the given order: pairs, limbs and groups as far as they are among them."""
    place = {j: k for k, j in enumerate(columns)}

    def among(pairs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((place[a], place[b]) for a, b in pairs if a in place and b in place)

    groups = ((g, tuple(place[j] for j in joints if j in place)) for g, joints in skeleton.groups)
    return Skeleton(
        name=name,
        joints=tuple(skeleton.joints[j] for j in columns),
        flip_pairs=among(skeleton.flip_pairs),
        limbs=among(skeleton.limbs),
        groups=tuple((g, joints) for g, joints in groups if joints),
        sigmas=tuple(skeleton.sigmas[j] for j in columns) if skeleton.sigmas else (),
    )


def persons_of(truth: PersonSet, columns: list[int], name: str) -> PersonSet:
    """The persons with some of their joints alone; nobody need be found of whom none of these is labelled."""
    labelled = truth.labelled[:, columns]
    return replace(
        truth,
        skeleton=restricted(truth.skeleton, columns, name),
        joints=truth.joints[:, columns],
        labelled=labelled,
        visible=truth.visible[:, columns],
        wanted=None if truth.wanted is None else truth.wanted & labelled.any(axis=1),
    )


# ---------------------------------------------------------------------------------------------------- mapping


@dataclass(frozen=True)
class Mapping:
    """Which joint of a source skeleton stands for which of a target: `pairs` of (target, source), target's order."""

    source: str
    target: str
    source_joints: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]

    @property
    def columns(self) -> list[int]:
        """Where the source of each pair stands among the source's joints."""
        return [self.source_joints.index(source) for _, source in self.pairs]


def read_mapping(text: str) -> Mapping:
    """`source:target`, two skeletons by name, over the joints of the same name; or a TOML file with a table.

    The file: `source` and `target`, names of skeletons, or for a source of one's own a list of its joints with its
    `name`; and `[joints]`, target = "source". ValueError for a skeleton or a joint that does not exist.
    """
    if text.endswith(".toml"):
        return _of_table(Path(text))
    source, colon, target = text.partition(":")
    if not colon or not source or not target:
        raise ValueError(
            f"--map {text}: write source:target, such as coco-17:mpii-16, or give a TOML file with a table"
        )
    a, b = _known(source, f"--map {text}"), _known(target, f"--map {text}")
    shared = tuple((joint, joint) for joint in b.joints if joint in a.joints)
    return _checked(Mapping(source, target, a.joints, shared), b, f"--map {text}")


def _of_table(path: Path) -> Mapping:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"--map {path}: no such file; give source:target or a TOML file with a table") from None
    except ValueError as error:
        raise ValueError(f"{path}: no TOML ({error})") from None
    source, target, table = values.get("source"), values.get("target"), values.get("joints")
    if not isinstance(target, str) or not isinstance(table, dict) or not table:
        raise ValueError(f'{path}: needs source, target (a skeleton\'s name) and [joints] with target = "source"')
    if isinstance(source, list):
        name, joints = str(values.get("name", path.stem)), tuple(map(str, source))
    else:
        name, joints = str(source), _known(str(source), str(path)).joints
    if not NAME.fullmatch(name):
        raise ValueError(f"{path}: name {name!r}: use lower-case letters, digits, '.', '_' and '-'")
    skeleton = _known(target, str(path))
    ordered = [joint for joint in skeleton.joints if joint in table]
    unknown = [joint for joint in table if joint not in skeleton.joints]
    if unknown:
        raise ValueError(f"{path}: {target} has no joint {unknown[0]!r}; it has {', '.join(skeleton.joints)}")
    pairs = tuple((joint, str(table[joint])) for joint in ordered)
    return _checked(Mapping(name, target, joints, pairs), skeleton, str(path))


def _known(name: str, said: str) -> Skeleton:
    if name not in ALL:
        raise ValueError(f"{said}: no skeleton {name!r}; known are: {', '.join(ALL)}")
    return ALL[name]


def _checked(mapping: Mapping, target: Skeleton, said: str) -> Mapping:
    """ValueError for a source joint that does not exist, or one that stands for two."""
    for joint, source in mapping.pairs:
        if source not in mapping.source_joints:
            raise ValueError(f"{said}: {mapping.source} has no joint {source!r}, which {joint!r} is to be taken from")
    if not mapping.pairs:
        raise ValueError(f"{said}: {mapping.source} and {target.name} have no joint of the same name; give a table")
    sources = [source for _, source in mapping.pairs]
    if twice := [source for source in sources if sources.count(source) > 1]:
        raise ValueError(f"{said}: joint {twice[0]!r} of {mapping.source} stands for two; give each its own")
    return mapping


@dataclass(frozen=True)
class Mapped(DataSource):
    """A data set over the joints that a mapping gives, named as the target names them."""

    data: DataSource
    mapping: Mapping

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.data.name

    @property
    def columns(self) -> list[int]:
        """Where the joints stand among the data set's own."""
        return [self.data.skeleton.index(target) for target, _ in self.mapping.pairs]

    @property
    def skeleton(self) -> Skeleton:
        return restricted(self.data.skeleton, self.columns, self._named)

    @property
    def _named(self) -> str:
        return f"{self.mapping.target}-from-{self.mapping.source}"

    def prepare(self, split: str, root: str | None, progress: Callable[[int, int], None] | None = None) -> None:
        self.data.prepare(split, root, progress)

    def load(self, split: str, root: str | None) -> PersonSet:
        """The persons, with the mapped joints."""
        return persons_of(self.data.load(split, root), self.columns, self._named)

    def truth(self, split: str, root: str | None) -> PersonSet:
        """As `load`; image files may be missing."""
        return persons_of(self.data.truth(split, root), self.columns, self._named)

    def boxes(self, split: str, root: str | None) -> Boxes | None:
        return self.data.boxes(split, root)

    def answering(self, truth: PersonSet) -> PersonSet:
        """The same persons as a file of predictions in the source's joints is read for: none of them labelled."""
        n, j = len(truth), len(self.mapping.source_joints)
        source = ALL.get(self.mapping.source) or Skeleton(self.mapping.source, self.mapping.source_joints, (), (), ())
        return replace(
            truth,
            skeleton=source,
            joints=np.zeros((n, j, 2)),
            labelled=np.zeros((n, j), bool),
            visible=np.zeros((n, j), bool),
        )
