"""Simple and Lightweight Human Pose Estimation (LPN). Zhang, Tang, Wu; 2019; arXiv 1911.10346.

Claimed: SimpleBaseline out of depthwise bottlenecks, global context and grouped deconvolutions keeps its accuracy at a
fraction of its cost: 69.1 AP on COCO val2017 with LPN-50 at 256x192, with 2.9 M parameters and 1.0 GFLOPs.
Measured here: parameters and MACs of every printed row (the abstract's 2.7 M are LPN-50 without context blocks),
latency, and in miniature what light blocks lose at a quarter of SimpleBaseline's MACs and gain at equal ones, what the
context blocks add, and whether a training that starts its schedule anew is better than one as long.
Cost: the headline is 10 trainings of 40 000 crops of 128x96 (10 MMAC a crop, one arm 44); minutes each on two cores.

    make reproduce PAPER=lpn
"""

from __future__ import annotations

from hpe_bench.declare import (
    Ablation,
    Arm,
    Augmentation,
    Curriculum,
    Optimiser,
    Paper,
    Recipe,
    Schedule,
    Stage,
    Variant,
    in_stages,
    replace,
)
from hpe_bench.protocols import COCO_DET, MPII_VAL
from hpe_bench.training.losses import HeatmapMSE

from ..simple_baseline import paper as simple_baseline
from . import model
from .codec import BetaSoftArgmax

SLUG = "lpn"

# ------------------------------------------------------------------------------------------------------ variants

PUBLISHED = (("lpn50", 256, 192), ("lpn101", 256, 192), ("lpn152", 256, 192), ("lpn50", 256, 256))
FULL = tuple(
    Variant(
        f"{name}_{height}x{width}",
        builder,
        (height, width),
        joints,
        reading="published" if (name, height, width) in PUBLISHED else "ours",
        note=""
        if (name, height, width) in PUBLISHED
        else "the released network at a size that the authors do not give",
    )
    for name, builder in (("lpn50", model.lpn50), ("lpn101", model.lpn101), ("lpn152", model.lpn152))
    for height, width, joints in ((256, 192, 17), (384, 288, 17), (256, 256, 16))
)
CONTEXT = (
    Variant(
        "lpn50_no_context_256x192",
        model.lpn50_no_context,
        (256, 192),
        reading="ours",
        note="built by the released code; its parameters are those that the abstract prints",
    ),
    Variant("lpn50_se_256x192", model.lpn50_se, (256, 192), reading="ours", note="built by the released code"),
)
POCKET = Variant("pocket", model.pocket, (128, 96), scale="pocket", reading="ours")
POCKET_NO_CONTEXT = replace(POCKET, name="pocket_no_context", builder=model.pocket_no_context)
POCKET_SE = replace(POCKET, name="pocket_se", builder=model.pocket_se)
POCKET_PLAIN = replace(POCKET, name="pocket_plain", builder=model.pocket_plain, note="SimpleBaseline of LPN's MACs")

# ------------------------------------------------------------------------------------------------------- recipes


def coco_256x192() -> Recipe:
    """The released configuration. Its weight decay of 1e-4 never reaches Adam, so none is declared (F4)."""
    return Recipe(
        name="coco_256x192",
        loss=HeatmapMSE(),
        codec=BetaSoftArgmax(sigma_px=2.0),
        samples=150 * simple_baseline.COCO_TRAIN_PERSONS,
        batch=32,
        optimiser=Optimiser(kind="adam", lr=1e-3),
        schedule=Schedule(kind="step", milestones=(90 / 150, 120 / 150), gamma=0.1),
        augmentation=Augmentation(flip_p=0.5, scale=0.3, rotation_deg=40.0, rotation_p=0.6),
        note="one round of the iterative training, without pretraining; images are fed as BGR there",
    )


def mpii_256x256() -> Recipe:
    return replace(
        coco_256x192(),
        name="mpii_256x256",
        samples=150 * simple_baseline.MPII_TRAIN_PERSONS,
        augmentation=Augmentation(scale=0.25, rotation_deg=30.0),
        note="one round of the iterative training; the number of training persons is a recollection; check it against "
        "the annotation file",
    )


def rounds(count: int) -> tuple[Stage, ...]:
    """The iterative training: every round starts optimiser and schedule anew from the weights of the one before."""
    return tuple(Stage(f"round_{k}", 1 / count, HeatmapMSE()) for k in range(1, count + 1))


ROUNDS = 3


