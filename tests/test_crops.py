"""Crop geometry against the published warp, pixels against exact bilinear sampling, and the crop cache under faults."""

from __future__ import annotations

import dataclasses
import hashlib
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpe_bench import files
from hpe_bench.data.crops import apply_affine, box_to_affine, build_crops, crop_hw, invert_affine
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import LSP_14

JOINTS = len(LSP_14.joints)
INPUT_HW = (64, 48)


class Noise:
    """Smooth random pictures in memory that count how often each is read."""

    def __init__(self, count: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.pixels = [cv2.resize(rng.integers(0, 256, (15, 20, 3), np.uint8), (200, 150)) for _ in range(count)]
        self.reads = [0] * count

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, index: int) -> str:
        return f"noise {index}"

    def digest(self) -> str:
        return hashlib.sha256(b"".join(p.tobytes() for p in self.pixels)).hexdigest()[:8]

    def read(self, index: int) -> np.ndarray:
        self.reads[index] += 1
        return self.pixels[index]


def make_persons(images: Noise, count: int = 6, seed: int = 1) -> PersonSet:
    """Persons in shuffled image order, with joints inside and outside their boxes and a few not labelled (NaN)."""
    rng = np.random.default_rng(seed)
    labelled = rng.random((count, JOINTS)) < 0.8
    joints = np.where(labelled[..., None], rng.uniform(-20, 220, (count, JOINTS, 2)), np.nan)
    return PersonSet(
        skeleton=LSP_14,
        images=images,
        image=np.arange(count)[::-1] % len(images),
        box=np.concatenate([rng.uniform(0, 80, (count, 2)), rng.uniform(20, 120, (count, 2))], 1),
        joints=joints,
        labelled=labelled,
        visible=labelled & (rng.random((count, JOINTS)) < 0.5),
        head_size=np.full(count, np.nan),
        area=np.full(count, np.nan),
    )


@pytest.fixture
def persons() -> PersonSet:
    return make_persons(Noise(3))


def published_affine(box: np.ndarray, input_hw: tuple[int, int], padding: float) -> np.ndarray:
    """The affine as SimpleBaseline and HRNet define it: from three corresponding points, rotation 0."""
    x, y, w, h = box
    height, width = input_hw
    aspect = width / height
    w, h = (w, w / aspect) if w > aspect * h else (h * aspect, h)
    w *= padding
    source = np.float32([[x + box[2] / 2, y + box[3] / 2]] * 3)
    source[1] += (0, -w / 2)
    source[2] += (-w / 2, -w / 2)
    target = np.float32([[width / 2, height / 2]] * 3)
    target[1] += (0, -width / 2)
    target[2] += (-width / 2, -width / 2)
    return cv2.getAffineTransform(source, target)


# ---------------------------------------------------------------------------------------------------- geometry


def test_affine_is_the_published_one(persons: PersonSet) -> None:
    ours = box_to_affine(persons.box, INPUT_HW, 1.25)
    theirs = np.stack([published_affine(box, INPUT_HW, 1.25) for box in persons.box])
    np.testing.assert_allclose(ours, theirs, atol=2e-4)  # theirs goes through float32 points


def test_back_projection_is_the_published_one() -> None:
    """Peaks on a 64x48 map and where HRNet's decoder puts them in the image: a quarter step, no half-pixel term."""
    centre = np.array([[358.38, 319.70825], [122.56333, 388.85938]])
    size = 200 * np.array([[1.185017, 1.580022], [1.29237, 1.723159]])
    peak_hm = np.array([[[7.0, 43.0], [34.0, 62.0]], [[18.0, 53.0], [44.0, 31.0]]])
    found_img = np.array([[[273.2069, 372.78714], [408.99008, 466.60095]], [[91.60031, 503.2879], [231.607, 384.8207]]])
    affine = box_to_affine(np.concatenate([centre - size / 2, size], 1), (64, 48), 1.0)
    step = apply_affine(affine, found_img) - peak_hm
    np.testing.assert_allclose(np.abs(step), 0.25, atol=1e-3)


