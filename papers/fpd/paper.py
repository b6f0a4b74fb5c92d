"""Fast Human Pose Estimation (FPD, Fast Pose Distillation). Zhang, Zhu, Ye; CVPR 2019; arXiv 1811.05419.

Claimed: an hourglass of half the stacks and half the features, taught by the full one, keeps its accuracy (91.1 against
90.9 PCKh@0.5 on the MPII test set) at 3 million parameters and 9 GFLOPs.
Measured here: parameters and MACs of teacher and both readings of the student, latency, and in miniature what shrinking
costs and what a teacher gives back at an equal budget: from scratch, after plain training, on unlabelled images.
Expected: the student clearly behind; in the authors' release distillation from scratch is worse than none.
Cost: the headline is 6 trainings of 40 000 crops of 128x96 (31 and 6 MMAC a crop); minutes each on two CPU cores.

    make reproduce PAPER=fpd
"""

from __future__ import annotations

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.declare import (
    Ablation,
    Arm,
    Augmentation,
    Optimiser,
    Paper,
    Recipe,
    Schedule,
    Stage,
    Trained,
    Unreachable,
    Variant,
    in_stages,
    replace,
)
from hpe_bench.training.losses import HeatmapMSE

from ..hourglass import paper as hourglass
from ..simple_baseline.paper import MPII_TRAIN_PERSONS, POCKET_BUDGETS, pocket_mse
from . import model
from .loss import DistillationMSE

SLUG = "fpd"

# ------------------------------------------------------------------------------------------------------ variants

STUDENT = Variant("s4_f128_256x256", model.student, (256, 256), joints=16, note="Newell's stem, as Figure 1 draws it")
STUDENT_PORT = replace(
    STUDENT, name="s4_f128_port_256x256", builder=model.student_port, note="the released code: the stem scales, too"
)
TEACHER = replace(STUDENT, name="s8_f256_256x256", builder=model.teacher, note="the teacher with Newell's stem")
TEACHER_PORT = replace(
    STUDENT, name="s8_f256_port_256x256", builder=model.teacher_port, note="the teacher of the released code"
)
POCKET = Variant("pocket", model.pocket_student, (128, 96), scale="pocket", reading="ours")
POCKET_NARROW = replace(POCKET, name="pocket_narrow", builder=model.pocket_narrow)

# ------------------------------------------------------------------------------------------------------- recipes


def mpii_256x256() -> Recipe:
    """The released code, for the teacher and for the student on ground truth alone."""
    return Recipe(
        name="mpii_256x256",
        loss=HeatmapMSE(),
        codec=Gaussian(sigma_px=2.0, centre="rounded", decoder="quarter"),
        samples=140 * MPII_TRAIN_PERSONS,
        batch=4,
        optimiser=Optimiser(kind="adam", lr=2.5e-4),
        schedule=Schedule(kind="step", milestones=(90 / 140, 120 / 140), gamma=0.1),
        augmentation=Augmentation(flip_p=0.5, scale=0.25, rotation_deg=30.0, rotation_p=0.6),
        note="the number of training persons is a recollection; images are fed as BGR there",
    )


def mpii_256x256_distilled() -> Recipe:
    """The released code's best student: trained on ground truth, then as long again with its teacher (F5)."""
    plain = mpii_256x256()
    teacher = Trained(SLUG, TEACHER_PORT, plain)
    return in_stages(
        replace(plain, samples=2 * plain.samples), "mpii_256x256_distilled", plain_then_taught(), teacher=teacher
    )


def plain_then_taught() -> tuple[Stage, ...]:
    """Half of the budget on ground truth, half of it with the teacher; the schedule starts anew in between."""
    return (Stage("plain", 0.5, HeatmapMSE()), Stage("taught", 0.5, DistillationMSE()))


def taught(alpha: float = 0.5) -> tuple[Stage, ...]:
    """The whole budget with the teacher."""
    return (Stage("taught", 1.0, DistillationMSE(alpha)),)


PLAIN = pocket_mse()
PLAIN_LONG = replace(PLAIN, name="pocket_mse_80k", samples=2 * PLAIN.samples)
POCKET_TEACHER = Trained(hourglass.SLUG, hourglass.POCKET, PLAIN)
DISTILLED = in_stages(PLAIN, "pocket_distilled", taught(), teacher=POCKET_TEACHER)
DISTILLED_LONG = in_stages(PLAIN_LONG, "pocket_distilled_80k", taught(), teacher=POCKET_TEACHER)
WARM = in_stages(PLAIN_LONG, "pocket_distilled_warm", plain_then_taught(), teacher=POCKET_TEACHER)
TWICE = in_stages(
    PLAIN_LONG, "pocket_mse_twice", (Stage("plain", 0.5, HeatmapMSE()), Stage("again", 0.5, HeatmapMSE()))
)
HALF = in_stages(PLAIN, "pocket_mse_half", (Stage("plain", 1.0, HeatmapMSE()),), withheld=0.5)
UNLABELLED = in_stages(PLAIN, "pocket_unlabelled", taught(), teacher=replace(POCKET_TEACHER, recipe=HALF), withheld=0.5)


