"""A paper of the tests: SimpleBaseline's pocket network, trained for a handful of batches."""

from __future__ import annotations

from hpe_bench.declare import Ablation, Arm, Paper, Variant, replace

from ..simple_baseline import paper as simple_baseline
from ..simple_baseline.model import pocket_two_deconvs

SLUG = "tiny"
VARIANT = Variant("tiny", pocket_two_deconvs, (64, 48), stride=8, scale="pocket", reading="ours")
SHORT = replace(simple_baseline.pocket_mse(), name="short", samples=320)
GENTLE = replace(SHORT, name="gentle", optimiser=replace(SHORT.optimiser, lr=1e-3))

paper = Paper(
    slug=SLUG,
    title="A Tiny Paper",
    authors="Nobody",
    venue="Nowhere",
    year=2026,
    url="https://example.org",
    bibtex="@misc{tiny}",
    summary="Learning rates differ.",
    reading="Ours.",
    variants=(VARIANT,),
    recipes=(SHORT, GENTLE),
    timed=("tiny",),
    headline=Ablation(
        name="headline",
        question="Is gentle better?",
        arms=(Arm("short", SLUG, VARIANT, SHORT), Arm("gentle", SLUG, VARIANT, GENTLE)),
        control="short",
        seeds=1,
    ),
)
