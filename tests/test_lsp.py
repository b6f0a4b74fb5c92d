"""LSP: golden counts on the real files; every fault of a folder gives one clear sentence."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from scipy.io import savemat

from hpe_bench.data import check, lsp
from hpe_bench.data.images import FileImages, incomplete
from hpe_bench.data.lsp import LSP

# ---------------------------------------------------------------------------------------------------- real files


def test_golden_counts(shared_data: Path) -> None:
    """F3: 1,000 / 1,000 / 7,091 persons, 2,044 occluded joints; 1,494 / 1,658 / 3,939 with 12 / 13 / 14 labelled."""
    root = str(shared_data)
    train, test = LSP(extended=False).load("train", root), LSP().load("test", root)
    assert (len(train), len(test)) == (1000, 1000)
    assert train.labelled.all()
    assert test.labelled.all()
    assert (~train.visible).sum() + (~test.visible).sum() == 2044
    both = LSP(extended=True).load("train", root)
    assert len(both) == 1000 + 7091
    assert np.bincount(both.labelled[1000:].sum(1), minlength=15)[12:].tolist() == [1494, 1658, 3939]
    np.testing.assert_array_equal(both.joints[:1000], train.joints)
    assert (train.images.name(0), test.images.name(0), both.images.name(1000)) == (
        "im0001.jpg",
        "im1001.jpg",
        "im00001.jpg",
    )


def test_known_oddities_are_where_they_were_reported(shared_data: Path) -> None:
    """Fails if images and joints are out of step by one."""
    train, test = (LSP(extended=False).load(split, str(shared_data)) for split in ("train", "test"))
    torso = [LSP().skeleton.index(joint) for joint in ("left_shoulder", "right_hip")]
    length = np.linalg.norm(np.diff(test.joints[:, torso], axis=1)[:, 0], axis=-1)
    assert int(np.argmin(length)) == 1185 - 1001
    assert round(float(length.min()), 2) == 2.55
    height = np.array([train.images.read(i).shape[0] for i in (124, 125, 126)])
    assert (train.joints[124:127, :, 1].max(1) - height > 0).tolist() == [False, True, False]  # im0126, by 0.04 px


def test_near_duplicates_are_the_named_pairs(shared_data: Path) -> None:
    train, test = (LSP(extended=False).load(split, str(shared_data)) for split in ("train", "test"))

    def thumbnail(images: FileImages, index: int) -> np.ndarray:
        grey = cv2.cvtColor(images.read(index), cv2.COLOR_RGB2GRAY)
        return cv2.resize(grey, (12, 12), interpolation=cv2.INTER_AREA).ravel()

    known = np.array([thumbnail(train.images, i) for i in range(1000)])
    for test_number, train_number in lsp.NEAR_DUPLICATES:
        alike = np.corrcoef(thumbnail(test.images, test_number - 1001), known)[0, 1:]
        assert int(np.argmax(alike)) == train_number - 1
        assert alike.max() > 0.95


@pytest.mark.parametrize("rows", [slice(0, 1000), slice(1000, None)])
def test_left_and_right_are_the_persons_own(shared_data: Path, rows: slice) -> None:
    """F3: most people face the camera, their right shoulder on the left; the viewer's right would always be right."""
    persons = LSP().load("train", str(shared_data)).subset(np.arange(8091)[rows])
    right, left = LSP().skeleton.index("right_shoulder"), LSP().skeleton.index("left_shoulder")
    both = persons.labelled[:, right] & persons.labelled[:, left]
    share = (persons.joints[both, right, 0] < persons.joints[both, left, 0]).mean()
    assert 0.6 < share < 0.75


def test_boxes_hold_the_joints(shared_data: Path) -> None:
    persons = LSP().load("train", str(shared_data))
    x, y, w, h = persons.box.T[..., None]
    inside = (
        (persons.joints[..., 0] > x)
        & (persons.joints[..., 0] < x + w)
        & (persons.joints[..., 1] > y)
        & (persons.joints[..., 1] < y + h)
    )
    assert inside[persons.labelled].all()
    assert np.isnan(persons.head_size).all()
    assert np.isnan(persons.area).all()


