"""A latency row in words: the one wording for the terminal, the pages and the board."""

from __future__ import annotations

from hpe_bench.records.schema import Timing
from hpe_bench.report.kit.text import NO_BREAK, number, plural, span
from hpe_bench.timing.rows import IN_PROCESS, NetworkTime, TimedRow
from hpe_bench.timing.statistics import counts

SCOPES = ("network", "flip", "processed", "end-to-end")
RUNTIMES = {
    "eager": "PyTorch, eager",
    "channels_last": "PyTorch, channels last",
    "folded": "PyTorch, batch norm folded",
    "bf16": "PyTorch, bfloat16",
    "compile": "torch.compile",
    "onnxruntime": "ONNX Runtime",
    "onnxruntime_int8": "ONNX Runtime, int8",
    "openvino": "OpenVINO",
    "openvino_bf16": "OpenVINO, bfloat16",
    "openvino_int8": "OpenVINO, int8",
    "cuda": "CUDA",
    "cuda_fp16": "CUDA, float16",
    "cuda_bf16": "CUDA, bfloat16",
    "cuda_graph": "CUDA graph",
}
LATENCY = (
    "Latency: median of single calls, below it its 95 % CI, the 90th percentile (p90), the calls (n) and the "
    "timing runs. Of one timing run the interval covers that run alone, and times of another day may differ by a "
    "quarter; of several it covers runs and calls"
)
IN_PROCESS_NOTE = (
    f"“{IN_PROCESS}”: an older record's time, taken in the process of the command; it stands where no timing run was "
    "made yet, and against none that was"
)


def label(timing: Timing) -> str:
    """A runtime as readers know it."""
    return named(timing.runtime)


def named(runtime: str) -> str:
    """A runtime as readers know it, by its name."""
    return RUNTIMES.get(runtime, runtime)


def verdict(t: Timing) -> str:
    """Why a row has no times, or does not count; empty if it does."""
    if t.status != "done":
        return f"{t.status}: {t.reason}"
    if counts(t):
        return ""
    if t.deviation is None or t.tolerance is None:
        return "does not count: its maps were not checked"
    return f"does not count: its maps have deviation {t.deviation:.1g} (limit {t.tolerance:g})"


def timing_runs(time: NetworkTime) -> str:
    """How often it was timed: one timing run alone is told as one."""
    return IN_PROCESS if time.row is None else plural(time.runs, "timing run")


def high(time: NetworkTime) -> list[str]:
    """p90, and p99 where there are calls enough."""
    found = (("p90", time.p90_ms), ("p99", time.p99_ms))
    return [f"{name}{NO_BREAK}{number(ms, 1)}" for name, ms in found if ms is not None]


def over(time: NetworkTime, full: bool = False) -> list[str]:
    """What stands below a median: interval, percentiles, calls, timing runs, and whether it settled.

    `full` adds p99 and the spread.
    """
    told = [span(time.interval_ms, 1), *high(time)[: 2 if full else 1]]
    if full and time.row is not None:
        told.append(f"spread{NO_BREAK}{100 * time.row.latency.spread:.0f}{NO_BREAK}%")
    told += [f"n{NO_BREAK}{time.n:,}", timing_runs(time), "" if time.settled else "not settled"]
    return [text for text in told if text]


def share_of_peak(row: TimedRow) -> str:
    """Of what the processor reaches at best; more than all of it is marked, see `rows.OVER_PEAK`."""
    share = row.share_of_peak
    if share is None:
        return ""
    return f"{share:.0f}{NO_BREAK}%" + ("*" if share > 100 else "")
