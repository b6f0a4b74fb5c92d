"""Files as other tools, cameras and networks leave them: what is whole is read, what is not is called what it is.

Every case was met in practice; its file is built here, small.
"""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from rich.console import Console
from scipy.io import savemat

from hpe_bench.catalog import find_protocol
from hpe_bench.commands import submit
from hpe_bench.data import coco, csv_files, mat_files, own_images
from hpe_bench.data.coco import COCO, read_own
from hpe_bench.data.images import MOST_PIXELS, FileImages, decoded, incomplete, orientation, size_wh
from hpe_bench.data.names import leads_out, printable
from hpe_bench.data.prediction_files import read
from hpe_bench.data.skeletons import COCO_17, LSP_14
from hpe_bench.files import require_free
from hpe_bench.inference import overlays
from hpe_bench.metrics import ap_pycocotools, average_precision
from hpe_bench.run import truths
from hpe_bench.terminal import PlainConsole
from tests.predicted import answers, persons, results, write_json

CASES = Path(__file__).parent / "data" / "outside"
PHOTO = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), (9, 9), 3)


def encoded(suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, PHOTO, options)[1].tobytes()


# ---------------------------------------------------------------------------------------------------- photographs

JPEGS = [encoded(".jpg"), encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 3)]
VIDEO = b"\x00\x00\x00\x18ftypmp42" + b"\xff\xda\x00\x08 no marker " * 30 + b"\xff\xd8\xff\xe0"


@pytest.mark.parametrize("photo", [*JPEGS, encoded(".png")])
@pytest.mark.parametrize("trailer", [b"\0" * 100, VIDEO, b"IEND trailing" * 9, JPEGS[0][:200], b"\xff\xda"])
def test_bytes_behind_a_photograph_are_no_fault(photo: bytes, trailer: bytes) -> None:
    """Motion photographs carry a video, cameras a second picture, tools whatever they like."""
    assert incomplete(photo + trailer) == ""
    np.testing.assert_array_equal(decoded(photo + trailer, "x"), decoded(photo, "x"))
    assert size_wh(photo + trailer) == (80, 60)


@pytest.mark.parametrize("photo", [*JPEGS, encoded(".png"), encoded(".bmp"), encoded(".webp"), encoded(".tiff")])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_what_is_cut_off_stays_a_fault(photo: bytes, keep: float) -> None:
    with pytest.raises(ValueError, match=r"^x: .*(truncated|not an image)"):
        decoded(photo[: int(len(photo) * keep)], "x")
    if photo.startswith(b"\xff\xd8"):  # also where a video follows that happens to hold an end marker
        with pytest.raises(ValueError, match="truncated"):
            decoded(photo[: int(len(photo) * keep)], "x")


def pillow(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("P", "PNG"), ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("L", "JPEG"),
     ("CMYK", "TIFF"), ("RGBA", "WEBP"), ("P", "GIF")],
)  # fmt: skip
def test_every_kind_of_pixels_becomes_rgb(mode: str, kind: str) -> None:
    image = PIL.Image.fromarray(PHOTO).convert(mode)
    data = pillow(image, kind)
    wanted = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"), int)
    assert np.abs(decoded(data, "x") - wanted).max() <= 1


def test_sixteen_bits_become_eight() -> None:
    grey = PHOTO[..., 0].astype(np.uint16) * 257
    assert (decoded(cv2.imencode(".png", grey)[1].tobytes(), "x")[..., 1] == PHOTO[..., 0]).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_an_image_that_decodes_to_gigabytes_is_refused_by_its_header(kind: str, monkeypatch: Any) -> None:
    """A white PNG of 20000 x 20000 takes 50 KB and decodes to 1.2 GB."""
    monkeypatch.setattr("hpe_bench.data.images.MOST_PIXELS", 4000)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ValueError, match=r"80 x 60 pixels, more than 4,000 in all"):
        decoded(pillow(PIL.Image.fromarray(PHOTO), kind), "x")


def test_a_header_of_20000_pixels_a_side_is_believed() -> None:
    whole = bytearray(encoded(".png"))
    whole[16:24] = (20_000).to_bytes(4, "big") * 2
    with pytest.raises(ValueError, match=r"20,000 x 20,000 pixels, more than 178,956,970"):
        decoded(bytes(whole), "x")
    assert MOST_PIXELS < 20_000**2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><title>sign in</title>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "HEIC.*convert"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "(AVIF|not an image)"),
        (b"\x1f\x8b\x08\0", "gzip"),
    ],
)
def test_what_is_no_image_is_called_by_its_kind(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=rf"^x: not an image.*{words}"):
        decoded(content, "x")


