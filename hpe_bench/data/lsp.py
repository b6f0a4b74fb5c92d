"""Leeds Sports Pose (LSP), with person crops of LSP-extended as further training data.

Johnson and Everingham, "Clustered Pose and Nonlinear Appearance Models for Human Pose Estimation", BMVC 2010: 2,000
images of one annotated person each, 1-1000 to train and 1001-2000 to test. Johnson and Everingham, "Learning Effective
Human Pose Estimation from Inaccurate Annotation", CVPR 2011: 10,000 further training images, here as 7,091 crops.

Left and right are the person's own (person-centric) in both. `ObserverLSP` has the observer-centric labels that
published observer-centric numbers rest on, `ObserverLSPBySide` converts by a rule of ours (F3).

What the data sets leave open, and how it is read here:

- **Third value of a joint.** LSP: 1 = occluded, its position guessed (inferred from which joints carry it); so all
  joints are labelled and those are not visible. LSP-extended: 1 = labelled; occlusion is not annotated, so every
  labelled joint counts as visible (F3).
- **Origin.** 0- or 1-based is not documented, and the extremes do not settle it (in LSP, y runs from 0.25 to 0.04
  beyond the image's height). Coordinates are taken as they stand; the difference is at most one pixel of about 150.
- **Box.** None is given: the tight box around the labelled joints, wider on each side by `BOX_MARGIN` of its longer
  side, because joints end at ankles and wrists. It is not clipped to the image, so it stays centred on the joints.
- **Head size and area** are undefined (NaN).

Two test images nearly repeat a training image (`NEAR_DUPLICATES`); they are kept, as every published LSP number has
them. In image 1185 the torso is 2.55 px long, so PCK with torso reference counts nearly all its joints as wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hpe_bench.data.folders import locate, require_files
from hpe_bench.data.images import FileImages
from hpe_bench.data.mat_files import read_mat
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import LSP_14, Skeleton
from hpe_bench.declare import DataSource

TRAIN_COUNT = 1000
TEST_COUNT = 1000
EXTENDED_COUNT = 7091
NEAR_DUPLICATES = ((1211, 483), (1366, 550))  # (test image, training image): same scene, annotated twice
BOX_MARGIN = 0.08  # ours: hands and feet reach about this part of the body's length beyond wrists and ankles

JOINTS_SHA256 = "ddcfcbe904106bfbf26561c8d11720ca62a11c7a861548064b3bae84cb396b2a"  # lsp/joints.mat
OBSERVER_JOINTS = "lsp_oc/joints.mat"
EXTENDED_JOINTS_SHA256 = "6cf534a0d624dadcf03efb165e450e648a068f001cd1befbe0bdfc5d7417e424"  # lspet_crops/joints.mat


@dataclass(frozen=True)
class LSP(DataSource):
    """LSP in its official layout; `extended` adds the LSP-extended crops to the split "train".

    The root is the folder that holds `lsp/` (and `lspet_crops/`), or `lsp/` itself.
    """

    extended: bool = True

    name = "lsp"

    @property
    def skeleton(self) -> Skeleton:
        return LSP_14

    def load(self, split: str, root: str | None) -> PersonSet:
        """Persons of "train" or "test", one an image, in the order of the image numbers (LSP before LSP-extended)."""
        persons = self.truth(split, root)
        assert isinstance(persons.images, FileImages)
        require_files(list(persons.images.paths))
        return persons

    def annotations(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Joints [2000,14,2] float64 of LSP in a folder and which are occluded [2000,14]."""
        return read_lsp(folder)

    def truth(self, split: str, root: str | None) -> PersonSet:
        """As `load`, from the annotation files alone."""
        if split not in ("train", "test"):
            raise ValueError(f"LSP has no split {split!r}; use 'train' or 'test'")
        lsp = find_lsp(root)
        joints, occluded = self.annotations(lsp)
        rows = slice(0, TRAIN_COUNT) if split == "train" else slice(TRAIN_COUNT, TRAIN_COUNT + TEST_COUNT)
        paths = lsp_paths(lsp)[rows]
        labelled = np.ones_like(occluded)
        joints, labelled, visible = joints[rows], labelled[rows], ~occluded[rows]
        if split == "train" and self.extended:
            folder = find_extended(lsp)
            more_joints, more_labelled, numbers = read_extended(folder)
            paths += extended_paths(folder, numbers)
            joints = np.concatenate([joints, more_joints])
            labelled = np.concatenate([labelled, more_labelled])
            visible = np.concatenate([visible, more_labelled])
        return PersonSet(
            skeleton=LSP_14,
            images=FileImages(paths),
            image=np.arange(len(paths)),
            box=boxes_around(joints, labelled),
            joints=joints,
            labelled=labelled,
            visible=visible,
            head_size=np.full(len(paths), np.nan),
            area=np.full(len(paths), np.nan),
        )


