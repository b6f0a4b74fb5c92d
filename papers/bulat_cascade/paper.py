"""Human Pose Estimation via Convolutional Part Heatmap Regression. Bulat, Tzimiropoulos; ECCV 2016; arXiv 1609.01743.

Claimed: a detector's part maps guide a regressor, which reasons about what the detector cannot see; 89.7 PCKh@0.5 on
the MPII test set, 90.7 PCK@0.2 on LSP.
Measured here: the size of the released cascade (75.7 million parameters, 33.5 GMAC), and in miniature whether
detection followed by regression beats detection alone, also at equal cost, and regression alone.
Expected: the cascade ahead of either half; how much of it is capacity is what the detector of equal cost tells.
Cost: the headline is 6 trainings of 40 000 crops of 128x96 (53 and 28 MMAC a crop); minutes each on two CPU cores.

    make reproduce PAPER=bulat_cascade
"""

from __future__ import annotations

from hpe_bench.codecs.disc import Disc
from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.declare import (
    Ablation,
    Arm,
    Augmentation,
    Codec,
    Loss,
    Optimiser,
    Paper,
    Recipe,
    Schedule,
    Stage,
    Sweep,
    Variant,
    in_stages,
    replace,
)
from hpe_bench.protocols import OCCLUSION

from ..simple_baseline.paper import MPII_TRAIN_PERSONS, POCKET_BUDGETS, pocket_mse
from . import model, vgg
from .loss import CascadeLoss, DetectionPart, DiscCrossEntropy, RegressionPart

SLUG = "bulat_cascade"

# ------------------------------------------------------------------------------------------------------ variants

R152 = Variant(
    "r152_256x256",
    model.cascade_r152,
    (256, 256),
    joints=16,
    stride=1,
    reading="ours",
    note="the released layout; the regressor's last 1x1 convolution and enlargement are inferred",
)
DETECTOR_R152 = replace(R152, name="detector_r152_256x256", builder=model.detector_r152, note="the released detector")
REGRESSION = replace(R152, name="regression_256x256", builder=model.regression_only, note="the regressor on RGB alone")
VGG = replace(
    R152,
    name="vgg_256x256",
    builder=vgg.cascade_vgg,
    reading="recollection",
    note="the paper's first cascade, from memory and a reading note; nothing is held against it",
)
POCKET = Variant("pocket", model.pocket_cascade, (128, 96), scale="pocket", reading="ours")
POCKET_DETECTOR = replace(POCKET, name="pocket_detector", builder=model.pocket_detector)
POCKET_WIDE = replace(POCKET, name="pocket_detector_wide", builder=model.pocket_detector_wide)
POCKET_REGRESSION = replace(POCKET, name="pocket_regression", builder=model.pocket_regression_only)

# ------------------------------------------------------------------------------------------------------- recipes

POCKET_DISC = Disc(radius_px=1.25, flip_shift_px=1)  # the paper's 10 px of a 200 px person, for one of 25 px


def in_turn(detection: DiscCrossEntropy) -> tuple[Stage, ...]:
    """Detector, then regressor on its frozen maps, then both: 20, 20 and 10 epochs are a recollection (VGG cascade).

    The lower learning rate of the last stage is ours.
    """
    return (
        Stage("detector", 0.4, DetectionPart(detection), trains=("detector",)),
        Stage("regressor", 0.4, RegressionPart(), trains=("regressor",)),
        Stage("both", 0.2, CascadeLoss(detection), lr_factor=0.25),
    )


def mpii_256x256() -> Recipe:
    """Discs of 10 px and Gaussians of 5 px are the paper's; the rest is ours."""
    detection = DiscCrossEntropy(Disc(radius_px=10.0))
    joint = Recipe(
        name="mpii_256x256",
        loss=CascadeLoss(detection),
        codec=Gaussian(sigma_px=5.0, centre="exact", decoder="argmax", flip_shift_px=0),
        samples=50 * MPII_TRAIN_PERSONS,
        batch=16,
        optimiser=Optimiser(kind="rmsprop", lr=2.5e-4),
        schedule=Schedule(kind="step", milestones=(0.6, 0.9), gamma=0.1),
        augmentation=Augmentation(flip_p=0.5, scale=0.25, rotation_deg=30.0, rotation_p=0.6),
        init="imagenet",
        reading="ours",
        note="optimiser, batch and budget of the paper are unknown",
    )
    return in_stages(joint, joint.name, in_turn(detection))


def pocket(name: str, loss: Loss, codec: Codec) -> Recipe:
    """The shared pocket budget with another loss."""
    return replace(pocket_mse(), name=name, loss=loss, codec=codec)


