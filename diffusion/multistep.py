"""Linear multistep sampling (PLMS): DDIM's step along a mean of the last predictions of the noise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .denoiser import Combination, Denoiser
from .prediction import Prediction, Step

# Adams-Bashforth's weights by how many predictions there are, newest first: Liu et al. 2022, eq. 12; the shorter ones
# fill the start, as in Rombach et al.'s sampler.
WEIGHTS: Mapping[int, tuple[float, ...]] = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def linear_multistep(denoiser: Denoiser) -> Combination:
    """eps' = (55 eps_t - 59 eps_{t-1} + 37 eps_{t-2} - 9 eps_{t-3}) / 24 over the last four steps' predictions.

    Fewer steps behind take the method of as many steps: (23, -16, 5) / 12, (3, -1) / 2, and eps itself. What was
    remembered is forgotten where guidance begins or ends (an interval), and the mean builds up anew.

    Args:
        denoiser: The whole guidance expression; its eps is what is averaged.

    Returns:
        An expression whose prediction is eps', shaped as x_t, with the variance and the noise to step with as they are.

    Source: Liu et al. 2022 (Pseudo numerical methods for diffusion models on manifolds, 2202.09778), eq. 12.
    """

    def remember(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step, before: Tensor | None = None) -> Tensor:
        newest = inputs["denoiser"].eps(x_t, step)[None]
        return newest if before is None else torch.cat([newest, before[: len(WEIGHTS) - 1]])

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        known = inputs["memory"].value
        weights = WEIGHTS[len(known)]
        mean = sum((weight * eps for weight, eps in zip(weights, known, strict=True)), torch.zeros_like(x_t))
        return inputs["denoiser"].to("eps", x_t, step).with_value(mean)

    return Combination(combine, {"denoiser": denoiser}, "linear_multistep", reads_progress=False, remember=remember)
