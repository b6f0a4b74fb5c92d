"""hpe-bench: published claims about 2D human pose estimation meet measurement."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpe_bench.catalog import build_model
    from hpe_bench.commands.calls import compare, profile, score
    from hpe_bench.inference.predictors import Predictor
    from hpe_bench.inference.weights import load_weights
    from hpe_bench.records.frame import results

__version__ = "0.1.0"
__all__ = ["Predictor", "__version__", "build_model", "compare", "load_weights", "profile", "results", "score"]

_HOMES = {
    "Predictor": "hpe_bench.inference.predictors",
    "build_model": "hpe_bench.catalog",
    "compare": "hpe_bench.commands.calls",
    "load_weights": "hpe_bench.inference.weights",
    "profile": "hpe_bench.commands.calls",
    "results": "hpe_bench.records.frame",
    "score": "hpe_bench.commands.calls",
}


def __getattr__(name: str) -> object:
    """The public functions, imported when they are asked for: `import hpe_bench` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hpe_bench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
