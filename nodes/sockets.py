"""The socket types of the pack: what flows between its nodes, and what is written to disk when it is cached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType

from torch import Tensor

from ..diffusion.denoiser import Denoiser
from ..diffusion.guidance import ScaleSchedule
from ..diffusion.schedules import NoiseSchedule
from ..graph_runtime import codec
from ..graph_runtime.sockets import socket_type
from ..models.first_stage.model import Autoencoder
from ..models.glide.model import GlideModel
from ..models.ldm.condition import ClassEmbedder
from ..models.ldm.model import LatentModel
from ..models.ldm.text import TextEncoder
from ..models.noised_clip.model import NoisedClip

Image = NewType("Image", Tensor)
Mask = NewType("Mask", Tensor)

PIXELS = "pixels"
"""The space of plain pictures: channels red, green, blue in [-1, 1]."""

CLEAN = -1
"""The timestep of a sample without noise: there is nothing left to walk."""


@dataclass(frozen=True)
class Sample:
    """Something that diffusion made, in the space of its denoiser.

    Args:
        tensor: "batch channels height width"; in pixel space in [-1, 1].
        space: Which space: "pixels", or the autoencoder whose latents these are.
    """

    tensor: Tensor
    space: str = PIXELS


@dataclass(frozen=True)
class Start:
    """Where sampling starts, and the noise it will draw on the way.

    Args:
        tensor: x_t, "batch channels height width".
        space: As in `Sample`.
        seeds: The seed of each item of the batch.
        first_item: The number of the batch's first item: noise is a function of (seed, item, step, purpose).
        timestep: The timestep (original id) at which x_t lies; None for pure noise, where any schedule starts,
            and CLEAN where no noise is left.
    """

    tensor: Tensor
    space: str
    seeds: tuple[int, ...]
    first_item: int = 0
    timestep: float | None = None


@dataclass(frozen=True)
class Condition:
    """What a network is conditioned on: tensors by the network's own names, each with a leading batch of 1 or more."""

    tensors: Mapping[str, Tensor]


for _cls in (Sample, Start, Condition):
    codec.register(_cls, _cls.__name__)
codec.register(NoiseSchedule, "NoiseSchedule")
codec.register(ScaleSchedule, "ScaleSchedule")

socket_type("IMAGE", Image, "Pictures: batch height width 3, red green blue in [0, 1].")
socket_type("MASK", Mask, "Masks: batch height width in [0, 1].")
socket_type("SAMPLE", Sample, "Something in a denoiser's space: batch channels height width.")
socket_type("START", Start, "Where sampling starts: noise, and the seeds of the noise to come.")
socket_type("CONDITION", Condition, "What a network is conditioned on, an encoded text for one.")
socket_type("SCHEDULE", NoiseSchedule, "A noise schedule: the timesteps to visit and the signal left at each.")
socket_type("SCALE_SCHEDULE", ScaleSchedule, "A guidance scale that changes over the steps of a run.")
socket_type("DENOISER", Denoiser, "A guidance expression over network evaluations.", handle=True)
socket_type("GLIDE_MODEL", GlideModel, "A GLIDE network with its tokenizer.", handle=True)
socket_type("NOISED_CLIP", NoisedClip, "CLIP of noised pictures: both towers, with their tokenizer.", handle=True)
socket_type("AUTOENCODER", Autoencoder, "A first stage: pictures to latents and back.", handle=True)
socket_type("LATENT_MODEL", LatentModel, "A network that denoises latents.", handle=True)
socket_type("TEXT_ENCODER", TextEncoder, "A text encoder with its tokenizer.", handle=True)
socket_type("CLASS_EMBEDDER", ClassEmbedder, "The classes of a class-conditional model.", handle=True)