def turned(degree: int) -> bytes:
    exif = PIL.Image.Exif()
    exif[0x0112] = degree
    return pillow(PIL.Image.fromarray(PHOTO), "JPEG", exif=exif)


def test_an_exif_orientation_is_told_and_not_applied(tmp_path: Path) -> None:
    assert [orientation(data) for data in (turned(6), turned(1), encoded(".png"), b"", b"\xff\xd8\xff")] == [
        6,
        1,
        1,
        1,
        1,
    ]
    assert decoded(turned(6), "x").shape == (60, 80, 3)
    for name, data in (("a.jpg", turned(8)), ("b.jpg", turned(1)), ("c.jpg", turned(3))):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "b.csv").write_text("image,x,y,width,height\na.jpg,1,2,3,4\nb.jpg,1,2,3,4\nc.jpg,1,2,3,4\n")
    task = submit.predicting.task_of_images(find_protocol("coco-val2017-gtbox"), tmp_path, tmp_path / "b.csv")
    told = io.StringIO()
    submit.warn_of_turned(task, Console(file=told, width=200))
    assert "warning: a.jpg has an EXIF orientation (8), and 1 more images have one" in told.getvalue()
    assert "stored pixels" in " ".join(told.getvalue().split())


# ------------------------------------------------------------------------------------------------ boxes of one's own

ROW = "image,x,y,width,height\na.jpg,1,2,30,40\n"


@pytest.mark.parametrize(
    "content",
    [
        ROW.encode("utf-8-sig"),
        ROW.encode("utf-16"),
        ROW.replace("\n", "\r\n").encode(),
        ROW.replace(",", ";").encode(),
        ROW.replace(",", "\t").encode(),
        ROW.replace("image,x", " Image ,X").encode(),
        b'image,x,y,width,height,note\na.jpg,1,2,30,40,"a, b"\n',
    ],
)
def test_tables_of_every_spreadsheet_are_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "A.JPG").write_bytes(JPEGS[0])  # and names in another case
    (tmp_path / "boxes.csv").write_bytes(content)
    nobody, boxes = own_images.read_own_images(tmp_path, tmp_path / "boxes.csv", COCO_17)
    assert boxes.box.tolist() == [[1, 2, 30, 40]]
    assert nobody.images.name(0) == "a.jpg"
    assert nobody.images.read(0).shape == (60, 80, 3)


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/etc/passwd", "b/../../a.jpg", "C:\\a.jpg", "..\\a.jpg", "\\\\host\\a", "."]
)
def test_names_do_not_lead_out_of_their_folder(name: str, tmp_path: Path) -> None:
    assert leads_out(name)
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "x", "y", "width", "height"], [name, 1, 2, 3, 4]])
    with pytest.raises(ValueError, match=r"boxes.csv:2: image .* leads out"):
        own_images.read_own_images(tmp_path, tmp_path / "boxes.csv", COCO_17)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x1f\x8b\x08\0\x99", "gzip"),
        (ROW.replace("1,2", '"1,5",2').encode(), "point, not a comma"),
        (b"\xe9\xe8", "UTF-8"),
    ],
)
def test_tables_that_cannot_be_read_say_why(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"boxes.csv.*{words}"):
        own_images.read_own_images(tmp_path, tmp_path / "boxes.csv", COCO_17)


# ---------------------------------------------------------------------------------------------------- drawings


class Named(FileImages):
    """Images that only have names."""

    def __init__(self, names: list[str]) -> None:
        super().__init__([Path(name) for name in names], names)


def test_every_image_has_a_drawing_of_its_own() -> None:
    names = ["a/1.jpg", "b/1.jpg", "x.jpg", "x.png", "x.png.jpg", "y.png", "Z.JPG", "z.png", "no_suffix"]
    found = [str(path.relative_to("out")) for path in overlays.targets(Named(names), Path("out"))]
    assert found == [
        "a/1.jpg",
        "b/1.jpg",
        "x.jpg",
        "x.png.2.jpg",
        "x.png.jpg",
        "y.jpg",
        "Z.JPG",
        "z.png.jpg",
        "no_suffix.jpg",
    ]
    assert len({name.casefold() for name in found}) == len(names)


