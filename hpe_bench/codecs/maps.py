"""What every heatmap codec does with maps: find peaks, read beside them, bring mirrored maps back.

B batch, J joints, H W heatmap rows and columns; positions are (x, y) in heatmap pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def peaks(maps_BJHW: Tensor) -> tuple[Tensor, Tensor]:
    """Position [B,J,2] (int64) and value [B,J] of each map's first maximum; ValueError where that is not finite.

    A NaN anywhere in a map counts as its maximum, so a diverged network is an error here and never a silent miss.
    """
    flat = maps_BJHW.flatten(2)
    if flat.device.type == "cpu":  # M11: NumPy's argmax is several times faster than torch's on CPU
        index = torch.from_numpy(flat.detach().numpy().argmax(axis=2))
        value = flat.gather(2, index[..., None])[..., 0]
    else:
        value, index = flat.max(dim=2)
    if not bool(torch.isfinite(value).all()):
        row, joint = torch.nonzero(~torch.isfinite(value))[0].tolist()
        raise ValueError(
            f"decode: the peak of joint {joint} in row {row} of the batch is {value[row, joint].item()}; "
            "the network or its activation produced a value that is not finite, so there is nothing to decode"
        )
    width = maps_BJHW.shape[-1]
    return torch.stack((index % width, index // width), dim=-1), value


def read(maps_BJHW: Tensor, x_BJK: Tensor, y_BJK: Tensor) -> Tensor:
    """Values [B,J,K] of each map at whole positions inside it."""
    return maps_BJHW.flatten(2).gather(2, y_BJK * maps_BJHW.shape[-1] + x_BJK)


def outer(y_BJH: Tensor, x_BJW: Tensor) -> Tensor:
    """Maps [B,J,H,W] as the product of a column and a row profile."""
    if y_BJH.device.type != "cpu":
        return y_BJH[..., :, None] * x_BJW[..., None, :]
    # NumPy asks for huge pages: touching 53 MB of its memory first costs 3 ms, of torch's 20, the product itself 2.
    maps_BJHW = torch.from_numpy(np.empty((*y_BJH.shape, x_BJW.shape[-1]), dtype=np.float32))
    with torch.no_grad():
        return torch.mul(y_BJH[..., :, None], x_BJW[..., None, :], out=maps_BJHW)


def unflip_maps(maps_BJHW: Tensor, flip_pairs: tuple[tuple[int, int], ...], shift_px: int) -> Tensor:
    """Mirror maps, swap left and right joints and move the result `shift_px` to the right (F7).

    The columns that the shift would leave empty keep their unshifted values, as in the HRNet code.
    """
    order = list(range(maps_BJHW.shape[1]))
    for left, right in flip_pairs:
        order[left], order[right] = right, left
    back = maps_BJHW.flip(3)[:, order]
    if shift_px == 0:
        return back
    return torch.cat((back[..., :shift_px], back[..., :-shift_px]), dim=-1)
