"""Lite-HRNet: A Lightweight High-Resolution Network. Yu, Xiao, Gao, Yuan, Zhang, Sang, Wang; CVPR 2021; 2104.06403.

Claimed: where shuffle blocks have 1x1 convolutions, weights computed from all channels of all resolutions do as well at
a fraction of the cost: 64.8 AP on COCO val2017 with Lite-HRNet-18 at 256x192, with 1.1 M parameters and 205 MFLOPs.
Measured here: parameters and MACs of every printed row (the released networks need 8 to 21 % more than printed, because
they compute every path from the finest branch twice; torchstat's count of them is what is printed), latency, and in
miniature whether weighting beats shuffle blocks and HRNet's own at equal MACs, and which of the two weightings matters.
Cost: the headline is 9 trainings of 40 000 crops of 128x96 (19 MMAC a crop); some ten minutes each on two CPU cores.

    make reproduce PAPER=lite_hrnet
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
    SideBySide,
    Variant,
    replace,
)
from hpe_bench.training.losses import HeatmapMSE

from ..simple_baseline import paper as simple_baseline
from . import model

SLUG = "lite_hrnet"

# ------------------------------------------------------------------------------------------------------ variants

NETWORKS = (
    ("lite18", model.lite18),
    ("lite30", model.lite30),
    ("naive18", model.naive18),
    ("wider_naive18", model.wider_naive18),
)
FULL = tuple(
    Variant(f"{name}_{height}x{width}", builder, (height, width), joints)
    for name, builder in NETWORKS
    for height, width, joints in ((256, 192, 17), (384, 288, 17), (256, 256, 16))
)
ONCE = Variant(
    "lite18_once_256x192",
    model.lite18_once,
    (256, 192),
    reading="ours",
    note="the same maps from the same weights, without computing the paths from branch 0 twice",
)
POCKET = Variant("pocket", model.pocket, (128, 96), scale="pocket", reading="ours")
POCKET_SHUFFLE = replace(POCKET, name="pocket_shuffle", builder=model.pocket_shuffle)
POCKET_RESIDUAL = replace(POCKET, name="pocket_residual", builder=model.pocket_residual)
POCKET_WIDER = replace(POCKET, name="pocket_wider_shuffle", builder=model.pocket_wider_shuffle)
POCKET_ACROSS = replace(POCKET, name="pocket_across_only", builder=model.pocket_across_only)
POCKET_SPATIAL = replace(POCKET, name="pocket_spatial_only", builder=model.pocket_spatial_only)
POCKET_UNWEIGHTED = replace(POCKET, name="pocket_unweighted", builder=model.pocket_unweighted)

# ------------------------------------------------------------------------------------------------------- recipes

GPUS = 8  # that the authors' instructions train on
WARMUP_STEPS = 500


def warmed_up(samples: int, batch: int) -> Schedule:
    """The released schedule: 500 steps of linear warm-up, then x 0.1 at epochs 170 and 200 of 210."""
    return Schedule(kind="step", milestones=(170 / 210, 200 / 210), gamma=0.1, warmup=WARMUP_STEPS * batch / samples)


def coco_256x192() -> Recipe:
    """The released configuration; no pretraining."""
    samples, batch = 210 * simple_baseline.COCO_TRAIN_PERSONS, 64 * GPUS
    return Recipe(
        name="coco_256x192",
        loss=HeatmapMSE(),
        codec=Gaussian(sigma_px=2.0, centre="rounded", decoder="quarter"),
        samples=samples,
        batch=batch,
        optimiser=Optimiser(kind="adam", lr=2e-3),
        schedule=warmed_up(samples, batch),
        augmentation=Augmentation(flip_p=0.5, scale=0.25, rotation_deg=30.0, rotation_p=0.6, half_body_p=0.3),
        note="batch: 64 a GPU is in the configuration, 8 GPUs in the instructions; half bodies by HRNet's rule, which "
        "we take the release's to be",
    )


def coco_384x288() -> Recipe:
    base, batch = coco_256x192(), 32 * GPUS
    return replace(
        base,
        name="coco_384x288",
        codec=Gaussian(sigma_px=3.0, centre="rounded", decoder="quarter"),
        batch=batch,
        schedule=warmed_up(base.samples, batch),
    )


def mpii_256x256() -> Recipe:
    base, samples, batch = coco_256x192(), 210 * simple_baseline.MPII_TRAIN_PERSONS, 32 * GPUS
    return replace(
        base,
        name="mpii_256x256",
        augmentation=replace(base.augmentation, half_body_p=0.0),
        samples=samples,
        batch=batch,
        schedule=warmed_up(samples, batch),
        note="batch: 32 a GPU is in the configuration; the number of training persons is a recollection; check it "
        "against the annotation file",
    )


MSE = simple_baseline.pocket_mse()

# ------------------------------------------------------------------------------------------------------- studies

WEIGHTING = Arm("weighting", SLUG, POCKET, MSE, "conditional channel weighting")
SHUFFLE = Arm("shuffle", SLUG, POCKET_SHUFFLE, MSE, "shuffle units, narrowed to equal MACs")
RESIDUAL = Arm("residual", SLUG, POCKET_RESIDUAL, MSE, "HRNet's residual blocks, narrowed to equal MACs")
WIDER = Arm("wider_shuffle", SLUG, POCKET_WIDER, MSE, "shuffle units of equal width, 44 % more MACs")
ACROSS = Arm("across_only", SLUG, POCKET_ACROSS, MSE, "weights across resolutions alone")
SPATIAL = Arm("spatial_only", SLUG, POCKET_SPATIAL, MSE, "weights from each branch's own means alone")
UNWEIGHTED = Arm("unweighted", SLUG, POCKET_UNWEIGHTED, MSE, "depthwise convolutions alone")

paper = Paper(
    slug=SLUG,
    title="Lite-HRNet: A Lightweight High-Resolution Network",
    authors="Changqian Yu, Bin Xiao, Changxin Gao, Lu Yuan, Lei Zhang, Nong Sang, Jingdong Wang",
    venue="CVPR",
    year=2021,
    url="https://arxiv.org/abs/2104.06403",
    bibtex="""@inproceedings{yu2021lite,
  title = {Lite-HRNet: A Lightweight High-Resolution Network},
  author = {Yu, Changqian and Xiao, Bin and Gao, Changxin and Yuan, Lu and Zhang, Lei and Sang, Nong and
    Wang, Jingdong},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2021}
}""",
    summary="HRNet's four parallel branches out of shuffle blocks whose 1x1 convolutions are replaced by channel "
    "weights, computed from all branches together and from each one's means.",
    reading="Networks, recipes and decoding follow the authors' released code, whose outputs ours give. The paper's "
    "own ablation of the two weightings was not available; the study of it is ours.",
    variants=(
        *FULL,
        ONCE,
        *(POCKET, POCKET_SHUFFLE, POCKET_RESIDUAL, POCKET_WIDER),
        *(POCKET_ACROSS, POCKET_SPATIAL, POCKET_UNWEIGHTED),
    ),
    recipes=(coco_256x192(), coco_384x288(), mpii_256x256()),
    timed=("lite18_256x192",),
    side_by_side=SideBySide(
        address="small-networks",
        title="Small networks together",
        question="Lite-HRNet-18 needs a quarter of LPN-50's MACs. Is it four times as fast, and what does each "
        "small network give up in accuracy?",
        networks=(
            "simple_baseline/r50_256x192",
            "fasterpose/d_r50_256x192",
            *(f"lpn/{name}_256x192" for name in ("lpn50", "lpn101", "lpn152")),
            *(f"{SLUG}/{name}_256x192" for name in ("lite18", "lite30", "naive18", "wider_naive18")),
            "fpd/s4_f128_256x256",
        ),
    ),
    known_as="Lite-HRNet",
    called=(
        ("lite18", "Lite-HRNet-18"),
        ("lite30", "Lite-HRNet-30"),
        ("naive18", "Naive Lite-HRNet-18"),
        ("wider_naive18", "Wider Naive Lite-HRNet-18"),
        ("lite18_once", "Lite-HRNet-18, computed once"),
    ),
    headline=Ablation(
        name="headline",
        question="At equal multiply-adds, do weights computed across resolutions beat the 1x1 convolutions of shuffle "
        "units, and either of them HRNet's residual blocks?",
        arms=(WEIGHTING, SHUFFLE, RESIDUAL),
        control="shuffle",
    ),
    ablations=(
        Ablation(
            name="weightings",
            question="Which of the two weightings matters?",
            arms=(WEIGHTING, ACROSS, SPATIAL, UNWEIGHTED),
            control="unweighted",
        ),
        Ablation(
            name="equal_width",
            question="What do weights lose against the 1x1 convolutions that they replace, at equal width?",
            arms=(WEIGHTING, WIDER),
            control="wider_shuffle",
        ),
    ),
)
