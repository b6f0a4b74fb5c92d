"""All skeletons known here by name, and names of joints held against them."""

from __future__ import annotations

from hpe_bench.data.skeletons import COCO_17, CROWDPOSE_14, FLIC_10, LSP_14, MPII_16, Skeleton
from hpe_bench.data.whole_body import AIC_14, HALPE_136, WHOLE_BODY_133

ALL = {s.name: s for s in (COCO_17, MPII_16, LSP_14, CROWDPOSE_14, FLIC_10, WHOLE_BODY_133, HALPE_136, AIC_14)}
"""The skeletons known here, by name."""


def named_joints(text: str) -> tuple[str, ...]:
    """The joints of a skeleton by its name, or names separated by commas."""
    return ALL[text].joints if text in ALL else tuple(name.strip() for name in text.split(",") if name.strip())


def order_of(names: tuple[str, ...], skeleton: Skeleton, said: str) -> list[int]:
    """Where each joint of a skeleton stands among names; ValueError, beginning with `said`, for one that is missing."""
    missing = [joint for joint in skeleton.joints if joint not in names]
    if missing:
        raise ValueError(
            f"{said} no {missing[0]!r}, which {skeleton.name} needs ({len(missing)} of {len(skeleton.joints)} are "
            "missing); name them with --joints, or score over the joints that both have with --map"
        )
    return [names.index(joint) for joint in skeleton.joints]
