"""SimpleBaseline against the authors' PyTorch release: the same state dict gives the same heatmaps."""

from __future__ import annotations

import torch

from hpe_bench.catalog import build_model
from tests import parity


def test_released_state_dict_loads_strictly_and_gives_the_same_heatmaps() -> None:
    case = parity.load("simple_baseline_res50")
    model = build_model("simple_baseline", "r50_128x96").eval()
    model.load_state_dict(case.weights, strict=True)
    assert list(model.state_dict()) == list(case.weights)  # the order of the release, too
    assert sum(p.numel() for p in model.parameters()) == case.params
    with torch.inference_mode():
        (maps,) = model(case.image)
    parity.assert_agrees(maps, case.outputs["out"])


def test_parity_notices_a_stride_in_the_wrong_convolution() -> None:
    """The "caffe" style has the same keys and shapes, so only the outputs can tell (stride in the first 1x1)."""
    case = parity.load("simple_baseline_res50")
    model = build_model("simple_baseline", "r50_128x96").eval()
    model.load_state_dict(case.weights, strict=True)
    for stage in (model.layer2, model.layer3, model.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    with torch.inference_mode():
        (maps,) = model(case.image)
    apart = (maps.numpy() - case.outputs["out"]).std()
    assert apart > 100 * parity.TOLERANCE * case.outputs["out"].std()
