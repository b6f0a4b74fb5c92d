"""FasterPose: A Faster Simple Baseline for Human Pose Estimation. Dai et al.; TOMM 2022; arXiv 2107.03215.

Claimed (abstract): -58 % FLOPs and +1.3 % accuracy against the previously dominant network, from low-resolution
features and a regressive cross-entropy (RCE) loss that converges faster. Only the abstract is public: head and loss are
our reading.
Expected here: -58 % under the counter of the first author's other code base but about -26 % in true MACs, since that
counter charges a transposed convolution four times; whether the accuracy holds is what the pocket study asks.
Cost: the headline is 6 trainings of 40 000 crops of 128x96 (44 and 33 MMAC a crop); minutes each on two CPU cores.

    make reproduce PAPER=fasterpose
"""

from __future__ import annotations

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.declare import Ablation, Arm, LatencyQuestion, Loss, Paper, Recipe, Variant, replace

from ..simple_baseline import paper as simple_baseline
from . import model
from .loss import BinaryBCE, RegressiveCrossEntropyA, RegressiveCrossEntropyB, SigmoidMSE

SLUG = "fasterpose"

# ------------------------------------------------------------------------------------------------------ variants

FULL = tuple(
    Variant(f"d_{depth}_{height}x{width}", builder, (height, width), joints, reading="ours")
    for depth, builder in (("r50", model.d_r50), ("r101", model.d_r101), ("r152", model.d_r152))
    for height, width, joints in ((256, 192, 17), (384, 288, 17), (256, 256, 16))
)
HEADS = tuple(
    Variant(f"{head}_r50_256x192", builder, (256, 192), reading="ours")
    for head, builder in (("a", model.a_r50), ("b", model.b_r50), ("i", model.i_r50), ("k", model.k_r50))
)
# From low to high resolution. The ends go by their own names: lr0 is d_r50_256x192, lr3 simple_baseline's r50_256x192.
LR_AXIS = (
    Variant("lr1_r50_256x192", model.lr1_r50, (256, 192), reading="ours"),
    Variant("lr2_r50_256x192", model.lr2_r50, (256, 192), reading="ours"),
)
POCKET = Variant("pocket", model.d_pocket, (128, 96), scale="pocket", reading="ours")
POCKET_A = replace(POCKET, name="pocket_a", builder=model.a_pocket)
POCKET_B = replace(POCKET, name="pocket_b", builder=model.b_pocket)
POCKET_I = replace(POCKET, name="pocket_i", builder=model.i_pocket)
POCKET_K = replace(POCKET, name="pocket_k", builder=model.k_pocket)
POCKET_LR1 = replace(POCKET, name="pocket_lr1", builder=model.lr1_pocket)
POCKET_LR2 = replace(POCKET, name="pocket_lr2", builder=model.lr2_pocket)

# ------------------------------------------------------------------------------------------------------- recipes


def coco_256x192() -> Recipe:
    """The baseline's recipe with our loss and an unbiased codec: DarkPose's ResNet-50 configuration, our proposal."""
    return replace(
        simple_baseline.coco_256x192(),
        loss=RegressiveCrossEntropyA(),
        codec=Gaussian(sigma_px=2.0, centre="exact", decoder="dark"),
        reading="ours",
        note="the authors' schedule, augmentation and decoder are unknown",
    )


def coco_384x288() -> Recipe:
    return replace(coco_256x192(), name="coco_384x288", codec=Gaussian(sigma_px=3.0, centre="exact", decoder="dark"))


def mpii_256x256() -> Recipe:
    like = simple_baseline.mpii_256x256()
    return replace(coco_256x192(), name=like.name, samples=like.samples, augmentation=like.augmentation, note=like.note)


def pocket(name: str, loss: Loss) -> Recipe:
    """The shared pocket budget with another loss."""
    return replace(simple_baseline.pocket_mse(), name=name, loss=loss)


MSE = simple_baseline.pocket_mse()
RCE_A = pocket("pocket_rce_a", RegressiveCrossEntropyA())
RCE_B = pocket("pocket_rce_b", RegressiveCrossEntropyB())
SIGMOID_MSE = pocket("pocket_sigmoid_mse", SigmoidMSE())
BINARY_BCE = pocket("pocket_binary_bce", BinaryBCE())

# ------------------------------------------------------------------------------------------------------- studies

SB = simple_baseline.SLUG
SB_MSE = Arm("sb_mse", SB, simple_baseline.POCKET, MSE, "SimpleBaseline, squared error")
SB_RCE_A = Arm("sb_rce_a", SB, simple_baseline.POCKET, RCE_A, "SimpleBaseline, RCE-a")
FP_RCE_A = Arm("fp_rce_a", SLUG, POCKET, RCE_A, "FasterPose, our reading (head D, RCE-a)")
FP_MSE = Arm("fp_mse", SLUG, POCKET, MSE, "FasterPose, squared error")
FP_RCE_B = Arm("fp_rce_b", SLUG, POCKET, RCE_B, "FasterPose, RCE-b")
FP_SIGMOID_MSE = Arm("fp_sigmoid_mse", SLUG, POCKET, SIGMOID_MSE, "FasterPose, squared error after a sigmoid")
FP_BINARY_BCE = Arm("fp_binary_bce", SLUG, POCKET, BINARY_BCE, "FasterPose, binary cross-entropy")
OTHER_HEADS = (
    Arm("fp_a_rce_a", SLUG, POCKET_A, RCE_A, "head A, RCE-a"),
    Arm("fp_b_rce_a", SLUG, POCKET_B, RCE_A, "head B, RCE-a"),
    Arm("fp_i_rce_a", SLUG, POCKET_I, RCE_A, "head I, RCE-a"),
    Arm("fp_k_rce_a", SLUG, POCKET_K, RCE_A, "head K, RCE-a"),
)

