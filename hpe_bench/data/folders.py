"""Where a data set lies below the root that a person names, and whether its files are there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from hpe_bench.files import sha256_of


def find_folder(root: str | None, name: str, marker: str, what: str) -> Path:
    """The root's folder `name`, or the root itself, whichever holds `marker`; ValueError saying what belongs there."""
    wanted = f"the folder that holds {name}/ ({what})"
    if root is None:
        raise ValueError(f"{name} lies in files: name {wanted} with --root")
    base = Path(root)
    if not base.is_dir():
        raise ValueError(f"{base}: no such folder; --root names {wanted}")
    for folder in (base / name, base):
        if (folder / marker).exists():
            return folder
    raise ValueError(f"{base}: no {name}/{marker} here; --root names {wanted}")


def locate(names: Sequence[str], folders: Sequence[Path]) -> list[Path]:
    """Where the files of these names are: in the one of some folders that holds most of them, the first one of equals.

    Upper and lower case of the names may differ (IM0001.JPG). What is not there stands where it was expected first.
    """
    best: list[Path | None] = []
    for folder in folders:
        found = _in_folder(names, folder)
        if not best or sum(p is not None for p in found) > sum(p is not None for p in best):
            best = found
        if None not in found:
            break
    return [path or folders[0] / name for name, path in zip(names, best, strict=True)]


def _in_folder(names: Sequence[str], folder: Path) -> list[Path | None]:
    """The path of each name below a folder, None where there is none."""
    listings: dict[str, dict[str, str]] = {}
    found: list[Path | None] = []
    for name in names:
        parent, _, base = name.rpartition("/")
        if parent not in listings:
            listings[parent] = _listed(folder / parent)
        actual = listings[parent].get(base) or listings[parent].get(base.casefold())
        found.append(None if actual is None else folder / parent / actual)
    return found


def _listed(folder: Path) -> dict[str, str]:
    """The names in a folder by themselves and by their case-folded form; none where there is no such folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  (names alone; 118,000 paths would be slow)
    except (OSError, ValueError):
        return {}
    return {name.casefold(): name for name in names} | {name: name for name in names}


def require_files(paths: Sequence[Path], looked_in: Iterable[Path] = ()) -> None:
    """ValueError naming the first missing image, how many are missing, and where else they were looked for."""
    present = {path for folder in {p.parent for p in paths} for path in _files(folder)}
    missing = [path for path in paths if path not in present]
    if missing:
        others = ", ".join(str(folder) for folder in looked_in)
        also = f" (looked for in {others}, too)" if others else ""
        raise ValueError(
            f"{missing[0]}: {len(missing)} of {len(paths)} images are missing{also}; fetch the data set again"
        )


def _files(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except (OSError, ValueError):
        return []


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content; ValueError naming the file if it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); put the file there") from error