def iterative(recipe: Recipe) -> Curriculum:
    """A recipe gone through `ROUNDS` times; how often the authors do is not known, so the number is ours."""
    longer = replace(recipe, samples=ROUNDS * recipe.samples, reading="ours")
    return in_stages(longer, f"{recipe.name}_iterative", rounds(ROUNDS))


MSE = simple_baseline.pocket_mse()
TWICE = in_stages(MSE, "pocket_iterative_2", rounds(2))
FOUR_TIMES = in_stages(MSE, "pocket_iterative_4", rounds(4))

# ------------------------------------------------------------------------------------------------------- studies

LIGHT = Arm("light", SLUG, POCKET, MSE, "LPN: light blocks with global context")
ITERATIVE = Arm("iterative", SLUG, POCKET, TWICE, "LPN, two rounds of half the length")
NO_CONTEXT = Arm("no_context", SLUG, POCKET_NO_CONTEXT, MSE, "LPN without context blocks")
PLAIN = Arm("plain", SLUG, POCKET_PLAIN, MSE, "SimpleBaseline, narrowed to equal MACs")
SIMPLE = Arm(
    "simple_baseline", simple_baseline.SLUG, simple_baseline.POCKET, MSE, "SimpleBaseline, four times the MACs"
)

# ------------------------------------------------------------------------------------------------------ protocols

DET56 = replace(
    COCO_DET,
    name="coco-val2017-det56-lpn",
    codec=BetaSoftArgmax(),
    note="As coco-val2017-det56, decoded as the authors' evaluation does: a soft argmax, then the quarter step.",
)
MPII = replace(
    MPII_VAL,
    name="mpii-val-lpn",
    codec=BetaSoftArgmax(),
    note="As mpii-val, decoded as the authors' evaluation does, but for the image pixel by which it moves its results.",
)

paper = Paper(
    slug=SLUG,
    title="Simple and Lightweight Human Pose Estimation",
    authors="Zhe Zhang, Jie Tang, Gangshan Wu",
    venue="arXiv",
    year=2019,
    url="https://arxiv.org/abs/1911.10346",
    bibtex="""@article{zhang2019simple,
  title = {Simple and Lightweight Human Pose Estimation},
  author = {Zhang, Zhe and Tang, Jie and Wu, Gangshan},
  journal = {arXiv preprint arXiv:1911.10346},
  year = {2019}
}""",
    summary="SimpleBaseline made light: bottlenecks of depthwise convolutions with a global-context block each, no "
    "stage at stride 32, two grouped deconvolutions; trained over and over from the previous round's weights.",
    reading="Networks, configuration and decoding follow the authors' released code. Of the iterative training only "
    "the abstract's word for it is known, so the number of rounds is ours; the paper's ablation tables were not "
    "available.",
    variants=(*FULL, *CONTEXT, POCKET, POCKET_NO_CONTEXT, POCKET_SE, POCKET_PLAIN),
    recipes=(
        *(coco_256x192(), iterative(coco_256x192()), mpii_256x256(), iterative(mpii_256x256())),
        *(TWICE, FOUR_TIMES),
    ),
    timed=("lpn50_256x192",),
    protocols=(DET56, MPII),
    known_as="LPN",
    called=(
        ("lpn50", "LPN-50"),
        ("lpn101", "LPN-101"),
        ("lpn152", "LPN-152"),
        ("lpn50_no_context", "LPN-50 without GC blocks"),
        ("lpn50_se", "LPN-50 with SE blocks"),
    ),
    headline=Ablation(
        name="headline",
        question="What do light blocks lose at a quarter of SimpleBaseline's multiply-adds, what do they gain at equal "
        "ones, and what do context blocks and a second round of training add?",
        arms=(LIGHT, ITERATIVE, NO_CONTEXT, PLAIN, SIMPLE),
        control="simple_baseline",
        first_seeds=2,
    ),
    ablations=(
        Ablation(
            name="context",
            question="Which context block is worth its parameters: global context, squeeze and excitation, or none?",
            arms=(LIGHT, Arm("se", SLUG, POCKET_SE, MSE, "LPN with squeeze-and-excitation"), NO_CONTEXT),
            control="no_context",
        ),
        Ablation(
            name="rounds",
            question="One long schedule, or several short ones one after another?",
            arms=(LIGHT, ITERATIVE, Arm("iterative_4", SLUG, POCKET, FOUR_TIMES, "LPN, four rounds of a quarter each")),
            control="light",
        ),
    ),
)
