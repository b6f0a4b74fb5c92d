"""The squared error of SimpleBaseline and the losses of FasterPose's folder, against hand-computed values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hpe_bench.catalog import load
from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.declare import Batch
from hpe_bench.training.losses import HeatmapMSE

load("fasterpose")
from hpe_bench.papers.fasterpose.loss import (  # noqa: E402
    BinaryBCE,
    RegressiveCrossEntropyA,
    RegressiveCrossEntropyB,
    SigmoidMSE,
)

RCE = (RegressiveCrossEntropyA(), RegressiveCrossEntropyB())
OF_LOGITS = (*RCE, SigmoidMSE(), BinaryBCE())
CODEC = Gaussian(sigma_px=1.0, centre="exact", decoder="dark", dark_kernel_px=3)


def pixel(loss: Any, z: float, y: float) -> tuple[float, float]:
    """Loss and gradient with respect to the logit at one pixel, in float32 as in training."""
    logit = torch.tensor([z], requires_grad=True)
    value = loss.per_pixel(logit, torch.tensor([y]))
    value.sum().backward()
    assert logit.grad is not None
    return float(value.detach()), float(logit.grad)


def batch_of(joints_BJ2: Tensor, labelled_BJ: Tensor) -> Batch:
    images = torch.zeros(len(joints_BJ2), 3, 64, 48)
    return Batch(images, joints_BJ2, labelled_BJ, labelled_BJ)


@pytest.fixture
def batch() -> Batch:
    joints = torch.tensor([[[10.0, 20.0], [30.0, 40.0]], [[5.0, 60.0], [40.0, 8.0]]])
    return batch_of(joints, torch.tensor([[1.0, 1.0], [1.0, 0.0]]))


# ------------------------------------------------------------------------------------------------ per pixel


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        (RegressiveCrossEntropyA(), -0.49753),  # p - y
        (RegressiveCrossEntropyB(), -0.004908),  # -p (1-p) / (1/2 + p)
        (SigmoidMSE(), -0.001227),  # (p - y) p (1-p)
    ],
)
def test_gradients_at_a_saturated_pixel_with_target_one_half(loss: Any, gradient: float) -> None:
    assert pixel(loss, -6.0, 0.5)[1] == pytest.approx(gradient, rel=1e-3)


@pytest.mark.parametrize("loss", RCE)
@given(z=st.floats(-30, 30), y=st.sampled_from([0.0, 1.0]))
def test_regressive_cross_entropy_is_cross_entropy_for_binary_targets(loss: Any, z: float, y: float) -> None:
    binary = F.binary_cross_entropy_with_logits(torch.tensor([z]), torch.tensor([y]))
    assert pixel(loss, z, y)[0] == pytest.approx(float(binary), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("loss", [*RCE, SigmoidMSE()])
@given(z=st.floats(-8, 8), y=st.floats(0.001, 0.999))
def test_the_minimum_is_zero_where_probability_equals_target(loss: Any, z: float, y: float) -> None:
    logit_of_y = float(torch.tensor(y).logit())
    at_target, elsewhere = pixel(loss, logit_of_y, y)[0], pixel(loss, z, y)[0]
    assert at_target == pytest.approx(0.0, abs=1e-6)
    assert elsewhere >= -1e-6


@pytest.mark.parametrize("loss", OF_LOGITS)
@pytest.mark.parametrize("y", [0.0, 1e-30, 0.5, 1.0])
@pytest.mark.parametrize("z", [-200.0, -80.0, 80.0, 200.0])
def test_loss_and_gradient_are_finite_far_out(loss: Any, z: float, y: float) -> None:
    value, gradient = pixel(loss, z, y)
    assert torch.isfinite(torch.tensor([value, gradient])).all()
    assert value >= -1e-6


@pytest.mark.parametrize("z", [-80.0, 80.0])
def test_a_confident_mistake_costs_its_logit(z: float) -> None:
    for loss in RCE:
        assert pixel(loss, z, float(z < 0))[0] == pytest.approx(80.0)


@given(z=st.floats(-6, 6), y=st.floats(0.0, 1.0))
def test_the_soft_target_gradient_is_the_error_itself(z: float, y: float) -> None:
    assert pixel(RegressiveCrossEntropyA(), z, y)[1] == pytest.approx(float(torch.tensor(z).sigmoid()) - y, abs=1e-5)


def test_binary_targets_are_the_pixels_at_or_above_the_threshold() -> None:
    targets = torch.tensor([0.0, 0.49, 0.5, 1.0])
    values = BinaryBCE(threshold=0.5).per_pixel(torch.full((4,), 3.0), targets)
    off, on = 3.0486, 0.0486  # softplus(3), softplus(-3)
    assert values.tolist() == pytest.approx([off, off, on, on], abs=1e-4)


# ------------------------------------------------------------------------------------------------ reduction


def test_squared_error_is_the_mean_over_joints_of_half_the_mean_over_batch_and_pixels(batch: Batch) -> None:
    raw = torch.randn(2, 2, 16, 12, generator=torch.Generator().manual_seed(0))
    target, weight = CODEC.encode(batch.joints_BJ2, batch.labelled_BJ, (64, 48), (16, 12))
    per_joint = [0.5 * F.mse_loss(raw[:, j] * weight[:, j, None, None], target[:, j]) for j in range(2)]
    assert target[1, 1].abs().sum() == 0
    assert float(HeatmapMSE()([raw], batch, CODEC)) == pytest.approx(float(sum(per_joint)) / 2, rel=1e-5)


@pytest.mark.parametrize("loss", [HeatmapMSE(), *OF_LOGITS])
def test_joints_without_a_label_leave_no_loss_and_no_gradient(loss: Any, batch: Batch) -> None:
    """Weighting logits instead of losses would leave log 2 a pixel behind."""
    raw = torch.randn(2, 2, 16, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss([raw], batch, CODEC).backward()
    assert raw.grad is not None
    assert raw.grad[1, 1].abs().max() == 0
    assert raw.grad[1, 0].abs().max() > 0
    nothing = batch_of(batch.joints_BJ2, torch.zeros(2, 2))
    assert float(loss([raw.detach()], nothing, CODEC)) == 0.0


def test_several_outputs_add_up_each_at_its_own_size(batch: Batch) -> None:
    coarse, fine = torch.randn(2, 2, 8, 6), torch.randn(2, 2, 16, 12)
    loss = HeatmapMSE()
    both = float(loss([coarse, fine], batch, CODEC))
    assert both == pytest.approx(float(loss([coarse], batch, CODEC)) + float(loss([fine], batch, CODEC)), rel=1e-6)


@pytest.mark.parametrize("kind", [type(loss) for loss in OF_LOGITS])
def test_the_heatmap_of_a_logit_is_its_sigmoid(kind: Any) -> None:
    raw = torch.tensor([[[[-2.0, 0.0, 3.0]]]])
    assert kind(prior_logit=0.0).activate(raw).flatten().tolist() == pytest.approx([0.1192, 0.5, 0.9526], abs=1e-4)


@pytest.mark.parametrize("loss", OF_LOGITS)
def test_an_untrained_output_says_background_to_loss_and_heatmap_alike(loss: Any, batch: Batch) -> None:
    silent = torch.zeros(2, 2, 16, 12)
    target, weight = CODEC.encode(batch.joints_BJ2, batch.labelled_BJ, (64, 48), (16, 12))
    assert loss.activate(silent).unique().tolist() == pytest.approx([0.01], abs=1e-4)
    expected = (loss.per_pixel(torch.full_like(silent, -4.595), target) * weight[..., None, None]).mean()
    assert float(loss([silent], batch, CODEC)) == pytest.approx(float(expected), rel=1e-6)


def test_the_squared_error_is_linear() -> None:
    raw = torch.randn(1, 1, 4, 4)
    assert HeatmapMSE().activate(raw) is raw
