"""Latent diffusion: denoisers of latents, under a text, a class, or around a hole in a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.schedules import NoiseSchedule
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import File, Text
from ..models.first_stage.model import Autoencoder
from ..models.ldm import condition as conditions
from ..models.ldm import model as latent_model
from ..models.ldm.model import LatentModel
from . import inpainting
from .autoencoders import SUFFIXES
from .latent_conditioning import context_of
from .sockets import Condition, Image, Mask
from .unet_tags import of_unet


class LoadedLatentDenoiser(NamedTuple):
    """A latent denoiser: the model, and the noise schedule that it was trained with."""

    model: Socket[LatentModel, "channels width @space @sides @context_width @bottleneck @time_width"]
    schedule: Socket[NoiseSchedule, "steps"]


def _denoiser_dims(checkpoint: Path, space: str = "", **_: object) -> Mapping[str, int | str]:
    identity = latent_model.identify_denoiser(checkpoint)
    return {
        "channels": identity.dims["latent_channels"],
        "width": identity.dims["context_width"],
        "space": latent_model.denoiser_space(identity, space),
        **of_unet(identity.spec, identity.spec.context_width),
        "steps": latent_model.STEPS,
    }


@node(category="latent diffusion", static_dims=_denoiser_dims)
def load_latent_denoiser(
    checkpoint: Annotated[str, File(folder="models", suffixes=SUFFIXES)],
    space: Annotated[str, Text()] = "",
    context: Context = INJECTED,
) -> LoadedLatentDenoiser:
    """Load a latent denoiser, strictly: from a file of its own, or out of a whole latent diffusion checkpoint.

    Args:
        checkpoint: A file in the published layout or in diffusers'; a moving average of the weights is taken
            where there is one.
        space: Whose latents it denoises, where neither the file nor its published name tells: the same text as
            the autoencoder's.

    Returns: model, of latents with "channels" under a context of "width" (0 for none); schedule, "steps".

    Raises: GlidewireError with the whole list of keys that do not fit, or where nothing tells the space.

    Source: Rombach et al. 2022 (latent diffusion, 2112.10752), section 3.2 and appendix E.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    model = latent_model.load_denoiser(path, space=space, device=device, dtype=dtype)
    return LoadedLatentDenoiser(model, model.schedule)


@node(category="latent diffusion")
def latent_denoiser(
    model: Socket[LatentModel, "channels width @space @sides @context_width @bottleneck @time_width"],
    condition: Socket[Condition, "_ _ width"] | None = None,
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """A latent denoiser under a text or a class, as a leaf of a guidance expression.

    Args:
        model: Of latents with "channels", attending to a context of "width".
        condition: An encoded text or a class, "batch positions width"; none for a model without context.

    Returns: A denoiser on "channels @space".

    Raises: GlidewireError where the model needs a condition and has none, or the other way round, or also
        needs a picture (see latent_inpainting_denoiser).

    Source: Rombach et al. 2022, section 3.3.
    """
    if model.spec.beside:
        raise GlidewireError(
            "this denoiser also needs a picture",
            expected=" and ".join(name for name, _ in model.spec.beside),
            got="a text or a class alone",
            hint="Where these are mask and masked_latents, use the latent inpainting denoiser.",
        )
    return Leaf(model.network, context_of(model, condition))


@node(category="latent diffusion")
def latent_inpainting_denoiser(
    model: Socket[LatentModel, "channels width @space @sides @context_width @bottleneck @time_width"],
    autoencoder: Socket[Autoencoder, "channels @space"],
    image: Socket[Image, "_ rows columns 3"],
    mask: Socket[Mask, "_ rows columns"],
    condition: Socket[Condition, "_ _ width"] | None = None,
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """A latent denoiser that was trained for inpainting: it sees the masked picture's latents and the mask.

    Both published conventions are known by the model's channels: latent diffusion's own (holes black, mask -1
    and 1, behind the latents) and Stable Diffusion's (holes grey, mask 0 and 1, before them).

    Args:
        model: One that was trained for inpainting, on "channels" of a space.
        autoencoder: Of the same "channels" and space; encodes the masked picture, to its mean.
        image: The picture, "batch height width 3" in [0, 1], of the size that is sampled.
        mask: "batch height width": 1 where to repaint, 0 where the picture is kept, cut at 1/2.
        condition: An encoded text, "batch positions width", for a model that has a context.

    Returns: A denoiser on "channels @space".

    Raises: GlidewireError for a model without these channels, a mask of another size, or a picture with sides
        that the autoencoder's factor does not divide.

    Source: Rombach et al. 2022, section 4.5, and the released models' sampling scripts.
    """
    names = [name for name, _ in model.spec.beside]
    if sorted(names) != ["mask", "masked_latents"]:
        raise GlidewireError(
            "this denoiser was not trained for inpainting",
            expected="channels for mask and masked_latents",
            got=" and ".join(names) or "none beside the latents",
            hint="Load an inpainting checkpoint, or inpaint with known region.",
        )
    if autoencoder.space != model.network.space:
        raise GlidewireError(
            "the autoencoder is not the denoiser's", expected=model.network.space, got=autoencoder.space
        )
    fill = conditions.stable_inpainting_picture if names[0] == "mask" else conditions.inpainting_picture
    masked, shown = fill(inpainting.to_pixels(image), inpainting.hole(image, mask))
    latents = autoencoder.encode(masked)
    beside = {"masked_latents": latents, "mask": conditions.mask_for_latents(shown, latents)}
    return Leaf(model.network, {**context_of(model, condition), **beside})
