"""Released weights: from the names of others to ours, which are those of the authors' release.

Known are the authors' files and mmpose's of both generations, which name the same network `backbone.*` and its head
`keypoint_head.*` (0.x) or `head.*` (1.x).
"""

from __future__ import annotations

from typing import Any

from hpe_bench.inference.weights import unwrapped, without_parts

MMPOSE = ("backbone.", "keypoint_head.", "head.")


def adapt(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict in any known naming under our names; ours passes unchanged. Nothing is checked here."""
    return without_parts(unwrapped(state_dict), MMPOSE)
