"""Does Learning Specific Features for Related Parts Help Human Pose Estimation? Tang, Wu; CVPR 2019.

Claimed: sharing one representation for all joints harms; with features of their own for groups of related joints, found
from data, a network does better, most of all on occluded joints: 92.7 PCKh@0.5 on the MPII test set.
Measured here: in miniature whether branches for the groups that share information beat one shared branch of the same
cost, and whether the groups matter: found, by body structure, at random, overlapping, more and fewer of them.
Expected: little between the groupings at this size; the published sizes are unknown, so costs have nothing to be held
against.
Cost: the headline is 4 trainings of 40 000 crops of 128x96 (34 MMAC a crop); minutes each on two CPU cores.

    make reproduce PAPER=part_branching
"""

from __future__ import annotations

import json

from hpe_bench.declare import (
    Ablation,
    Arm,
    Dial,
    JointGroups,
    Paper,
    Recipe,
    Sweep,
    Unreachable,
    Variant,
    replace,
)
from hpe_bench.protocols import CROWDING, OCCLUSION, STATURE

from ..bulat_cascade import paper as bulat_cascade
from ..hourglass import paper as hourglass
from ..hrnet import paper as hrnet
from ..simple_baseline.paper import pocket_mse
from . import groups, model

SLUG = "part_branching"

# ------------------------------------------------------------------------------------------------------ variants

FULL = tuple(
    Variant(f"{name}_256x256", builder, (256, 256), joints=16, reading="ours")
    for name, builder in (("s1", model.s1), ("s3", model.s3), ("s8", model.s8), ("s3_single", model.s3_single))
)
COCO = Variant("s3_256x192", model.s3, (256, 192), joints=17, reading="ours", note="groups found in COCO's poses")
LSP = Variant("s3_lsp_256x256", model.s3, (256, 256), joints=14, reading="ours", note="groups found in LSP's poses")
POCKET = Variant("pocket", model.pocket, (128, 96), scale="pocket", reading="ours")
SINGLE = replace(POCKET, name="pocket_single", builder=model.pocket_single)
BODY = replace(POCKET, name="pocket_body", builder=model.pocket_body)
RANDOM = replace(POCKET, name="pocket_random", builder=model.pocket_random)
OVERLAPPING = replace(POCKET, name="pocket_overlapping", builder=model.pocket_overlapping)
K2 = replace(POCKET, name="pocket_k2", builder=model.pocket_k2)
K3 = replace(POCKET, name="pocket_k3", builder=model.pocket_k3)
K6 = replace(POCKET, name="pocket_k6", builder=model.pocket_k6)
SINGLE_NARROW = replace(POCKET, name="pocket_single_narrow", builder=model.pocket_single_narrow)
NARROW = replace(POCKET, name="pocket_narrow", builder=model.pocket_narrow)
DEEP = replace(POCKET, name="pocket_deep", builder=model.pocket_deep)
S2 = replace(POCKET, name="pocket_s2", builder=model.pocket_s2)

# ------------------------------------------------------------------------------------------------------- recipes


def mpii_256x256() -> Recipe:
    """The hourglass's: the paper's own is unknown, its backbone is the hourglass."""
    like = hourglass.mpii_256x256()
    return replace(like, reading="ours", note=f"taken over from the hourglass paper; {like.note}")


MSE = pocket_mse()

# ------------------------------------------------------------------------------------------------------- studies


def arm(name: str, variant: Variant, label: str) -> Arm:
    """All arms share the pocket recipe."""
    return Arm(name, SLUG, variant, MSE, label)


FOUND = arm("found", POCKET, "5 groups found by mutual information")
ONE = arm("one", SINGLE, "one shared branch of the same cost")


def found_in(source: str, where: str, joints: int) -> JointGroups:
    """The five groups of a data set, as `groups.json` records them."""
    record = json.loads(groups.FOUND.read_text())[source]
    note = f"from {record['estimator']['persons']:,} of {record['persons']:,} persons (data {record['digest'][:8]})"
    return JointGroups(where, joints, groups.found(source, 5), note)


BY_BODY = arm("body", BODY, "5 groups by body structure")
AT_RANDOM = arm("random", RANDOM, "5 random groups of the same sizes")
OTHERS = (bulat_cascade.CASCADE, hourglass.TWO, hrnet.REPEATED)
"""Networks that reason about hidden joints in other ways, or in none of their own."""