@dataclass(frozen=True)
class ObserverLSP(LSP):
    """LSP with its observer-centric labels (Pishchulin et al. 2013, as Yang et al. 2016 score them), in both splits.

    They lie in `lsp_oc/joints.mat` beside `lsp/`, in the layout of LSP's own file; LSP-extended has none.
    """

    def __post_init__(self) -> None:
        if self.extended:
            raise ValueError("LSP-extended has no observer-centric labels; use ObserverLSP(extended=False)")

    def annotations(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Joints [2000,14,2] and which are occluded [2000,14], from the observer-centric file."""
        path = folder.resolve().parent / OBSERVER_JOINTS
        if not path.is_file():
            raise ValueError(
                f"{path}: no observer-centric labels here; put their joints.mat there, or use lsp-pc or lsp-oc-by-side"
            )
        return read_lsp(path.parent)


@dataclass(frozen=True)
class ObserverLSPBySide(LSP):
    """LSP with left and right as the viewer sees them, by `observer_centric`, in both splits."""

    def truth(self, split: str, root: str | None) -> PersonSet:
        """As `LSP.truth`, converted."""
        return observer_centric(super().truth(split, root))


def observer_centric(persons: PersonSet) -> PersonSet:
    """Name arms and legs by the side they are seen on: "right" is the one on the left of the image, as of somebody who
    faces the viewer.

    Legs (hips, knees, ankles together) change sides where the right hip lies further right in the image than the left
    one, arms (shoulders, elbows, wrists) where the right shoulder does; they stay where one of the two is not
    labelled or both lie in one column. The rule is ours: published observer-centric numbers rest on labels of their
    own, which are not part of the data set, so they compare with ours only roughly (F3).
    """
    order = np.tile(np.arange(len(LSP_14.joints)), (len(persons), 1))
    for root, limb in (("hip", ("hip", "knee", "ankle")), ("shoulder", ("shoulder", "elbow", "wrist"))):
        right, left = LSP_14.index(f"right_{root}"), LSP_14.index(f"left_{root}")
        crossed = persons.labelled[:, [right, left]].all(axis=1)
        crossed &= persons.joints[:, right, 0] > persons.joints[:, left, 0]
        for joint in limb:
            right, left = LSP_14.index(f"right_{joint}"), LSP_14.index(f"left_{joint}")
            order[crossed, right], order[crossed, left] = left, right
    return replace(
        persons,
        joints=np.take_along_axis(persons.joints, order[..., None], axis=1),
        labelled=np.take_along_axis(persons.labelled, order, axis=1),
        visible=np.take_along_axis(persons.visible, order, axis=1),
    )


def find_lsp(root: str | None) -> Path:
    """The folder with LSP's joints.mat and images; ValueError saying where it was looked for."""
    if root is None:
        raise ValueError("LSP lies in files: name the folder that holds lsp/ (images/ and joints.mat) with --root")
    base = Path(root)
    if not base.is_dir():
        raise ValueError(f"{base}: no such folder; --root names the folder that holds lsp/ (images/ and joints.mat)")
    for folder in (base / "lsp", base):
        if (folder / "joints.mat").is_file():
            return folder
    raise ValueError(f"{base}: no LSP here; expected lsp/joints.mat and lsp/images/ as in the official archive")


def find_extended(lsp: Path) -> Path:
    """The folder of the LSP-extended crops, beside LSP; ValueError if it is not there."""
    folder = lsp.resolve().parent / "lspet_crops"
    if not (folder / "joints.mat").is_file():
        raise ValueError(f"{folder}: no LSP-extended crops here; put them there, or train on LSP(extended=False)")
    return folder


def read_lsp(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Joints [2000,14,2] float64 and which are occluded [2000,14]."""
    values = read_mat(folder / "joints.mat", {"joints": (3, 14, TRAIN_COUNT + TEST_COUNT)}, "LSP")["joints"]
    return values[:2].transpose(2, 1, 0).copy(), values[2].T == 1


def read_extended(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints [7091,14,2] float64 in pixels of the crops, which are labelled [7091,14], image numbers [7091]."""
    shapes = {"joints": (14, 3, EXTENDED_COUNT), "image_number": (1, EXTENDED_COUNT)}
    values = read_mat(folder / "joints.mat", shapes, "LSP-extended")
    joints = values["joints"]
    return joints[:, :2].transpose(2, 0, 1).copy(), joints[:, 2].T == 1, values["image_number"][0].astype(int)


def lsp_paths(folder: Path) -> list[Path]:
    """Image files 1 to 2000."""
    names = [f"im{number:04d}.jpg" for number in range(1, TRAIN_COUNT + TEST_COUNT + 1)]
    return locate(names, [folder / "images"])


def extended_paths(folder: Path, numbers: np.ndarray) -> list[Path]:
    """Image files of the crops, by the number of the original image."""
    return locate([f"im{number:05d}.jpg" for number in numbers], [folder / "images"])


def boxes_around(joints: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Boxes [N,4] (x, y, w, h): the labelled joints' extent and `BOX_MARGIN` of its longer side around it."""
    low = np.where(labelled[..., None], joints, np.inf).min(1)
    high = np.where(labelled[..., None], joints, -np.inf).max(1)
    margin = BOX_MARGIN * (high - low).max(1, keepdims=True)
    return np.concatenate([low - margin, high - low + 2 * margin], axis=1)
