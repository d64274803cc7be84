"""Guidance combiners: denoisers in, a denoiser out."""

from __future__ import annotations

from typing import Annotated

from ..diffusion import guidance
from ..diffusion.denoiser import Denoiser
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Slider


@node(category="guidance")
def classifier_free_guidance(
    conditional: Socket[Denoiser, "channels @space"],
    unconditional: Socket[Denoiser, "channels @space"],
    scale: Annotated[float, Slider(min=-30.0, max=30.0, step=0.1)] = 3.0,
    start: Annotated[float, Slider(min=0.0, max=1.0, step=0.01)] = 0.0,
    end: Annotated[float, Slider(min=0.0, max=1.0, step=0.01)] = 1.0,
) -> Socket[Denoiser, "channels @space"]:
    """Extrapolate from the unconditional towards the conditional prediction: eps = u + scale · (c - u).

    Both are evaluated in one batched forward per step. At scale 1 the unconditional one is not evaluated.

    Args:
        conditional: c, on "channels" of a space.
        unconditional: u, on the same channels and space: the empty text, or a text to steer away from.
        scale: 0 is unconditional, 1 conditional, more exaggerates the condition. (Papers that write 1 + w
            mean scale - 1 by w.)
        start, end: The part of the sampling steps, from 0 (first) to 1 (last), in which guidance acts;
            outside it the conditional prediction stands alone.

    Returns: The guided denoiser, on the same "channels @space".

    Source: Ho & Salimans 2022 (2207.12598), eq. 6; the interval: Kynkäänniemi et al. 2024 (2404.07724).
    """
    return guidance.classifier_free(conditional, unconditional, scale, start, end)
