"""The cascade: the released model's sizes, what flows from detector to regressor, its losses, and the Disc codec."""

from __future__ import annotations

import math

import pytest
import torch
from hpe_bench.papers.bulat_cascade import model, vgg
from hpe_bench.papers.bulat_cascade.loss import CascadeLoss, DiscCrossEntropy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hpe_bench import catalog
from hpe_bench.codecs.disc import Disc
from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.cost.dispatched import count_on_meta, on_meta
from hpe_bench.declare import Batch

# ------------------------------------------------------------------------------------------------------ model


def built(builder, joints: int):
    with on_meta():
        return builder(joints)


def test_sizes_of_the_released_layout() -> None:
    """Counts of a network rebuilt from the released weights: exact parameters, MACs to the digits known."""
    cascade = count_on_meta(model.cascade_r152, 16, (256, 256))
    detector = count_on_meta(model.detector_r152, 16, (256, 256))
    assert (detector.params, cascade.params) == (58_317_856, 75_688_384)
    assert cascade.params - detector.params == 17_370_528
    assert f"{detector.macs / 1e9:.3f} {cascade.macs / 1e9:.2f}" == "17.829 33.54"
    assert f"{(cascade.macs - detector.macs) / 1e9:.3f}" == "15.713"
    assert f"{detector.macs_hrnet_counter / 2**30:.3f} {cascade.macs_hrnet_counter / 2**30:.2f}" == "20.589 39.44"


def test_regressor_equals_the_converted_network_in_size() -> None:
    """The published conversion of the released regressor takes RGB and gives 51 maps (CubiCasa5k's network)."""
    converted = built(model.regression_only, 51)
    cost = count_on_meta(model.regression_only, 51, (256, 256))
    assert cost.params == 17_366_902
    assert f"{cost.macs / 1e9:.2f}" == "15.08"
    assert len(converted.state_dict()) == 740


def test_every_convolution_has_a_bias_and_the_trunk_stays_at_stride_16() -> None:
    detector = built(model.detector_r152, 16)
    convolutions = [m for m in detector.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))]
    assert all(m.bias is not None for m in convolutions)
    features = super(model.Detector, detector).forward(torch.zeros(1, 3, 256, 256, device="meta"))
    assert [tuple(f.shape[1:]) for f in features] == [
        (256, 64, 64),
        (512, 32, 32),
        (1024, 16, 16),
        (2048, 16, 16),
    ]
    (maps,) = detector(torch.zeros(1, 3, 256, 256, device="meta"))
    assert maps.shape == (1, 16, 256, 256)


@pytest.mark.parametrize(
    ("builder", "outputs"),
    [
        (model.pocket_cascade, 2),
        (model.pocket_detector, 1),
        (model.pocket_detector_wide, 1),
        (model.pocket_regression_only, 1),
    ],
)
def test_pocket_shapes_and_cost(builder, outputs: int) -> None:
    net = built(builder, 17)
    assert [tuple(o.shape) for o in net(torch.zeros(2, 3, 128, 96, device="meta"))] == [(2, 17, 32, 24)] * outputs
    assert 20e6 < count_on_meta(builder, 17, (128, 96)).macs < 60e6


def test_wide_detector_costs_what_the_cascade_costs() -> None:
    wide, cascade = (count_on_meta(b, 17, (128, 96)).macs for b in (model.pocket_detector_wide, model.pocket_cascade))
    assert abs(wide / cascade - 1) < 0.02


def test_regressor_sees_the_image_first_then_probabilities() -> None:
    cascade = model.pocket_cascade(3).eval()
    seen: list[Tensor] = []
    cascade.regressor.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.randn(1, 3, 128, 96)
    with torch.no_grad():
        logits, _ = cascade(images)
    (joined,) = seen
    torch.testing.assert_close(torch.pixel_shuffle(joined[:, :48], 4), images)
    torch.testing.assert_close(joined[:, 48:], logits.sigmoid())


def test_joint_training_reaches_the_detector_through_the_regressor() -> None:
    cascade = model.pocket_cascade(3)
    cascade(torch.randn(2, 3, 128, 96))[-1].square().mean().backward()
    gradient = cascade.detector.conv1.weight.grad
    assert gradient is not None
    assert float(gradient.abs().max()) > 0