@pytest.mark.parametrize("how", ["same", "link", "hard link", "through a folder's link"])
def test_an_input_is_never_a_target(how: str, tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "a.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"mine")
    target = {"same": photo, "through a folder's link": tmp_path / "other" / "a.jpg"}.get(how, tmp_path / "b.jpg")
    if how == "link":
        target.symlink_to(photo)
    elif how == "hard link":
        os.link(photo, target)
    elif how != "same":
        target.parent.symlink_to(photo.parent)
    for force in (False, True):
        with pytest.raises(ValueError, match="is one of the inputs"):
            require_free([tmp_path / "new.jpg", target], [photo], force)


def test_what_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a exists already; .* --force"):
        require_free([tmp_path / "b", tmp_path / "a"], [], force=False)
    require_free([tmp_path / "a"], [], force=True)
    with pytest.raises(ValueError, match="is a folder"):
        require_free([tmp_path], [], force=True)


# ---------------------------------------------------------------------------------------------------- one's own truth


def own_truth() -> dict[str, Any]:
    """Four images and their persons in COCO's layout, and answers."""
    truth = persons(8, 4)
    found = ap_pycocotools.as_coco(truth)
    for i, image in enumerate(found["images"]):
        image |= {"file_name": f"{i}.jpg", "height": 120, "width": 160}
    found["annotations"][5]["keypoints"][3 * 4 + 2] = 1
    found["annotations"][6]["keypoints"][9:12] = [0, 0, 0]
    found["annotations"][6]["num_keypoints"] = 16
    return found


def answered() -> list[dict[str, Any]]:
    truth = persons(8, 4)
    return results(truth, answers(truth, 4.0))


def without(field: str, place: str = "annotations") -> Any:
    return lambda d: [entry.pop(field) for entry in d[place]]


def set_all(field: str, value: Any, place: str = "annotations") -> Any:
    return lambda d: [entry.__setitem__(field, value) for entry in d[place]]


def spelled(d: dict[str, Any], how: Any) -> None:
    d["categories"][0]["keypoints"] = [how(name) for name in d["categories"][0]["keypoints"]]


ODD_TRUTHS: dict[str, Any] = {
    "as it should be": lambda d: None,
    "all joints counted": set_all("num_keypoints", 17),
    "no sizes": lambda d: (without("height", "images")(d), without("width", "images")(d)),
    "sizes of -1": set_all("height", -1, "images"),
    "sizes as text": set_all("width", "160", "images"),
    "boxes without extent": set_all("bbox", [0.0, 0.0, 0.0, 0.0]),
    "no boxes": without("bbox"),
    "boxes of null": set_all("bbox", None),
    "names with spaces": lambda d: spelled(d, lambda name: name.replace("_", " ")),
    "names in capitals": lambda d: spelled(d, str.upper),
    "other names": lambda d: spelled(d, lambda name: f"my {name}"),
    "no names": lambda d: d["categories"][0].pop("keypoints"),
    "ids as floats": lambda d: [e.update(id=float(e["id"])) for e in d["images"] + d["annotations"]],
    "image ids as floats": lambda d: [e.update(image_id=float(e["image_id"])) for e in d["annotations"]],
    "crowds as truth values": lambda d: [e.update(iscrowd=bool(e["iscrowd"])) for e in d["annotations"]],
    "no file names": without("file_name", "images"),
    "absolute file names": set_all("file_name", "/home/me/a.jpg", "images"),
    "file names of Windows": set_all("file_name", "C:\\data\\a.jpg", "images"),
    "another category beside": lambda d: (
        d["categories"].append({"id": 2, "name": "ball"}),
        d["annotations"].append({"id": 99, "image_id": 100, "category_id": 2, "bbox": [1, 2, 3, 4]}),
    ),
    "persons of no listed image": lambda d: d["annotations"].append({**d["annotations"][0], "id": 99, "image_id": 7}),
    "nobody counted on one": lambda d: d["annotations"][3].update(num_keypoints=0),
    "counted without a joint": lambda d: d["annotations"][2].update(
        num_keypoints=3, keypoints=[0] * 51, bbox=[10, 10, 90, 90]
    ),
    "no categories of persons on an unlisted image": lambda d: (
        without("category_id")(d),
        d["annotations"].append({**d["annotations"][0], "id": 99, "image_id": 7}),
    ),
    "flags of 3": lambda d: d["annotations"][1]["keypoints"].__setitem__(2, 3),
    "fields of other tools": set_all("attributes", {"occluded": False}),
}


@pytest.mark.parametrize("odd", ODD_TRUTHS)
def test_ones_own_truth_is_scored_as_pycocotools_scores_it(odd: str, tmp_path: Path) -> None:
    """Whatever scoring does not read may be missing or odd; it is said, and the figures are pycocotools'."""
    document = own_truth()
    ODD_TRUTHS[odd](document)
    (tmp_path / "gt.json").write_text(json.dumps(document))
    truth = truths.of_file(find_protocol("coco-val2017-gtbox"), tmp_path / "gt.json", None)
    file = read(write_json(tmp_path / "dt.json", answered()), truth.persons)
    ours = average_precision.evaluate(truth.persons, file.predictions).figures()
    whole = json.loads((tmp_path / "gt.json").read_text())
    category = whole["categories"][0]["id"]
    whole["annotations"] = [a for a in whole["annotations"] if a.setdefault("category_id", category) == category]
    whole["categories"] = whole["categories"][:1]
    for annotation in whole["annotations"]:
        annotation["bbox"] = annotation.get("bbox") or [0, 0, 0, 0]  # without one, pycocotools fails
    theirs = ap_pycocotools.run(whole, answered()).stats
    np.testing.assert_allclose([ours[f.key] for f in average_precision.FIGURES if f.key in ours],
                               [100 * v for v in theirs if v > -1], atol=1e-9)  # fmt: skip
    quiet = odd in ("as it should be", "ids as floats", "image ids as floats", "crowds as truth values",
                    "fields of other tools")  # fmt: skip
    assert bool(truth.remarks) != quiet
    assert all(str(tmp_path / "gt.json") in remark and "\n" not in remark for remark in truth.remarks)
    if not quiet and odd != "another category beside":
        with pytest.raises(ValueError, match=r"gt\.json"):
            coco.read_annotations(tmp_path / "gt.json", tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("area"), "annotation 0 has no 'area', which OKS is relative to"),
        (without("keypoints"), "annotation 0 has no 'keypoints'"),
        (lambda d: spelled(d, lambda name: name.replace("left", "RIGHT").replace("right", "left")), "another order"),
        (lambda d: d["categories"][0]["keypoints"].pop(), "16 joints, expected 17"),
        (lambda d: d["images"][1].update(id=100), "images 0 and 1 have the same 'id' 100"),
        (lambda d: d["images"][1].update(id="100"), "image 1: 'id' is '100', expected a whole number"),
        (lambda d: d["images"][1].update(id=100.5), "image 1: 'id' is 100.5, expected a whole number"),
    ],
)
def test_what_scoring_reads_must_be_right(change: Any, words: str, tmp_path: Path) -> None:
    document = own_truth()
    change(document)
    (tmp_path / "gt.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=words):
        read_own(tmp_path / "gt.json", tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_every_encoding_with_a_mark(encoding: str, tmp_path: Path) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    (tmp_path / "gt.json").write_bytes((mark + json.dumps(own_truth())).encode(encoding))
    assert len(read_own(tmp_path / "gt.json", tmp_path).persons) == 8


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"<html>", "web page"), (b"\x1f\x8b\x08\0", "gzip.*gunzip"), (b"PK\x03\x04", "zip.*unpack"), (b"", "empty"),
     (b'{"images": [', "not a whole json file"), (b"version https://git-lfs", "git lfs pull")],
)  # fmt: skip
def test_what_is_no_json_is_called_by_its_kind(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"gt\.json: .*{words}"):
        read_own(tmp_path / "gt.json", tmp_path)


