"""hpe-bench: published claims about 2D human pose estimation meet measurement."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpe_bench.catalog import build_model
    from hpe_bench.inference.weights import load_weights

__version__ = "0.1.0"
__all__ = ["__version__", "build_model", "load_weights"]


def __getattr__(name: str) -> object:
    """The public functions, imported when they are asked for: `import hpe_bench` stays instant."""
    if name == "build_model":
        from hpe_bench.catalog import build_model

        return build_model
    if name == "load_weights":
        from hpe_bench.inference.weights import load_weights

        return load_weights
    raise AttributeError(f"module 'hpe_bench' has no attribute {name!r}")
