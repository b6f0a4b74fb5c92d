"""Fast Human Pose Estimation (FPD, Fast Pose Distillation). Zhang, Zhu, Ye; CVPR 2019; arXiv 1811.05419.

Claimed: an hourglass of half the stacks and half the features, taught by the full one, keeps its accuracy (91.1 against
90.9 PCKh@0.5 on the MPII test set) at 3 million parameters and 9 GFLOPs.
Measured here: parameters and MACs of teacher and both readings of the student, latency, and in miniature what shrinking
costs without a teacher: the gap that distillation is to close. The distillation itself needs a training with a teacher;
its loss is in loss.py and no study uses it yet.
Expected: the student clearly behind; whether stacks or features cost more is open.
Cost: the headline is 6 trainings of 40 000 crops of 128x96 (31 and 6 MMAC a crop); minutes each on two CPU cores.

    make reproduce PAPER=fpd
"""

from __future__ import annotations

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.declare import Ablation, Arm, Augmentation, Optimiser, Paper, Recipe, Schedule, Variant, replace
from hpe_bench.training.losses import HeatmapMSE

from ..hourglass import paper as hourglass
from ..simple_baseline.paper import MPII_TRAIN_PERSONS, pocket_mse
from . import model

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
        note="the number of training persons is a recollection; images are fed as BGR there; the distilled student "
        "starts from the plain one and sees as many samples again (F5)",
    )


# ------------------------------------------------------------------------------------------------------- studies

FULL_SIZE = Arm("teacher", hourglass.SLUG, hourglass.POCKET, pocket_mse(), "2 stacks of 32 features: the teacher")
HALF_STACKS = Arm("half_stacks", hourglass.SLUG, hourglass.POCKET_S1, pocket_mse(), "1 stack of 32 features")
HALF_FEATURES = Arm("half_features", SLUG, POCKET_NARROW, pocket_mse(), "2 stacks of 16 features")
HALF_BOTH = Arm("student", SLUG, POCKET, pocket_mse(), "1 stack of 16 features: the student")

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
    recipes=(mpii_256x256(),),
    headline=Ablation(
        name="headline",
        question="What does a student of half the stacks and half the features lose without its teacher?",
        arms=(HALF_BOTH, FULL_SIZE),
        control="teacher",
    ),
    ablations=(
        Ablation(
            name="stacks_and_features",
            question="Which half costs more accuracy, that of the stacks or that of the features?",
            arms=(FULL_SIZE, HALF_STACKS, HALF_FEATURES, HALF_BOTH),
            control="teacher",
        ),
    ),
)