# ------------------------------------------------------------------------------------------------------ losses


def three_joints() -> Batch:
    """One image of 8x8: a visible joint, an occluded one, one without a label."""
    return Batch(
        images_B3HW=torch.zeros(1, 3, 8, 8),
        joints_BJ2=torch.tensor([[[2.0, 3.0], [5.0, 5.0], [0.0, 0.0]]]),
        labelled_BJ=torch.tensor([[1.0, 1.0, 0.0]]),
        visible_BJ=torch.tensor([[1.0, 0.0, 0.0]]),
    )


def softplus(z: float) -> float:
    return math.log1p(math.exp(z))


@pytest.mark.parametrize(("occluded", "pixels_on"), [("absent", 5), ("drawn", 10)])
def test_disc_cross_entropy_by_hand(occluded: str, pixels_on: int) -> None:
    """Constant logits z: softplus(z) - z on a disc (5 pixels at radius 1), softplus(z) off it, unlabelled joints 0."""
    z = 0.7
    loss = DiscCrossEntropy(Disc(radius_px=1.0), occluded=occluded)
    found = loss([torch.full((1, 3, 8, 8), z)], three_joints(), Disc(radius_px=1.0))
    by_hand = (2 * 64 * softplus(z) - pixels_on * z) / (3 * 64)
    assert float(found) == pytest.approx(by_hand, rel=1e-6)


def test_cascade_loss_by_hand() -> None:
    """Zero outputs: log 2 a detection pixel, the Gaussians' energy a regression pixel; both means, added."""
    batch, codec = three_joints(), Gaussian(sigma_px=1.0, centre="exact")
    zeros = torch.zeros(1, 3, 8, 8)
    found = CascadeLoss(DiscCrossEntropy(Disc(radius_px=1.0)))([zeros, zeros], batch, codec)
    energy = sum(
        math.exp(-((x - a) ** 2) - (y - b) ** 2) for a, b in ((2, 3), (5, 5)) for x in range(8) for y in range(8)
    )
    assert float(found) == pytest.approx((2 * 64 * math.log(2) + energy) / (3 * 64), rel=1e-5)


def test_occluded_joint_is_asked_of_the_regressor_alone() -> None:
    loss = CascadeLoss(DiscCrossEntropy(Disc(radius_px=1.0)))
    detected, regressed = (torch.zeros(1, 3, 8, 8, requires_grad=True) for _ in range(2))
    loss([detected, regressed], three_joints(), Gaussian(sigma_px=1.0, centre="exact")).backward()
    assert detected.grad is not None
    assert regressed.grad is not None
    assert (detected.grad[0, 1] > 0).all(), "every pixel of the occluded joint's map is pushed down"
    assert regressed.grad[0, 1, 5, 5] < 0, "the heatmap is pulled up at the occluded joint"
    assert not detected.grad[0, 2].any()
    assert not regressed.grad[0, 2].any()


# ------------------------------------------------------------------------------------------------------ Disc


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(12.0, 51.0),
    y=st.floats(12.0, 51.0),
    radius=st.floats(0.8, 10.0),
    value=st.floats(1e-3, 1.0),
)
def test_disc_round_trip(x: float, y: float, radius: float, value: float) -> None:
    """Whole discs come back to within the error of a centroid of whole pixels."""
    disc = Disc(radius_px=radius)
    maps, weight = disc.encode(torch.tensor([[[x, y]]]), torch.ones(1, 1), (64, 64), (64, 64))
    joints, scores = disc.decode(value * maps, (64, 64))
    assert float(weight) == 1.0
    assert float(scores) == pytest.approx(value)
    assert float((joints - torch.tensor([x, y])).norm()) < 0.71


def test_disc_is_round_and_holds_its_rim() -> None:
    maps, _ = Disc(radius_px=2.0).encode(torch.tensor([[[16.0, 12.0]]]), torch.ones(1, 1), (32, 32), (8, 8))
    rows = ["".join("#" if v else "." for v in row) for row in maps[0, 0].tolist()]
    assert rows == ["........", "....#...", "...###..", "..#####.", "...###..", "....#...", "........", "........"]