def test_between_pixel_centres_the_affine_is_udps() -> None:
    """UDP's warp leads from the crop to the image: x T_w / (W - 1) + c_x - T_w / 2, likewise y."""
    height, width = 256, 192
    box = np.array([[10.0, 20.0, 60.0, 100.0], [-3.0, 4.0, 90.0, 30.0]])
    points = np.array([[[0.0, 0.0], [width - 1.0, height - 1.0], [50.25, 7.5]]]).repeat(2, 0)
    found = apply_affine(invert_affine(box_to_affine(box, (height, width), 1.25, between_centres=True)), points)
    for (x, y, w, h), at, image in zip(box, points, found, strict=True):
        across = 1.25 * max(w, h * width / height)
        lengths = np.array([across, across * height / width])
        expected = at * lengths / (width - 1, height - 1) + (x + w / 2, y + h / 2) - lengths / 2
        assert np.abs(image - expected).max() < 1e-9


def test_between_pixel_centres_a_mirrored_image_gives_a_mirrored_crop() -> None:
    class Mirrored(Noise):
        def read(self, index: int) -> np.ndarray:
            return np.ascontiguousarray(super().read(index)[:, ::-1])

    off = []
    for centres in (True, False):
        plain, mirrored = make_persons(Noise(3)), make_persons(Mirrored(3))
        x, y, w, h = mirrored.box.T
        mirrored = dataclasses.replace(mirrored, box=np.stack([200 - 1 - x - w, y, w, h], 1))
        one, other = (build_crops(p, INPUT_HW, 1.25, between_centres=centres).pixels for p in (plain, mirrored))
        off.append(np.abs(np.asarray(one, int) - np.asarray(other, int)[:, :, ::-1]).mean())
    assert off[0] < 0.5  # OpenCV's bilinear weights have 5 bits
    assert off[1] > 4 * off[0]


def test_the_shorter_side_is_extended_and_both_are_padded() -> None:
    """A box that is too wide keeps its width; one too tall its height; the centre maps to half the input's size."""
    wide, tall = [10.0, 20.0, 90.0, 40.0], [10.0, 20.0, 30.0, 120.0]
    affine = box_to_affine(np.array([wide, tall]), (128, 96), 1.25)
    np.testing.assert_allclose(affine[:, 0, 0], [96 / (90 * 1.25), 128 / (120 * 1.25)])
    np.testing.assert_allclose(affine[:, 0, 1], 0)
    centre = apply_affine(affine, np.array([[[55.0, 40.0]], [[25.0, 80.0]]]))
    np.testing.assert_allclose(centre[:, 0], [[48, 64], [48, 64]])


@pytest.mark.parametrize("box", [[5, 5, 0, 0], [5, 5, -1, 9], [5, np.nan, 3, 3], [5, 5, np.inf, 3]])
def test_boxes_without_extent_are_refused(box: list[float]) -> None:
    with pytest.raises(ValueError, match=r"box 1 is .* needs finite"):
        box_to_affine(np.array([[0, 0, 1, 1], box], float), INPUT_HW, 1.25)


def test_a_box_that_is_a_line_still_has_a_crop() -> None:
    affine = box_to_affine(np.array([[5.0, 5.0, 0.0, 30.0]]), INPUT_HW, 1.0)
    np.testing.assert_allclose(affine[0, 1, 1], 64 / 30)


@given(
    st.lists(st.floats(-3, 3), min_size=4, max_size=4).filter(lambda v: abs(v[0] * v[3] - v[1] * v[2]) > 0.01),
    st.lists(st.floats(-500, 500), min_size=4, max_size=4),
)
def test_inverse_undoes_any_affine(linear: list[float], rest: list[float]) -> None:
    affine = np.array([[[linear[0], linear[1], rest[0]], [linear[2], linear[3], rest[1]]]])
    point = np.array([[[rest[2], rest[3]]]])
    np.testing.assert_allclose(apply_affine(invert_affine(affine), apply_affine(affine, point)), point, atol=1e-6)


