"""Latent denoisers that look at another picture: to enlarge it, to follow its depth, its segmentation, its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

from ..diffusion.denoiser import Denoiser, Leaf
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket, socket_type
from ..graph_runtime.widgets import File, Number, Seed, Text
from ..models import checkpoint as checkpoints
from ..models.first_stage.model import Autoencoder
from ..models.ldm import boxes as layouts
from ..models.ldm.boxes import BoxEncoder
from ..models.ldm.condition import SpatialRescaler
from ..models.ldm.model import LatentModel
from . import latent_conditioning as conditioning
from .autoencoders import SUFFIXES
from .sockets import Condition, Image

Checkpoint = Annotated[str, File(folder="models", suffixes=SUFFIXES)]

socket_type("BOX_ENCODER", BoxEncoder, "An encoder of layouts: bounding boxes with their classes.", handle=True)
socket_type("SEGMENTATION_ENCODER", SpatialRescaler, "An encoder of segmentations.", handle=True)


@node(category="latent diffusion")
def latent_upscaling_denoiser(
    model: Socket[LatentModel, "channels width @space @sides @context_width @bottleneck @time_width"],
    image: Socket[Image, "_ _ _ 3"],
    condition: Socket[Condition, "_ _ width"] | None = None,
    noise_level: Annotated[int, Number(min=0, max=999)] = 20,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """A latent denoiser that enlarges a picture, which it sees beside x_t.

    Both published ones are known by what they take: latent diffusion's own super-resolution (the picture alone)
    and Stable Diffusion's x4 upscaler (a text, and noise on the picture, whose level it is told).

    Args:
        model: One that was trained to enlarge, on "channels" of a space.
        image: The small picture, "batch height width 3" in [0, 1]: as large as the latents that are sampled.
        condition: An encoded text, "batch positions width", for a model that has a context.
        noise_level: How much noise is added to the picture, of 1000 steps, for a model that is told of it.
        seed: The seed of that noise.
        first_item: The number of the first item, see noise_start.

    Returns: A denoiser on "channels @space".

    Raises: GlidewireError for a model that does not enlarge, or a condition that does not fit it.

    Source: Rombach et al. 2022, section 4.4; noise on the small picture: Ho et al. 2021 (2106.15282), section 4.2.
    """
    given = conditioning.context_of(model, condition)
    beside = conditioning.low_resolution(model, image, noise_level, seed, first_item)
    return Leaf(model.network, {**given, **beside})


@node(category="latent diffusion")
def latent_depth_denoiser(
    model: Socket[LatentModel, "channels width @space @sides @context_width @bottleneck @time_width"],
    autoencoder: Socket[Autoencoder, "channels @space"],
    depth: Socket[Image, "_ rows columns 3"],
    condition: Socket[Condition, "_ _ width"] | None = None,
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """A latent denoiser that follows a depth map (Stable Diffusion 2 depth).

    Args:
        model: One that was trained with depth, on "channels" of a space.
        autoencoder: Of the same "channels" and space: tells how many pixels a latent has.
        depth: A depth map, lighter is nearer, "batch height width 3", of the size of the picture that is made; its
            lightness is resized to the latents, and then stretched to [-1, 1].
        condition: An encoded text, "batch positions width".

    Returns: A denoiser on "channels @space".

    Raises: GlidewireError for a model without a channel of depth, or sides that the autoencoder's factor does not
        divide.

    Source: Rombach et al. 2022, section 3.3; depth: Ranftl et al. 2020 (MiDaS, 1907.01341), section 5.
    """
    given = conditioning.context_of(model, condition)
    return Leaf(model.network, {**given, **conditioning.depth(model, autoencoder, depth)})


def _box_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    spec = layouts.identify_box_encoder(checkpoint).spec
    return {"positions": spec.positions, "width": spec.width}


@node(category="latent diffusion", static_dims=_box_dims)
def load_box_encoder(checkpoint: Checkpoint, context: Context = INJECTED) -> Socket[BoxEncoder, "positions width"]:
    """Load the encoder of layouts out of a layout-to-image checkpoint (layout2img), strictly.

    Args:
        checkpoint: A latent diffusion checkpoint, or the encoder alone.

    Returns: An encoder of layouts of "positions" tokens and states of "width".

    Raises: GlidewireError with the whole list of keys that do not fit, or for an encoder of texts.

    Source: Rombach et al. 2022, section 4.3.1 and appendix E.2.1.
    """
    path = context.folders.find("models", checkpoint)
    return layouts.load_box_encoder(path, device=context.policy.torch_device, dtype=context.policy.torch_dtype)


def _are_boxes(boxes: str) -> None:
    conditioning.boxes_of(boxes)


@node(category="latent diffusion", validate=_are_boxes)
def encode_boxes(
    encoder: Socket[BoxEncoder, "positions width"],
    boxes: Annotated[str, Text(multiline=True)],
) -> Socket[Condition, "1 positions width"]:
    """Encode a layout of bounding boxes as a condition.

    Args:
        encoder: The encoder that the denoiser was trained with.
        boxes: One box a line: its class and two corners as fractions of the picture, "17: 0.1,0.2 0.5,0.9" (left,
            top, right, bottom).

    Returns: States "1 positions width", which a denoiser attends to.

    Raises: GlidewireError for a line that is no box, a box that leaves the picture, or too many of them.

    Source: Rombach et al. 2022, section 4.3.1; the tokens: Jahn et al. 2021 (2105.06458), section 3.
    """
    return Condition({"context": encoder.encode(conditioning.boxes_of(boxes))})


def _segmentation_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    return {"classes": checkpoints.identify(checkpoint, component="segmentation_encoder").dims["classes"]}


@node(category="latent diffusion", static_dims=_segmentation_dims)
def load_segmentation_encoder(
    checkpoint: Checkpoint, context: Context = INJECTED
) -> Socket[SpatialRescaler, "classes"]:
    """Load the encoder of segmentations out of a semantic synthesis checkpoint, strictly.

    Args:
        checkpoint: The whole checkpoint.

    Returns: An encoder of segmentations with "classes".

    Raises: GlidewireError where the file has no such encoder.

    Source: Rombach et al. 2022, section 4.3.2.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    loaded: Any = checkpoints.load(path, component="segmentation_encoder", device=device, dtype=dtype)
    return cast(SpatialRescaler, loaded)


@node(category="latent diffusion")
def latent_semantic_denoiser(
    model: Socket[LatentModel, "channels width @space @sides @context_width @bottleneck @time_width"],
    encoder: Socket[SpatialRescaler, "classes"],
    segmentation: Socket[Image, "_ rows columns 3"],
    condition: Socket[Condition, "_ _ width"] | None = None,
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """A latent denoiser that follows a segmentation, which it sees, encoded, beside x_t.

    Args:
        model: One that was trained with segmentations, on "channels" of a space.
        encoder: The encoder in the same checkpoint.
        segmentation: A map of classes, "batch height width 3", of the size of the picture that is made: the red
            channel of 8 bits is the number of the class.
        condition: An encoded text, "batch positions width", for a model that has a context.

    Returns: A denoiser on "channels @space".

    Raises: GlidewireError for a model that takes no such map, or a class that the encoder does not know.

    Source: Rombach et al. 2022, section 4.3.2.
    """
    given = conditioning.context_of(model, condition)
    return Leaf(model.network, {**given, **conditioning.segmentation(model, encoder, segmentation)})
