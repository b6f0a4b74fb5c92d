"""What somebody's ONNX file takes, read before it is timed: one sentence for a file that cannot be."""

from __future__ import annotations

from pathlib import Path

from hpe_bench.errors import sentence
from hpe_bench.timing.runtimes.onnx_runtime import OnnxRuntime

Size = tuple[int, int]


def input_sizes(path: Path, asked: tuple[Size, ...], batches: tuple[int, ...]) -> tuple[Size, ...]:
    """The input sizes (h, w) to time a file at: those asked for, or its own.

    ValueError where the file is broken, takes anything but images [N,3,H,W], or has another size or batch than asked.
    """
    shape = _shape(path)
    batch, _, *own = shape
    height, width = (side if isinstance(side, int) and side > 0 else None for side in own)
    if not asked:
        if height is None or width is None:
            raise ValueError(
                f"{path}: takes images of any size {shape}; say which to time with --inputs, such as 256x192"
            )
        asked = ((height, width),)
    for size in asked:
        if any(side not in (None, want) for side, want in zip((height, width), size, strict=True)):
            want = "x".join(map(str, size))
            raise ValueError(f"{path}: takes images of {own[0]}x{own[1]} only, not {want}; leave --inputs out")
    for count in batches:
        if isinstance(batch, int) and batch > 0 and batch != count:
            raise ValueError(f"{path}: takes batches of {batch} only, not {count}; give --batch {batch}")
    return asked


def _shape(path: Path) -> list[int | str]:
    """The shape of the only input."""
    if reason := OnnxRuntime().missing():
        raise ValueError(reason)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give an ONNX file")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise ValueError(f"{path}: not an ONNX file that onnxruntime can run ({sentence(error)[:160]})") from None
    found = session.get_inputs()
    if len(found) != 1:
        raise ValueError(f"{path}: takes {len(found)} inputs, expected one, images [N, 3, height, width]")
    shape = list(found[0].shape)
    if len(shape) != 4 or shape[1] != 3 or found[0].type != "tensor(float)":
        raise ValueError(
            f"{path}: input {found[0].name!r} is {found[0].type} {shape}, expected float images [N, 3, height, width]"
        )
    return shape
