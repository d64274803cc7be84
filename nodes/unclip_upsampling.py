"""unCLIP's upsamplers, and the degradations of the small pictures that they were trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from ..diffusion import degradation
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.rewriting import within
from ..diffusion.schedules import NoiseSchedule
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket, socket_type
from ..graph_runtime.widgets import File, Number, Seed, Slider
from ..models.unclip import upsampling
from ..models.unclip.upsampling import UpsamplerModel
from .paella import SUFFIXES
from .sampling import require_pixels
from .sockets import PIXELS, Sample

socket_type("UNCLIP_UPSAMPLER", UpsamplerModel, "An upsampler without attention or text.", handle=True)


class LoadedUpsampler(NamedTuple):
    """An upsampler, and the noise schedule that it was trained with."""

    model: Socket[UpsamplerModel, "channels @space @sides"]
    schedule: Socket[NoiseSchedule, "steps"]


def _dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    first, _last = upsampling.identify_upsampler(checkpoint)
    return {"channels": first.spec.out_channels, "space": PIXELS, "sides": str(first.spec.size_multiple)}


@node(category="unclip", title="Load unCLIP upsampler", static_dims=_dims)
def load_unclip_upsampler(
    checkpoint: Annotated[str, File(folder="models", suffixes=SUFFIXES)],
    context: Context = INJECTED,
) -> LoadedUpsampler:
    """Load an upsampler (Karlo's super-resolution: both of its networks), strictly.

    Args:
        checkpoint: A file in the published layout or in diffusers'.

    Returns: model, on "channels" of pixels; schedule, "steps".

    Raises: GlidewireError with the whole list of keys that do not fit, or for a file without an upsampler.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 2.1; Lee et al. 2022 (Karlo).
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    model = upsampling.load_upsampler(path, device=device, dtype=dtype)
    return LoadedUpsampler(model, model.network.spec.noise_schedule)


@node(category="unclip", title="Upsampler denoiser (unCLIP)")
def unclip_upsampler_denoiser(
    model: Socket[UpsamplerModel, "channels @space @sides"],
    sample: Socket[Sample, "_ channels _ _ @space"],
    steps: Annotated[int, Number(min=1, max=1000)] = 7,
) -> Socket[Denoiser, "channels @space @sides"]:
    """An upsampler's prediction of eps beside a small picture; no text and no guidance.

    Args:
        model: The upsampler.
        sample: The small picture, "batch channels height width" in [-1, 1]; it is enlarged to the size that is
            sampled.
        steps: Steps that will be walked, so that the last is left to the network that was trained for it, where
            there is one; seven were published.

    Returns: A denoiser on "channels @space", for an ancestral sampler over the schedule respaced to the steps.

    Raises: GlidewireError for a sample that is no picture.

    Source: Ramesh et al. 2022 (unCLIP), section 2.1 and appendix C; the last step: Lee et al. 2022 (Karlo).
    """
    require_pixels(sample)
    conditioning = {"low_res": sample.tensor}
    leaf = Leaf(model.network, conditioning)
    if model.last_step is None:
        return leaf
    return within(leaf, Leaf(model.last_step, conditioning), end=1 - 1 / steps)


@node(category="unclip")
def blur_sample(
    sample: Socket[Sample, "batch channels height width @space"],
    deviation: Annotated[float, Slider(min=0.0, max=32.0, step=0.1)] = 0.6,
    kernel: Annotated[int, Number(min=1, max=65, step=2)] = 3,
) -> Socket[Sample, "batch channels height width @space"]:
    """Blur small pictures as in the training of the first upsampler, with a Gaussian.

    Args:
        sample: "batch channels height width".
        deviation: Standard deviation in pixels; 0.6 was published.
        kernel: Odd side of the filter in pixels; 3 was published.

    Returns: "batch channels height width".

    Raises: GlidewireError for an even kernel.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 2.1 and appendix C.
    """
    return Sample(degradation.gaussian_blur(sample.tensor, deviation, kernel), sample.space)


@node(category="unclip")
def degrade_sample(
    sample: Socket[Sample, "batch 3 height width @space"],
    strength: Annotated[float, Slider(min=0.0, max=4.0, step=0.05)] = 1.0,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
) -> Socket[Sample, "batch 3 height width @space"]:
    """Degrade small pictures as in the training of the second upsampler: blurs, resampling, noise, JPEG at random.

    Args:
        sample: "batch 3 height width" in [-1, 1], in pixel space.
        strength: 0 changes nothing; 1 is about what upsamplers are trained with.
        seed: Chooses order and strengths of every item.
        first_item: The number of the first item, see noise_start.

    Returns: "batch 3 height width" in [-1, 1].

    Raises: GlidewireError for a sample that is no picture.

    Source: Ramesh et al. 2022 (unCLIP), section 2.1; after Zhang et al. 2021 (BSRGAN, 2103.14006), section 4.
    """
    require_pixels(sample)
    seeds = (seed,) * len(sample.tensor)
    return Sample(degradation.blind_degradation(sample.tensor, strength, seeds, first_item), sample.space)


@node(category="sampling")
def denoise_in_turn(
    first: Socket[Denoiser, "channels @space"],
    second: Socket[Denoiser, "channels @space"],
    change: Annotated[float, Slider(min=0.0, max=1.0, step=0.01)] = 0.5,
) -> Socket[Denoiser, "channels @space"]:
    """Let one denoiser do the noisier steps and another one the rest.

    Args:
        first: For the steps before the change, on "channels" of a space.
        second: For those behind it.
        change: The part of the sampling steps, from 0 to 1, at which the second takes over.

    Returns: A denoiser on "channels @space"; at each step one of the two is evaluated.

    Source: Balaji et al. 2022 (eDiff-I, 2211.01324), section 4.1.
    """
    return within(first, second, end=change)
