"""Where a network comes from, as a value that another process can build it from: a paper's variant or own code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hpe_bench.declare import Variant
from hpe_bench.errors import sentence
from hpe_bench.inference.exporting import stacks
from hpe_bench.inference.own_code import callable_at

CALIBRATION_BATCHES, CALIBRATION_IMAGES = 2, 2
SHIFT = 1.0  # of a calibrated batch norm's output, in standard deviations


class Source(ABC):
    """Builds a network anew, with the same weights every time unless they come from elsewhere."""

    @abstractmethod
    def fresh(self) -> nn.Module:
        """A new module; ValueError with a sentence if there is none."""


@dataclass(frozen=True)
class OfVariant(Source):
    """A paper's variant."""

    variant: Variant
    joints: int

    def fresh(self) -> nn.Module:
        torch.manual_seed(0)
        module = self.variant.builder(joints=self.joints)
        assert isinstance(module, nn.Module)
        return module


@dataclass(frozen=True)
class OfCode(Source):
    """Own code: `FILE.py:callable` or `package.module:callable`, where the callable returns a module."""

    where: str

    def fresh(self) -> nn.Module:
        torch.manual_seed(0)
        build = callable_at(self.where)
        try:
            module = build()
        except Exception as error:  # it is somebody's code and may raise anything
            raise ValueError(f"{self.where}: calling it failed: {sentence(error)}") from error
        if not isinstance(module, nn.Module):
            raise ValueError(f"{self.where}: returned a {type(module).__name__}; it must return a torch.nn.Module")
        return module


# ---------------------------------------------------------------------------------------------------- calling


def checked_maps(module: nn.Module, images_B3HW: Tensor, label: str) -> Tensor:
    """The final heatmaps of a module that may be anybody's; ValueError saying what it does instead of giving them."""
    size = "x".join(map(str, images_B3HW.shape[-2:]))
    try:
        with torch.inference_mode():
            output = module(images_B3HW)
    except Exception as error:  # likewise
        raise ValueError(
            f"{label}: fails for images of {size} ({sentence(error)}); give a size it takes with --inputs, as a rule a "
            "multiple of its largest stride"
        ) from error
    try:
        maps = stacks(output)[-1]
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None
    if maps.ndim != 4 or len(maps) != len(images_B3HW):
        raise ValueError(
            f"{label}: gives a tensor of shape {list(maps.shape)} for {len(images_B3HW)} image(s); heatmaps are "
            "[batch, joints, h, w]"
        )
    return maps


def calibrate(module: nn.Module, input_hw: tuple[int, int]) -> None:
    """Give a freshly initialised network a signal: shift its batch norms, and set their statistics from seeded noise.

    A new network uses mean 0 and variance 1, which let its signal vanish or explode within some layers; then neither
    times (denormal numbers) nor deviations say anything. So each norm gets the statistics of what reaches it, averaged
    over the batches. That alone makes a deep random network chaotic: it enlarges rounding errors a hundredfold from end
    to end (bfloat16 then deviates by 0.6 in ResNet-50), which trained ones do not (0.004 to 0.027, see `check.py`).
    Shifting every norm up by one standard deviation, so that ReLUs pass most of it, makes it as calm as those.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    momenta = [m.momentum for m in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
        if norm.affine:
            nn.init.constant_(norm.bias, SHIFT)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(CALIBRATION_BATCHES):
            module(torch.randn(CALIBRATION_IMAGES, 3, *input_hw, generator=generator))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()
