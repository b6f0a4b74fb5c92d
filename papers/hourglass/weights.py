"""Released weights: from the names of others to ours.

Known are the common PyTorch port with the FPD release, and the PyTorch release of the hourglass authors' group. What
mmpose calls an hourglass (HourglassNet-52) is another network and refused by name.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

WRAPPER = re.compile(r"^(module\.|model\.)+")  # DataParallel and trainer objects around the network

# Patterns are tried in this order, each on the result of those before.
PORT = (
    (r"^conv1\.", "stem.conv.0."),
    (r"^bn1\.", "stem.conv.1."),
    (r"^layer([123])\.0\.", r"stem.res\1."),
    (r"^hg\.", "hourglasses."),
    (r"^res\.", "residuals."),
    (r"^fc\.", "features."),
    (r"^score\.", "heatmaps."),
    (r"^fc_\.", "merge_features."),
    (r"^score_\.", "merge_heatmaps."),
    (r"\.downsample\.0\.", ".skip."),
)
AUTHORS_GROUP = (
    (r"^pre\.0\.conv\.", "stem.conv.0."),
    (r"^pre\.0\.bn\.", "stem.conv.1."),
    (r"^pre\.1\.", "stem.res1."),
    (r"^pre\.3\.", "stem.res2."),
    (r"^pre\.4\.", "stem.res3."),
    (r"^hgs\.(\d+)\.0\.(.*?)\.(bn|conv|skip_layer)", r"hourglasses.\1.\2.0.\3"),  # one residual a branch: block 0
    (r"^features\.(\d+)\.0\.", r"residuals.\1.0."),
    (r"^features\.(\d+)\.1\.conv\.", r"features.\1.0."),
    (r"^features\.(\d+)\.1\.bn\.", r"features.\1.1."),
    (r"^outs\.(\d+)\.conv\.", r"heatmaps.\1."),
    (r"^merge_features\.(\d+)\.conv\.conv\.", r"merge_features.\1."),
    (r"^merge_preds\.(\d+)\.conv\.conv\.", r"merge_heatmaps.\1."),
    (r"\.(conv[123])\.conv\.", r".\1."),
    (r"\.skip_layer\.conv\.", ".skip."),
)
PORT_ROLES = ("up1", "low1", "low3", "low2")  # what the port numbers 0 to 3


def adapt(state_dict: dict[str, Any]) -> dict[str, Tensor]:
    """A state dict in any known naming under our names; ours passes unchanged. Nothing is checked here."""
    weights = state_dict.get("state_dict", state_dict)
    weights = {WRAPPER.sub("", name): value for name, value in weights.items()}
    if any("hourglass_modules." in name for name in weights):
        raise ValueError(
            "mmpose's HourglassNet-52 is another architecture (CornerNet's hourglass, 94.8 M parameters) than the "
            "stacked hourglass of the paper; give weights of the paper's network"
        )
    if any(name.startswith("hg.") for name in weights):
        levels = [int(found[1]) for name in weights if (found := re.match(r"hg\.\d+\.hg\.(\d+)\.", name))]
        return {_port_name(name, max(levels)): value for name, value in weights.items()}
    if any(name.startswith("hgs.") for name in weights):
        live = {name: value for name, value in weights.items() if not _dead(name, weights)}
        return {_renamed(name, AUTHORS_GROUP): value for name, value in live.items()}
    return weights


def _port_name(name: str, highest: int) -> str:
    """Our name of one of the port's, whose hourglass levels count up from the innermost, 0, to `highest`."""

    def nested(found: re.Match[str]) -> str:
        level, role = int(found[2]), int(found[3])
        return f"hg.{found[1]}." + "low2." * (highest - level) + PORT_ROLES[role] + "."

    return _renamed(re.sub(r"^hg\.(\d+)\.hg\.(\d+)\.([0-3])\.", nested, name), PORT)


def _renamed(name: str, patterns: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name


def _dead(name: str, weights: dict[str, Tensor]) -> bool:
    """Whether the entry is a skip convolution that the forward pass never uses.

    The authors' group's residual always owns a skip convolution and uses it only where the two widths differ; 7.385 of
    the 32.819 million parameters of 8 stacks are such. Told by the widths of the residual's first and last convolution.
    """
    residual, found, _ = name.partition("skip_layer.")
    if not found:
        return False
    return bool(weights[f"{residual}conv1.conv.weight"].shape[1] == weights[f"{residual}conv3.conv.weight"].shape[0])
