"""The example of BlazePose without its files: the geometry of its two looks, and the joints that are derived."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hpe_bench.data.known_skeletons import order_of
from hpe_bench.data.skeletons import COCO_17, LSP_14
from hpe_bench.records import store
from hpe_bench.timing.rows import rows

FILE = Path(__file__).parents[1] / "examples" / "blazepose" / "blazepose.py"


@pytest.fixture(scope="module")
def blazepose() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_blazepose", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_gives_the_joints_of_both_protocols(blazepose: ModuleType) -> None:
    names = (*blazepose.JOINTS, *blazepose.DERIVED)
    assert len(blazepose.JOINTS) == 33
    for skeleton in (COCO_17, LSP_14):
        assert [names[k] for k in order_of(names, skeleton, "x")] == list(skeleton.joints)


class Sees:
    """A network that reads off a crop where it lies in the image (whose colours are coordinates), so that it always
    finds the true landmarks; it keeps where the crops lay.
    """

    def __init__(self, truth_392: np.ndarray) -> None:
        self.truth_392 = truth_392
        self.looks: list[np.ndarray] = []

    def __call__(self, crop_HW3: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(crop_HW3[..., 2])
        ground = np.stack([columns, rows, np.ones(len(rows))], -1).astype(float)
        to_image = np.linalg.lstsq(ground, crop_HW3[rows, columns, :2].astype(float), rcond=None)[0].T
        self.looks.append(to_image)
        inside = np.linalg.solve(to_image[:, :2], (self.truth_392 - to_image[:, 2]).T).T
        return np.concatenate([inside, np.zeros((39, 1)), np.full((39, 2), 2.0)], axis=1)


@pytest.mark.parametrize("angle", [0.0, 0.6, -2.0, 3.1])
def test_the_second_look_is_upright_and_as_large_as_the_first_one_asks(blazepose: ModuleType, angle: float) -> None:
    rows, columns = np.mgrid[:200, :240]
    image = np.stack([columns, rows, np.full_like(rows, 255)], -1).astype(np.uint8)
    rng = np.random.default_rng(0)
    truth = rng.uniform(60, 140, (39, 2))
    up = 40 * np.array([np.sin(angle), -np.cos(angle)])
    truth[blazepose.MIDDLE], truth[blazepose.ON_CIRCLE] = (118, 97), np.add((118, 97), up)
    network = Sees(truth)
    joints, scores = blazepose.pose(network, image, np.array([70.0, 30, 60, 120]))
    assert np.abs(joints[:33] - truth[:33]).max() < 1.0
    assert scores[:33] == pytest.approx(1 / (1 + np.exp(-2.0)))
    first, second = network.looks
    assert first[:, :2] == pytest.approx(np.eye(2) * 120 * 1.25 / 256, abs=0.02)
    assert np.hypot(*second[:, 1]) == pytest.approx(2 * 40 * 1.25 / 256, abs=0.02)
    middle = second @ [128, 128, 1]
    assert middle == pytest.approx((118, 97), abs=1.0)
    assert -second[:, 1] / np.hypot(*second[:, 1]) == pytest.approx(up / 40, abs=0.03)  # up in the crop is the body's


def test_neck_and_head_top_are_derived(blazepose: ModuleType) -> None:
    points = np.zeros((33, 2))
    at = blazepose.JOINTS.index
    points[at("left_shoulder")], points[at("right_shoulder")] = (10, 50), (30, 50)
    points[at("left_ear")], points[at("right_ear")] = (18, 30), (22, 30)
    joints, scores = blazepose.with_derived(points, np.linspace(0, 1, 33))
    assert joints[-2:].tolist() == [[20, 50], [20, 20]]
    assert len(scores) == 35


def test_a_package_that_is_not_there_is_named(blazepose: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lite\.tflite is not there; fetch the package"):
        blazepose.landmarks_of(tmp_path / "lite.tflite")


def test_the_readme_s_times_are_the_records(committed: Path) -> None:
    """As a page shows them: medians and intervals of the committed timing runs."""
    records = [r for r in store.load_all(committed / "results") if r.identity.paper == "own"]
    found = {
        (r.identity.variant, row.timing.threads): row
        for r in records
        for row in rows([r])
        if row.timing.runtime == "openvino"
    }
    lines = (FILE.parent / "README.md").read_text(encoding="utf-8").splitlines()
    for size in ("lite", "full", "heavy"):
        (line,) = [text for text in lines if text.startswith(f"| {size} |")]
        for threads in (1, 2):
            times = found[f"pose_landmark_{size}", threads].latency
            low, high = times.interval_ms
            assert f"{times.median_ms:.1f} [{low:.1f}, {high:.1f}]" in line
