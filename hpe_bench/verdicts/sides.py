"""Which full-size runs stand on the two sides of a relative claim.

A side is one *setting* with its seeds: a training by one recipe in one execution, or the weights of one release. The
claim's own side is trained by a recipe that its paper declares, at whatever budget; so is the other where it is of the
same paper. Both saw the same budget from the same start, and they are never the same setting: a claim that has one
network on both sides is about the loss, and without a run by the loss it is held against there is nothing to judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hpe_bench.declare import Claim, Paper, Recipe, fingerprint
from hpe_bench.plan import derived
from hpe_bench.records import query
from hpe_bench.records.query import ScoringCondition, Training
from hpe_bench.records.schema import RunRecord
from hpe_bench.verdicts import evidence
from hpe_bench.verdicts.evidence import Records
from hpe_bench.verdicts.pairs import loss_pair, only_loss_differs


class Setting(NamedTuple):
    """What runs share that differ in their seed alone; `weights` names a release and is empty for a training."""

    training: Training
    weights: str


Side = dict[int, RunRecord]
"""The runs of one setting by seed."""


@dataclass(frozen=True)
class Sides:
    """Two settings under one condition, and what to call them."""

    where: ScoringCondition
    subject: Side
    control: Side
    label: str


def setting(record: RunRecord) -> Setting:
    """What an accuracy record is of, whatever its seed."""
    release = record.release
    return Setting(query.training(record), "" if release is None else f"{release.sha256} {release.colours}")


def full_sides(claim: Claim, paper: Paper, records: Records) -> list[Sides]:
    """The pairs of settings that a claim can be judged by, under every condition in which both sides were run.

    Where no two saw the same budget, the newest of each side stand for them: they are not comparable.
    """
    slug, _, name = claim.baseline.partition("/")
    asked = query.of(records)
    ours = [r for r in asked.full_runs(paper.slug, claim.variant) if _meant(r, claim, paper)]
    theirs = [r for r in asked.full_runs(slug, name) if _meant(r, claim, paper)]
    found = []
    for where in query.of(ours).conditions():
        pairs = list(_pairs(claim, paper, _settings(ours, where), _settings(theirs, where)))
        equal = [pair for pair in pairs if not evidence.unequal_budgets(*pair)]
        shown = equal or [max(pairs, key=lambda pair: [query.age(_newest(side)) for side in pair])] if pairs else []
        found += [Sides(where, a, b, _label(claim, a, b, several=len(shown) > 1)) for a, b in shown]
    return found


def _meant(record: RunRecord, claim: Claim, paper: Paper) -> bool:
    """Whether a claim can be about a run: of the network as it is declared, a release that speaks for the claim, or a
    training by a recipe that it can mean.
    """
    declared = evidence.declared_variant(paper, record.identity.paper, record.identity.variant)
    if declared is not None and record.identity.variant_hash != fingerprint(declared):
        return False
    if record.release is not None:
        return claim.is_of_release(record.release.checkpoint, record.release.trained_by)
    if record.identity.paper != paper.slug:
        return True  # its own paper's recipes are not known here
    recipe = _recipe(record, paper)
    return recipe is not None and claim.recipe in ("", recipe.name)


def _recipe(record: RunRecord, paper: Paper) -> Recipe | None:
    """The declared recipe that a training of the paper went by, shortened or not; None if it declares none such."""
    i = record.identity
    for recipe in paper.recipes:
        shorter = (fingerprint(d) for d in derived(recipe, i.samples_seen))
        if i.recipe_hash == fingerprint(recipe) or i.recipe_hash in shorter:
            return recipe
    return None


def _settings(runs: list[RunRecord], where: ScoringCondition) -> list[Side]:
    grouped: dict[Setting, list[RunRecord]] = {}
    for r in query.oldest_first(runs):
        if query.condition(r) == where:
            grouped.setdefault(setting(r), []).append(r)
    return [query.by_seed(own) for _, own in sorted(grouped.items())]


def _pairs(claim: Claim, paper: Paper, ours: list[Side], theirs: list[Side]) -> Iterator[tuple[Side, Side]]:
    same_network = claim.baseline == f"{paper.slug}/{claim.variant}"
    for a in ours:
        for b in theirs:
            one, other = _newest(a), _newest(b)
            if setting(one) == setting(other) or (one.release is None) != (other.release is None):
                continue
            if not same_network or _by_the_losses(paper, one, other):
                yield a, b


def _by_the_losses(paper: Paper, subject: RunRecord, control: RunRecord) -> bool:
    """Whether two trainings of one network differ in the loss alone, as the arms do that ask the same in miniature."""
    asked, ours, theirs = loss_pair(paper), _recipe(subject, paper), _recipe(control, paper)
    if asked is None or ours is None or theirs is None or not only_loss_differs(ours, theirs):
        return False
    return (ours.loss, theirs.loss) == (asked.subject.recipe.loss, asked.control.recipe.loss)


def _newest(side: Side) -> RunRecord:
    return max(side.values(), key=query.age)


def _label(claim: Claim, subject: Side, control: Side, several: bool) -> str:
    """What the sides are called; with their recipes where the networks do not tell the pairs apart."""
    names = (claim.variant, claim.baseline)
    if not several and claim.baseline.partition("/")[2] != claim.variant:
        return " against ".join(names)
    how = (_newest(side) for side in (subject, control))
    told = (r.release.file if r.release else r.identity.recipe for r in how)
    return " against ".join(f"{name} ({by})" for name, by in zip(names, told, strict=True))
