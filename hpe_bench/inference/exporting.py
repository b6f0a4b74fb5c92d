"""Networks as files for other runtimes: ONNX, TorchScript, OpenVINO (for phones: `phone_files`).

Every file is read back, run by the runtime it is for, and held against eager float32 on seeded noise (inputs of normal
distribution; M5) before it gets its name: it is written whole and right, or not at all. Its input is `images`
[N,3,H,W], of fixed size; its outputs are the stacks of heatmaps in the network's order, the final one last and named
`heatmaps`.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from hpe_bench.errors import first_line, not_installed
from hpe_bench.files import claimed, naming, remove

INPUT, FINAL = "images", "heatmaps"
TOLERANCE = 1e-4  # relative deviation; float32 sums in another order differ by about 1e-6, deep networks by 1e-5
RESOLUTION = torch.finfo(torch.float32).eps
ONNX_LIMIT_BYTES = 2**31 - 2**20  # a protobuf holds 2 GiB, the graph included

Answer = Callable[[Tensor], Tensor]
"""Images [N,3,H,W] to final heatmaps [N,J,h,w]."""


def to_onnx(model: nn.Module, input_hw: tuple[int, int], path: Path, batch: int = 1) -> Path:
    """One self-contained ONNX file, run by onnxruntime. The model is on the CPU; its mode is restored.

    ValueError if a package is missing, the network cannot be exported or the file answers differently.
    """
    runtime = package("onnxruntime", "onnx")
    return write_checked(model, input_hw, path, batch, ".onnx", write_onnx, lambda file: onnx_answer(runtime, file))


def to_torchscript(model: nn.Module, input_hw: tuple[int, int], path: Path, batch: int = 1) -> Path:
    """A traced TorchScript file, which gives the stacks as a tuple. Otherwise as `to_onnx`."""
    return write_checked(model, input_hw, path, batch, ".pt", _write_torchscript, _torchscript_answer)


def to_openvino(model: nn.Module, input_hw: tuple[int, int], path: Path, batch: int = 1) -> Path:
    """OpenVINO's pair of files, `path` (.xml) and weights in float32 beside it (.bin). Otherwise as `to_onnx`."""
    runtime = package("openvino", "openvino")

    def write(model: nn.Module, images: Tensor, names: list[str], file: Path) -> None:
        onnx = file.with_name("network.onnx")
        write_onnx(model, images, names, onnx)
        as_openvino(runtime, onnx, file)

    return write_checked(model, input_hw, path, batch, ".xml", write, lambda file: openvino_answer(runtime, file))


# ---------------------------------------------------------------------------------------------------- checking


def noise(input_hw: tuple[int, int], batch: int) -> Tensor:
    """Seeded images [N,3,H,W] of standard normal noise."""
    return torch.randn(batch, 3, *input_hw, generator=torch.Generator().manual_seed(0))


def stacks(output: Any) -> list[Tensor]:
    """What a network gives as a list of stacks; ValueError unless it is a tensor or a list or tuple of tensors."""
    found = list(output) if isinstance(output, (list, tuple)) else [output]
    if not found or not all(isinstance(maps, Tensor) for maps in found):
        raise ValueError(
            f"the network gives a {type(output).__name__}; return the heatmaps as a tensor, or as a list or tuple of "
            "tensors with the final one last"
        )
    return found