# ---------------------------------------------------------------------------------------------------- results


def test_areas_are_those_of_boxes_where_results_have_them(tmp_path: Path) -> None:
    """Ultralytics and detectron2 write boxes; pycocotools then takes areas from them (COCO.loadRes)."""
    truth = persons(8, 4)
    truth.area[:] = [800, 1500, 3000, 8000, 9000, 9500, 20_000, 30_000]
    found = answered()
    rng = np.random.default_rng(2)
    boxed = [{**d, "bbox": [1.0, 2.0, *rng.uniform(20, 160, 2)]} for d in found]
    extra = [{**d, "score": d["score"] / 2, "keypoints": [v + 30 for v in d["keypoints"]]} for d in boxed]
    for listed in (found, boxed, [*boxed, *extra]):
        file = read(write_json(tmp_path / "dt.json", listed), truth)
        ours = average_precision.evaluate(truth, file.predictions).figures()
        theirs = ap_pycocotools.run(ap_pycocotools.as_coco(truth), listed).stats
        np.testing.assert_allclose(list(ours.values()), 100 * theirs, atol=1e-9)
        mirrored = ap_pycocotools.run_arrays(truth, file.predictions).stats
        np.testing.assert_allclose(mirrored, theirs, atol=1e-12)
    plain, with_boxes = (read(write_json(tmp_path / "dt.json", d), truth) for d in (found, boxed))
    assert plain.sha256 != with_boxes.sha256
    assert "boxes" in with_boxes.layout
    with pytest.raises(ValueError, match=r"record 3: bbox is None.*every detection its box, or none"):
        read(write_json(tmp_path / "dt.json", [*boxed[:3], *found[3:]]), truth)


