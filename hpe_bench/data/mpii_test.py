"""MPII's test persons: their joints are known to its server alone, so there are images, places and scales.

From the release of the annotations (`mpii_human_pose_v1_u12_1.mat`). Judged are "sufficiently separated" people, which
`single_person` lists by image; where they are and how large may be used (the benchmark's rules for single persons). The
server takes the release's own list of test images with `annopoints.point` (x, y, id) of these people, as `pred` in a
MATLAB file (`server_file`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpe_bench.data.folders import find_folder, locate
from hpe_bench.data.images import FileImages
from hpe_bench.data.mat_files import Compound, Value, read_struct
from hpe_bench.data.mpii import MPII, square
from hpe_bench.data.names import leads_out
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import MPII_16

RELEASE = "mpii_human_pose_v1_u12_1.mat"
FOLDERS = ("mpii_human_pose_v1_u12_2", "annot")  # where it may lie in mpii/: as unpacked, or beside the json lists
TEST_IMAGES = 6_908
NOTHING = np.empty((0, 0))  # MATLAB's []
LAYOUT = f"{FOLDERS[0]}/{RELEASE} and images/"
HEADER = b"MATLAB 5.0 MAT-file, predictions for the server of MPII Human Pose".ljust(116)  # no date: the same bytes


@dataclass(frozen=True)
class ReleasePerson:
    """A person of the release: centre and height / 200 px in its own pixels, counted from 1, None where it has none."""

    centre: tuple[float, float] | None
    scale: float | None


@dataclass(frozen=True)
class ReleaseImage:
    """A test image with all its persons, and which of them are judged (positions)."""

    name: str
    people: tuple[ReleasePerson, ...]
    judged: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ReleasePersons(PersonSet):
    """The judged persons, with the list that they are of."""

    listed: tuple[ReleaseImage, ...] = ()


@dataclass(frozen=True)
class MPIITest(MPII):
    """The judged test persons of MPII, none of whose joints is known."""

    test_images: int = TEST_IMAGES

    def truth(self, split: str, root: str | None) -> PersonSet:
        """The persons of "test", image by image; ValueError for another split or release, or a damaged one."""
        if split != "test":
            raise ValueError(f"MPII has no test split {split!r}; use test")
        folder, path = _release(root)
        listed = read_release(path)
        if len(listed) != self.test_images:
            raise ValueError(
                f"{path}: {len(listed):,} test images, but MPII has {self.test_images:,}; fetch the official release"
            )
        return _persons(listed, folder / "images", path)


def _release(root: str | None) -> tuple[Path, Path]:
    """MPII's folder and the release in it."""
    for place in FOLDERS:
        try:
            folder = find_folder(root, "mpii", f"{place}/{RELEASE}", LAYOUT)
        except ValueError:
            continue
        return folder, folder / place / RELEASE
    folder = find_folder(root, "mpii", RELEASE, LAYOUT)
    return folder, folder / RELEASE


def read_release(path: Path) -> tuple[ReleaseImage, ...]:
    """The test images of a release, in its order; ValueError naming file and image for what is missing or wrong."""
    release = read_struct(path, "RELEASE")
    try:
        return tuple(_test_images(release))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; fetch MPII's annotations again") from None


def _test_images(release: Compound) -> Iterator[ReleaseImage]:
    images, training, single = (release.get(0, name) for name in ("annolist", "img_train", "single_person"))
    if not isinstance(images, Compound) or not isinstance(single, Compound) or not isinstance(training, np.ndarray):
        raise ValueError("RELEASE has no lists of images and persons")
    if not len(images) == len(single) == training.size:
        raise ValueError(f"{len(images)} images, but {training.size} flags and {len(single)} lists of single persons")
    for i in np.flatnonzero(training.ravel() == 0).tolist():
        named = images.get(i, "image")
        name = named.get(0, "name") if isinstance(named, Compound) and len(named) else None
        if not isinstance(name, str) or not name.isprintable() or not name or leads_out(name):
            raise ValueError(f"image {i + 1} has no name of a file in the folder of images")
        people = tuple(_people(images.get(i, "annorect")))
        yield ReleaseImage(name, people, _judged(single.get(i), people, f"image {i + 1} ({name})"))


