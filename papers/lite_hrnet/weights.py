"""Released weights: from the names of others to ours.

Known are the authors' files and mmpose's, whose networks are the same: the backbone is `backbone.*`, the head
`keypoint_head.*` (the authors, mmpose 0.x) or `head.*` (mmpose 1.x).
"""

from __future__ import annotations

from typing import Any

from hpe_bench.inference.weights import unwrapped

PREFIXES = ("backbone.", "keypoint_head.", "head.")


def adapt(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict in any known naming under our names; ours passes unchanged. Nothing is checked here."""
    return {_ours(name): value for name, value in unwrapped(state_dict).items()}


def _ours(name: str) -> str:
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name
