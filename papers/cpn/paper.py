"""Cascaded Pyramid Network for Multi-Person Pose Estimation. Chen, Wang, Peng, Zhang, Yu, Sun; CVPR 2018; 1711.07319.

Claimed: a feature pyramid (GlobalNet) settles the easy joints; a second net on all its levels (RefineNet), trained on
each person's hardest joints only (OHKM), the rest: 66.6, 68.6 and 69.4 AP on COCO minival with ResNet-50 at 256x192.
Measured here: parameters and MACs of both published layouts, latency, and in miniature what OHKM and RefineNet add. The
printed 27.0 M and the cost differences of Tables 4 and 5 should hold; the printed 6.20 G should not (see README.md).
Cost: the headline is 4 trainings of 40 000 crops of 128x96 (53 MMAC a crop); minutes each on two CPU cores.

    make reproduce PAPER=cpn
"""

from __future__ import annotations

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.declare import (
    Ablation,
    Arm,
    Augmentation,
    Loss,
    Optimiser,
    Paper,
    Recipe,
    Schedule,
    Unreachable,
    Variant,
    replace,
)
from hpe_bench.protocols import COCO_GTBOX, Rescoring

from ..simple_baseline import paper as simple_baseline
from . import model
from .codec import BlurredCell
from .loss import GlobalAndRefine, GlobalL2

SLUG = "cpn"

# ------------------------------------------------------------------------------------------------------ variants

FULL = tuple(
    Variant(f"{name}_{height}x{width}", builder, (height, width))
    for name, builder in (
        ("r50", model.r50),
        ("r101", model.r101),
        ("r50_projection", model.r50_projection),
        ("r101_projection", model.r101_projection),
    )
    for height, width in ((256, 192), (384, 288))
)
TABLES_3_TO_5 = tuple(
    Variant(f"{name}_256x192", builder, (256, 192), note=note)
    for name, builder, note in (
        ("r50_global_only", model.r50_global_only, "Tables 3 and 4: GlobalNet only"),
        ("r50_concat", model.r50_concat, "Table 4: RefineNet without bottlenecks on the levels"),
        ("r50_one_each", model.r50_one_each, "Table 4: one bottleneck on every level"),
        ("r50_c2", model.r50_c2, "Table 5: RefineNet on C2"),
        ("r50_c2_c3", model.r50_c2_c3, "Table 5: RefineNet on C2 and C3"),
        ("r50_c2_c4", model.r50_c2_c4, "Table 5: RefineNet on C2 to C4"),
    )
)
POCKET = Variant("pocket", model.pocket, (128, 96), scale="pocket", reading="ours")
POCKET_GLOBAL = replace(POCKET, name="pocket_global_only", builder=model.pocket_global_only)

# ------------------------------------------------------------------------------------------------------- recipes

EPOCH = 60_000  # samples; the author's code counts its schedule in these


def coco_256x192() -> Recipe:
    """The first author's code: Adam, halved every 60 epochs of 60 000 samples, tested at epoch 350."""
    return Recipe(
        name="coco_256x192",
        loss=GlobalAndRefine(level_codecs=levels(15, 11, 9, 7)),
        codec=BlurredCell(7),
        samples=350 * EPOCH,
        batch=32,
        optimiser=Optimiser(kind="adam", lr=5e-4, weight_decay=1e-5),
        schedule=Schedule(kind="step", milestones=tuple(60 * k / 350 for k in range(1, 6)), gamma=0.5),
        augmentation=Augmentation(flip_p=0.25, scale=0.3, rotation_deg=22.5, rotation_p=0.5),
        init="imagenet",
        reading="ours",
        note="loss, optimiser, schedule and targets as published; the code makes four samples of a person (scaled, "
        "flipped, twice rotated within 45 degrees), which our augmentation only imitates; 32 is the batch of one GPU",
    )


