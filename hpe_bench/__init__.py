"""hpe-bench: published claims about 2D human pose estimation meet measurement."""

__version__ = "0.1.0"
