"""Released weights: from the names of others to ours, which are those of the authors' release.

Known are the authors' files and mmpose's, which name the same network `backbone.*` and its head `head.*`.
"""

from __future__ import annotations

from typing import Any

from hpe_bench.inference.weights import unwrapped

MMPOSE = ("backbone.", "head.")


def adapt(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict in any known naming under our names; ours passes unchanged. Nothing is checked here."""
    return {_ours(name): value for name, value in unwrapped(state_dict).items()}


def _ours(name: str) -> str:
    for prefix in MMPOSE:
        name = name.removeprefix(prefix)
    return name