def coco_384x288() -> Recipe:
    loss = GlobalAndRefine(level_codecs=levels(23, 17, 13, 9))
    return replace(coco_256x192(), name="coco_384x288", loss=loss, codec=BlurredCell(9), batch=24)


def levels(*kernels_px: int) -> tuple[BlurredCell, ...]:
    """GlobalNet's targets from C5 to C2: wide kernels on coarse levels, the order the paper intended."""
    return tuple(BlurredCell(kernel) for kernel in kernels_px)


def pocket(name: str, loss: Loss) -> Recipe:
    """The shared pocket budget with another loss."""
    return replace(simple_baseline.pocket_mse(), name=name, loss=loss)


# Gaussians in the published proportions: sigmas of 15, 11, 9 and 7 taps, the narrowest scaled to 1.
POCKET_LEVELS = tuple(Gaussian(sigma_px=sigma, centre="exact") for sigma in (1.9, 1.4, 1.2, 1.0))
POCKET_PEAK = 16.0
"""Gives a target of sigma 1 on 32x24 the standard deviation 1, with which the closing BN starts. From a peak of 1 (or
255) the BN's scale alone would take Adam half of the pocket budget (or all of it)."""


def mined(hard_joints: int) -> GlobalAndRefine:
    """GlobalNet L2 and RefineNet on the `hard_joints` hardest of 17; 17 is plain L2."""
    return GlobalAndRefine(level_codecs=POCKET_LEVELS, hard_joints=hard_joints, peak=POCKET_PEAK)


OHKM_8 = pocket("pocket_ohkm", mined(8))
L2 = pocket("pocket_l2", mined(17))
GLOBAL_L2 = pocket("pocket_global_l2", GlobalL2(level_codecs=POCKET_LEVELS, peak=POCKET_PEAK))
REFINE_L2 = pocket("pocket_refine_l2", replace(mined(17), global_weight=0.0))
REFINE_OHKM = pocket("pocket_refine_ohkm", replace(mined(8), global_weight=0.0))

# ------------------------------------------------------------------------------------------------------- studies

CPN_OHKM = Arm("cpn_ohkm", SLUG, POCKET, OHKM_8, "CPN, 8 hardest of 17 joints")
CPN_L2 = Arm("cpn_l2", SLUG, POCKET, L2, "CPN, plain L2")
GLOBAL_ONLY = Arm("global_only", SLUG, POCKET_GLOBAL, GLOBAL_L2, "GlobalNet only")
OTHER_M = tuple(
    Arm(f"m{m}", SLUG, POCKET, pocket(f"pocket_ohkm_m{m}", mined(m)), f"{m} hardest joints") for m in (6, 10, 12, 14)
)

# ------------------------------------------------------------------------------------------------------ protocols

GTBOX = replace(
    COCO_GTBOX,
    name="coco-val2017-gtbox-cpn",
    codec=BlurredCell(9),  # its decoder is one for all kernels
    rescoring=Rescoring(visible_over=0.0, nms_oks=1.0),
    note="Decoded and ranked as both of CPN's codes do: towards the second maximum, all confidences, no suppression.",
)
OWN_BOXES = "It rests on detections of the authors' own detector, of which no public file is known to us."
INSTEAD = "coco-val2017-det56 has the same images with public detections; coco-val2017-gtbox-cpn decodes as CPN does."
SERVER = (
    "Its annotations are not public, and neither are the authors' detections: only the benchmark's server scores it."
)
UNREACHABLE = (
    *(
        Unreachable(f"coco-minival2014-{boxes}", OWN_BOXES, INSTEAD)
        for boxes in (
            *("det", "det55", "det-ensemble_1", "det-ensemble_2", "det-fpn_1", "det-fpn_3"),
            *(f"det-nms_{threshold}" for threshold in ("0.3", "0.4", "0.5", "0.6")),
        )
    ),
    Unreachable("coco-val2017-det", "Which detections these rows rest on is not said.", INSTEAD),
    Unreachable("coco-val2017-unknown-boxes", "Which boxes this figure rests on is not said.", INSTEAD),
    *(Unreachable(f"coco-test-dev2017-{boxes}", SERVER, INSTEAD) for boxes in ("det", "det57", "det63")),
    Unreachable("coco-test-challenge2017-det", SERVER, INSTEAD),
)

