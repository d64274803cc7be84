"""Noise schedules: the published ones by name, and the timesteps that a sampler keeps of them."""

from __future__ import annotations

from typing import Annotated, Literal

from ..diffusion import schedules
from ..diffusion.schedules import NoiseSchedule
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Text

_TRAINED_STEPS = 1000


@node(category="schedules")
def noise_schedule(
    name: Literal["squaredcos_cap_v2", "linear", "scaled_linear"] = "squaredcos_cap_v2",
    steps: Annotated[int, Number(min=1, max=4000)] = _TRAINED_STEPS,
) -> Socket[NoiseSchedule, "steps"]:
    """The noise schedule that a network was trained with, by its published name.

    Args:
        name: squaredcos_cap_v2 (GLIDE's base, unCLIP), linear (guided diffusion, GLIDE's upsampler) or
            scaled_linear (latent diffusion).
        steps: Timesteps that the network was trained with.

    Returns: The whole schedule, alpha_bar "steps" in float64.

    Source: Nichol & Dhariwal 2021, eq. 17; Ho et al. 2020, section 4; Rombach et al. 2022.
    """
    return schedules.SCHEDULES[name](steps)


@node(category="schedules", validate=schedules.require_spacing)
def respace(
    schedule: Socket[NoiseSchedule, "steps"], spacing: Annotated[str, Text()] = "100"
) -> Socket[NoiseSchedule, "_"]:
    """Keep some timesteps of a schedule; betas are derived again from the alpha_bar that is kept.

    Args:
        schedule: The schedule the network was trained with, "steps".
        spacing: "100" (that many, evenly), "10,10,3,2,2" (that many in each fifth), "fast27" (GLIDE's
            upsampler), "ddim50" (integer stride), "uniform50" and "quad50" (latent diffusion's own) or "" (all).

    Returns: The kept part of the schedule, "kept steps".

    Raises: GlidewireError for a spacing that cannot be read or asks for more steps than there are.

    Source: Nichol & Dhariwal 2021, section 4.
    """
    return schedules.respace(schedule, spacing)
