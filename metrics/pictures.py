"""How far pictures differ, pixel by pixel, how visible a repainted region's edge is, and how harsh or dull they are."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError


def _masked_mean(values: Tensor, mask: Tensor | None) -> float:
    if mask is None:
        return values.mean().item()
    weight = mask.to(values)[:, None].expand_as(values)
    if not bool(weight.sum() > 0):
        raise GlidewireError("the mask is empty", expected="at least one pixel to measure", got="none")
    return ((values * weight).sum() / weight.sum()).item()


def _require_pair(first: Tensor, second: Tensor, mask: Tensor | None) -> None:
    mask_fits = mask is None or (mask.shape[1:] == first.shape[2:] and len(mask) in (1, len(first)))
    if first.shape != second.shape or not mask_fits:
        got = [" x ".join(map(str, tensor.shape)) for tensor in (first, second, mask) if tensor is not None]
        raise GlidewireError(
            "the pictures (or the mask) differ in size", expected="one batch of one size", got=" and ".join(got)
        )


def squared_error(first: Tensor, second: Tensor, mask: Tensor | None = None) -> float:
    """mean (a - b)^2 over all channels of the pixels that count.

    Args:
        first: "batch channels height width".
        second: The same.
        mask: The weight of each pixel, "batch height width" or "1 height width"; None counts all.

    Raises:
        GlidewireError: Different sizes, or a mask of zeros.

    Source: none (definition).
    """
    _require_pair(first, second, mask)
    return _masked_mean((first.double() - second.double()).square(), mask)


def peak_signal_to_noise(error: float, peak: float = 1.0) -> float:
    """10 log10(peak^2 / error) in decibels, at most 100; higher is nearer."""
    return min(100.0, 10 * math.log10(peak * peak / error)) if error > 0 else 100.0


def boundary_error(made: Tensor, mask: Tensor) -> float:
    """How much steeper a picture is across the edge of a repainted region than on both sides of it.

    The mean of |difference of neighbours| over pairs of which one pixel is repainted and the other is not, less the
    mean over the pairs within two pixels before and behind them in their own direction.

    Args:
        made: "batch channels height width" in [0, 1].
        mask: "batch height width" or "1 height width"; repainted where it is 1/2 or more.

    Returns:
        About 0 for an edge that cannot be seen; in the pictures' units.

    Raises:
        GlidewireError: Another size, or a mask without an edge.

    Source: after Nichol et al. 2021 (GLIDE, 2112.10741), section 4.3 (edge artifacts of replacement).
    """
    _require_pair(made, made, mask)
    hole = (mask >= 0.5).to(made).expand(len(made), -1, -1)[:, None].double()
    across, beside = [], []
    for dim, window in ((2, (5, 1)), (3, (1, 5))):
        step = made.double().diff(dim=dim).abs().mean(dim=1, keepdim=True)
        crosses = hole.diff(dim=dim).abs()
        close = F.max_pool2d(crosses, window, 1, (window[0] // 2, window[1] // 2)) - crosses
        across.append(step[crosses > 0])
        beside.append(step[close > 0])
    at_edge, around = torch.cat(across), torch.cat(beside)
    if not at_edge.numel() or not around.numel():
        raise GlidewireError(
            "the mask has no edge to measure", expected="a region that is repainted beside one that is kept", got="none"
        )
    return (at_edge.mean() - around.mean()).item()


_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_BOUND = 0.01


def clipped_share(pictures: Tensor) -> float:
    """The share of values that lie at the bounds of what can be shown, within 1/100 of 0 or of 1.

    Args:
        pictures: "batch 3 height width" in [0, 1].

    Source: what Saharia et al. 2022 (Imagen, 2205.11487), section 2.3, call saturated pixels.
    """
    return ((pictures <= _BOUND) | (pictures >= 1 - _BOUND)).double().mean().item()


def contrast(pictures: Tensor) -> float:
    """The standard deviation of a picture's luma over its pixels, the mean over pictures: RMS contrast.

    Args:
        pictures: "batch 3 height width" in [0, 1].

    Source: Peli 1990, "Contrast in complex images", eq. 2.
    """
    luma = torch.einsum("bchw,c->bhw", pictures.double(), pictures.new_tensor(_LUMA, dtype=torch.float64))
    return luma.flatten(1).std(dim=1, correction=0).mean().item()


def saturation(pictures: Tensor) -> float:
    """The mean of (max - min) / max over the channels of each pixel; 0 where a pixel is black.

    Args:
        pictures: "batch 3 height width" in [0, 1].

    Source: Smith 1978, "Color gamut transform pairs" (HSV).
    """
    most, least = pictures.double().amax(dim=1), pictures.double().amin(dim=1)
    return torch.where(most > 0, (most - least) / most.where(most > 0, 1), 0.0).mean().item()
