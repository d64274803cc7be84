"""Different conditions in different regions of one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from ...errors import GlidewireError
from ..denoiser import Combination, Denoiser
from ..identity import tensor_digest
from ..prediction import Prediction, Step


def by_region(
    background: Denoiser, regions: Sequence[tuple[Denoiser, Tensor]], start: float = 0.0, end: float = 1.0
) -> Denoiser:
    """Each place follows the denoisers of its regions: p = (w_0 p_0 + sum_k m_k p_k) / (w_0 + sum_k m_k).

    m_k is the mask of region k at that place and w_0 = max(0, 1 - sum_k m_k) what is left for the background.

    Args:
        background: What denoises outside of all regions; its variance channels are kept everywhere.
        regions: A denoiser and its mask each; masks "batch height width" or "1 height width" in [0, 1], of x_t's
            size or a whole multiple of it (a cell takes the mean of its pixels).
        start: First fraction of the steps in which regions count.
        end: Fraction of the steps from which the background is alone.

    Raises:
        GlidewireError: No region, an interval that is none, or (when run) a mask that does not fit x_t.

    Source: Bar-Tal et al. 2023 (MultiDiffusion, 2302.08113), eq. 5 and section 4.2; Liu et al. 2022 (2206.01714).
    """
    if not regions:
        raise GlidewireError(
            "by_region: there is no region", expected="at least one denoiser with its mask", got="none"
        )
    names = [f"region {index}" for index in range(1, len(regions) + 1)]
    masks = dict(zip(names, (mask for _, mask in regions), strict=True))

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        base = inputs["background"]
        weights = {name: cells(mask, x_t).to(base.value) for name, mask in masks.items()}
        total = sum(weights.values(), start=base.value.new_zeros(()))
        left = (1 - total).clamp(min=0)
        value = left * base.value
        for name, weight in weights.items():
            value = value + weight * inputs[name].to(base.kind, x_t, step).value
        return base.with_value(value / (left + total))

    inputs = {"background": background, **dict(zip(names, (denoiser for denoiser, _ in regions), strict=True))}
    parameters = {f"mask of {name}": tensor_digest(mask) for name, mask in masks.items()}
    return Combination(combine, inputs, "by_region", parameters, start, end, reads_progress=False)


def cells(mask: Tensor, x_t: Tensor) -> Tensor:
    """The mean of a mask over each cell of x_t "batch ... rows columns", as "batch 1 rows columns".

    Raises:
        GlidewireError: The mask's size is no whole multiple of x_t's, or there are neither one nor as many as items.
    """
    rows, columns = x_t.shape[-2:]
    factor = max(mask.shape[-1] // columns, 1)
    fits = mask.ndim == 3 and tuple(mask.shape[1:]) == (rows * factor, columns * factor)
    if not fits or len(mask) not in (1, len(x_t)):
        raise GlidewireError(
            "the mask of a region does not fit the sample",
            expected=f"1 or {len(x_t)} masks of {rows} x {columns}, or a whole multiple of that",
            got=" x ".join(map(str, mask.shape)),
            hint="Resize the mask to the picture that is made.",
        )
    return F.avg_pool2d(mask[:, None].float(), factor).to(x_t.device)
