"""Engines in 8 bits: the exported file is quantised (`inference/quantising.py`), then run as a file like any other.

Whether that is faster is for the processor to say: without VNNI instructions an engine may spend more on the
conversions than it saves.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch

from hpe_bench import files
from hpe_bench.errors import not_installed
from hpe_bench.inference import quantising
from hpe_bench.timing.runtimes.onnx_runtime import OnnxRuntime
from hpe_bench.timing.runtimes.open_vino import OpenVino
from hpe_bench.timing.runtimes.runtime import Call, Precision, Runtime, Workload


class InEightBits(Runtime):
    """What an engine in int8 adds to its twin in float32, which stands behind it among the bases."""

    precision: ClassVar[Precision] = "int8"
    tolerance = quantising.LIMIT
    suffixes: ClassVar[tuple[str, ...]] = ()  # somebody's file is as they made it

    def missing(self) -> str:
        return super().missing() or quantiser_missing()  # type: ignore[safe-super]

    def build(self, workload: Workload, threads: int) -> Call:
        return super().build(replace(workload, onnx=in_8_bits(workload)), threads)  # type: ignore[safe-super]


class OnnxRuntimeInt8(InEightBits, OnnxRuntime):
    """ONNX Runtime in int8, by static quantisation."""

    name = "onnxruntime_int8"


class OpenVinoInt8(InEightBits, OpenVino):
    """OpenVINO in int8: the same quantised file."""

    name = "openvino_int8"


def quantiser_missing() -> str:
    """Why no file can be quantised here; empty if it can."""
    absent = [package for package in ("onnxruntime", "onnx") if importlib.util.find_spec(package) is None]
    return not_installed(absent[0], "onnx") if absent else ""


def in_8_bits(workload: Workload) -> Path:
    """The workload's file in 8 bits, beside the images that its ranges are of; made once for all processes."""
    source, ranges = workload.file(), workload.ranges
    if ranges is None:
        raise ValueError("there are no images to take the ranges of 8 bits from")
    target = ranges.with_name(f"{source.stem}-int8.onnx")
    with files.claimed(target) as draft:
        if not target.exists():
            images, batch = torch.load(ranges, weights_only=True), workload.batch
            rows = torch.arange(-(-len(images) // batch) * batch) % len(images)  # the last one filled up
            quantising.quantise(source, draft, list(images[rows].split(batch)))
            draft.replace(target)
    return target