paper = Paper(
    slug=SLUG,
    title="Cascaded Pyramid Network for Multi-Person Pose Estimation",
    authors="Yilun Chen, Zhicheng Wang, Yuxiang Peng, Zhiqiang Zhang, Gang Yu, Jian Sun",
    venue="CVPR",
    year=2018,
    url="https://arxiv.org/abs/1711.07319",
    bibtex="""@inproceedings{chen2018cascaded,
  title = {Cascaded Pyramid Network for Multi-Person Pose Estimation},
  author = {Chen, Yilun and Wang, Zhicheng and Peng, Yuxiang and Zhang, Zhiqiang and Yu, Gang and Sun, Jian},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2018}
}""",
    summary="A feature pyramid predicts every joint at four levels; a second net joins all levels and is trained on "
    "the joints that are hardest for each person.",
    reading="Layers follow the first author's code (identity shortcuts) and the common PyTorch port (projection "
    "shortcuts); the paper's own cost figures fit neither. Where they differ for training we follow the author's code.",
    variants=(*FULL, *TABLES_3_TO_5, POCKET, POCKET_GLOBAL),
    recipes=(coco_256x192(), coco_384x288(), OHKM_8, L2, GLOBAL_L2, REFINE_L2, REFINE_OHKM),
    codec_called="CPN, blurred cell",
    timed=("r50_256x192",),
    protocols=(GTBOX,),
    unreachable=UNREACHABLE,
    known_as="CPN",
    called=(
        ("r50", "CPN-R50"),
        ("r101", "CPN-R101"),
        ("r50_projection", "CPN-R50, projected shortcuts"),
        ("r101_projection", "CPN-R101, projected shortcuts"),
        ("r50_global_only", "CPN-R50, GlobalNet alone"),
        ("r50_concat", "CPN-R50, concatenation alone"),
        ("r50_one_each", "CPN-R50, one bottleneck a level"),
        ("r50_c2", "CPN-R50, refined on C2"),
        ("r50_c2_c3", "CPN-R50, refined on C2 and C3"),
        ("r50_c2_c4", "CPN-R50, refined on C2 to C4"),
    ),
    headline=Ablation(
        name="headline",
        question="Does training RefineNet on the hardest joints only beat plain L2?",
        arms=(CPN_OHKM, CPN_L2),
        control="cpn_l2",
        first_seeds=2,
    ),
    ablations=(
        Ablation(
            name="refine_net",
            question="What does RefineNet add to GlobalNet, without and with the mining?",
            arms=(CPN_L2, CPN_OHKM, GLOBAL_ONLY),
            control="global_only",
        ),
        Ablation(
            name="hard_joints",
            question="How many joints should be mined?",
            arms=(CPN_L2, *OTHER_M, CPN_OHKM),
            control="cpn_l2",
        ),
        Ablation(
            name="supervision",
            question="Is GlobalNet's own loss needed?",
            arms=(
                CPN_OHKM,
                CPN_L2,
                Arm("refine_l2", SLUG, POCKET, REFINE_L2, "L2 on RefineNet alone"),
                Arm("refine_ohkm", SLUG, POCKET, REFINE_OHKM, "OHKM on RefineNet alone"),
            ),
            control="cpn_l2",
        ),
        Ablation(
            name="budget",
            question="At which training budgets does training on the hardest joints beat plain L2?",
            arms=(CPN_OHKM, CPN_L2),
            control="cpn_l2",
            budgets=simple_baseline.POCKET_BUDGETS,
        ),
    ),
)
