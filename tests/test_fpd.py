"""Fast Pose Distillation: both students' exact sizes, the grid of stacks and features, the distillation loss."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hpe_bench.papers.fpd import model
from hpe_bench.papers.fpd.loss import DistillationMSE
from hpe_bench.papers.hourglass import model as hourglass
from hpe_bench.papers.hourglass.model import StackedHourglass
from torch import Tensor, nn

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.cost.dispatched import count_dispatched as count
from hpe_bench.cost.dispatched import on_meta
from hpe_bench.declare import Batch, replace
from hpe_bench.training.losses import HeatmapMSE

CODEC = Gaussian(sigma_px=1.0, centre="exact", decoder="argmax")

# ---------------------------------------------------------------------------------------------------- sizes

# Millions of parameters and GMAC at 256x256 with 16 joints, by (stacks, features), to the printed digits.
NEWELL_STEM = {
    **{(2, 256): (6.570, 8.335), (2, 128): (1.745, 3.063), (2, 64): (0.545, 1.798), (2, 32): (0.235, 1.449)},
    **{(1, 256): (3.426, 5.150), (1, 128): (0.951, 2.259), (1, 64): (0.343, 1.593), (1, 32): (0.182, 1.396)},
}
SCALED_STEM = {
    **{(2, 256): (6.731, 8.989), (2, 128): (1.700, 2.298), (2, 64): (0.434, 0.600)},
    **{(1, 256): (3.587, 5.805), (1, 128): (0.907, 1.494), (1, 64): (0.232, 0.395)},
}


def counted(builder: Callable[[], nn.Module]) -> tuple[int, int]:
    with on_meta():
        cost = count(builder(), (256, 256))
    return cost.params, cost.macs


@pytest.mark.parametrize(
    ("builder", "params", "macs"),
    [
        (model.student, 3_332_032, 4_672_192_512),
        (model.student_port, 3_287_936, 3_907_256_320),
        (model.teacher, 25_434_112, 27_440_185_344),
        (model.teacher_port, 25_594_624, 28_094_496_768),
    ],
)
def test_students_and_teachers_have_their_exact_size(
    builder: Callable[[int], nn.Module], params: int, macs: int
) -> None:
    assert counted(lambda: builder(16)) == (params, macs)


def grid() -> list[tuple[tuple[int, int, int, int], int, tuple[float, float]]]:
    """Widths of the stem, stacks and size of every network in the tables."""
    newell = [((64, 128, 128, f), stacks, size) for (stacks, f), size in NEWELL_STEM.items()]
    scaled = [((f // 4, f // 2, f, f), stacks, size) for (stacks, f), size in SCALED_STEM.items()]
    return newell + scaled


@pytest.mark.parametrize(("stem", "stacks", "expected"), grid())
def test_the_grid_of_stacks_and_features(
    stem: tuple[int, int, int, int], stacks: int, expected: tuple[float, float]
) -> None:
    params, macs = counted(lambda: StackedHourglass(stem, stacks, 16))
    assert (round(params / 1e6, 3), round(macs / 1e9, 3)) == expected


def test_the_pocket_student_is_as_small_beside_its_teacher_as_at_full_size() -> None:
    with on_meta():
        student, teacher = count(model.pocket_student(17), (128, 96)), count(hourglass.pocket(17), (128, 96))
    full = 4_672_192_512 / 27_440_185_344
    assert student.macs / teacher.macs == pytest.approx(full, abs=0.05)


# ---------------------------------------------------------------------------------------------------- loss


def loss_of(alpha: float, outputs: list[Tensor], teacher_BJHW: Tensor, batch: Batch) -> Tensor:
    return DistillationMSE(alpha)(outputs, replace(batch, teacher_BJHW=teacher_BJHW), CODEC)


def batch_of(labelled: list[list[bool]]) -> Batch:
    """Persons with two joints in the middle of a 16x16 input."""
    flags = torch.tensor(labelled).float()
    images = torch.zeros(len(labelled), 3, 16, 16)
    return Batch(images_B3HW=images, joints_BJ2=torch.full((*flags.shape, 2), 8.0), labelled_BJ=flags, visible_BJ=flags)


def maps(value: float, persons: int = 1) -> Tensor:
    return torch.full((persons, 2, 4, 4), value)


def test_alpha_is_the_weight_of_the_teacher() -> None:
    batch = batch_of([[True, True]])
    truth = HeatmapMSE()([maps(0.0)], batch, CODEC).item()
    taught = 0.5 * 0.3**2
    for alpha in (0.0, 0.25, 0.5, 1.0):
        loss = loss_of(alpha, [maps(0.0)], maps(0.3), batch).item()
        assert loss == pytest.approx(alpha * taught + (1 - alpha) * truth, rel=1e-6)


def test_the_teachers_last_maps_are_a_target_of_every_stack() -> None:
    batch = batch_of([[True, True]])
    one, other = maps(0.1), maps(0.7)
    each = [loss_of(0.5, [raw], maps(0.3), batch).item() for raw in (one, other)]
    assert loss_of(0.5, [one, other], maps(0.3), batch).item() == pytest.approx(sum(each), rel=1e-6)


def test_joints_without_annotation_are_masked_out_of_both_terms() -> None:
    batch = batch_of([[True, False]])
    raw = maps(0.0)
    raw[0, 1] = 100.0  # the joint that nobody annotated
    half = 0.5 * 0.3**2 / 2  # of two joints one counts, the mean is over both
    assert loss_of(1.0, [raw], maps(0.3), batch).item() == pytest.approx(half, rel=1e-6)
    assert loss_of(0.0, [raw], maps(0.3), batch) < 1


def test_on_unlabelled_images_the_teacher_speaks_alone_and_fully() -> None:
    batch = batch_of([[True, True], [False, False]])
    raw, taught = maps(0.0, persons=2), maps(0.3, persons=2)
    labelled = loss_of(0.5, [maps(0.0)], maps(0.3), batch_of([[True, True]])).item()
    alone = 0.5 * 0.3**2
    assert loss_of(0.5, [raw], taught, batch).item() == pytest.approx((labelled + alone) / 2, rel=1e-6)


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = maps(0.0).requires_grad_(), maps(0.3).requires_grad_()
    loss_of(0.5, [student], teacher, batch_of([[True, True]])).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


@pytest.mark.parametrize("alpha", [-0.1, 1.5])
def test_a_weight_outside_of_0_to_1_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        DistillationMSE(alpha)