def test_disc_scales_by_stride_and_has_no_half_pixel_term() -> None:
    disc = Disc(radius_px=1.25, flip_shift_px=1)
    joints = torch.tensor([[[40.0, 60.0]]])
    maps, _ = disc.encode(joints, torch.ones(1, 1), (128, 96), (32, 24))
    torch.testing.assert_close(disc.decode(maps, (128, 96))[0], joints)


def test_disc_at_the_border_and_without_label() -> None:
    disc = Disc(radius_px=3.0)
    joints = torch.tensor([[[-2.0, 10.0], [-4.0, 10.0], [10.0, 10.0], [float("nan"), 1.0]]])
    maps, weight = disc.encode(joints, torch.tensor([[1.0, 1.0, 0.0, 0.0]]), (32, 32), (32, 32))
    assert weight.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert maps[0, 0].any()
    assert not maps[0, 1:].any()


def test_disc_decodes_the_blob_with_the_peak_only() -> None:
    """A weaker blob far away and the tail of the map do not move the centroid."""
    disc = Disc(radius_px=2.0)
    two, _ = disc.encode(torch.tensor([[[8.0, 8.0], [24.0, 20.0]]]), torch.ones(1, 2), (32, 32), (32, 32))
    joints, scores = disc.decode(0.9 * two[:, :1] + 0.6 * two[:, 1:] + 0.01, (32, 32))
    torch.testing.assert_close(joints, torch.tensor([[[8.0, 8.0]]]))
    assert float(scores) == pytest.approx(0.91)


def test_disc_without_a_positive_peak_lies_at_the_origin() -> None:
    joints, scores = Disc().decode(torch.stack((torch.zeros(32, 32), torch.full((32, 32), -1.0)))[None], (32, 32))
    assert not joints.any()
    assert scores.tolist() == [[0.0, -1.0]]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_disc_unflip_undoes_a_mirrored_input(seed: int) -> None:
    """At stride 1 a mirrored image's maps come back to the very pixel; twice is the identity (F7)."""
    generator = torch.Generator().manual_seed(seed)
    disc, pairs = Disc(radius_px=3.0), ((0, 1),)
    joints = torch.randint(4, 28, (1, 3, 2), generator=generator).float()
    mirrored = torch.stack((31 - joints[..., 0], joints[..., 1]), dim=-1)[:, [1, 0, 2]]
    plain, _ = disc.encode(joints, torch.ones(1, 3), (32, 32), (32, 32))
    back, _ = disc.encode(mirrored, torch.ones(1, 3), (32, 32), (32, 32))
    assert torch.equal(disc.unflip(back, pairs), plain)
    assert torch.equal(disc.unflip(disc.unflip(plain, pairs), pairs), plain)


def test_disc_refuses_what_it_cannot_draw() -> None:
    with pytest.raises(ValueError, match="between the pixels"):
        Disc(radius_px=0.7)
    with pytest.raises(ValueError, match="flip_shift_px"):
        Disc(flip_shift_px=-1)
    with pytest.raises(ValueError, match="not finite"):
        Disc().decode(torch.full((1, 1, 4, 4), float("nan")), (4, 4))


# ---------------------------------------------------------------------------------------------------- from memory


def test_the_vgg_detector_is_vgg_16_without_its_classifier() -> None:
    """VGG-16 has 138,357,544 parameters, 4,097,000 of them in the last layer (Simonyan and Zisserman, ICLR 2015)."""
    with on_meta():
        detector = vgg.VggDetector(16)
    trunk = [*detector.stages.parameters(), *detector.wide.parameters()]
    assert sum(p.numel() for p in trunk) == 138_357_544 - 4_097_000


def test_the_vgg_cascade_is_marked_as_a_recollection_and_no_claim_names_it() -> None:
    loaded = catalog.load("bulat_cascade")
    variant = catalog.find_variant(loaded, "vgg_256x256")
    assert variant.reading == "recollection"
    assert all(variant.name not in (claim.variant, claim.baseline.split("/")[-1]) for claim in loaded.claims)
