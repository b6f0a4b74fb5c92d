"""Energy, where the machine counts it: Intel's and AMD's RAPL counters, or NVIDIA's.

RAPL (Linux powercap): `energy_uj` of each package counts microjoules and wraps at `max_energy_range_uj`. It covers the
processor, not the machine. Since 2020 only root may read it (CVE-2020-8694).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpe_bench.errors import not_installed

RAPL = Path("/sys/class/powercap")


class Meter(ABC):
    """Joules used so far, from an arbitrary start."""

    name: str

    @abstractmethod
    def joules(self) -> float: ...


class RaplMeter(Meter):
    """All processor packages together."""

    name = "RAPL"

    def __init__(self, packages: list[EnergyCounter]) -> None:
        self.packages = packages

    @classmethod
    def open(cls, folder: Path) -> Meter | str:
        """The packages below a powercap folder; a reason where there are none or they may not be read."""
        found = sorted(p for p in folder.glob("intel-rapl:*") if p.name.count(":") == 1)
        if not found:
            return "the processor's energy counters (RAPL) are not exposed here, as in most virtual machines"
        try:
            return cls([EnergyCounter(p, *_read(p)) for p in found])
        except PermissionError:
            return f"{found[0] / 'energy_uj'} can be read by root only; `sudo chmod a+r` on it until the next start"

    def joules(self) -> float:
        return sum(package.joules() for package in self.packages)


@dataclass
class EnergyCounter:
    """A counter that wraps; it must be read at least once a turn of the counter, some minutes."""

    folder: Path
    last_uj: int
    range_uj: int
    total_uj: int = 0

    def joules(self) -> float:
        now, _ = _read(self.folder)
        self.total_uj += (now - self.last_uj) % (self.range_uj + 1)
        self.last_uj = now
        return self.total_uj / 1e6


def _read(package: Path) -> tuple[int, int]:
    return int((package / "energy_uj").read_text()), int((package / "max_energy_range_uj").read_text())


class NvmlMeter(Meter):
    """The first NVIDIA GPU's counter, in millijoules (Volta and later)."""

    name = "NVML"

    def __init__(self, nvml: Any, handle: Any) -> None:
        self.nvml, self.handle = nvml, handle

    @classmethod
    def open(cls) -> Meter | str:
        """The GPU's meter; a reason where there is no GPU, no package or no counter."""
        try:
            import pynvml
        except ImportError:
            return not_installed("nvidia-ml-py", "cuda")
        try:
            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:
            return f"NVML gives no energy here ({error})"
        return cls(pynvml, handle)

    def joules(self) -> float:
        return self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1e3
