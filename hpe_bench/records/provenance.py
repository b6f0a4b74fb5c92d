"""Where and with what a record is made: code version, packages, machine, threads, numeric flags (F22, M2)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import torch

from hpe_bench import __version__
from hpe_bench.records.schema import Provenance

PACKAGES = ("torch", "numpy", "scipy", "opencv-python-headless", "pycocotools")
COMMIT = "HPE_BENCH_COMMIT"
ROOT = Path(__file__).resolve().parents[2]
CODE = ("hpe_bench", "papers", "pyproject.toml", "constraints.txt")


def collect(started: datetime, device: str, threads: int, flags: dict[str, str] | None = None) -> Provenance:
    """Provenance of a run that began at `started` (UTC) and ends now; `flags` are more than torch's own switches."""
    commit, dirty = code_version()
    return Provenance(
        version=__version__,
        commit=commit,
        dirty=dirty,
        packages=versions(),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device_name(device),
        threads=threads,
        flags=numeric_flags() | (flags or {}) | ({"commit": f"as {COMMIT} says"} if _is_named(commit) else {}),
        started=started.isoformat(timespec="seconds"),
        seconds=round((datetime.now(UTC) - started).total_seconds(), 3),
    )


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on, of those that are here."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def numeric_flags() -> dict[str, str]:
    """The switches that change results without being asked (F22)."""
    return {
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "tf32_matmul": str(torch.backends.cuda.matmul.allow_tf32),
        "tf32_cudnn": str(torch.backends.cudnn.allow_tf32),
        "cudnn_benchmark": str(torch.backends.cudnn.benchmark),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _is_named(commit: str) -> bool:
    """Whether a commit was taken from the environment."""
    return bool(commit) and commit == named_commit() and not (ROOT / ".git").exists()


@lru_cache(maxsize=1)
def code_version() -> tuple[str, bool]:
    """Commit of the checkout this package runs from and whether its code differs from it; ('', False) outside git.

    Where a source tree was copied to another machine without its repository, the variable `HPE_BENCH_COMMIT` names the
    commit; nobody can check that, so the flags of a record say it.
    Asked for at the start of a run and remembered: what is committed while it runs is not what it ran.
    """
    root = ROOT
    if not (root / "papers").is_dir():  # installed from a wheel: a repository around it is somebody else's
        return "", False
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit, bool(_git(root, "status", "--porcelain", "--", *CODE))
    except (OSError, subprocess.CalledProcessError):
        return named_commit(), False


def named_commit() -> str:
    """What `HPE_BENCH_COMMIT` says, if it is a whole commit hash."""
    named = os.environ.get(COMMIT, "")
    return named if re.fullmatch(r"[0-9a-f]{40}", named) else ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def check_device(device: str) -> None:
    """ValueError for a device that this machine or this torch does not have."""
    kind = device.partition(":")[0]
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(kind, False):
        raise ValueError(f"no device {device!r} here; this machine has {', '.join(k for k, v in here.items() if v)}")


def device_name(device: str) -> str:
    """The processor's or the accelerator's name."""
    if device == "cpu":
        return cpu_name()
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{device} of {cpu_name()}"


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """Model name of the processor, as the system gives it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
