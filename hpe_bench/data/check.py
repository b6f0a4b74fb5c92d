"""What `hpe-bench data check` finds in a folder, beside what a protocol needs (F3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpe_bench.data import coco, coco_like, crowdpose, lsp, mpii
from hpe_bench.data.folders import file_sha256, find_folder
from hpe_bench.data.images import FileImages

if TYPE_CHECKING:
    from rich.console import Console

COCO_FILES = "annotations/person_keypoints_*.json"
NAMED = 5  # unreadable images named in a row; the rest are counted
MANNEQUINS = 100  # persons generated for a check
DECODED = 6_000  # sets of more images (train2017's 118,287) are only looked for, which takes seconds and not an hour


@dataclass(frozen=True)
class DataFinding:
    """One row of a check."""

    what: str
    found: str
    expected: str
    ok: bool


def check(name: str, root: str | None) -> list[DataFinding]:
    """Check a data set by name; test images are decoded. ValueError if nothing at `root` could be it."""
    checks: dict[str, Callable[[str | None], Iterator[DataFinding]]] = {
        "lsp": check_lsp,
        "mannequins": check_mannequins,
        "coco": check_coco,
        "crowdpose": check_crowdpose,
        "mpii": check_mpii,
        **{source.name: partial(check_coco_like, source) for source in coco_like.ALL},
    }
    if name not in checks:
        raise ValueError(f"no check for a data set named {name!r}; there is one for {', '.join(checks)}")
    return list(checks[name](root))


def print_check(console: Console, name: str, root: str | None) -> bool:
    """Print a check row by row and say whether everything is as expected."""
    findings = check(name, root)
    for finding in findings:
        console.print(
            f"{'ok   ' if finding.ok else 'WRONG'} {finding.what}: {finding.found}", highlight=False, markup=False
        )
        if not finding.ok:
            console.print(f"      expected: {finding.expected}", highlight=False, markup=False)
    return all(finding.ok for finding in findings)


def print_list(console: Console) -> None:
    """Print the data sets that can be read, with their persons and where they come from."""
    lsp_train = f"{lsp.TRAIN_COUNT} train (+ {lsp.EXTENDED_COUNT} LSP-extended crops)"
    for name, text in (
        ("mannequins", "rendered people, generated on first use; no files needed"),
        ("lsp", f"Leeds Sports Pose, {lsp_train}, {lsp.TEST_COUNT} test; --root names the folder that holds lsp/"),
        ("coco", f"COCO keypoints, {coco.in_words(coco.OFFICIAL['val2017'])} in val2017; coco/ below --root"),
        ("crowdpose", f"CrowdPose, {crowdpose.IMAGES['test']:,} images in test; crowdpose/ below --root"),
        *((d.name, f"{d.image_count:,} images in val; {d.folder}/{d.annotations} below --root") for d in coco_like.ALL),
        ("mpii", f"MPII, {mpii.COUNTS['train']:,} persons train, {mpii.COUNTS['valid']:,} valid; mpii/ below --root"),
    ):
        console.print(f"{name:<16}{text}", highlight=False, markup=False)


def check_lsp(root: str | None) -> Iterator[DataFinding]:
    """Annotations and images of LSP and, where they are there, of the LSP-extended crops."""
    folder = lsp.find_lsp(root)
    yield check_hash("lsp/joints.mat", folder / "joints.mat", lsp.JOINTS_SHA256)
    yield check_persons("lsp", lambda: lsp.read_lsp(folder)[0], lsp.TRAIN_COUNT + lsp.TEST_COUNT)
    yield from check_images("lsp", lsp.lsp_paths(folder), "57x67 to 202x202")
    try:
        extended = lsp.find_extended(folder)
    except ValueError as error:
        yield DataFinding("lspet_crops", str(error), "optional", ok=True)
        return
    yield check_hash("lspet_crops/joints.mat", extended / "joints.mat", lsp.EXTENDED_JOINTS_SHA256)
    yield check_persons("lspet_crops", lambda: lsp.read_extended(extended)[0], lsp.EXTENDED_COUNT)
    try:
        numbers = lsp.read_extended(extended)[2]
    except ValueError:
        return  # the row above says why; without image numbers there are no images to look for
    yield from check_images("lspet_crops", lsp.extended_paths(extended, numbers), "51x34 to 208x208")


def check_coco(root: str | None) -> Iterator[DataFinding]:
    """Every keypoint annotation file in the root or a folder of it, its images, and detection files beside it.

    A set of other counts than its split's is a subset: fit for a protocol of its own, never for the split's.
    """
    base = find_folder(root, "coco", "", coco.LAYOUT)
    here = Path(root or "")
    files = sorted({*base.glob(COCO_FILES), *here.glob(COCO_FILES), *here.glob(f"*/{COCO_FILES}")})
    if not files:
        raise ValueError(f"{here}: no {COCO_FILES} here or one folder down; --root names the folder that holds coco/")
    for path in files:
        split = path.stem.removeprefix("person_keypoints_")
        what = f"{path.parent.parent.name}/{path.name}"
        yield DataFinding(f"{what}, SHA-256", file_sha256(path), "no published hash that we know", ok=True)
        try:
            found = coco.read_annotations(path, coco.image_folders(path.parent.parent, split))
        except ValueError as error:
            yield DataFinding(what, str(error), "COCO keypoint annotations", ok=False)
            continue
        numbers = coco.counts(found.persons)
        whole = coco.OFFICIAL.get(split, {}).items() <= numbers.items()
        kind = f"all of {split}" if whole and split in coco.OFFICIAL else f"a subset: not {split}"
        yield DataFinding(f"{what}, holds", f"{coco.in_words(numbers)}: {kind}", "", ok=True)
        yield from check_coco_images(what, found)
        for boxes in sorted((path.parent.parent / "person_detection_results").glob("*.json")):
            yield check_boxes(boxes, found)


def check_coco_images(what: str, found: coco.Annotations) -> Iterator[DataFinding]:
    """Whether the listed images are there, can be decoded and have the listed sizes."""
    paths = list(found.images.paths)
    there = [row for row, path in enumerate(paths) if path.is_file()]
    yield DataFinding(f"{what}, images", str(len(there)), str(len(paths)), len(there) == len(paths))
    if len(there) > DECODED:
        yield DataFinding(f"{what}, images", "not decoded", f"sets of up to {DECODED:,} are", ok=True)
        return
    sizes = decoded_sizes(found.images, there)
    wrong = [found.images.name(r) for r, size in sizes.items() if size != tuple(found.sizes_hw[r].tolist())]
    yield DataFinding(f"{what}, unreadable images or of another size", some(wrong), "none", not wrong)


def check_boxes(path: Path, found: coco.Annotations) -> DataFinding:
    """How many person boxes a detection file holds, and its hash (F1, F2)."""
    try:
        text = f"{len(coco.read_detections(path, found.persons)):,} person boxes, SHA-256 {file_sha256(path)}"
    except ValueError as error:
        return DataFinding(path.name, str(error), "person boxes of the annotated images", ok=False)
    return DataFinding(path.name, text, "", ok=True)


def check_crowdpose(root: str | None) -> Iterator[DataFinding]:
    """The annotation files of CrowdPose that are there, and the images that they list."""
    folder = find_folder(root, "crowdpose", "json", crowdpose.LAYOUT)
    for split, expected in crowdpose.IMAGES.items():
        path = folder / "json" / f"crowdpose_{split}.json"
        if not path.is_file():
            yield DataFinding(f"json/{path.name}", "not there", "needed to score", ok=split != "test")
            continue
        try:
            found = crowdpose.read_annotations(path, folder / "images")
        except ValueError as error:
            yield DataFinding(f"json/{path.name}", str(error), "CrowdPose annotations", ok=False)
            continue
        images = len(found.images)
        yield DataFinding(f"json/{path.name}, images listed", f"{images:,}", f"{expected:,}", images == expected)
        yield from check_coco_images(f"json/{path.name}", found)


def check_coco_like(source: coco_like.CocoLike, root: str | None) -> Iterator[DataFinding]:
    """The annotation file of a validation split, what it holds, where it departs from COCO's, and its images."""
    path, found = source.read_any(root)
    yield DataFinding(f"{path.name}, SHA-256", file_sha256(path), "no published hash that we know", ok=True)
    images = len(found.images)
    yield DataFinding(
        f"{path.name}, images listed", f"{images:,}", f"{source.image_count:,}", images == source.image_count
    )
    yield DataFinding(f"{path.name}, holds", coco.in_words(coco.counts(found.persons)), "", ok=True)
    for remark in found.remarks:
        yield DataFinding(f"{path.name}, as it stands", remark, "", ok=True)
    yield from check_coco_images(path.name, found)


