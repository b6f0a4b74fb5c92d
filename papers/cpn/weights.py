"""Released weights: our names are those of the common PyTorch port, whose files carry a `module.` in front.

The first author's release is a TensorFlow checkpoint and cannot be read here.
"""

from __future__ import annotations

from typing import Any

from hpe_bench.inference.weights import unwrapped


def adapt(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict of the port under our names; ours passes unchanged. Nothing is checked here."""
    return unwrapped(state_dict)