# ------------------------------------------------------------------------------------------------------- studies

FULL_SIZE = Arm("teacher", hourglass.SLUG, hourglass.POCKET, PLAIN, "2 stacks of 32 features: the teacher")
HALF_STACKS = Arm("half_stacks", hourglass.SLUG, hourglass.POCKET_S1, PLAIN, "1 stack of 32 features")
HALF_FEATURES = Arm("half_features", SLUG, POCKET_NARROW, PLAIN, "2 stacks of 16 features")
HALF_BOTH = Arm("student", SLUG, POCKET, PLAIN, "1 stack of 16 features: the student, plain")
TAUGHT = Arm("distilled", SLUG, POCKET, DISTILLED, "the student, distilled from scratch")
OTHER_ALPHA = tuple(
    Arm(
        f"alpha_{alpha}",
        SLUG,
        POCKET,
        in_stages(PLAIN, f"pocket_distilled_{alpha}", taught(alpha), teacher=POCKET_TEACHER),
        f"the teacher at a weight of {alpha}",
    )
    for alpha in (0.25, 0.75, 1.0)
)

paper = Paper(
    slug=SLUG,
    title="Fast Human Pose Estimation",
    authors="Feng Zhang, Xiatian Zhu, Mao Ye",
    venue="CVPR",
    year=2019,
    url="https://arxiv.org/abs/1811.05419",
    bibtex="""@inproceedings{zhang2019fast,
  title = {Fast Human Pose Estimation},
  author = {Zhang, Feng and Zhu, Xiatian and Ye, Mao},
  booktitle = {Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2019}
}""",
    summary="Halve an hourglass twice, in stacks and in features, and let the full one teach it: its heatmaps are a "
    "second target beside the ground truth.",
    reading="Beyond its introduction the paper was not available; networks, loss and recipe follow its Figure 1 and "
    "the authors' PyTorch release. The two differ in the student's stem, so both students are declared.",
    variants=(STUDENT, STUDENT_PORT, TEACHER, TEACHER_PORT, POCKET, POCKET_NARROW),
    recipes=(
        *(mpii_256x256(), mpii_256x256_distilled()),
        *(DISTILLED, DISTILLED_LONG, WARM, PLAIN_LONG, TWICE, HALF, UNLABELLED),
        *(arm.recipe for arm in OTHER_ALPHA),
    ),
    timed=("s4_f128_256x256",),
    unreachable=(
        Unreachable(
            "mpii-test-multiscale",
            "Its annotations are not public, and the paper tests at six scales, which this version does not.",
            "mpii-val is the public split.",
        ),
        Unreachable(
            "mpii-val-multiscale", "The paper tests at six scales, which this version does not.", "mpii-val: one scale."
        ),
        Unreachable(
            "lsp-mpii-trained",
            "Whether the figure is person- or observer-centric is not said by our source.",
            "lsp-pc-mpii-trained and lsp-oc score either way.",
        ),
    ),
    known_as="FPD",
    called=(
        ("s4_f128", "FPD student"),
        ("s4_f128_port", "FPD student (released code)"),
        ("s8_f256", "FPD teacher"),
        ("s8_f256_port", "FPD teacher (released code)"),
    ),
    headline=Ablation(
        name="headline",
        question="Does a teacher make the student better at an equal budget, and how far from the teacher is it?",
        arms=(TAUGHT, HALF_BOTH, FULL_SIZE),
        control="student",
        first_seeds=2,
    ),
    ablations=(
        Ablation(
            name="warm_start",
            question="Is distillation after plain training better than training on for as long?",
            arms=(
                Arm("warm", SLUG, POCKET, WARM, "half plain, then half distilled"),
                Arm("twice", SLUG, POCKET, TWICE, "half plain, then half plain again"),
                Arm("distilled_long", SLUG, POCKET, DISTILLED_LONG, "distilled from scratch"),
                Arm("plain_long", SLUG, POCKET, PLAIN_LONG, "plain, one schedule"),
            ),
            control="twice",
        ),
        Ablation(
            name="alpha",
            question="How much should the teacher's word weigh?",
            arms=(HALF_BOTH, TAUGHT, *OTHER_ALPHA),
            control="student",
        ),
        Ablation(
            name="unlabelled",
            question="Half of the labels withheld, from the teacher too: do images without labels help the student?",
            arms=(
                Arm("unlabelled", SLUG, POCKET, UNLABELLED, "taught on all images, half without labels"),
                Arm("half", SLUG, POCKET, HALF, "plain, on the labelled half"),
                replace(HALF_BOTH, name="all_labels", label="plain, with all labels"),
            ),
            control="half",
        ),
        Ablation(
            name="stacks_and_features",
            question="Which half costs more accuracy, that of the stacks or that of the features?",
            arms=(FULL_SIZE, HALF_STACKS, HALF_FEATURES, HALF_BOTH),
            control="teacher",
        ),
        Ablation(
            name="budget",
            question="At which training budgets does a teacher, trained as long, make the student better?",
            arms=(TAUGHT, HALF_BOTH, FULL_SIZE),
            control="student",
            budgets=POCKET_BUDGETS,
        ),
    ),
)
