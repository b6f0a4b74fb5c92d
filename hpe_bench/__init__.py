"""hpe-bench: published claims about 2D human pose estimation meet measurement."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpe_bench.catalog import build_model
    from hpe_bench.inference.weights import load_weights
    from hpe_bench.records.frame import results

__version__ = "0.1.0"
__all__ = ["__version__", "build_model", "load_weights", "results"]

_HOMES = {
    "build_model": "hpe_bench.catalog",
    "load_weights": "hpe_bench.inference.weights",
    "results": "hpe_bench.records.frame",
}


def __getattr__(name: str) -> object:
    """The public functions, imported when they are asked for: `import hpe_bench` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hpe_bench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