def swept(name: str, dial: Dial, values: tuple[float, ...], question: str) -> Sweep:
    """All groupings and the networks they are set beside, as one dial of the mannequins is turned."""
    return Sweep(name, question, dial, values, (ONE, FOUND, BY_BODY, AT_RANDOM, *OTHERS), "one")


DRAWN = (
    found_in("mannequins", "Found in mannequins", 17),
    found_in("coco", "Found in COCO poses", 17),
    found_in("mpii", "Found in MPII", 16),
    found_in("lsp", "Found in Leeds Sports Pose", 14),
    JointGroups("By body structure", 17, groups.BODY[17], "the control: limbs"),
    JointGroups("At random", 17, groups.shuffled(groups.found("mannequins", 5), seed=0), "the control: same sizes"),
)

paper = Paper(
    slug=SLUG,
    title="Does Learning Specific Features for Related Parts Help Human Pose Estimation?",
    authors="Wei Tang, Ying Wu",
    venue="CVPR",
    year=2019,
    url="https://openaccess.thecvf.com/content_CVPR_2019/html/"
    "Tang_Does_Learning_Specific_Features_for_Related_Parts_Help_Human_Pose_CVPR_2019_paper.html",
    bibtex="""@inproceedings{tang2019does,
  title = {Does Learning Specific Features for Related Parts Help Human Pose Estimation?},
  author = {Tang, Wei and Wu, Ying},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages = {1107--1116},
  year = {2019}
}""",
    summary="Joints are grouped by the mutual information of their positions; the groups share a trunk and have "
    "branches with features of their own behind it.",
    reading="Only the abstract was available, and no code is public. Where the network branches, how deep and wide, "
    "how information is estimated and joints are clustered, and the recipe are our reading.",
    variants=(
        *(*FULL, COCO, LSP, POCKET, SINGLE),
        *(BODY, RANDOM, OVERLAPPING, K2, K3, K6, SINGLE_NARROW, NARROW, DEEP, S2),
    ),
    recipes=(mpii_256x256(), MSE),
    joint_groups=DRAWN,
    timed=("s3_256x256",),
    unreachable=(
        Unreachable(
            "lsp-corrected", "Its labels are the authors' own correction of LSP's, which are not public.", "Use lsp-pc."
        ),
    ),
    known_as="PBN",
    called=(
        ("s1", "PBN-1"),
        ("s3", "PBN-3"),
        ("s8", "PBN-8"),
        ("s3_single", "PBN-3, one branch"),
        ("s3_lsp", "PBN-3, LSP's groups"),
    ),
    headline=Ablation(
        name="headline",
        question="Do features of their own for groups of related joints beat shared ones at equal cost?",
        arms=(FOUND, ONE),
        control="one",
        first_seeds=2,
    ),
    ablations=(
        Ablation(
            name="groups",
            question="Does it matter which joints are grouped?",
            arms=(
                FOUND,
                BY_BODY,
                AT_RANDOM,
                arm("overlapping", OVERLAPPING, "5 groups found, each with its nearest joint outside"),
            ),
            control="random",
        ),
        Ablation(
            name="number_of_groups",
            question="How many groups, at equal cost?",
            arms=(
                ONE,
                arm("two", K2, "2 groups found"),
                arm("three", K3, "3 groups found"),
                replace(FOUND, name="five", label="5 groups found"),
                arm("six", K6, "6 groups found"),
            ),
            control="one",
        ),
        Ablation(
            name="branches",
            question="How deep and wide should the branches be, and what do more stages gain?",
            arms=(
                FOUND,
                arm("narrow", NARROW, "branches of half the width"),
                arm("deep", DEEP, "branches of twice the depth"),
                arm("two_stages", S2, "two stages, half the width"),
                arm("one_narrow", SINGLE_NARROW, "one shared branch of one group's width"),
            ),
            control="one_narrow",
        ),
    ),
    sweeps=(
        swept("occlusion", "occlusion", OCCLUSION, "Do features of their own help most where joints are hidden?"),
        swept("crowding", "crowding", CROWDING, "Do they help where people stand close together?"),
        swept("scale", "stature", STATURE, "Do they help where people are small?"),
    ),
)