def test_the_lsp_folder_itself_is_a_root_too(shared_data: Path) -> None:
    persons = LSP().load("train", str(shared_data / "lsp"))
    assert persons.digest() == LSP().load("train", str(shared_data)).digest()


def test_check_passes_on_the_real_files(shared_data: Path) -> None:
    rows = check.check("lsp", str(shared_data))
    assert len(rows) == 10
    assert all(row.ok for row in rows), [row for row in rows if not row.ok]


# ---------------------------------------------------------------------------------------------------- made-up files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder laid out like LSP and LSP-extended, with one picture under every name."""
    rng = np.random.default_rng(0)
    _, jpeg = cv2.imencode(".jpg", rng.integers(0, 256, (70, 60, 3), np.uint8))
    (tmp_path / "picture.jpg").write_bytes(jpeg.tobytes())
    for folder in ("lsp", "lspet_crops"):
        (tmp_path / folder / "images").mkdir(parents=True)
    numbers = np.arange(1, 7092)
    for path in lsp.lsp_paths(tmp_path / "lsp") + lsp.extended_paths(tmp_path / "lspet_crops", numbers):
        path.hardlink_to(tmp_path / "picture.jpg")  # thousands of files at no cost: replace them, never write to one
    joints = rng.uniform(5, 55, (3, 14, 2000))
    joints[2] = 0
    joints[2, 3, 0] = 1
    savemat(tmp_path / "lsp" / "joints.mat", {"joints": joints})
    more = rng.uniform(5, 55, (14, 3, 7091))
    more[:, 2] = 1
    more[4, :, 0] = 0
    savemat(tmp_path / "lspet_crops" / "joints.mat", {"joints": more, "image_number": numbers[None]})
    return tmp_path


def test_the_two_flags_have_opposite_senses(root: Path) -> None:
    """F3: LSP's 1 is occluded, LSP-extended's 0 is not labelled."""
    persons = LSP().load("train", str(root))
    assert persons.labelled[0, 3]
    assert not persons.visible[0, 3]
    assert not persons.labelled[1000, 4]
    assert not persons.visible[1000, 4]
    assert persons.visible.sum() == 8091 * 14 - 2


def test_boxes_ignore_joints_without_a_position() -> None:
    joints = np.array([[[10.0, 20.0], [30.0, 60.0], [999.0, np.nan]]])
    box = lsp.boxes_around(joints, np.array([[True, True, False]]))
    np.testing.assert_allclose(box, [[10 - 3.2, 20 - 3.2, 20 + 6.4, 40 + 6.4]])