def test_placeholders_may_repeat_and_numbers_may_be_floats(tmp_path: Path) -> None:
    truth = persons(8, 4)
    nobody = {"image_id": 100.0, "category_id": 1.0, "keypoints": [0] * 51, "score": 0.0}
    listed = [*answered(), nobody, nobody]
    file = read(write_json(tmp_path / "dt.json", listed), truth)
    ours = average_precision.evaluate(truth, file.predictions).figures()
    theirs = ap_pycocotools.run(ap_pycocotools.as_coco(truth), listed).stats
    np.testing.assert_allclose(list(ours.values()), [100 * v for v in theirs if v > -1], atol=1e-9)


def test_results_are_held_to_the_truths_own_category(tmp_path: Path) -> None:
    document = own_truth()
    for entry in document["annotations"]:
        entry["category_id"] = 7
    document["categories"][0]["id"] = 7
    (tmp_path / "gt.json").write_text(json.dumps(document))
    truth = read_own(tmp_path / "gt.json", tmp_path).persons
    with pytest.raises(ValueError, match=r"record 0: category_id is '1', expected 7"):
        read(write_json(tmp_path / "dt.json", answered()), truth)
    listed = [{**d, "category_id": 7} for d in answered()]
    assert len(read(write_json(tmp_path / "dt.json", listed), truth).predictions) == 8


@pytest.mark.parametrize("suffix", [".json", ".txt", ".npz", ".mat", ""])
def test_the_layout_is_told_by_content(suffix: str, tmp_path: Path) -> None:
    truth = persons(skeleton=COCO_17)
    write_json(tmp_path / f"a{suffix}", results(truth, answers(truth)))
    assert read(tmp_path / f"a{suffix}", truth).layout == "COCO results"
    savemat(tmp_path / "m.mat", {"preds": truth.joints})
    (tmp_path / "m.mat").replace(tmp_path / f"b{suffix}")
    assert read(tmp_path / f"b{suffix}", truth).layout == "array of joints, 1-based"


# ---------------------------------------------------------------------------------------------------- MATLAB


