"""Fast Pose Distillation (Zhang et al., CVPR 2019): hourglasses, the student of half the stacks and features.

Two students go by the same description. Figure 1 draws one stem for teacher and student, and the printed 3M / 9G fit
that; the released code scales the stem with the features. The teacher is the hourglass paper's 8-stack network.
"""

from __future__ import annotations

from ..hourglass import model as hourglass
from ..hourglass.model import StackedHourglass

NEWELL_STEM_128 = (64, 128, 128, 128)  # Newell's, its last residual as narrow as what follows
PORT_STEM_128 = (32, 64, 128, 128)  # the released code's: features / 4, features / 2, features, features
POCKET_STEM_16 = (4, 8, 16, 16)  # scaled as in the released code


def teacher(joints: int) -> StackedHourglass:
    return hourglass.s8(joints)


def teacher_port(joints: int) -> StackedHourglass:
    return hourglass.s8_port(joints)


def student(joints: int) -> StackedHourglass:
    return StackedHourglass(NEWELL_STEM_128, 4, joints)


def student_port(joints: int) -> StackedHourglass:
    return StackedHourglass(PORT_STEM_128, 4, joints)


# ----------------------------------------------------------------------------------------- in miniature


def pocket_narrow(joints: int) -> StackedHourglass:
    """Both stacks of the hourglass paper's pocket network, half of its features."""
    return hourglass.miniature(POCKET_STEM_16, 2, joints)


def pocket_student(joints: int) -> StackedHourglass:
    """Half of the stacks and half of the features: what the paper's student is to its teacher."""
    return hourglass.miniature(POCKET_STEM_16, 1, joints)
