"""Where a data set lies below the root that a person names, and whether its files are there."""

from __future__ import annotations

import hashlib
from pathlib import Path


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


def require_files(paths: list[Path]) -> None:
    """ValueError naming the first image that is not there and saying how many are missing."""
    present = {path for folder in {p.parent for p in paths} for path in folder.glob("*")}
    missing = [path for path in paths if path not in present]
    if missing:
        raise ValueError(f"{missing[0]}: {len(missing)} of {len(paths)} images are missing; fetch the data set again")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content; ValueError naming the file if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); put the file there") from error