def _people(rectangles: Value) -> Iterator[ReleasePerson]:
    """Everybody in an image; [] where there is nobody."""
    if not isinstance(rectangles, Compound):
        return
    for k in range(len(rectangles)):
        place = rectangles.get(k, "objpos")
        x, y = (_number(place.get(0, axis) if isinstance(place, Compound) and len(place) else None) for axis in "xy")
        yield ReleasePerson(None if x is None or y is None else (x, y), _number(rectangles.get(k, "scale")))


def _number(found: Value) -> float | None:
    single = isinstance(found, np.ndarray) and found.size == 1
    return float(found.ravel()[0]) if single and np.isfinite(found).all() else None  # type: ignore[union-attr,arg-type]


def _judged(numbers: Value, people: Sequence[ReleasePerson], where: str) -> tuple[int, ...]:
    """Positions of the single persons, whom the release counts from 1."""
    found = tuple(int(n) - 1 for n in numbers.ravel()) if isinstance(numbers, np.ndarray) else ()
    for k in found:
        if not 0 <= k < len(people) or people[k].centre is None or not (people[k].scale or 0) > 0:
            raise ValueError(f"{where}: single person {k + 1} has no place and scale")
    return found


def _persons(listed: tuple[ReleaseImage, ...], images: Path, path: Path) -> ReleasePersons:
    rows = [(i, image.people[k]) for i, image in enumerate(listed) for k in image.judged]
    if not rows:
        raise ValueError(f"{path}: no single persons in its test images; fetch MPII's annotations again")
    boxes = [square(p.centre[0] - 1, p.centre[1] - 1, p.scale) for _, p in rows if p.centre and p.scale]
    names, nothing = [image.name for image in listed], np.full(len(rows), np.nan)
    joints = len(MPII_16.joints)
    return ReleasePersons(
        skeleton=MPII_16,
        images=FileImages(locate(names, [images]), names),
        image=np.array([i for i, _ in rows]),
        box=np.array(boxes),
        joints=np.zeros((len(rows), joints, 2)),
        labelled=np.zeros((len(rows), joints), bool),
        visible=np.zeros((len(rows), joints), bool),
        head_size=nothing,
        area=nothing,
        listed=listed,
    )


# ---------------------------------------------------------------------------------------------------- for the server


def server_file(persons: ReleasePersons, joints_NJ2: np.ndarray) -> bytes:
    """The file that the server takes: `pred`, its list of test images with the predicted joints [N,16,2] of `persons`.

    Positions count from 1 there, as the release's do.
    """
    from scipy.io import savemat  # slow to import

    rows = iter(joints_NJ2 + 1.0)
    pred = _structs(len(persons.listed), "image", "annorect")
    for i, image in enumerate(persons.listed):
        people = _structs(len(image.people), "scale", "objpos", "annopoints")
        for k, person in enumerate(image.people):
            people["scale"][0, k] = NOTHING if person.scale is None else person.scale
            people["objpos"][0, k] = (
                NOTHING if person.centre is None else _struct(x=person.centre[0], y=person.centre[1])
            )
            people["annopoints"][0, k] = NOTHING
        for k in image.judged:
            people["annopoints"][0, k] = _struct(point=_points(next(rows)))
        pred["image"][0, i], pred["annorect"][0, i] = _struct(name=image.name), people
    buffer = io.BytesIO()
    savemat(buffer, {"pred": pred}, do_compression=True)
    return HEADER + buffer.getvalue()[len(HEADER) :]


def _points(joints_J2: np.ndarray) -> np.ndarray:
    points = _structs(len(joints_J2), "x", "y", "id")
    for j, (x, y) in enumerate(joints_J2.tolist()):
        points["x"][0, j], points["y"][0, j], points["id"][0, j] = x, y, float(j)
    return points


def _struct(**fields: object) -> np.ndarray:
    made = _structs(1, *fields)
    for name, value in fields.items():
        made[name][0, 0] = value
    return made


def _structs(count: int, *names: str) -> np.ndarray:
    """A row of structs as scipy writes them."""
    return np.zeros((1, count), dtype=[(name, object) for name in names])
