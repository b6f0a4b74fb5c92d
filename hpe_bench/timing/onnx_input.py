"""What somebody's file takes, read before it is timed: one sentence for a file that cannot be."""

from __future__ import annotations

from pathlib import Path

from hpe_bench.errors import sentence
from hpe_bench.inference.file_runners import OF_OPENVINO, opened
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
    """The shape [N, 3, h, w] of the only input; of other files than ONNX the channels may come last."""
    if path.suffix.lower() in OF_OPENVINO:
        found = [side if side is not None else "?" for side in opened(path).shape]
        if len(found) == 4 and found[3] == 3:
            return [found[0], found[3], found[1], found[2]]
        if len(found) == 4 and found[1] == 3:
            return found
        raise ValueError(f"{path}: takes {found}, expected images [N, height, width, 3] or [N, 3, height, width]")
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
    taken = session.get_inputs()
    if len(taken) != 1:
        raise ValueError(f"{path}: takes {len(taken)} inputs, expected one, images [N, 3, height, width]")
    shape = list(taken[0].shape)
    if len(shape) != 4 or shape[1] != 3 or taken[0].type != "tensor(float)":
        raise ValueError(
            f"{path}: input {taken[0].name!r} is {taken[0].type} {shape}, expected float images [N, 3, height, width]"
        )
    return shape
