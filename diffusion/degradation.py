"""What small pictures go through before an upsampler sees them in training: blur, resampling, noise, JPEG."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError
from .noise import item_generator

# Quantisation of luminance and chrominance at quality 50 (ITU-T T.81 1992, annex K.1).
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def gaussian_blur(picture: Tensor, deviation: float, kernel: int = 3) -> Tensor:
    """Convolve with exp(-r^2 / (2 deviation^2)) on a square of `kernel` pixels, edges mirrored.

    Args:
        picture: "batch channels height width".
        deviation: In pixels; 0 changes nothing.
        kernel: Odd side of the square.

    Raises:
        GlidewireError: An even kernel, or a negative deviation.

    Source: Ramesh et al. 2022 (unCLIP), appendix C: kernel 3 and deviation 0.6 before the first upsampler.
    """
    if kernel < 1 or kernel % 2 == 0 or not 0 <= deviation < math.inf:
        raise GlidewireError(
            "blur: impossible settings",
            expected="an odd kernel and a deviation from 0 up",
            got=f"{kernel} and {deviation:g}",
        )
    if deviation == 0 or kernel == 1:
        return picture.clone()
    reach = kernel // 2
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    return _convolved(picture, torch.outer(line, line))


def _convolved(picture: Tensor, kernel: Tensor) -> Tensor:
    reach, channels = kernel.shape[-1] // 2, picture.shape[1]
    weights = (kernel / kernel.sum()).to(picture).expand(channels, 1, -1, -1)
    mode = "reflect" if min(picture.shape[-2:]) > reach else "replicate"
    return F.conv2d(F.pad(picture, (reach,) * 4, mode=mode), weights, groups=channels)


def oriented_blur(picture: Tensor, deviations: tuple[float, float], angle: float, kernel: int) -> Tensor:
    """Blur with an anisotropic Gaussian: deviations along and across a direction of `angle` radians."""
    reach = kernel // 2
    y, x = torch.meshgrid(*(torch.arange(-reach, reach + 1.0),) * 2, indexing="ij")
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return _convolved(picture, torch.exp(-0.5 * ((along / deviations[0]) ** 2 + (across / deviations[1]) ** 2)))


def jpeg(picture: Tensor, quality: int) -> Tensor:
    """What JPEG keeps of a picture: blocks of 8 x 8 cosine coefficients of Y, Cb and Cr, rounded to its tables.

    Colour is not subsampled, and nothing is written: the rounding is all.

    Args:
        picture: "batch 3 height width" in [-1, 1].
        quality: 1 to 100.

    Returns:
        The same shape, clipped to [-1, 1].

    Raises:
        GlidewireError: Another number of channels, or an impossible quality.

    Source: ITU-T T.81 1992, annex A.3 and K.1.
    """
    if picture.shape[1] != 3 or not 1 <= quality <= 100:
        raise GlidewireError(
            "jpeg: impossible settings",
            expected="3 channels and a quality of 1 to 100",
            got=f"{picture.shape[1]} and {quality}",
        )
    height, width = picture.shape[-2:]
    levels = F.pad(picture, (0, -width % 8, 0, -height % 8), mode="replicate") * 127.5
    to_ycc = torch.tensor(_TO_YCC).to(levels)
    ycc = torch.einsum("kc,bchw->bkhw", to_ycc, levels)
    blocks = ycc.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    row = torch.arange(8.0)
    cosine = torch.cos((2 * row + 1) * row[:, None] * math.pi / 16) / 2
    cosine[0] /= math.sqrt(2)
    cosine = cosine.to(levels)
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    tables = torch.tensor([_LUMINANCE, _CHROMINANCE, _CHROMINANCE], dtype=torch.float32)
    tables = (tables * scale + 0.5).floor().clamp(1, 255).to(levels)[:, None, None]
    coefficients = (cosine @ blocks @ cosine.mT / tables).round() * tables
    back = (cosine.mT @ coefficients @ cosine).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    rgb = torch.einsum("ck,bkhw->bchw", torch.linalg.inv(to_ycc.double()).to(levels), back)
    return (rgb[..., :height, :width] / 127.5).clamp(-1, 1)


def blind_degradation(picture: Tensor, strength: float, seeds: tuple[int, ...], first_item: int = 0) -> Tensor:
    """A random order of two blurs, a change of size, noise and JPEG, in the manner of BSR; a function of (seed, item).

    Args:
        picture: "batch 3 height width" in [-1, 1].
        strength: 0 changes nothing; 1 is about what upsamplers are trained with.
        seeds: One for each item.
        first_item: Number of the first item.

    Returns:
        The same shape in [-1, 1].

    Raises:
        GlidewireError: A strength outside of [0, 4], or not as many seeds as pictures.

    Source: after Zhang et al. 2021 (BSRGAN, 2103.14006), section 4; Ramesh et al. 2022 (unCLIP), appendix C.
    """
    if not 0 <= strength <= 4:
        raise GlidewireError("degradation: impossible strength", expected="0 to 4", got=strength)
    if len(seeds) != len(picture):
        raise GlidewireError("degradation: one seed is needed for each picture", expected=len(picture), got=len(seeds))
    if strength == 0:
        return picture.clone()
    rows = [
        _degraded(one[None], strength, item_generator(seed, item, 0, "degradation"))
        for item, (one, seed) in enumerate(zip(picture, seeds, strict=True), first_item)
    ]
    return torch.cat(rows)


def _degraded(picture: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    size = tuple(picture.shape[-2:])
    for stage in rng.permutation(5).tolist():
        if stage < 2:
            deviations = strength * rng.uniform(0.1, 1.2, 2)
            picture = oriented_blur(picture, (deviations[0], deviations[1]), rng.uniform(0, math.pi), 7)
        elif stage == 2:
            factor = math.exp(-strength * rng.uniform(0, 0.5))
            mode = ("bilinear", "bicubic", "area")[rng.integers(3)]
            small = [max(1, round(side * factor)) for side in size]
            picture = F.interpolate(picture, small, mode=mode)
            picture = F.interpolate(picture, size, mode="bicubic").clamp(-1, 1)
        elif stage == 3:
            noise = torch.from_numpy(rng.standard_normal(tuple(picture.shape), dtype=np.float32)).to(picture)
            picture = picture + strength * rng.uniform(0, 0.08) * noise
        else:
            picture = jpeg(picture.clamp(-1, 1), int(np.clip(100 - strength * rng.uniform(5, 60), 1, 100)))
    return picture.clamp(-1, 1)
