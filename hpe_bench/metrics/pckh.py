"""PCKh: the share of joints within a fraction of the person's head size."""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from hpe_bench.data.persons import PersonSet
from hpe_bench.declare import STRICT
from hpe_bench.metrics.rates import Comparator, DistanceRate, threshold_text

MPII_EXCLUDED = ("pelvis", "thorax")


@dataclass(frozen=True, config=STRICT)
class PCKh(DistanceRate):
    """PCKh as the MPII evaluators compute it (Andriluka et al., CVPR 2014): distance / head size <= threshold.

    The head size is `PersonSet.head_size` as it is; for MPII that is 0.6 times the diagonal of the head box. The mean
    weights every labelled joint equally and leaves out the `excluded` ones where the skeleton has them (F13): pelvis
    and thorax of MPII, nothing of COCO's 17. Groups pool their left and right joints; the MPII tables average the two
    rates instead, which `side_means` gives and which differs in the third decimal on MPII's validation set.
    """

    threshold: float = 0.5
    comparator: Comparator = "<="  # F12: HRNet's; mmpose and pytorch-pose use "<"
    excluded: tuple[str, ...] = MPII_EXCLUDED

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"PCKh: threshold {self.threshold}; give a positive share of the head size, such as 0.5")

    @property
    def key(self) -> str:
        """'pckh@0.5'; another joint set is part of the name: 'pckh-all@0.5', 'pckh-without-neck@0.5'."""
        without = "-".join(("without", *self.excluded)) if self.excluded else "all"
        joints = "" if self.excluded == MPII_EXCLUDED else f"-{without}"
        return f"pckh{joints}{threshold_text(self.threshold, self.comparator)}"

    def reference_lengths(self, truth: PersonSet) -> np.ndarray:
        """Head sizes [N] in px; ValueError where a person has none."""
        bad = np.flatnonzero(~(truth.head_size > 0))
        if len(bad):
            raise ValueError(
                f"{self.key}: person {bad[0]} has head size {truth.head_size[bad[0]]} ({len(bad)} such persons); "
                "leave these persons out or use a metric without head size"
            )
        return truth.head_size
