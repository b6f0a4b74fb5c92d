"""A paper in miniature for tests of the machinery: a real network, a real recipe, few samples."""

from __future__ import annotations

from hpe_bench.papers.simple_baseline.model import pocket_two_deconvs

from hpe_bench.codecs.gaussian import Gaussian
from hpe_bench.data.mannequins import Mannequins
from hpe_bench.declare import Optimiser, Protocol, Recipe, Schedule, Variant, replace
from hpe_bench.metrics.pckh import PCKh
from hpe_bench.plan import TrainingRun
from hpe_bench.training.losses import HeatmapMSE

CODEC = Gaussian(sigma_px=1.0, centre="exact", decoder="dark", dark_kernel_px=3)
VARIANT = Variant("small", pocket_two_deconvs, (64, 48), stride=8, scale="pocket", reading="ours")
RECIPE = Recipe(
    name="small",
    loss=HeatmapMSE(),
    codec=CODEC,
    samples=384,
    batch=8,
    optimiser=Optimiser("adam", 2e-3),
    schedule=Schedule("cosine", warmup=0.1),
    reading="ours",
)
BRIEF = replace(RECIPE, samples=64)  # 8 steps, where it does not matter what is learnt
DATA = Mannequins(train_persons=60, test_persons=20)
PROTOCOLS = tuple(
    Protocol(
        name=f"small-{decoder}",
        data=DATA,
        codec=Gaussian(sigma_px=1.0, centre="exact", decoder=decoder, dark_kernel_px=3),
        metrics=(PCKh(0.5),),
    )
    for decoder in ("dark", "quarter")
)


def training(seed: int = 0, recipe: Recipe = RECIPE) -> TrainingRun:
    """A training that takes about two seconds."""
    return TrainingRun("simple_baseline", VARIANT, recipe, PROTOCOLS, seed)