paper = Paper(
    slug=SLUG,
    title="FasterPose: A Faster Simple Baseline for Human Pose Estimation",
    authors="Hanbin Dai, Hailin Shi, Wu Liu, Linfang Wang, Yinglu Liu, Tao Mei",
    venue="ACM TOMM",
    year=2022,
    url="https://arxiv.org/abs/2107.03215",
    bibtex="""@article{dai2022fasterpose,
  title = {FasterPose: A Faster Simple Baseline for Human Pose Estimation},
  author = {Dai, Hanbin and Shi, Hailin and Liu, Wu and Wang, Linfang and Liu, Yinglu and Mei, Tao},
  journal = {ACM Transactions on Multimedia Computing, Communications, and Applications},
  year = {2022},
  doi = {10.1145/3503464}
}""",
    summary="High-resolution features cost much and gain little: predict heatmaps from a ResNet's stride-32 features "
    "and train them with a cross-entropy that is defined for continuous targets.",
    reading="Our reading of the abstract; no architecture, loss equation or table of the paper was available. "
    "ResNet-50 at stride 32 without deconvolutions is what fits the printed saving; the head (D) and the loss "
    "(RCE-a) are the plainest choices that satisfy the abstract, and their alternatives are ablated.",
    variants=(
        *FULL,
        *HEADS,
        *LR_AXIS,
        *(POCKET, POCKET_A, POCKET_B, POCKET_I, POCKET_K),
        *(POCKET_LR1, POCKET_LR2),
    ),
    recipes=(
        coco_256x192(),
        coco_384x288(),
        mpii_256x256(),
        RCE_A,
        RCE_B,
        SIGMOID_MSE,
        BINARY_BCE,
        simple_baseline.on_one_gpu(coco_256x192()),
    ),
    timed=("d_r50_256x192",),
    timed_against=("simple_baseline/r50_256x192", "hrnet/w32_256x192"),
    latency_question=LatencyQuestion(
        address="without-a-gpu",
        title="FasterPose without a GPU",
        question="FasterPose is claimed to need far fewer FLOPs than what came before. What is left of that on a "
        "processor, in every runtime we have?",
        claim="flops-change",
    ),
    known_as="FasterPose",
    called=(
        ("d_r50", "FasterPose-R50"),
        ("d_r101", "FasterPose-R101"),
        ("d_r152", "FasterPose-R152"),
        ("a_r50", "FasterPose-R50, head A"),
        ("b_r50", "FasterPose-R50, head B"),
        ("i_r50", "FasterPose-R50, head I"),
        ("k_r50", "FasterPose-R50, head K"),
        ("lr1_r50", "FasterPose-R50, one deconvolution"),
        ("lr2_r50", "FasterPose-R50, two deconvolutions"),
    ),
    headline=Ablation(
        name="headline",
        question="Do low-resolution features with RCE reach the accuracy of SimpleBaseline at a lower cost?",
        arms=(SB_MSE, FP_RCE_A),
        control="sb_mse",
    ),
    ablations=(
        Ablation(
            name="losses",
            question="What do the loss and the low resolution contribute, each by itself?",
            arms=(SB_MSE, SB_RCE_A, FP_MSE, FP_RCE_A, FP_RCE_B, FP_SIGMOID_MSE, FP_BINARY_BCE),
            control="sb_mse",
        ),
        Ablation(
            name="deconvolutions",
            question="What does each step towards high resolution gain, the loss and the output grid being equal?",
            arms=(
                replace(FP_RCE_A, name="lr0", label="no deconvolution (head D)"),
                Arm("lr1", SLUG, POCKET_LR1, RCE_A, "1 deconvolution, PixelShuffle(4)"),
                Arm("lr2", SLUG, POCKET_LR2, RCE_A, "2 deconvolutions, PixelShuffle(2)"),
                replace(SB_RCE_A, name="lr3", label="3 deconvolutions (SimpleBaseline)"),
            ),
            control="lr3",
        ),
        Ablation(
            name="heads",
            question="Does the choice of head, which the abstract leaves open, matter?",
            arms=(FP_RCE_A, *OTHER_HEADS),
            control="fp_rce_a",
        ),
        Ablation(
            name="budget",
            question="At which training budgets does SimpleBaseline stay ahead, and does RCE reach an accuracy with "
            "fewer samples than the squared error?",
            arms=(SB_MSE, FP_RCE_A, FP_MSE),
            control="sb_mse",
            budgets=replace(simple_baseline.POCKET_BUDGETS, further=(320_000,), of=("sb_mse", "fp_rce_a")),
        ),
    ),
)
