"""Deep High-Resolution Representation Learning for Human Pose Estimation. Sun, Xiao, Liu, Wang; CVPR 2019; 1902.09212.

Claimed: keeping a high-resolution branch beside lower ones and exchanging features between them again and again beats
recovering the resolution at the end: 74.4 AP on COCO val2017 with W32 at 256x192, 4.0 more than SimpleBaseline.
Measured here: parameters and MACs of every printed row (all should hold but Table 1's 7.10 G, which counts 7.12),
latency, and in miniature whether repeated exchange between resolutions beats none (study: and a single one).
Cost: the headline is 4 trainings of 40 000 crops of 128x96 (53 to 60 MMAC a crop); minutes each on two CPU cores.

    make reproduce PAPER=hrnet
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
    Unreachable,
    Variant,
    replace,
)
from hpe_bench.training.losses import HeatmapMSE

from ..simple_baseline import paper as simple_baseline
from . import model

SLUG = "hrnet"

# ------------------------------------------------------------------------------------------------------ variants

FULL = tuple(
    Variant(f"{width}_{height}x{columns}", builder, (height, columns), joints)
    for width, builder in (("w32", model.w32), ("w48", model.w48))
    for height, columns, joints in ((128, 96, 17), (256, 192, 17), (384, 288, 17), (256, 256, 16))
)
EXCHANGE = (
    Variant("w32_final_only_256x192", model.w32_final_only, (256, 192), note="Table 6: 1 fusion"),
    Variant("w32_across_stages_256x192", model.w32_across_stages, (256, 192), note="Table 6: 3 fusions"),
    Variant("branch0_only_256x192", model.branch0_only, (256, 192), reading="ours", note="no fusion, about W32's cost"),
)
RESOLUTION = tuple(
    Variant(name, builder, (256, 192), stride=stride, reading="ours", note="Figure 5; a network of its own each")
    for name, builder, stride in (
        ("w32_2x_256x192", model.w32_2x, 8),
        ("w32_4x_256x192", model.w32_4x, 16),
        ("w32_8x_256x192", model.w32_8x, 32),
        ("w48_2x_256x192", model.w48_2x, 8),
        ("w48_4x_256x192", model.w48_4x, 16),
    )
)
POCKET = Variant("pocket", model.pocket, (128, 96), scale="pocket", reading="ours")
POCKET_FINAL = replace(POCKET, name="pocket_final_only", builder=model.pocket_final_only)
POCKET_ACROSS = replace(POCKET, name="pocket_across_stages", builder=model.pocket_across_stages)
POCKET_BRANCH0 = replace(POCKET, name="pocket_branch0_only", builder=model.pocket_branch0_only)
POCKET_2X = replace(POCKET, name="pocket_2x", builder=model.pocket_2x, stride=8)
POCKET_4X = replace(POCKET, name="pocket_4x", builder=model.pocket_4x, stride=16)

# ------------------------------------------------------------------------------------------------------- recipes


def coco_256x192() -> Recipe:
    """The released configuration. Its weight decay never reaches Adam, so none is declared (F4)."""
    return Recipe(
        name="coco_256x192",
        loss=HeatmapMSE(),
        codec=Gaussian(sigma_px=2.0, centre="rounded", decoder="quarter"),
        samples=210 * simple_baseline.COCO_TRAIN_PERSONS,
        batch=128,
        batch_per_device=32,
        optimiser=Optimiser(kind="adam", lr=1e-3),
        schedule=Schedule(kind="step", milestones=(170 / 210, 200 / 210), gamma=0.1),
        augmentation=Augmentation(flip_p=0.5, scale=0.35, rotation_deg=45.0, rotation_p=0.6, half_body_p=0.3),
        init="imagenet",
        note="four GPUs of 32; half bodies are read from stored crops, so they are less sharp than the released ones",
    )


def coco_256x192_scratch() -> Recipe:
    """Table 1's row without pretraining, and Table 6."""
    return replace(coco_256x192(), name="coco_256x192_scratch", init="random")


def coco_384x288() -> Recipe:
    return replace(
        coco_256x192(), name="coco_384x288", codec=Gaussian(sigma_px=3.0, centre="rounded", decoder="quarter")
    )


def coco_384x288_w48() -> Recipe:
    return replace(coco_384x288(), name="coco_384x288_w48", batch=96, batch_per_device=24)


def mpii_256x256() -> Recipe:
    return replace(
        coco_256x192(),
        name="mpii_256x256",
        samples=210 * simple_baseline.MPII_TRAIN_PERSONS,
        augmentation=Augmentation(scale=0.25, rotation_deg=30.0),
        note="augmentation as in the released configuration; the paper's text says as for COCO. The number of training "
        "persons is a recollection; check it against the annotation file",
    )