def check_mpii(root: str | None) -> Iterator[DataFinding]:
    """The annotation files of MPII that are there, and the validation images."""
    folder = find_folder(root, "mpii", "annot", mpii.LAYOUT)
    for split, expected in mpii.COUNTS.items():
        path = folder / "annot" / f"{split}.json"
        if path.is_file():
            yield check_persons(f"annot/{path.name}", partial(mpii.read_annotations, path, folder), expected)
        else:
            yield DataFinding(f"annot/{path.name}", "not there", "needed to train", ok=split != "valid")
    try:
        truth = mpii.MPII().truth("valid", root)
    except ValueError as error:
        yield DataFinding("annot/gt_valid.mat", str(error), f"head sizes of {mpii.COUNTS['valid']:,} persons", ok=False)
        return
    yield DataFinding("annot/gt_valid.mat", f"{len(truth):,} persons, those of valid.json", "", ok=True)
    assert isinstance(truth.images, FileImages)
    yield from check_images("valid", list(truth.images.paths), None)


def check_mannequins(root: str | None) -> Iterator[DataFinding]:
    """The embedded data set is generated: its version, and the annotations that come out here, to compare machines."""
    from hpe_bench.data.mannequins import Mannequins  # the renderer: only when asked for

    source = Mannequins(train_persons=MANNEQUINS)
    persons = source.load("train", root)
    yield DataFinding("mannequins", f"version {source.version}", "generated, no files needed", ok=True)
    yield DataFinding("persons generated", str(len(persons)), str(MANNEQUINS), len(persons) == MANNEQUINS)
    yield DataFinding("their annotations, digest", persons.digest(), "to compare between machines", ok=True)


