"""Where sampling starts and how it walks: noise, SDEdit, inversion, ancestral and DDIM samplers."""

from __future__ import annotations

from typing import Annotated

from ..diffusion import multistep, solvers
from ..diffusion.denoiser import Denoiser
from ..diffusion.schedules import NoiseSchedule
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Seed, Slider
from . import sampling
from .sockets import Sample, Start


def sides_fit(height: int, width: int, sides: str) -> None:
    """Raise a GlidewireError for sides that are no multiples of what a network halves them down to."""
    if height % int(sides) or width % int(sides):
        raise GlidewireError(
            "the sides do not fit the network",
            expected=f"multiples of {sides}",
            got=f"{height} x {width}",
            hint="Change the height and width where sampling starts.",
        )


@node(category="sampling")
def noise_start(
    denoiser: Socket[Denoiser, "channels @space"],
    width: Annotated[int, Number(min=8, max=4096, step=8)] = 64,
    height: Annotated[int, Number(min=8, max=4096, step=8)] = 64,
    batch: Annotated[int, Number(min=1, max=1024)] = 1,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
    temperature: Annotated[float, Slider(min=0.0, max=2.0, step=0.001)] = 1.0,
) -> Socket[Start, "batch channels height width @space"]:
    """Start from pure noise: x_T = temperature · N(0, I), a function of (seed, item) alone.

    Args:
        denoiser: What will denoise it: gives the "channels" and the space.
        width, height: Size of x_T in its own space: pixels, or latent cells.
        batch: How many to make at once.
        seed: The seed of every item.
        first_item: The number of the first item: picture 3 of a batch is made again alone with
            first_item 3 and batch 1.
        temperature: Scale of the noise; GLIDE's upsampler was published with 0.997.

    Returns: x_T, "batch channels height width".

    Source: Ho et al. 2020, algorithm 2, line 1; the temperature: Nichol et al. 2021 (GLIDE's released sampler).
    """
    return sampling.noise_start(denoiser, (batch, height, width), seed, first_item, temperature)


@node(category="sampling")
def noised_start(
    sample: Socket[Sample, "batch channels height width @space"],
    schedule: Socket[NoiseSchedule, "_"],
    strength: Annotated[float, Slider(min=0.0, max=1.0, step=0.01)] = 0.6,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
) -> Socket[Start, "batch channels height width @space"]:
    """Start from a given sample with noise added: x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps.

    Args:
        sample: x_0, "batch channels height width".
        schedule: The schedule that the sampler will walk.
        strength: How much of the schedule is walked: 0 keeps the sample, 1 forgets nearly all of it.
        seed: The seed of every item's noise.
        first_item: The number of the first item, see noise_start.

    Returns: x_t, "batch channels height width".

    Source: Meng et al. 2021 (SDEdit, 2108.01073).
    """
    return sampling.noised_start(sample, schedule, strength, seed, first_item)


@node(category="sampling")
def interpolate_starts(
    first: Socket[Start, "batch channels height width @space"],
    second: Socket[Start, "batch channels height width @space"],
    weight: Annotated[float, Slider(min=0.0, max=1.0, step=0.01)] = 0.5,
) -> Socket[Start, "batch channels height width @space"]:
    """Interpolate between two starts on the sphere, as is done with x_T while embeddings are interpolated too.

    Args:
        first, second: x_T, "batch channels height width", of one space and at one timestep.
        weight: 0 is the first, 1 the second.

    Returns: x_T, "batch channels height width"; later noise is drawn from the seeds of the first.

    Raises: GlidewireError for starts of different spaces, sizes or timesteps.

    Source: Song et al. 2021 (DDIM, 2010.02502), section 5.3; Ramesh et al. 2022 (unCLIP), section 3.2.
    """
    return sampling.between(first, second, weight)


@node(category="sampling", validate=sides_fit)
def ddim_inversion(
    denoiser: Socket[Denoiser, "channels @space @sides"],
    schedule: Socket[NoiseSchedule, "_"],
    sample: Socket[Sample, "batch channels height width @space"],
    seed: Annotated[int, Seed()] = 0,
    strength: Annotated[float, Slider(min=0.0, max=1.0, step=0.01)] = 1.0,
    context: Context = INJECTED,
) -> Socket[Start, "batch channels height width @space"]:
    """Find the x_T from which DDIM (eta 0) makes this sample again: the update run backwards.

    Args:
        denoiser: What denoises; guidance beyond scale 1 makes the inversion inexact.
        schedule: The schedule to walk; more steps invert better.
        sample: x_0, "batch channels height width".
        seed: The seed of the noise that a sampler with eta > 0 will draw from here.
        strength: How much of the schedule is walked: 1 goes to x_T, less stops at an x_t, as noised_start does. Where
            a schedule leaves next to no signal in x_T (GLIDE's), little of the sample survives there: stop before.

    Returns: x_T or x_t, "batch channels height width".

    Source: Song et al. 2021 (DDIM, 2010.02502), section 4.3; Dhariwal & Nichol 2021, appendix F.
    """
    return sampling.inverted_start(denoiser, schedule, sample, strength, seed, context)