MSE = simple_baseline.pocket_mse()

# ------------------------------------------------------------------------------------------------------- studies

REPEATED = Arm("repeated", SLUG, POCKET, MSE, "every module fuses (4 fusions)")
FINAL = Arm("final_only", SLUG, POCKET_FINAL, MSE, "one fusion at the end")
ACROSS = Arm("across_stages", SLUG, POCKET_ACROSS, MSE, "one fusion a stage (3)")
NONE = Arm("none", SLUG, POCKET_BRANCH0, MSE, "high resolution alone, of equal MACs")
HALF = Arm("half", SLUG, POCKET_2X, MSE, "heatmaps from branch 1 (16x12)")
QUARTER = Arm("quarter", SLUG, POCKET_4X, MSE, "heatmaps from branch 2 (8x6)")
SIMPLE = Arm("simple_baseline", simple_baseline.SLUG, simple_baseline.POCKET, MSE, "SimpleBaseline")

paper = Paper(
    slug=SLUG,
    title="Deep High-Resolution Representation Learning for Human Pose Estimation",
    authors="Ke Sun, Bin Xiao, Dong Liu, Jingdong Wang",
    venue="CVPR",
    year=2019,
    url="https://arxiv.org/abs/1902.09212",
    bibtex="""@inproceedings{sun2019deep,
  title = {Deep High-Resolution Representation Learning for Human Pose Estimation},
  author = {Sun, Ke and Xiao, Bin and Liu, Dong and Wang, Jingdong},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2019}
}""",
    summary="Four branches of falling resolution run in parallel and exchange their features after every few blocks; "
    "heatmaps are read from the high-resolution branch, which is never left.",
    reading="Architecture, recipe and decoding follow the paper and the authors' released code. How the networks of "
    "Figure 5 (heatmaps from lower resolutions) were built and trained is our reading.",
    variants=(
        *FULL,
        *EXCHANGE,
        *RESOLUTION,
        *(POCKET, POCKET_FINAL, POCKET_ACROSS, POCKET_BRANCH0, POCKET_2X, POCKET_4X),
    ),
    recipes=(
        coco_256x192(),
        coco_256x192_scratch(),
        coco_384x288(),
        coco_384x288_w48(),
        mpii_256x256(),
        simple_baseline.on_one_gpu(coco_256x192()),
    ),
    timed=("w32_256x192",),
    known_as="HRNet",
    called=(
        ("w32", "HRNet-W32"),
        ("w48", "HRNet-W48"),
        ("w32_final_only", "HRNet-W32, one fusion"),
        ("w32_across_stages", "HRNet-W32, three fusions"),
        ("branch0_only", "HRNet, high resolution alone"),
        ("w32_2x", "HRNet-W32, half-size maps"),
        ("w32_4x", "HRNet-W32, quarter-size maps"),
        ("w32_8x", "HRNet-W32, eighth-size maps"),
        ("w48_2x", "HRNet-W48, half-size maps"),
        ("w48_4x", "HRNet-W48, quarter-size maps"),
    ),
    unreachable=tuple(
        Unreachable(name, "PoseTrack is given out on registration, and this version reads and scores no tracks.")
        for name in ("posetrack17-test", "posetrack18-val-gtbox", "posetrack18-val-cascade-rcnn")
    ),
    headline=Ablation(
        name="headline",
        question="Does exchanging features between resolutions again and again beat a single resolution of equal cost?",
        arms=(REPEATED, NONE),
        control="none",
        first_seeds=2,
    ),
    ablations=(
        Ablation(
            name="exchange",
            question="How often must the branches exchange features?",
            arms=(REPEATED, ACROSS, FINAL, NONE),
            control="final_only",
        ),
        Ablation(
            name="heatmap_resolution",
            question="What is lost when the heatmaps are read from a lower resolution?",
            arms=(REPEATED, HALF, QUARTER),
            control="repeated",
        ),
        Ablation(
            name="against_simple_baseline",
            question="Is a kept resolution better than a recovered one?",
            arms=(REPEATED, SIMPLE),
            control="simple_baseline",
        ),
        Ablation(
            name="budget",
            question="Is a kept resolution better than a recovered one at equal samples, at equal training "
            "multiply-adds and in equal training time?",
            arms=(REPEATED, SIMPLE),
            control="simple_baseline",
            budgets=simple_baseline.POCKET_BUDGETS,
        ),
    ),
)
