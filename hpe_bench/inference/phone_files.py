"""Networks as files for phones: TFLite through LiteRT's converter, Core ML through Apple's.

Input and outputs are those of every exported file (`exporting`), in float32. A TFLite file is run by LiteRT here and
held against eager before it gets its name. Core ML runs on macOS alone: elsewhere its package is written, and whoever
wrote it is told that nothing has run it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from hpe_bench.errors import first_line
from hpe_bench.inference.exporting import (
    FINAL,
    INPUT,
    Answer,
    InOrder,
    output_names,
    package,
    quiet,
    stacks,
    write_checked,
)

CORE_ML_RUNS_HERE = sys.platform == "darwin"


def to_tflite(model: nn.Module, input_hw: tuple[int, int], path: Path, batch: int = 1) -> Path:
    """A TFLite file with one signature: `images` [N,3,H,W] to the stacks by name. Otherwise as `exporting.to_onnx`."""
    with _muted():
        converter, interpreter = _litert("litert_torch"), _litert("ai_edge_litert.interpreter")

    def write(model: nn.Module, images: Tensor, names: list[str], file: Path) -> None:
        try:
            with quiet(), _muted():
                converter.convert(_ByName(model).eval(), sample_kwargs={INPUT: images}).export(str(file))
        except Exception as error:  # whatever the converter stumbles over is about this network
            raise ValueError(f"the network cannot be converted to TFLite ({first_line(error)})") from None

    return write_checked(model, input_hw, path, batch, ".tflite", write, lambda file: _tflite_answer(interpreter, file))


def to_core_ml(model: nn.Module, input_hw: tuple[int, int], path: Path, batch: int = 1) -> Path:
    """A Core ML package (a folder, `.mlpackage`) of an ML program for iOS 16 or macOS 13 and later.

    Otherwise as `exporting.to_onnx`; only where Core ML runs is it held against eager.
    """
    with _muted():
        converter = package("coremltools", "coreml")

    def write(model: nn.Module, images: Tensor, names: list[str], file: Path) -> None:
        try:
            with quiet(), _muted():
                program = torch.export.export(InOrder(model).eval(), (images,)).run_decompositions({})
                converter.convert(
                    program,
                    inputs=[converter.TensorType(name=INPUT, shape=tuple(images.shape))],
                    outputs=[converter.TensorType(name=name) for name in names],
                    convert_to="mlprogram",
                    minimum_deployment_target=converter.target.iOS16,
                    compute_precision=converter.precision.FLOAT32,
                ).save(str(file))
        except Exception as error:  # likewise
            raise ValueError(f"the network cannot be converted to Core ML ({first_line(error)})") from None

    read = (lambda file: _core_ml_answer(converter, file)) if CORE_ML_RUNS_HERE else None
    return write_checked(model, input_hw, path, batch, ".mlpackage", write, read)


class _ByName(nn.Module):
    """The stacks in a dictionary, whose keys become the outputs' names."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        found = stacks(self.model(images))
        return dict(zip(output_names(found), found, strict=True))


def _tflite_answer(interpreter: ModuleType, file: Path) -> Answer:
    with _muted():
        loaded = interpreter.Interpreter(model_path=str(file), num_threads=torch.get_num_threads())
        run = loaded.get_signature_runner()

    def answer(images: Tensor) -> Tensor:
        with _muted():
            return torch.from_numpy(run(**{INPUT: images.numpy()})[FINAL].copy())

    return answer


def _core_ml_answer(converter: ModuleType, file: Path) -> Answer:
    loaded = converter.models.MLModel(str(file), compute_units=converter.ComputeUnit.CPU_ONLY)
    return lambda images: torch.from_numpy(loaded.predict({INPUT: images.numpy()})[FINAL])


def _litert(name: str) -> ModuleType:
    """A module of LiteRT's; ValueError with the line that installs it. Its pins contradict ours, so it has no extra."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(
            "litert-torch is not installed; in an environment of its own, without constraints.txt (which it "
            "contradicts): pip install torch==2.13.0 litert-torch -e . in the clone of hpe-bench"
        ) from None


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Converters print their progress, some of it from C++ past Python's own streams."""
    said = io.StringIO()
    kept = os.dup(2)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), tempfile.TemporaryFile() as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
