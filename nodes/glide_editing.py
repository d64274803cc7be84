"""GLIDE beyond text: inpainting by the fine-tuned model, inpainting by replacement, and the upsampler."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from ..diffusion import guidance, schedules, solvers
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.schedules import NoiseSchedule
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Seed, Slider, Text
from ..models.glide.model import GlideModel
from . import inpainting, sampling
from .sockets import Condition, Image, Mask, Sample


@node(category="glide", title="GLIDE inpainting denoiser")
def glide_inpainting_denoiser(
    model: Socket[GlideModel, "channels context width @space @sides @context_width @bottleneck @time_width"],
    text: Socket[Condition, "_ context width"],
    image: Socket[Image, "_ rows columns 3"],
    mask: Socket[Mask, "_ rows columns"],
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """GLIDE fine-tuned for inpainting: it sees what is kept of a picture, and where, beside x_t.

    Args:
        model: A GLIDE model that was fine-tuned for inpainting (inpaint.pt).
        text: What the whole picture shows, encoded by the same model, "batch context width".
        image: The picture, "batch height width 3" in [0, 1], of the size that is sampled.
        mask: "batch height width": 1 where to repaint, 0 where the picture is kept, cut at 1/2. (GLIDE's own
            mask is the other way round; it is turned here.)

    Returns: A denoiser on "channels @space"; guide it by one more of an empty text, with the same picture.

    Raises: GlidewireError for a model without these channels, or a mask of another size.

    Source: Nichol et al. 2021 (GLIDE, 2112.10741), section 4.3.
    """
    _require(model.spec.takes_known_pixels, model, "was not fine-tuned for inpainting", "inpaint")
    return Leaf(model.network, {**text.tensors, **_known(image, mask)})


@node(category="guidance")
def known_region(
    denoiser: Socket[Denoiser, "channels @space"],
    sample: Socket[Sample, "_ channels _ _ @space"],
    mask: Socket[Mask, "_ _ _"],
) -> Socket[Denoiser, "channels @space"]:
    """Inpaint with any denoiser by replacement: what is known is put into every predicted x_0.

    Args:
        denoiser: What paints the rest, on "channels" of a space.
        sample: What is known: x_0, "batch channels height width" in the denoiser's space.
        mask: 1 where to repaint, 0 where the sample is kept, cut at 1/2; of the sample's size, or "batch H W" of
            the picture whose latents it is (a latent is repainted if any of its pixels is).

    Returns: A denoiser on "channels @space" whose results agree with the sample where it is kept.

    Raises: GlidewireError for a mask that does not fit, or a sample of another space.

    Source: Nichol et al. 2021 (GLIDE), section 4.3; compare Song et al. 2021 (2011.13456), appendix I.2.
    """
    sampling.require_space(denoiser, sample.space)
    return guidance.known_region(denoiser, sample.tensor, inpainting.kept_cells(mask, sample.tensor))


@node(category="glide", title="GLIDE upsampler denoiser")
def glide_upsampler_denoiser(
    model: Socket[GlideModel, "channels context width @space @sides @context_width @bottleneck @time_width"],
    text: Socket[Condition, "_ context width"],
    sample: Socket[Sample, "_ channels _ _ @space"],
    image: Socket[Image, "_ rows columns 3"] | None = None,
    mask: Socket[Mask, "_ rows columns"] | None = None,
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """GLIDE's upsampler: it sees a small picture, enlarged, beside x_t.

    Args:
        model: A GLIDE upsampler (upsample.pt, upsample_inpaint.pt).
        text: What the picture shows, encoded by the same model, "batch context width".
        sample: The small picture, "batch channels height width" in [-1, 1]; rounded to 8 bits as in training.
        image: For the inpainting upsampler: the large picture, "batch height width 3" in [0, 1].
        mask: With it, "batch height width": 1 where to repaint, 0 where the large picture is kept.

    Returns: A denoiser on "channels @space", at any size that the model's levels divide.

    Raises: GlidewireError for a model that is no upsampler, a picture without a mask or a mask without a
        picture, or a model that has no use for them.

    Source: Nichol et al. 2021 (GLIDE), sections 4.1 and 4.3; Ho et al. 2021 (cascades, 2106.15282).
    """
    _require(model.spec.takes_low_resolution, model, "is no upsampler", "upsample")
    if (image is None) != (mask is None):
        raise GlidewireError(
            "the upsampler needs a picture and its mask together",
            expected="both or neither",
            got="a picture alone" if mask is None else "a mask alone",
        )
    known = {}
    if image is not None and mask is not None:
        _require(model.spec.takes_known_pixels, model, "was not fine-tuned for inpainting", "upsample-inpaint")
        known = _known(image, mask)
    small = sample.tensor.clamp(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1)
    return Leaf(model.network, {**text.tensors, **known, "low_res": small})


@node(category="glide", title="GLIDE upsample")
def glide_upsample(
    denoiser: Socket[Denoiser, "channels @space"],
    schedule: Socket[NoiseSchedule, "_"],
    width: Annotated[int, Number(min=8, max=4096, step=8)] = 256,
    height: Annotated[int, Number(min=8, max=4096, step=8)] = 256,
    batch: Annotated[int, Number(min=1, max=1024)] = 1,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
    spacing: Annotated[str, Text()] = "fast27",
    temperature: Annotated[float, Slider(min=0.0, max=2.0, step=0.001)] = 0.997,
    context: Context = INJECTED,
) -> Socket[Sample, "batch channels height width @space"]:
    """Upsample as published: deterministic DDIM over 27 chosen steps, from noise that is a little too cold.

    Args:
        denoiser: The upsampler with its small pictures.
        schedule: The upsampler's own schedule, whole.
        width, height: The size of the large pictures.
        batch: As many as there are small pictures.
        seed: The seed of every item's noise.
        first_item: The number of the first item, see noise_start.
        spacing: Which steps, see respace.
        temperature: Scale of the noise.

    Returns: The large pictures, x_0, "batch channels height width" in [-1, 1].

    Raises: GlidewireError as noise_start, respace and ddim_sampler.

    Source: Nichol et al. 2021 (GLIDE), section 4.1, and its released sampler; Song et al. 2021 (DDIM), eq. 12.
    """
    start = sampling.noise_start(denoiser, (batch, height, width), seed, first_item, temperature)
    kept = schedules.respace(schedule, spacing)
    return sampling.run(denoiser, kept, start, solvers.ddim(0.0, clip=True), context)


def _known(image: Tensor, mask: Tensor) -> dict[str, Tensor]:
    return {"inpaint_image": inpainting.to_pixels(image), "inpaint_mask": 1 - inpainting.hole(image, mask)}


def _require(fits: bool, model: GlideModel, problem: str, variant: str) -> None:
    if not fits:
        raise GlidewireError(
            f"this GLIDE model {problem}",
            expected=f"the variant {variant}",
            got=model.spec.variant,
            hint="Load another checkpoint" + ("." if "up" in variant else ", or inpaint with known region."),
        )