@pytest.mark.parametrize(("input_hw", "context"), [((128, 96), 1.5), ((64, 50), 1.5), ((65, 47), 1.33), ((9, 7), 1.0)])
def test_context_adds_whole_pixels_on_both_sides(input_hw: tuple[int, int], context: float) -> None:
    """Otherwise the margin could not be cut off again."""
    for side, crop in zip(input_hw, crop_hw(input_hw, context), strict=True):
        assert (crop - side) % 2 == 0
        assert abs(crop - context * side) <= 1


# ---------------------------------------------------------------------------------------------------- crops


def test_pixels_are_those_of_the_published_warp(persons: PersonSet) -> None:
    crops = build_crops(persons, INPUT_HW, 1.25)
    for row, box in enumerate(persons.box):
        image = persons.images.read(int(persons.image[row]))
        theirs = cv2.warpAffine(image, published_affine(box, INPUT_HW, 1.25), (48, 64), flags=cv2.INTER_LINEAR)
        assert np.abs(crops.pixels[row].astype(int) - theirs).max() <= 2


def test_pixels_are_bilinear_samples_at_the_inverse_affine(persons: PersonSet) -> None:
    """Against exact sampling with pixel centres at whole numbers; OpenCV 4 rounds positions to 1/32 px (F21)."""
    crops = build_crops(persons, INPUT_HW, 1.25)
    grid = np.stack(np.meshgrid(np.arange(48.0), np.arange(64.0)), -1).reshape(1, -1, 2)
    for row in range(len(crops)):
        image = np.pad(persons.images.read(int(persons.image[row])).astype(float), ((300, 300), (300, 300), (0, 0)))
        xy = apply_affine(crops.to_image[row : row + 1], grid)[0] + 300
        low = np.floor(xy).astype(int)
        fx, fy = (xy - low).T[..., None]
        x, y = low.T
        top = image[y, x] * (1 - fx) + image[y, x + 1] * fx
        bottom = image[y + 1, x] * (1 - fx) + image[y + 1, x + 1] * fx
        exact = (top * (1 - fy) + bottom * fy).reshape(64, 48, 3)
        assert np.abs(crops.pixels[row] - exact).mean() < 0.5
        edge = np.abs(np.diff(image, axis=0)).max() + np.abs(np.diff(image, axis=1)).max()
        assert np.abs(crops.pixels[row] - exact).max() <= edge / 32 + 1


def test_cutting_the_context_off_gives_the_plain_crop(persons: PersonSet) -> None:
    plain, wide = build_crops(persons, INPUT_HW, 1.25), build_crops(persons, INPUT_HW, 1.25, context=1.5)
    assert wide.pixels.shape[1:3] == (96, 72)
    inner = wide.pixels[:, 16:-16, 12:-12].astype(int)
    assert np.abs(inner - plain.pixels).max() <= 2
    np.testing.assert_allclose(
        wide.joints[wide.labelled] - plain.joints[wide.labelled], [[12, 16]] * wide.labelled.sum(), atol=1e-4
    )


def test_joints_go_to_the_crop_and_back(persons: PersonSet) -> None:
    crops = build_crops(persons, INPUT_HW, 1.25, context=1.5)
    back = apply_affine(crops.to_image, crops.joints)
    np.testing.assert_allclose(back[persons.labelled], persons.joints[persons.labelled], atol=1e-3)
    assert (crops.joints[~persons.labelled] == 0).all()  # NaN in, but nothing that could poison a loss out
    np.testing.assert_array_equal(crops.labelled, persons.labelled)
    np.testing.assert_array_equal(crops.visible, persons.visible)


