"""`hpe-bench doctor`: is this machine fit to give comparable numbers?"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class DoctorFinding:
    """One line of the examination; `fit` is None where nothing can be wrong."""

    what: str
    found: str
    fit: bool | None
    remedy: str = ""


def examine(console: Console, measure: bool = False) -> bool:
    """Print every finding, with measured speeds if asked for; True if nothing is wrong."""
    findings = [*packages(), *machine(), *places(), *(speeds() if measure else ())]
    table = Table("", "found", "", box=None, pad_edge=False)
    for f in findings:
        mark = {True: "ok", False: "wrong", None: ""}[f.fit]
        table.add_row(f.what, escape(f.found), mark if f.fit is not False else f"{mark}: {escape(f.remedy)}")
    console.print(table)
    return all(f.fit is not False for f in findings)


def packages() -> Iterator[DoctorFinding]:
    """Every requirement of hpe-bench against what is installed (F21 for OpenCV's major version)."""
    from packaging.requirements import Requirement

    for line in requirements():
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield DoctorFinding(requirement.name, "missing", False, f"pip install -c constraints.txt '{requirement}'")
            continue
        fit = requirement.specifier.contains(found, prereleases=True)
        yield DoctorFinding(requirement.name, found, fit, f"pip install -c constraints.txt '{requirement}'")


def requirements() -> list[str]:
    """What hpe-bench needs: as installed, or, from a clone that is not, as its pyproject.toml says."""
    try:
        return importlib.metadata.requires("hpe-bench") or []
    except importlib.metadata.PackageNotFoundError:
        declared = Path(__file__).resolve().parents[2] / "pyproject.toml"
        if not declared.is_file():
            return []
        found: list[str] = tomllib.loads(declared.read_text(encoding="utf-8"))["project"]["dependencies"]
        return found


def machine() -> Iterator[DoctorFinding]:
    """Processor, threads, accelerator."""
    import torch

    from hpe_bench.records.provenance import cpu_name, numeric_flags

    yield DoctorFinding("processor", f"{cpu_name()}, {os.cpu_count()} cores", None)
    yield DoctorFinding("instructions", numeric_flags()["cpu_capability"], None)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = load > 0.5 * (os.cpu_count() or 1)
    yield DoctorFinding("load", f"{load:.2f}", not busy, "something else is running: latencies would be too long (M8)")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none; everything runs on the processor"
    yield DoctorFinding("GPU", gpu, None)


def places() -> Iterator[DoctorFinding]:
    """Folders that are written, and room for them."""
    from hpe_bench.data.cache import cache_folder

    for what, folder in (("cache", cache_folder()), ("here", Path.cwd())):
        free_gib = shutil.disk_usage(folder).free / 2**30
        writable = os.access(folder, os.W_OK)
        found = f"{_home(folder)}, {free_gib:.1f} GiB free"
        yield DoctorFinding(what, found, writable and free_gib > 3, "needs to be writable, with 3 GiB free")


def speeds() -> Iterator[DoctorFinding]:
    """What a training would ask of this machine, measured in a few seconds."""
    import torch

    from hpe_bench.data.cache import cache_folder
    from hpe_bench.run import machine_speed as speed

    cores = os.cpu_count() or 1
    for threads in sorted({1, cores}):
        many = "1 thread" if threads == 1 else f"{threads} threads"
        yield DoctorFinding(
            f"convolution, {many}", f"{speed.gmacs_per_s(threads):,.0f} GMAC/s (3x3, float32, channels last)", None
        )
    if torch.cuda.is_available():
        yield DoctorFinding("GPU", f"{speed.gpu_gmacs_per_s() / 1e3:,.0f} TMAC/s (matrix product, bfloat16)", None)
    height, width = speed.CROP_OF
    decoded = f"{speed.decodes_per_s():,.0f} a second and core (JPEG, for inputs of {height}x{width})"
    yield DoctorFinding("stored crops", decoded, None)
    written = f"{speed.written_bytes_per_s(cache_folder('work')) / 2**20:,.0f} MiB/s (to the disk of the cache)"
    yield DoctorFinding("writing", written, None)


def _home(folder: Path) -> str:
    return re.sub(f"^{re.escape(str(Path.home()))}(?=/|$)", "~", str(folder))
