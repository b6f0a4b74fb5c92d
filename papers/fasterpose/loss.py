"""Regressive cross-entropy, our two readings, and the controls it is compared with.

The paper's equation is not public. Its abstract asks for a loss that equals cross-entropy where the target is 0 or 1,
is defined for every target in between, and goes with a sigmoid. Notation: z logit, p = sigmoid(z), y target in [0, 1].
All are per pixel; the reduction is the baseline's (mean over batch, joints and pixels, see `mean_over_maps`).
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from hpe_bench.declare import STRICT, Batch, Codec, Loss
from hpe_bench.training.losses import mean_over_maps


@dataclass(frozen=True, config=STRICT)
class SigmoidLoss(Loss):
    """A loss per pixel of logits whose heatmap is their sigmoid.

    The logit is the network's output plus `prior_logit`, so that a network that says nothing yet says "background" (1 %
    of the pixels belong to a joint), as an untrained linear output does for the squared error. Without it the first
    thousands of samples teach only that bias. Ours; of the authors' initialisation nothing is known.
    """

    prior_logit: float = -4.595  # log(0.01 / 0.99)

    def __call__(self, outputs: list[Tensor], batch: Batch, codec: Codec) -> Tensor:
        return mean_over_maps(lambda raw, y: self.per_pixel(raw + self.prior_logit, y), outputs, batch, codec)

    def activate(self, raw_BJHW: Tensor) -> Tensor:
        return (raw_BJHW + self.prior_logit).sigmoid()

    @abstractmethod
    def per_pixel(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of every pixel, in the shape of `logits`."""


@dataclass(frozen=True, config=STRICT)
class RegressiveCrossEntropyA(SigmoidLoss):
    """RCE-a: cross-entropy with a soft target, -[y log p + (1-y) log(1-p)], less the target's own entropy.

    The entropy does not depend on the network; without it the loss could not fall below 0.0134 (sigma 2 on 64x48), with
    it the minimum is 0 at p = y. Gradient p - y, unattenuated by the sigmoid.
    """

    def per_pixel(self, logits: Tensor, target: Tensor) -> Tensor:
        entropy = torch.special.entr(target) + torch.special.entr(1 - target)
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none") - entropy


@dataclass(frozen=True, config=STRICT)
class RegressiveCrossEntropyB(SigmoidLoss):
    """RCE-b: -log(1 - |p - y|), minimum 0 at p = y.

    Gradient sign(p - y) p (1-p) / (1 - |p - y|): for 0 < y < 1 it fades as p saturates, and it jumps at p = y.
    """

    def per_pixel(self, logits: Tensor, target: Tensor) -> Tensor:
        # 1 - |p - y| is (1 - p) + y where p >= y and p + (1 - y) elsewhere; both are added up in log space.
        above = logits.sigmoid() >= target
        log_first = F.logsigmoid(torch.where(above, -logits, logits))
        log_second = torch.where(above, target, 1 - target).log()
        return -torch.logaddexp(log_first, log_second)


@dataclass(frozen=True, config=STRICT)
class SigmoidMSE(SigmoidLoss):
    """Control: 0.5 (p - y)^2. Gradient (p - y) p (1-p), which saturates."""

    def per_pixel(self, logits: Tensor, target: Tensor) -> Tensor:
        return 0.5 * (logits.sigmoid() - target).square()


@dataclass(frozen=True, config=STRICT)
class BinaryBCE(SigmoidLoss):
    """Control: cross-entropy with the Gaussian cut to 0 or 1, the "binary supervision" that the abstract generalises.

    Pixels with y >= `threshold` are 1: at 0.5 a disc of radius sigma * sqrt(2 ln 2) = 1.18 sigma, which holds at least
    the nearest pixel for sigma >= 0.61.
    """

    threshold: float = 0.5

    def per_pixel(self, logits: Tensor, target: Tensor) -> Tensor:
        inside = (target >= self.threshold).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, inside, reduction="none")
