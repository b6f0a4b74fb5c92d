"""Which arms of a paper's studies stand for a relative claim in miniature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from hpe_bench.declare import Arm, Claim, Paper, Recipe, canonical, fingerprint


@dataclass(frozen=True)
class Pair:
    """The arm a claim speaks for and the arm it is held against."""

    subject: Arm
    control: Arm


def proposal(paper: Paper) -> Arm:
    """What the headline study tests against its control: its first other arm."""
    return next(arm for arm in paper.headline.arms if arm.name != paper.headline.control)


def control(paper: Paper) -> Arm:
    """The control arm of the headline study."""
    return next(arm for arm in paper.headline.arms if arm.name == paper.headline.control)


def pocket_pair(claim: Claim, paper: Paper) -> Pair | None:
    """The pair for a relative claim: arms with the very variants it names, else the headline's two.

    A claim with one variant on both sides is about the loss. The headline stands for a claim against another paper
    when its control comes from that paper. None where no study asks what the claim says.
    """
    slug, _, baseline = claim.baseline.partition("/")
    if claim.baseline == f"{paper.slug}/{claim.variant}":  # the same model on both sides: they differ in the loss
        return loss_pair(paper)
    for a, b in _couples(paper):
        if (a.paper, a.variant.name) == (paper.slug, claim.variant) and (b.paper, b.variant.name) == (slug, baseline):
            return Pair(a, b)
    first, against = proposal(paper), control(paper)
    if slug != paper.slug and against.paper == slug and first.paper == paper.slug:
        return Pair(first, against)
    return None


def loss_pair(paper: Paper) -> Pair | None:
    """The headline's proposal and an arm of the same model whose recipe differs in the loss alone.

    Of several such arms, one trained as the headline's control is comes first: its loss is the one claimed against.
    """
    first, against = proposal(paper), control(paper)
    found = [
        b
        for a, b in _couples(paper)
        if a == first and (a.paper, a.variant) == (b.paper, b.variant) and only_loss_differs(a.recipe, b.recipe)
    ]
    found.sort(key=lambda arm: arm.recipe != against.recipe)
    return Pair(first, found[0]) if found else None


def _couples(paper: Paper) -> Iterator[tuple[Arm, Arm]]:
    for study in paper.studies:
        trained = [(arm, _trained(arm)) for arm in study.arms]
        yield from ((a, b) for (a, own), (b, other) in product(trained, repeat=2) if own != other)


def _trained(arm: Arm) -> tuple[str, str, str]:
    """What an arm trains, whatever it is called: two arms of one training are no pair."""
    return arm.paper, fingerprint(arm.variant), fingerprint(arm.recipe)


def only_loss_differs(a: Recipe, b: Recipe) -> bool:
    """Whether two recipes are the same but for name and loss."""
    aligned = replace(b, name=a.name, loss=a.loss)
    return a.loss != b.loss and canonical(aligned) == canonical(a)
