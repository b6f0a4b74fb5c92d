"""Networks in 8 bits: static quantisation by ONNX Runtime, its ranges taken from real crops.

Weights (by output channel) and activations become int8 between pairs of QuantizeLinear and DequantizeLinear; a range is
from the smallest to the largest value that the crops give. The layers that write the outputs stay in float32: a heatmap
of 256 levels has ties at its peak. An OpenVINO pair is the same graph, converted. A file is held against eager float32
on crops that its ranges were not taken from, and gets its name only then; what it costs in accuracy is for a protocol
to say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpe_bench.data.augmentation import to_batch
from hpe_bench.data.boxes import annotated_persons
from hpe_bench.data.crops import build_crops
from hpe_bench.declare import Protocol
from hpe_bench.inference import exporting

LIMIT = 0.5  # relative deviation (`exporting.deviation`) beyond which a file is not the network any more
HELD_OUT = 4  # every fourth crop is for the check
FEWEST_CROPS = 8
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def to_int8(model: nn.Module, path: Path, images_N3HW: Tensor, batch: int = 1, limit: float | None = LIMIT) -> float:
    """An ONNX file (.onnx) or OpenVINO pair (.xml) in 8 bits; how far it is from eager on the crops held out.

    `images_N3HW` are normalised crops, of which there must be eight batches. ValueError if a package is missing, the
    network cannot be exported or quantised, or its maps are further off than `limit`.
    """
    runtime = exporting.package("onnxruntime", "onnx")
    exporting.package("onnx", "onnx")
    openvino = exporting.package("openvino", "openvino") if path.suffix == ".xml" else None
    if path.suffix not in (".onnx", ".xml"):
        raise ValueError(f"{path}: files in 8 bits end in .onnx or .xml; name it so")
    batches = list(images_N3HW.split(batch))[: len(images_N3HW) // batch]
    if len(batches) < FEWEST_CROPS:
        raise ValueError(f"{len(batches)} batches of crops to take ranges from; give {FEWEST_CROPS} or more")
    held_out = batches[HELD_OUT - 1 :: HELD_OUT]
    taken = [images for at, images in enumerate(batches, start=1) if at % HELD_OUT]
    with exporting.evaluating(model), exporting.draft_of(path) as draft:
        names = exporting.output_names(exporting.eager_stacks(model, batches[0]))
        plain, eight = draft.with_name("float32.onnx"), draft.with_name("int8.onnx")
        exporting.write_onnx(model, batches[0], names, plain)
        quantise(plain, eight, taken)
        plain.unlink()
        if openvino is None:
            eight.replace(draft)
            answer = exporting.onnx_answer(runtime, draft)
        else:
            exporting.as_openvino(openvino, eight, draft)
            answer = exporting.openvino_answer(openvino, draft)
        wanted = torch.cat([exporting.eager_stacks(model, images)[-1] for images in held_out])
        found = exporting.deviation(torch.cat([answer(images) for images in held_out]), wanted)
        if limit is not None and not found <= limit:
            raise ValueError(
                f"{path}: not written, because in 8 bits the network answers differently from eager float32 (relative "
                f"deviation {found:.2f} on crops, allowed {limit:g}); take ranges from more crops, or leave it in float"
            )
    return found


def training_crops(protocol: Protocol, root: str | None, count: int, input_hw: tuple[int, int]) -> Tensor:
    """Normalised crops [N,3,H,W] of a protocol's training persons, evenly over the split; fewer where it has fewer."""
    data, split = protocol.data, protocol.train_split
    data.prepare(split, root, None)
    _, persons, _ = annotated_persons(data, split, root)
    rows = np.unique(np.linspace(0, len(persons) - 1, count).round().astype(int))
    cut = build_crops(persons.subset(rows), input_hw, protocol.padding, between_centres=protocol.between_centres)
    return to_batch(torch.from_numpy(np.asarray(cut.pixels)))


def quantise(source: Path, target: Path, taken: list[Tensor]) -> None:
    """A float32 ONNX file into one in 8 bits, with ranges of what the batches (each as the file's input) give."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(taken)

        def get_next(self) -> dict[str, np.ndarray] | None:
            images = next(self.batches, None)
            return None if images is None else {exporting.INPUT: images.numpy()}

    ready = target.with_name(f"{target.name}.ready")
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it warns of what was done already
    try:
        quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(target),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=_last_layers(ready),
        )
    finally:
        logging.getLogger().setLevel(level)
    ready.unlink()


def _last_layers(file: Path) -> list[str]:
    """Names of the nodes from each output back to the layer with weights that it comes from, that layer included."""
    import onnx

    graph = onnx.load(str(file)).graph
    writer = {name: node for node in graph.node for name in node.output}
    return sorted({name for output in graph.output for name in _back(output.name, writer)})


def _back(name: str, writer: dict[str, Any]) -> Iterator[str]:
    node = writer.get(name)
    if node is None:
        return
    yield node.name
    if node.op_type not in WEIGHTED:
        for earlier in node.input:
            yield from _back(earlier, writer)