def check_hash(what: str, path: Path, expected: str) -> DataFinding:
    """SHA-256 of a file against the copy that was used in development."""
    found = file_sha256(path)
    return DataFinding(f"{what}, SHA-256", found, expected, found == expected)


def check_persons(what: str, read: Callable[[], Sized], expected: int) -> DataFinding:
    """How many persons the annotations hold, or why they cannot be read."""
    try:
        found = str(len(read()))
    except ValueError as error:
        found = str(error)
    return DataFinding(f"{what}, persons", found, str(expected), found == str(expected))


def check_images(what: str, paths: list[Path], expected_sizes: str | None) -> Iterator[DataFinding]:
    """How many images there are, which of them cannot be decoded, and the range of widths x heights (if known)."""
    there = [path for path in paths if path.is_file()]
    yield DataFinding(f"{what}, images", str(len(there)), str(len(paths)), len(there) == len(paths))
    images = FileImages(there)
    sizes = decoded_sizes(images, range(len(images)))
    faults = [images.name(row) for row, size in sizes.items() if size is None]
    yield DataFinding(f"{what}, unreadable images", some(faults), "none", not faults)
    if expected_sizes is not None:
        seen = np.array([size[::-1] for size in sizes.values() if size is not None])
        found = f"{'x'.join(map(str, seen.min(0)))} to {'x'.join(map(str, seen.max(0)))}" if len(seen) else "none"
        yield DataFinding(f"{what}, image sizes", found, expected_sizes, found == expected_sizes)


def decoded_sizes(images: FileImages, rows: Iterable[int]) -> dict[int, tuple[int, int] | None]:
    """(height, width) of each image by row; None where it cannot be decoded."""
    sizes: dict[int, tuple[int, int] | None] = {}
    for row in rows:
        try:
            sizes[row] = images.read(row).shape[:2]
        except ValueError:
            sizes[row] = None
    return sizes


def some(names: list[str]) -> str:
    """The first few names and how many more there are, or 'none'."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more or "none"
