"""What torchstat counts of a module, in the copy that TensorWatch carries; tables print it divided by 2^20 or 2^30.

It looks at modules without children and at nothing else: operators that are called as functions, additions,
concatenations, resampling among them, count nothing, and so do module types it does not know, transposed convolutions
and sigmoids among them. It keeps one figure a module, that of its last call, so a module that runs several times counts
once. A multiply-add is one operation; biases, batch normalisation, ReLU, pooling and up-sampling count, too.

N images, C channels, H W rows and columns.
"""

from __future__ import annotations

from math import ceil, floor, prod
from typing import Any

from torch import Tensor, nn

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.PReLU, nn.ELU, nn.LeakyReLU)


def operations(module: nn.Module, given: Any, output: Any) -> int:
    """Operations of one call of a module without children, from the first tensor that it is given and that it gives."""
    image, out = (_first(value) for value in (given, output))
    if image is None or out is None:
        return 0
    if isinstance(module, nn.Conv2d):
        return out.numel() * (prod(module.weight.shape[1:]) + (module.bias is not None))
    if isinstance(module, nn.BatchNorm2d):
        return image.numel() * (2 if module.affine else 1)
    if isinstance(module, RECTIFIERS):
        return image.numel()
    if isinstance(module, nn.Linear):
        return image.numel() * module.out_features
    if isinstance(module, nn.Upsample):
        return out.shape[0] * prod(out.shape[2:])  # one a position, whatever the channels
    if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
        return prod(image.shape[:2]) * prod(map(_windows, image.shape[2:], out.shape[2:]))
    if isinstance(module, (nn.AvgPool2d, nn.MaxPool2d)):
        return out.numel() * prod(_pair(module.kernel_size))
    return 0


def _first(value: Any) -> Tensor | None:
    """The first tensor in a tensor or in nested sequences of them."""
    if isinstance(value, Tensor):
        return value
    found = (_first(v) for v in value) if isinstance(value, (list, tuple)) else ()
    return next((tensor for tensor in found if tensor is not None), None)


def _windows(size: int, cells: int) -> int:
    """Lengths of the windows of adaptive pooling along one axis, added up, each taken one too long."""
    return sum(ceil((i + 1) * size / cells) - floor(i * size / cells) + 1 for i in range(cells))


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