def test_missing_folders_say_what_belongs_there(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name the folder that holds lsp/ .* with --root"):
        LSP().load("test", None)
    with pytest.raises(ValueError, match=r"nowhere: no such folder"):
        LSP().load("test", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"images: no LSP here; expected lsp/joints.mat"):
        LSP().load("test", str(root / "lsp" / "images"))
    with pytest.raises(ValueError, match=r"no split 'val'; use 'train' or 'test'"):
        LSP().load("val", str(root))
    (root / "lspet_crops").rename(root / "elsewhere")
    with pytest.raises(ValueError, match=r"no LSP-extended crops here; .*extended=False"):
        LSP().load("train", str(root))
    assert len(LSP(extended=False).load("train", str(root))) == 1000
    assert len(LSP().load("test", str(root))) == 1000


@pytest.mark.parametrize("content", [b"", b"not MATLAB", None])
def test_a_damaged_annotation_file_is_named(root: Path, content: bytes | None) -> None:
    path = root / "lsp" / "joints.mat"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    with pytest.raises(ValueError, match=r"joints.mat: (no|damaged) MATLAB file.*fetch it again"):
        LSP().load("test", str(root))


def test_another_data_sets_annotations_are_refused(root: Path) -> None:
    savemat(root / "lsp" / "joints.mat", {"joints": np.zeros((14, 3, 2000))})
    with pytest.raises(ValueError, match=r"joints is \(14, 3, 2000\), expected \(3, 14, 2000\)"):
        LSP().load("test", str(root))
    savemat(root / "lsp" / "joints.mat", {"other": np.zeros(3)})
    with pytest.raises(ValueError, match=r"joints is no array of numbers, expected"):
        LSP().load("test", str(root))


def test_missing_images_are_counted_before_anything_runs(root: Path) -> None:
    for number in (1500, 1400):
        (root / "lsp" / "images" / f"im{number}.jpg").unlink()
    with pytest.raises(ValueError, match=r"im1400.jpg: 2 of 1000 images are missing"):
        LSP().load("test", str(root))


def test_check_names_what_is_wrong(root: Path) -> None:
    images = root / "lsp" / "images"
    (images / "im0007.jpg").unlink()
    whole = (images / "im0009.jpg").read_bytes()
    (images / "im0009.jpg").unlink()
    (images / "im0009.jpg").write_bytes(whole[:-300])
    rows = {row.what: row for row in check.check("lsp", str(root))}
    assert rows["lsp, persons"].ok
    assert (rows["lsp, images"].found, rows["lsp, images"].ok) == ("1999", False)
    assert (rows["lsp, unreadable images"].found, rows["lsp, unreadable images"].ok) == ("im0009.jpg", False)
    assert rows["lspet_crops, unreadable images"].ok
    assert not rows["lsp/joints.mat, SHA-256"].ok
    with pytest.raises(ValueError, match=r"no check for a data set named 'cats'"):
        check.check("cats", None)


def test_a_printed_check_names_what_was_expected(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The made-up joints.mat is not the official one."""
    assert not check.print_check(Console(width=200), "lsp", str(root))
    out = capsys.readouterr().out
    assert "ok    lsp, persons: 2000" in out
    assert "WRONG lsp/joints.mat, SHA-256" in out
    assert f"expected: {lsp.JOINTS_SHA256}" in out


def test_check_generates_mannequins_where_it_is_told(tmp_path: Path) -> None:
    rows = check.check("mannequins", str(tmp_path))
    assert all(row.ok for row in rows)
    assert rows[1].found == "100"
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1


# ---------------------------------------------------------------------------------------------------- images


@pytest.fixture(params=[".jpg", ".png"])
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"picture{request.param}"
    cv2.imwrite(str(path), cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8), (70, 50)))
    return path


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.9, 0.999])
def test_truncated_images_are_errors(picture: Path, keep: float) -> None:
    """`cv2.imread` returns a half-grey JPEG."""
    assert FileImages([picture]).read(0).shape == (50, 70, 3)
    data = picture.read_bytes()
    picture.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=rf"{picture.name}: .*; fetch the file again"):
        FileImages([picture]).read(0)


def test_missing_empty_and_foreign_files_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.jpg").write_bytes(b"<html>not found</html>")
    (tmp_path / "folder.jpg").mkdir()
    images = FileImages([tmp_path / f"{name}.jpg" for name in ("missing", "empty", "page", "folder")])
    for index, fault in enumerate(("cannot be read", "the file is empty", "not an image", "cannot be read")):
        with pytest.raises(ValueError, match=rf"{images.name(index)}: {fault}"):
            images.read(index)


def test_colours_are_rgb_and_grey_pictures_have_three_channels(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 250  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "red.png"), red)
    cv2.imwrite(str(tmp_path / "grey.png"), red[..., 2])
    images = FileImages([tmp_path / "red.png", tmp_path / "grey.png"])
    assert images.read(0)[3, 3].tolist() == [250, 0, 0]
    assert images.read(1)[3, 3].tolist() == [250, 250, 250]


def test_a_thumbnails_end_marker_does_not_hide_a_truncated_picture() -> None:
    """An EXIF thumbnail is a JPEG inside the JPEG, with an end marker of its own."""
    _, small = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))
    _, large = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    thumbnail, picture = small.tobytes(), large.tobytes()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = picture[:2] + segment + picture[2:]
    assert incomplete(whole) == ""
    assert incomplete(whole + b"trailing bytes of a camera") == ""
    assert "truncated" in incomplete(whole[:-100])