@pytest.mark.parametrize("axes", [(2, 1, 0), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("scored", [True, False])
def test_axes_in_matlabs_order_are_read_where_one_reading_fits(
    axes: tuple[int, ...], scored: bool, tmp_path: Path
) -> None:
    truth = persons(9, skeleton=LSP_14)
    values = np.concatenate([truth.joints, np.full((9, 14, 1), 0.5)], axis=-1)[..., : 3 if scored else 2]
    savemat(tmp_path / "p.mat", {"joints": values.transpose(axes)})
    found = read(tmp_path / "p.mat", truth, 0)
    np.testing.assert_allclose(found.predictions.joints, truth.joints)
    assert "axes (" in found.layout


def test_one_person_s_array_has_lost_an_axis_in_matlab(tmp_path: Path) -> None:
    truth = persons(1, 1, skeleton=LSP_14)
    savemat(tmp_path / "p.mat", {"preds": truth.joints[0].T + 1})
    np.testing.assert_allclose(read(tmp_path / "p.mat", truth).predictions.joints, truth.joints)


def test_matlab_files_of_other_versions_say_what_to_save(tmp_path: Path) -> None:
    path = tmp_path / "p.mat"
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM"
    for content, words in (
        (header + bytes(384) + b"\x89HDF\r\n\x1a\n", "version 7.3"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "version 7.3"),
        (b"# Created by Octave 8.4.0\n# name: preds\n", "Octave text file"),
        (b"<html>", "web page"),
        (b"MATLAB 5.0 MAT-file", "truncated"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"p\.mat: .*{words}"):
            mat_files.read_every(path)
    savemat(path, {"preds": np.zeros((3, 14, 2))[0]}, format="4")
    with pytest.raises(ValueError, match="version 4; save plain arrays of numbers with -v7"):
        mat_files.read_every(path)
    cells = np.empty(3, object)
    cells[:] = [np.zeros(2)] * 3
    for value, words in ((cells, "a cell array"), ({"a": 1}, "a struct"), ("text", "text"), (1j, "complex")):
        savemat(path, {"preds": value})
        with pytest.raises(ValueError, match=f"preds is .*{words}.*save plain arrays"):
            mat_files.read_every(path)


def test_a_mat_file_that_unpacks_to_gigabytes_is_refused_by_its_header(tmp_path: Path, monkeypatch: Any) -> None:
    savemat(tmp_path / "p.mat", {"preds": np.zeros((100, 100), np.uint8)}, do_compression=True)
    monkeypatch.setattr(mat_files, "MOST_BYTES", 5000)
    with pytest.raises(ValueError, match="more than 0 MiB"):
        mat_files.read_every(tmp_path / "p.mat")
    savemat(tmp_path / "q.mat", {"preds": np.zeros((10, 100))})  # stored as bytes, meant as doubles
    with pytest.raises(ValueError, match="more than 0 MiB"):
        mat_files.read_every(tmp_path / "q.mat")


def test_an_npz_that_unpacks_to_gigabytes_is_refused_by_its_index(tmp_path: Path, monkeypatch: Any) -> None:
    with zipfile.ZipFile(tmp_path / "p.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("preds.npy", bytes(1 << 20))
    monkeypatch.setattr("hpe_bench.data.prediction_files.own.MOST_BYTES", 1 << 19)
    with pytest.raises(ValueError, match="unpacks to"):
        read(tmp_path / "p.npz", persons(), 0)


# ---------------------------------------------------------------------------------------------------- folders


@pytest.mark.parametrize("place", ["val2017", "images/val2017", "images", "val2017/val2017"])
@pytest.mark.parametrize("suffix", [".jpg", ".JPG"])
def test_coco_is_found_as_other_code_lays_it_out(place: str, suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / "coco"
    document = own_truth()
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(document))
    (folder / place).mkdir(parents=True)
    for i in range(4):
        (folder / place / f"{i}{suffix}").write_bytes(JPEGS[0])
    source = COCO(subset_sha256=coco.file_sha256(folder / "annotations" / "person_keypoints_val2017.json"))
    persons_found = source.load("val2017", str(tmp_path))
    assert persons_found.images.read(3).shape == (60, 80, 3)
    (folder / place / f"2{suffix}").unlink()
    with pytest.raises(ValueError, match=r"1 of 4 images are missing \(looked for in .*images/val2017"):
        source.load("val2017", str(tmp_path))


# ---------------------------------------------------------------------------------------------------- text


def test_no_cell_of_a_csv_is_a_formula() -> None:
    odd = ["=1+1", "+cmd", "-x", "@SUM(A1)", "\tx", "\r=x", "＝1", "plain", "-0.5", "1e-3", "a=b", ""]
    text = csv_files.text([["name", "value"], *([o, -0.5] for o in odd), ["x", None]])
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [row[0] for row in rows] == ["'=1+1", "'+cmd", "'-x", "'@SUM(A1)", "'\tx", "' =x", "'＝1", *odd[7:], "x"]
    assert [row[1] for row in rows] == ["-0.5"] * len(odd) + [""]


def test_every_writer_of_csv_uses_the_one_function() -> None:
    found = [p.name for p in Path(csv_files.__file__).parents[1].rglob("*.py") if "csv.writer(" in p.read_text()]
    assert found == ["csv_files.py"]


def test_names_cannot_act_on_a_terminal() -> None:
    evil = "a\x1b]0;title\x07\x1b[2Jb\u202egpj.exe\x9b31m\udc80"
    assert printable(evil) == "a\\x1b]0;title\\x07\\x1b[2Jb\\u202egpj.exe\\x9b31m\\udc80"
    assert printable("Größe, 姿勢\n") == "Größe, 姿勢\n"
    out = io.StringIO()
    console = PlainConsole(file=out, width=200, force_terminal=True, color_system=None)
    console.print(f"wrote {evil}", highlight=False, markup=False)
    assert "\x1b]0" not in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
    assert "\\x1b[2Jb" in out.getvalue()