def test_each_image_is_read_once_and_counted(persons: PersonSet) -> None:
    calls: list[tuple[int, int]] = []
    build_crops(persons, INPUT_HW, 1.25, progress=lambda done, total: calls.append((done, total)))
    assert persons.images.reads == [1, 1, 1]
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_nobody_to_crop_is_an_error(persons: PersonSet) -> None:
    with pytest.raises(ValueError, match="no persons to crop"):
        build_crops(persons.subset(np.array([], int)), INPUT_HW, 1.25)


# ---------------------------------------------------------------------------------------------------- cache


def test_cached_crops_are_the_same_and_are_reused(persons: PersonSet, tmp_path: Path) -> None:
    plain = build_crops(persons, INPUT_HW, 1.25, context=1.5)
    first = build_crops(persons, INPUT_HW, 1.25, context=1.5, cache=tmp_path)
    calls: list[int] = []
    again = build_crops(persons, INPUT_HW, 1.25, 1.5, tmp_path, progress=lambda done, total: calls.append(done))
    assert not calls  # nothing was built
    for crops in (first, again):
        assert isinstance(crops.pixels, np.memmap)
        np.testing.assert_array_equal(crops.pixels, plain.pixels)
        np.testing.assert_array_equal(crops.joints, plain.joints)


def test_whatever_changes_the_pixels_changes_the_file(persons: PersonSet, tmp_path: Path) -> None:
    build_crops(persons, INPUT_HW, 1.25, 1.0, tmp_path)
    build_crops(persons, (64, 64), 1.25, 1.0, tmp_path)
    build_crops(persons, INPUT_HW, 1.26, 1.0, tmp_path)
    build_crops(persons, INPUT_HW, 1.25, 1.5, tmp_path)
    build_crops(persons.subset(np.arange(5)), INPUT_HW, 1.25, 1.0, tmp_path)
    other_pictures = make_persons(Noise(3, seed=9))
    assert other_pictures.digest() == persons.digest()  # annotations alone would not tell them apart
    build_crops(other_pictures, INPUT_HW, 1.25, 1.0, tmp_path)
    build_crops(persons, INPUT_HW, 1.25, 1.0, tmp_path, between_centres=True)
    assert len(list(tmp_path.glob("*.npy"))) == len(list(tmp_path.iterdir())) // 2 == 7  # each with its digest


def test_a_failed_build_leaves_nothing_behind(persons: PersonSet, tmp_path: Path) -> None:
    persons.images.pixels[1] = np.zeros((0, 0, 3), np.uint8)  # OpenCV cannot warp this
    with pytest.raises(cv2.error):
        build_crops(persons, INPUT_HW, 1.25, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_clear_error(persons: PersonSet, tmp_path: Path) -> None:
    """Writing beyond the limit fails as on a full disk: with an OSError in the middle of the build."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ValueError, match=r"cannot write crops to .*HPE_BENCH_CACHE"):
            build_crops(persons, INPUT_HW, 1.25, cache=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_what_a_killed_builder_left_goes_with_the_next_whatever_it_builds(persons: PersonSet, tmp_path: Path) -> None:
    (tmp_path / ".other.npy.part").write_bytes(b"x")
    with files.turn(tmp_path / "busy.npy"):  # somebody is at work on this one
        (tmp_path / ".busy.npy.part").write_bytes(b"x")
        build_crops(persons, INPUT_HW, 1.25, cache=tmp_path)
        assert not (tmp_path / ".other.npy.part").exists()
        assert (tmp_path / ".busy.npy.part").exists()
    build_crops(persons, (64, 64), 1.25, cache=tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_builders_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    def build(_: int) -> np.ndarray:
        return build_crops(make_persons(Noise(3), count=40), INPUT_HW, 1.25, cache=tmp_path).pixels

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(build, range(8)))
    expected = build_crops(make_persons(Noise(3), count=40), INPUT_HW, 1.25).pixels
    for pixels in results:
        np.testing.assert_array_equal(pixels, expected)
    assert len(list(tmp_path.iterdir())) == 2  # the crops and their digest