@node(category="sampling", validate=sides_fit, memo=sampling.MEMO)
def ancestral_sampler(
    denoiser: Socket[Denoiser, "channels @space @sides"],
    schedule: Socket[NoiseSchedule, "_"],
    start: Socket[Start, "batch channels height width @space"],
    clip: bool = True,
    context: Context = INJECTED,
) -> Socket[Sample, "batch channels height width @space"]:
    """Sample with the reverse process: x_{t-1} = mean(x_t, x_0) + sigma_t z, the variance learned where it is.

    Args:
        denoiser: What predicts eps, x_0 or v, and perhaps the variance.
        schedule: The timesteps to visit, usually respaced.
        start: x_T or x_t, "batch channels height width", and the seeds of z.
        clip: Clip the predicted x_0 to [-1, 1], as pixel models want.

    Returns: x_0, "batch channels height width".

    Raises: GlidewireError where a step yields NaN or infinity, naming the step.

    Source: Ho et al. 2020, algorithm 2; learned variance: Nichol & Dhariwal 2021, eq. 15.
    """
    return sampling.run(denoiser, schedule, start, solvers.ancestral(clip=clip), context)


@node(category="sampling", validate=sides_fit, memo=sampling.MEMO)
def ddim_sampler(
    denoiser: Socket[Denoiser, "channels @space @sides"],
    schedule: Socket[NoiseSchedule, "_"],
    start: Socket[Start, "batch channels height width @space"],
    eta: Annotated[float, Slider(min=0.0, max=1.0, step=0.05)] = 0.0,
    clip: bool = True,
    context: Context = INJECTED,
) -> Socket[Sample, "batch channels height width @space"]:
    """Sample with DDIM: x_{t-1} = sqrt(a') x_0 + sqrt(1 - a' - sigma^2) eps + sigma z, sigma proportional to eta.

    Args:
        denoiser: What predicts eps, x_0 or v.
        schedule: The timesteps to visit, usually respaced.
        start: x_T or x_t, "batch channels height width", and the seeds of z.
        eta: 0 is deterministic; 1 has the variance of the ancestral sampler.
        clip: Clip the predicted x_0 to [-1, 1], and derive eps again from the clipped x_0.

    Returns: x_0, "batch channels height width".

    Raises: GlidewireError where a step yields NaN or infinity, naming the step.

    Source: Song et al. 2021 (DDIM, 2010.02502), eq. 12 and 16.
    """
    return sampling.run(denoiser, schedule, start, solvers.ddim(eta, clip=clip), context)


@node(category="sampling", title="PLMS sampler", validate=sides_fit, memo=sampling.MEMO)
def plms_sampler(
    denoiser: Socket[Denoiser, "channels @space @sides"],
    schedule: Socket[NoiseSchedule, "_"],
    start: Socket[Start, "batch channels height width @space"],
    clip: bool = False,
    context: Context = INJECTED,
) -> Socket[Sample, "batch channels height width @space"]:
    """Sample with PLMS: DDIM's step along eps' = (55 eps_t - 59 eps_{t-1} + 37 eps_{t-2} - 9 eps_{t-3}) / 24.

    The sampler that Stable Diffusion was published with. The first steps have fewer predictions behind them; the very
    first is made twice. Deterministic; noise in the start alone makes results differ.

    Args:
        denoiser: What predicts eps, x_0 or v.
        schedule: The timesteps to visit, usually respaced.
        start: x_T or x_t, "batch channels height width".
        clip: Clip the predicted x_0 to [-1, 1]; the published sampler does not.

    Returns: x_0, "batch channels height width".

    Raises: GlidewireError where a step yields NaN or infinity, naming the step.

    Source: Liu et al. 2022 (Pseudo numerical methods, 2202.09778), eq. 12; Rombach et al. 2022 (2112.10752), whose
        released code begins with Heun's step.
    """
    return sampling.run(multistep.linear_multistep(denoiser), schedule, start, solvers.plms(clip=clip), context)
