"""What `hpe-bench data check` finds in a folder, beside what a protocol needs (F3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpe_bench.data import lsp
from hpe_bench.data.images import FileImages

if TYPE_CHECKING:
    from rich.console import Console

NAMED = 5  # unreadable images named in a row; the rest are counted
MANNEQUINS = 100  # persons generated for a check


@dataclass(frozen=True)
class Finding:
    """One row of a check."""

    what: str
    found: str
    expected: str
    ok: bool


def check(name: str, root: str | None) -> list[Finding]:
    """Check a data set by name; every image is decoded. ValueError if there is nothing at `root` that could be it."""
    if name == "lsp":
        return list(check_lsp(root))
    if name == "mannequins":
        return list(check_mannequins(root))
    raise ValueError(f"no check for a data set named {name!r}; there is one for 'lsp' and 'mannequins'")


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
    ):
        console.print(f"{name:<12}{text}", highlight=False, markup=False)


def check_lsp(root: str | None) -> Iterator[Finding]:
    """Annotations and images of LSP and, where they are there, of the LSP-extended crops."""
    folder = lsp.find_lsp(root)
    yield check_hash("lsp/joints.mat", folder / "joints.mat", lsp.JOINTS_SHA256)
    yield check_persons("lsp", lambda: lsp.read_lsp(folder)[0], lsp.TRAIN_COUNT + lsp.TEST_COUNT)
    yield from check_images("lsp", lsp.lsp_paths(folder), "57x67 to 202x202")
    try:
        extended = lsp.find_extended(folder)
    except ValueError as error:
        yield Finding("lspet_crops", str(error), "optional", ok=True)
        return
    yield check_hash("lspet_crops/joints.mat", extended / "joints.mat", lsp.EXTENDED_JOINTS_SHA256)
    yield check_persons("lspet_crops", lambda: lsp.read_extended(extended)[0], lsp.EXTENDED_COUNT)
    try:
        numbers = lsp.read_extended(extended)[2]
    except ValueError:
        return  # the row above says why; without image numbers there are no images to look for
    yield from check_images("lspet_crops", lsp.extended_paths(extended, numbers), "51x34 to 208x208")


def check_mannequins(root: str | None) -> Iterator[Finding]:
    """The embedded data set is generated: its version, and the annotations that come out here, to compare machines."""
    from hpe_bench.data.mannequins import Mannequins  # the renderer: only when asked for

    source = Mannequins(train_persons=MANNEQUINS)
    persons = source.load("train", root)
    yield Finding("mannequins", f"version {source.version}", "generated, no files needed", ok=True)
    yield Finding("persons generated", str(len(persons)), str(MANNEQUINS), len(persons) == MANNEQUINS)
    yield Finding("their annotations, digest", persons.digest(), "to compare between machines", ok=True)


def check_hash(what: str, path: Path, expected: str) -> Finding:
    """SHA-256 of a file against the copy that was used in development."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    return Finding(f"{what}, SHA-256", found, expected, found == expected)


def check_persons(what: str, read: Callable[[], np.ndarray], expected: int) -> Finding:
    """How many persons the annotations hold, or why they cannot be read."""
    try:
        found = str(len(read()))
    except ValueError as error:
        found = str(error)
    return Finding(f"{what}, persons", found, str(expected), found == str(expected))


def check_images(what: str, paths: list[Path], expected_sizes: str) -> Iterator[Finding]:
    """How many images there are, which of them cannot be decoded, and the range of widths x heights."""
    there = [path for path in paths if path.is_file()]
    yield Finding(f"{what}, images", str(len(there)), str(len(paths)), len(there) == len(paths))
    images = FileImages(there)
    sizes, faults = [], []
    for index in range(len(images)):
        try:
            sizes.append(images.read(index).shape[1::-1])
        except ValueError:
            faults.append(images.name(index))
    more = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    yield Finding(f"{what}, unreadable images", ", ".join(faults[:NAMED]) + more or "none", "none", not faults)
    found_sizes = (
        f"{'x'.join(map(str, np.min(sizes, 0)))} to {'x'.join(map(str, np.max(sizes, 0)))}" if sizes else "none"
    )
    yield Finding(f"{what}, image sizes", found_sizes, expected_sizes, found_sizes == expected_sizes)