def deviation(maps: Tensor, reference: Tensor) -> float:
    """Root mean square of the difference, over the standard deviation of the reference.

    What float32 cannot resolve beside the size of the reference is no difference (sigmoids all near 0.5 have few digits
    left). ValueError where the reference is constant to that, or not finite: it could not tell right from wrong.
    """
    wanted = reference.double()
    spread, resolution = float(wanted.std()), RESOLUTION * float(wanted.square().mean().sqrt())
    if not resolution < spread < float("inf"):
        raise ValueError("the network's heatmaps are constant or not finite, which shows nothing; give it weights")
    if maps.shape != reference.shape:
        raise ValueError(f"maps of shape {list(maps.shape)} where eager gives {list(reference.shape)}")
    off = float((maps.double() - wanted).square().mean().sqrt())
    return max(off - resolution, 0.0) / spread


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; the model's own mode is restored."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def package(name: str, extra: str) -> ModuleType:
    """An optional package; ValueError with the line that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(not_installed(name, extra)) from None


# ---------------------------------------------------------------------------------------------------- writing


def write_checked(
    model: nn.Module,
    input_hw: tuple[int, int],
    path: Path,
    batch: int,
    suffix: str,
    write: Callable[[nn.Module, Tensor, list[str], Path], None],
    read: Callable[[Path], Answer] | None,
) -> Path:
    """Write a draft, hold it against eager, and only then give it its name. `read` is None where nothing runs it here.

    `write` gets the network in eval mode, images, the outputs' names and the draft's path.
    """
    if path.suffix != suffix:
        raise ValueError(f"{path}: such files end in {suffix}; name it so")
    images = noise(input_hw, batch)
    with evaluating(model), draft_of(path) as draft:
        expected = eager_stacks(model, images)
        write(model, images, output_names(expected), draft)
        found = 0.0 if read is None else deviation(read(draft)(images), expected[-1])
        if not found <= TOLERANCE:
            raise ValueError(
                f"{path}: not written, because the exported network answers differently from eager PyTorch (relative "
                f"deviation {found:.1e}, allowed {TOLERANCE:.0e}); look for data-dependent branches in its forward"
            )
    return path


def eager_stacks(model: nn.Module, images: Tensor) -> list[Tensor]:
    try:
        return stacks(model(images))
    except RuntimeError as error:
        size = "x".join(map(str, images.shape[2:]))
        raise ValueError(f"the network fails on images of {size} ({first_line(error)}); try another size") from None


def output_names(stacks: list[Tensor]) -> list[str]:
    """`stack1`, `stack2`, ..., the final one `heatmaps`."""
    return [f"stack{i + 1}" for i in range(len(stacks) - 1)] + [FINAL]


def as_openvino(runtime: ModuleType, onnx: Path, file: Path) -> None:
    """An ONNX file becomes OpenVINO's pair, of the same precision."""
    runtime.save_model(runtime.convert_model(onnx), file, compress_to_fp16=False)
    onnx.unlink()


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A path in a folder beside; if all goes well, the files written there are moved here, `path` itself last."""
    with claimed(path) as folder, naming(path):
        folder.mkdir()
        draft = folder / path.name
        yield draft
        for file in sorted(folder.iterdir(), key=lambda file: file == draft):
            target = path.parent / file.name
            if target.is_dir():  # an older package, which is a folder
                remove(target)
            file.replace(target)


def write_onnx(model: nn.Module, images: Tensor, names: list[str], file: Path) -> None:
    for name in ("onnx", "onnxscript"):
        package(name, "onnx")
    size = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    if size > ONNX_LIMIT_BYTES:
        raise ValueError(f"the network's weights are {size / 2**30:.1f} GiB; one ONNX file holds less than 2 GiB")
    try:
        with quiet():
            torch.onnx.export(
                model,
                (images,),
                file,
                input_names=[INPUT],
                output_names=names,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        cause = error.__cause__ or error
        raise ValueError(f"the network cannot be exported to ONNX ({first_line(cause)})") from None


class InOrder(nn.Module):
    """A network whose stacks come as a tuple: tracers take no lists."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(stacks(self.model(images)))


def _write_torchscript(model: nn.Module, images: Tensor, names: list[str], file: Path) -> None:
    with quiet():
        torch.jit.save(torch.jit.trace(InOrder(model).eval(), images, check_trace=False), file)


@contextmanager
def quiet() -> Iterator[None]:
    """Exporters warn about their own insides; whether the file is right is checked."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


# ---------------------------------------------------------------------------------------------------- reading back


def onnx_answer(runtime: ModuleType, file: Path) -> Answer:
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([FINAL], {INPUT: images.numpy()})[0])


def _torchscript_answer(file: Path) -> Answer:
    with quiet():
        network = torch.jit.load(file)
    return lambda images: network(images)[-1]


def openvino_answer(runtime: ModuleType, file: Path) -> Answer:
    exactly = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}  # else bf16 may act
    network = runtime.Core().compile_model(file, "CPU", exactly)
    return lambda images: torch.from_numpy(network(images.numpy())[FINAL].copy())
