"""Counting conventions of published costs, and exact values under each (F19).

A record stores up to four counts: "macs", true multiply-adds; "macs/hrnet_counter", which charges transposed
convolutions per output position as `get_model_summary` of the HRNet code does; "macs/fvcore_default", which adds
normalisation, resizing and pooling as fvcore does without being told; and "macs/torchstat", what torchstat makes of
the modules (`cost/torchstat.py`). Older records lack the last two. Everything else is a unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hpe_bench.declare import Claim, Convention
from hpe_bench.records.schema import RunRecord


@dataclass(frozen=True)
class CostCounter:
    """A way of printing a MAC count: the measurement `key`, `times` per multiply-add, in units of `giga`."""

    convention: Convention
    label: str
    unit: str
    key: str
    times: int
    giga: int
    mega: int

    def count(self, record: RunRecord, unit: str) -> Fraction | None:
        """The record's count in this convention; millions where the claim's unit says so, else billions."""
        measured = record.get(self.key)
        if measured is None:
            return None
        return Fraction(measured.value) * self.times / (self.mega if unit.startswith("M") else self.giga)

    def unit_like(self, unit: str) -> str:
        """This counter's unit with the prefix of the claim's."""
        return "M" + self.unit[1:].replace("2^30", "2^20") if unit.startswith("M") else self.unit


TRUE = CostCounter("true", "true multiply-adds", "GMAC", "macs", 1, 10**9, 10**6)
COUNTERS: dict[Convention, CostCounter] = {
    "true": TRUE,
    "hrnet_counter": CostCounter("hrnet_counter", "HRNet counter", "GMAC/2^30", "macs/hrnet_counter", 1, 2**30, 2**20),
    "mac_2p30": CostCounter("mac_2p30", "multiply-adds / 2^30", "GMAC/2^30", "macs", 1, 2**30, 2**20),
    "flops_2x": CostCounter("flops_2x", "2 FLOPs per multiply-add", "GFLOP", "macs", 2, 10**9, 10**6),
    "fvcore_default": CostCounter(
        "fvcore_default", "fvcore's default", "GFLOP", "macs/fvcore_default", 1, 10**9, 10**6
    ),
    "torchstat": CostCounter("torchstat", "torchstat", "GFLOP/2^30", "macs/torchstat", 1, 2**30, 2**20),
}


def parameters(record: RunRecord, claim: Claim) -> Fraction | None:
    """Parameters in the claim's unit: millions, MiB of 4-byte parameters for a printed MB, else a plain count."""
    measured = record.get("params")
    if measured is None:
        return None
    per = {"M": Fraction(10**6), "MB": Fraction(2**20, 4), "MiB": Fraction(2**20, 4)}.get(claim.unit, Fraction(1))
    return Fraction(measured.value) / per
