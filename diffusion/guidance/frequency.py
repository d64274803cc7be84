"""Frequency-decoupled guidance (FDG): a scale for each level of a Laplacian pyramid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import GlidewireError
from ..denoiser import Denoiser
from ..prediction import Prediction, Step
from .classifier_free import of_pair
from .scales import Scale, changes, checked, scale_at, scale_parameters


def frequency_decoupled(
    conditional: Denoiser,
    unconditional: Denoiser,
    scales: Sequence[Scale],
    start: float = 0.0,
    end: float = 1.0,
) -> Denoiser:
    """Classifier-free guidance with a scale for each band of frequencies: p_i = u_i + scale_i (c_i - u_i).

    c_i and u_i are levels of Laplacian pyramids. All is linear, so it is the same in eps, x_0 and v, and equal
    scales are classifier-free guidance. Variance channels, gradients and the noise to step with are the
    conditional's.

    Args:
        conditional: c, "batch channels height width", under the wanted condition.
        unconditional: u, under the empty (or a negative) condition.
        scales: From the highest frequencies to the lowest (the paper guides these less); each level halves the
            picture.
        start: First fraction of the steps that is guided; outside the interval the conditional passes through.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If there is no scale, one is not finite, or the interval is not one; when run, if x_t is not a
            picture, or too small for so many levels.

    Source: Sadat et al. 2025 (Guidance in the frequency domain enables high-fidelity sampling).
    """
    if not scales:
        raise GlidewireError("frequency_decoupled: needs at least one scale")
    strengths = [checked("frequency_decoupled", scale) for scale in scales]

    def guide(c: Prediction, u: Prediction, x_t: Tensor, step: Step) -> Prediction:
        levels = laplacian_pyramid(c.value - u.value, len(strengths))
        guided = [scale_at(scale, step) * level for scale, level in zip(strengths, levels, strict=True)]
        return c.with_value(u.value + from_pyramid(guided))

    stated = [scale_parameters(scale, f"scale_{number}") for number, scale in enumerate(strengths, 1)]
    pair = {"conditional": conditional, "unconditional": unconditional}
    parameters = {name: value for each in stated for name, value in each.items()}
    combination = of_pair(guide, "frequency_decoupled", pair, parameters, start, end, changes(*strengths))
    return conditional if all(scale == 1 for scale in strengths) else combination


def laplacian_pyramid(picture: Tensor, levels: int) -> list[Tensor]:
    """Bands of frequencies, highest first: G_i - up(G_{i+1}), and what is left, with G_{i+1} = down(G_i).

    Down is the binomial blur and bilinear halving, up bilinear doubling and the same blur.

    Args:
        picture: "batch channels height width".
        levels: 1 or more; level i is 1 / 2^i as wide, rounded down.

    Raises:
        GlidewireError: If it is not a picture, or too small.

    Source: Burt & Adelson 1983.
    """
    if picture.ndim != 4 or min(picture.shape[2:]) >> (levels - 1) < 3:
        raise GlidewireError(
            "frequency_decoupled: the sample has no such pyramid",
            expected=f'"batch channels height width" of at least {3 << (levels - 1)} pixels a side for {levels} levels',
            got=f"shape {list(picture.shape)}",
            hint="Sample something larger, or guide by one scale for all frequencies.",
        )
    bands = []
    for _ in range(levels - 1):
        height, width = picture.shape[2:]
        smaller = _resized(_blurred(picture), (height // 2, width // 2))
        bands.append(picture - _grown(smaller, (height, width)))
        picture = smaller
    return [*bands, picture]


def from_pyramid(bands: Sequence[Tensor]) -> Tensor:
    """The picture of a Laplacian pyramid: up(...) + band, from the lowest frequencies to the highest."""
    picture = bands[-1]
    for band in reversed(bands[:-1]):
        picture = _grown(picture, (band.shape[2], band.shape[3])) + band
    return picture


def _grown(picture: Tensor, size: tuple[int, int]) -> Tensor:
    return _blurred(_resized(picture, size))


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(picture, size, mode="bilinear", align_corners=False)


def _blurred(picture: Tensor) -> Tensor:
    """The 5x5 binomial filter, [1 4 6 4 1] / 16 each way, reflecting at the border."""
    line = picture.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(line, line).expand(picture.shape[1], 1, 5, 5)
    return functional.conv2d(functional.pad(picture, (2, 2, 2, 2), mode="reflect"), kernel, groups=picture.shape[1])
