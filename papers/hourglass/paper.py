"""Stacked Hourglass Networks for Human Pose Estimation. Newell, Yang, Deng; ECCV 2016; arXiv 1603.06937.

Claimed: repeated bottom-up, top-down inference with intermediate supervision, 90.9 PCKh@0.5 on the MPII test set; at
equal capacity, more and shallower stacks are better.
Measured here: parameters and MACs for both stems in use, latency, and in miniature what Figure 8 asks: do two stacks
beat one of equal capacity, and how much of that is intermediate supervision?
Expected: stacking helps modestly, and most with supervision in between; at the miniature's size it may not show.
Cost: the headline is 6 trainings of 40 000 crops of 128x96 (28 to 31 MMAC a crop); minutes each on two CPU cores.

    make reproduce PAPER=hourglass
"""

from __future__ import annotations

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.codecs.princeton import Princeton
from hpe_bench.declare import (
    Ablation,
    Arm,
    Augmentation,
    Optimiser,
    Paper,
    Recipe,
    Schedule,
    Unreachable,
    Variant,
    replace,
)
from hpe_bench.metrics.pckh import PCKh
from hpe_bench.protocols import MPII_VAL
from hpe_bench.training.losses import HeatmapMSE

from ..simple_baseline.paper import POCKET_BUDGETS, pocket_mse
from . import model
from .codec import Newell
from .loss import FinalOnly, NewellMSE

SLUG = "hourglass"

# ------------------------------------------------------------------------------------------------------ variants

NEWELL = tuple(
    Variant(f"{name}_256x256", builder, (256, 256), joints=16)
    for name, builder in (("s1", model.s1), ("s2", model.s2), ("s4", model.s4), ("s8", model.s8))
)
EQUAL_CAPACITY = tuple(
    Variant(f"{name}_256x256", builder, (256, 256), joints=16, note="as s8_256x256, fewer stacks of more residuals")
    for name, builder in (("s4_b2", model.s4_b2), ("s2_b4", model.s2_b4), ("s1_b8", model.s1_b8))
)
COCO = tuple(
    Variant(f"{name}_256x192", builder, (256, 192), note="as others run it on COCO; their stem is not stated")
    for name, builder in (("s1_port", model.s1_port), ("s2_port", model.s2_port), ("s8_port", model.s8_port))
)
PORT = tuple(
    Variant(f"{name}_256x256", builder, (256, 256), joints=16, note="the common PyTorch port; its stem is wider")
    for name, builder in (
        ("s1_port", model.s1_port),
        ("s2_port", model.s2_port),
        ("s4_port", model.s4_port),
        ("s8_port", model.s8_port),
    )
)
POCKET = Variant("pocket", model.pocket, (128, 96), scale="pocket", reading="ours")
POCKET_S1_B2 = replace(POCKET, name="pocket_s1_b2", builder=model.pocket_s1_b2)
POCKET_S1 = replace(POCKET, name="pocket_s1", builder=model.pocket_s1)

# ------------------------------------------------------------------------------------------------------- recipes


def mpii_256x256() -> Recipe:
    """The authors' Torch code: RMSprop, 100 epochs of 8000 batches of 6."""
    return Recipe(
        name="mpii_256x256",
        loss=NewellMSE(),
        codec=Newell(),
        samples=100 * 8000 * 6,
        batch=6,
        optimiser=Optimiser(kind="rmsprop", lr=2.5e-4),
        augmentation=Augmentation(flip_p=0.5, scale=0.25, rotation_deg=30.0, rotation_p=0.4, colour=0.4),
        note="not expressed: a few more epochs at 5e-5, whose number is not stated; the scale factor is 2^clip(0.25 N, "
        "0.5) there; images in [0, 1] without mean subtraction. The FAQ of the "
        "PyTorch release gives a batch of 8",
    )


def mpii_256x256_pytorch() -> Recipe:
    """The authors' group's PyTorch release: Adam, 200 000 batches of 16, a fifth of the rate from the middle on."""
    return replace(
        mpii_256x256(),
        name="mpii_256x256_pytorch",
        codec=Gaussian(sigma_px=1.0, centre="rounded", decoder="quarter"),
        samples=200_000 * 16,
        batch=16,
        optimiser=Optimiser(kind="adam", lr=1e-3),
        schedule=Schedule(kind="step", milestones=(0.5,), gamma=0.2),
        augmentation=Augmentation(flip_p=0.5, scale=0.25, rotation_deg=30.0, rotation_p=1.0),
        note="not expressed: the Gaussian is cut at 4 px, not 3; scale and rotation are uniform there, in 0.75 to 1.25 "
        "and +-30 degrees; jitter of hue, brightness and contrast; a decoder that always moves. The number of "
        "iterations is approximate",
    )


