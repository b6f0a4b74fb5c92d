"""Which networks a session trains at full size, and how many samples all of them can see in the time left."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.gpu.setting import Setting

START_SECONDS = 30.0  # of a training before its first step: imports, crops to the GPU, cuDNN's choice of kernels
END_SECONDS = 25.0  # after its last one: scoring in strict float32
SHARE = 0.8  # of the time that is planned for; the rest is for what side by side costs more than one after the other
STEP = 1280  # samples; budgets are multiples of it


@dataclasses.dataclass(frozen=True)
class Network:
    """A full-size network. `guess` is a speed in samples a second to plan with where none was measured."""

    paper: str
    guess: float


NETWORKS = (Network("simple_baseline", 800.0), Network("fasterpose", 900.0), Network("hrnet", 300.0))


def budget_of(speeds: dict[str, Any], seconds: float, graphs: bool, setting: Setting) -> dict[str, Any]:
    """One budget for all networks and the fastest execution of each, from speeds named "paper/precision/way".

    They train side by side on one GPU; planned for is that they take as long as one after the other.
    """
    executions, pace = {}, {}
    for network in NETWORKS:
        ways = {way: speeds.get(f"{network.paper}/bf16/{way}", {}).get("samples_per_second") for way in WAYS}
        known = {way: speed for way, speed in ways.items() if speed and (graphs or way != "graphed")}
        best = max(known, key=lambda way: known[way]) if known else "eager"
        precision = "bf16" if setting.device.startswith("cuda") else "fp32"
        executions[network.paper] = {"precision": precision, "graphed": best == "graphed"}
        pace[network.paper] = known.get(best, network.guess)
    usable = SHARE * max(seconds - START_SECONDS - END_SECONDS, 0.0)
    samples = max(int(usable / sum(1 / speed for speed in pace.values())) // STEP * STEP, STEP)
    if setting.rehearse:
        samples = 32
    words = ", ".join(f"{paper} {speed:.0f}/s" for paper, speed in pace.items())
    return {
        "samples": samples,
        "executions": executions,
        "why": f"{usable:.0f} s planned of the {seconds:.0f} s left, at {words}",
    }


WAYS = ("eager", "graphed")
