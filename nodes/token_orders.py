"""Other samplers of tokens on Paella's predictors: MaskGIT's by confidence, and Halton's order."""

from __future__ import annotations

from typing import Annotated

from ..diffusion import halton, masking
from ..diffusion.denoiser import Denoiser
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Slider, Text
from . import masked_sampling
from .token_sockets import Tokens, TokenStart

Steps = Annotated[int, Number(min=1, max=1000)]
Factor = Annotated[float, Slider(min=0.05, max=10.0, step=0.05)]


def _is_schedule(schedule: str) -> None:
    masking.mask_share(schedule.strip(), 0.5, 2)


@node(category="paella", title="MaskGIT sampler", validate=_is_schedule)
def maskgit_sampler(
    denoiser: Socket[Denoiser, "_ @codebook"],
    start: Socket[TokenStart, "batch rows columns @codebook"],
    steps: Steps = 12,
    choice_temperature: Annotated[float, Slider(min=0.0, max=20.0, step=0.1)] = 4.5,
    schedule: Annotated[str, Text()] = "cosine",
    context: Context = INJECTED,
) -> Socket[Tokens, "batch rows columns @codebook"]:
    """Sample by confidence on the same predictor: draw all that is unknown, keep the surest, make the rest anew.

    A token that is kept is never revised. Where tokens are still unknown, Paella's predictor sees the start's noise,
    and is told how much of the picture that is.

    Args:
        denoiser: What scores the codes.
        start: Pure noise, or known tokens with noise between, "batch rows columns".
        steps: Steps of the run.
        choice_temperature: Scale of the noise on confidences, falling to 0; 0 keeps the surest.
        schedule: How many stay unknown: cosine, uniform, log, exp, or pow2.5 with any exponent.

    Returns: Tokens "batch rows columns".

    Raises: GlidewireError for an unknown schedule, or a start of which only a share is noise.

    Source: Chang et al. 2022 (MaskGIT, 2202.04200), section 3.2.
    """
    walked = masking.maskgit_steps(steps, choice_temperature=choice_temperature, schedule=schedule.strip())
    return masked_sampling.by_confidence(denoiser, walked, start, context)


@node(category="paella", title="Halton sampler")
def halton_sampler(
    denoiser: Socket[Denoiser, "_ @codebook"],
    start: Socket[TokenStart, "batch rows columns @codebook"],
    steps: Steps = 32,
    first_factor: Factor = 1.0,
    last_factor: Factor = 1.0,
    warm_up: Annotated[int, Number(min=0, max=1000)] = 0,
    top_k: Annotated[int, Number(min=0, max=65536)] = 0,
    context: Context = INJECTED,
) -> Socket[Tokens, "batch rows columns @codebook"]:
    """Sample in a fixed order that spreads over the picture, that of the Halton points, on the same predictor.

    Args:
        denoiser: What scores the codes.
        start: Pure noise, "batch rows columns".
        steps: Steps of the run.
        first_factor, last_factor: What scores are multiplied by at the first and at the last step (the published
            temperature multiplies).
        warm_up: In how many of the first steps the factor is halved.
        top_k: Draw among as many of the likeliest codes; 0 draws among all.

    Returns: Tokens "batch rows columns".

    Raises: GlidewireError for a start with known tokens.

    Source: Besnier et al. 2025 (Halton scheduler, 2503.17076), section 3.
    """
    walked = halton.halton_steps(steps, inverse_temperature=(first_factor, last_factor), warmup=warm_up)
    return masked_sampling.in_halton_order(denoiser, walked, start, top_k, context)