UNSURE, SURE = DiscCrossEntropy(POCKET_DISC, occluded="absent"), DiscCrossEntropy(POCKET_DISC, occluded="drawn")
CASCADE_JOINT = pocket("pocket_joint", CascadeLoss(UNSURE), pocket_mse().codec)
CASCADE_UNSURE = in_stages(CASCADE_JOINT, "pocket_in_turn", in_turn(UNSURE))
CASCADE_SURE = in_stages(CASCADE_JOINT, "pocket_in_turn_drawn", in_turn(SURE))
DISC_UNSURE = pocket("pocket_disc", UNSURE, POCKET_DISC)
DISC_SURE = pocket("pocket_disc_drawn", SURE, POCKET_DISC)
MSE = pocket_mse()

# ------------------------------------------------------------------------------------------------------- studies

CASCADE = Arm("cascade", SLUG, POCKET, CASCADE_UNSURE, "detector, then regressor")
DETECTOR = Arm("detector", SLUG, POCKET_DETECTOR, DISC_SURE, "detector alone, occluded joints drawn")

paper = Paper(
    slug=SLUG,
    title="Human Pose Estimation via Convolutional Part Heatmap Regression",
    authors="Adrian Bulat, Georgios Tzimiropoulos",
    venue="ECCV",
    year=2016,
    url="https://arxiv.org/abs/1609.01743",
    bibtex="""@inproceedings{bulat2016human,
  title = {Human Pose Estimation via Convolutional Part Heatmap Regression},
  author = {Bulat, Adrian and Tzimiropoulos, Georgios},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year = {2016}
}""",
    summary="Two networks in a row: one detects parts pixel by pixel, and is unsure where they are hidden; the other "
    "sees image and part maps and regresses a heatmap for every joint, hidden or not.",
    reading="The text beyond the abstract was not available to us. The model is the released ResNet-152 cascade as "
    "third parties load it; losses and targets come from a reading note; optimiser, budget and the masking of "
    "occluded joints are ours. The VGG cascade is a recollection.",
    variants=(R152, DETECTOR_R152, REGRESSION, VGG, POCKET, POCKET_DETECTOR, POCKET_WIDE, POCKET_REGRESSION),
    recipes=(mpii_256x256(), CASCADE_UNSURE, CASCADE_JOINT, CASCADE_SURE, DISC_UNSURE, DISC_SURE, MSE),
    timed=("r152_256x256",),
    known_as="Bulat & Tzimiropoulos",
    called=(
        ("r152", "Bulat & Tzimiropoulos-R152"),
        ("detector_r152", "Bulat & Tzimiropoulos-R152, detector alone"),
        ("regression", "Bulat & Tzimiropoulos, regressor alone"),
        ("vgg", "Bulat & Tzimiropoulos-VGG"),
    ),
    headline=Ablation(
        name="headline",
        question="Does a regressor on the part maps beat the detector alone?",
        arms=(CASCADE, DETECTOR),
        control="detector",
    ),
    ablations=(
        Ablation(
            name="halves",
            question="What do detection and regression contribute, and is the cascade more than its size?",
            arms=(
                CASCADE,
                DETECTOR,
                Arm("detector_wide", SLUG, POCKET_WIDE, DISC_SURE, "detector as dear as the cascade"),
                Arm("detector_unsure", SLUG, POCKET_DETECTOR, DISC_UNSURE, "detector alone, occluded joints absent"),
                Arm("regression", SLUG, POCKET_REGRESSION, MSE, "regressor alone, on the image"),
            ),
            control="cascade",
        ),
        Ablation(
            name="in_turn",
            question="Is it better to train the halves in turn and then both, or both from the start?",
            arms=(CASCADE, Arm("joint", SLUG, POCKET, CASCADE_JOINT, "both from the start")),
            control="joint",
        ),
        Ablation(
            name="occluded",
            question="Does it help that the detector is not asked for occluded joints?",
            arms=(CASCADE, Arm("cascade_drawn", SLUG, POCKET, CASCADE_SURE, "occluded joints drawn for the detector")),
            control="cascade_drawn",
        ),
        Ablation(
            name="budget",
            question="At which training budgets does the cascade beat its detector, and if the detectors see as much?",
            arms=(CASCADE, DETECTOR),
            control="detector",
            budgets=replace(POCKET_BUDGETS, part="detector"),
        ),
    ),
    sweeps=(
        Sweep(
            name="occlusion",
            question="Does the regressor find hidden joints that its detector does not?",
            dial="occlusion",
            values=OCCLUSION,
            arms=(CASCADE, DETECTOR),
            control="detector",
        ),
    ),
)