def pocket_final_only() -> Recipe:
    """The shared pocket budget without intermediate supervision."""
    return replace(pocket_mse(), name="pocket_final_only", loss=FinalOnly(HeatmapMSE()))


# ------------------------------------------------------------------------------------------------------- studies

TWO = Arm("two_stacks", SLUG, POCKET, pocket_mse(), "2 stacks, intermediate supervision")
TWO_FINAL = Arm("two_stacks_final_only", SLUG, POCKET, pocket_final_only(), "2 stacks, the last supervised")
ONE = Arm("one_stack", SLUG, POCKET_S1_B2, pocket_mse(), "1 stack of equal capacity")
ONE_SMALL = Arm("one_stack_half", SLUG, POCKET_S1, pocket_mse(), "1 stack of half the capacity")

# ------------------------------------------------------------------------------------------------------ protocols

AS_NEWELL = replace(
    MPII_VAL,
    name="mpii-val-newell",
    codec=Newell(),
    note="Decoded as the authors' Torch code does, but for its cutting of results to whole image pixels.",
)
SIXTEEN = replace(
    MPII_VAL,
    name="mpii-val-16joints",
    codec=Princeton(),
    metrics=(PCKh(0.5, excluded=()),),
    note="The hourglass group's own PyTorch code: its mean is over all 16 joints, pelvis and thorax included (F13).",
)
PYTORCH_POSE = replace(
    AS_NEWELL,
    name="mpii-val-pytorch-pose",
    metrics=(PCKh(0.5, comparator="<"),),
    note="The common PyTorch port: distances strictly below the threshold (F12). It sums the mirrored pass instead of "
    "averaging, which moves no maximum.",
)

paper = Paper(
    slug=SLUG,
    title="Stacked Hourglass Networks for Human Pose Estimation",
    authors="Alejandro Newell, Kaiyu Yang, Jia Deng",
    venue="ECCV",
    year=2016,
    url="https://arxiv.org/abs/1603.06937",
    bibtex="""@inproceedings{newell2016stacked,
  title = {Stacked Hourglass Networks for Human Pose Estimation},
  author = {Newell, Alejandro and Yang, Kaiyu and Deng, Jia},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year = {2016}
}""",
    summary="Pool down to 4x4 and come back up, with a skip at every size; do it again on the result, and supervise "
    "the heatmaps of every round.",
    reading="Architecture, targets and decoding follow the authors' released Torch code; section 3.3 of the paper "
    "(training) was not available. The stem of the common PyTorch port is declared beside Newell's.",
    variants=(*NEWELL, *EQUAL_CAPACITY, *COCO, *PORT, POCKET, POCKET_S1_B2, POCKET_S1),
    recipes=(mpii_256x256(), mpii_256x256_pytorch(), pocket_final_only()),
    codec_called="Newell, Torch",
    timed=("s8_256x256",),
    protocols=(AS_NEWELL, SIXTEEN, PYTORCH_POSE),
    unreachable=(
        Unreachable(
            "coco-minival-det55",
            "CPN's authors trained and tested this one; their detections (person AP 55.3) are not public.",
            "coco-val2017-det56 has the same images with public detections.",
        ),
    ),
    known_as="Hourglass",
    called=(
        ("s1", "Hourglass-1"),
        ("s2", "Hourglass-2"),
        ("s4", "Hourglass-4"),
        ("s8", "Hourglass-8"),
        ("s4_b2", "Hourglass-4, 2 residuals"),
        ("s2_b4", "Hourglass-2, 4 residuals"),
        ("s1_b8", "Hourglass-1, 8 residuals"),
        ("s1_port", "Hourglass-1 (port)"),
        ("s2_port", "Hourglass-2 (port)"),
        ("s4_port", "Hourglass-4 (port)"),
        ("s8_port", "Hourglass-8 (port)"),
    ),
    headline=Ablation(
        name="headline",
        question="Do two stacks with supervision in between beat one of equal capacity?",
        arms=(TWO, ONE),
        control="one_stack",
    ),
    ablations=(
        Ablation(
            name="supervision",
            question="What does supervision in between add, and what is a second stack without it?",
            arms=(TWO, TWO_FINAL, ONE),
            control="two_stacks_final_only",
        ),
        Ablation(
            name="stacking_or_capacity",
            question="Of what a second stack gains, how much would a first one of twice the residuals gain as well?",
            arms=(ONE, TWO, ONE_SMALL),
            control="one_stack_half",
        ),
        Ablation(
            name="budget",
            question="At which training budgets do two stacks beat one of equal capacity?",
            arms=(TWO, ONE),
            control="one_stack",
            budgets=POCKET_BUDGETS,
        ),
    ),
)
