"""First stages of latent diffusion: pictures to latents and back, in a space that is checked on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from ..diffusion.noise import SeededNoise
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import File, Number, Seed, Text
from ..models.first_stage import model as first_stage
from ..models.first_stage.model import Autoencoder
from . import inpainting
from .sockets import Image, Sample

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def _header_dims(checkpoint: Path, space: str = "", **_: object) -> Mapping[str, int | str]:
    identity = first_stage.identify_autoencoder(checkpoint)
    return {"channels": identity.dims["latent_channels"], "space": first_stage.space_of(identity, space)}


@node(category="latent diffusion", static_dims=_header_dims)
def load_autoencoder(
    checkpoint: Annotated[str, File(folder="models", suffixes=SUFFIXES)],
    space: Annotated[str, Text()] = "",
    context: Context = INJECTED,
) -> Socket[Autoencoder, "channels @space"]:
    """Load a KL or VQ autoencoder, strictly: from a file of its own, or out of a whole latent diffusion checkpoint.

    Args:
        checkpoint: A file in the published layout or in diffusers'.
        space: What its latents are called, where the file does not tell and no published autoencoder has its
            shape: the same text as the denoiser's. Left empty, it is the published name (kl-f8, vq-f4 ...).

    Returns: An autoencoder of latents with "channels", in a space of its own.

    Raises: GlidewireError with the whole list of keys that do not fit, or for a Gumbel autoencoder, which has
        tokens and no latents.

    Source: Rombach et al. 2022 (latent diffusion, 2112.10752), section 3.1 and appendix G.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    return first_stage.load_autoencoder(path, space=space, device=device, dtype=dtype)


@node(category="latent diffusion")
def encode_latents(
    autoencoder: Socket[Autoencoder, "channels @space"],
    image: Socket[Image, "batch height width 3"],
    draw: Literal["sample", "mode"] = "sample",
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
) -> Socket[Sample, "batch channels _ _ @space"]:
    """Encode pictures to latents, scaled as denoisers see them.

    Args:
        autoencoder: Of latents with "channels".
        image: "batch height width 3" in [0, 1]; sides that the autoencoder's factor divides.
        draw: sample draws from a KL autoencoder's Gaussian posterior, mode takes its mean. A VQ autoencoder has
            one answer: the latents before they are replaced by codes, which decoding does.
        seed: The seed of every item's draw.
        first_item: The number of the first item, see noise_start.

    Returns: Latents, "batch channels height/factor width/factor".

    Raises: GlidewireError for a side that the factor does not divide.

    Source: Rombach et al. 2022, section 3.1 and appendix G; Kingma & Welling 2014 (1312.6114).
    """
    pixels, spec = inpainting.to_pixels(image), autoencoder.spec
    noise = None
    if draw == "sample" and spec.kind == "kl":
        count, height, width, _ = image.shape
        cells = (spec.code_channels, height // spec.factor, width // spec.factor)
        noise = SeededNoise((seed,) * count, first_item).draw(cells, purpose="posterior")
    return Sample(autoencoder.encode(pixels, noise), autoencoder.space)


@node(category="latent diffusion")
def decode_latents(
    autoencoder: Socket[Autoencoder, "channels @space"],
    sample: Socket[Sample, "batch channels _ _ @space"],
) -> Socket[Image, "batch _ _ 3"]:
    """Decode latents to pictures; a VQ autoencoder takes the nearest code of each first.

    Args:
        autoencoder: The one whose space the latents live in.
        sample: Latents, "batch channels height width", scaled as denoisers see them.

    Returns: Pictures "batch height*factor width*factor 3" in [0, 1], clipped.

    Raises: GlidewireError for latents of another space.

    Source: Rombach et al. 2022, section 3.1; van den Oord et al. 2017 (1711.00937).
    """
    require_latents(autoencoder, sample)
    decoded = autoencoder.decode(sample.tensor)
    return Image(decoded.add(1).div(2).clamp(0, 1).movedim(1, -1).contiguous())


def require_latents(autoencoder: Autoencoder, sample: Sample) -> None:
    """Raise a GlidewireError for latents of another autoencoder."""
    if sample.space != autoencoder.space:
        raise GlidewireError(
            "these are latents of another autoencoder",
            expected=autoencoder.space,
            got=sample.space,
            hint="Decode them with the autoencoder that they were made for.",
        )
