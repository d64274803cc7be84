"""What latent denoisers see beside x_t, made of pictures (small ones, depth, segmentations); boxes read from text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion.noise import SeededNoise
from ..diffusion.schedules import scaled_linear
from ..errors import GlidewireError
from ..models.first_stage.model import Autoencoder
from ..models.ldm.boxes import Box
from ..models.ldm.condition import SpatialRescaler
from ..models.ldm.model import LatentModel
from . import inpainting, masking
from .sockets import Condition

_NUMBER = r"(\d{1,6}(?:\.\d{1,9})?)"
_BOX = re.compile(rf"\s*(\d{{1,6}})\s*:\s*{_NUMBER}\s*,\s*{_NUMBER}\s+{_NUMBER}\s*,\s*{_NUMBER}\s*")
# What the x4 upscaler's pictures were noised with (Rombach et al. 2022, its released configuration).
_UPSCALER_BETAS = (1e-4, 0.02)


def context_of(model: LatentModel, condition: Condition | None) -> Mapping[str, Tensor]:
    """The context of a model that has one; raises GlidewireError where it is missing or too much."""
    width = model.spec.context_width
    given = {} if condition is None else condition.tensors
    if ("context" in given) != bool(width):
        raise GlidewireError(
            "the condition does not fit the denoiser",
            expected=f"a context of width {width}: an encoded text or a class" if width else "no condition",
            got=", ".join(sorted(given)) or "nothing",
        )
    return given


def _require_beside(model: LatentModel, name: str, what: str) -> None:
    names = [name for name, _ in model.spec.beside]
    if names != [name]:
        raise GlidewireError(
            f"this denoiser was not trained {what}",
            expected=f"channels for {name}",
            got=" and ".join(names) or "none beside the latents",
            hint="Load a checkpoint that was.",
        )


def low_resolution(
    model: LatentModel, image: Tensor, noise_level: int, seed: int, first_item: int
) -> Mapping[str, Tensor]:
    """A small picture "batch height width 3" beside x_t, noised for a model that is told of it."""
    _require_beside(model, "low_res", "to enlarge pictures")
    small = inpainting.to_pixels(image)
    if not model.spec.classes:
        return {"low_res": small}
    if noise_level >= model.spec.classes:
        raise GlidewireError(
            "the denoiser knows no such level of noise", expected=f"0 to {model.spec.classes - 1}", got=noise_level
        )
    alpha_bar = scaled_linear(1000, *_UPSCALER_BETAS).alpha_bar[noise_level].item()
    noise = SeededNoise((seed,) * len(small), first_item).draw(small.shape[1:], purpose="low_res")
    noised = math.sqrt(alpha_bar) * small + math.sqrt(1 - alpha_bar) * noise
    return {"low_res": noised, "class_label": torch.tensor([noise_level])}


def depth(model: LatentModel, autoencoder: Autoencoder, image: Tensor) -> Mapping[str, Tensor]:
    """A depth map "batch height width 3" at the latents' size, each stretched to [-1, 1] (0 where it is flat)."""
    _require_beside(model, "depth", "with depth")
    if autoencoder.space != model.network.space:
        raise GlidewireError(
            "the autoencoder is not the denoiser's", expected=model.network.space, got=autoencoder.space
        )
    factor = autoencoder.spec.factor
    height, width = image.shape[1:3]
    if height % factor or width % factor:
        raise GlidewireError(
            "the depth map does not fit the latents",
            expected=f"sides that are multiples of {factor}",
            got=f"{height} x {width}",
            hint="Resize or crop it.",
        )
    grey = masking.channel(image, "lightness")[:, None]
    small = F.interpolate(grey, (height // factor, width // factor), mode="bicubic", align_corners=False)
    low, high = small.amin(dim=(1, 2, 3), keepdim=True), small.amax(dim=(1, 2, 3), keepdim=True)
    flat = high - low < 1e-6
    stretched = 2 * (small - low) / torch.where(flat, 1.0, high - low) - 1
    return {"depth": torch.where(flat, 0.0, stretched)}


@torch.no_grad()
def segmentation(model: LatentModel, encoder: SpatialRescaler, image: Tensor) -> Mapping[str, Tensor]:
    """A map of classes "batch height width 3" (8 bits of red) as channels beside x_t."""
    _require_beside(model, "low_res", "with segmentations")
    classes = image[..., 0].mul(255).round().long()
    if int(classes.max()) >= encoder.spec.classes:
        raise GlidewireError(
            "the segmentation has a class that its encoder does not know",
            expected=f"0 to {encoder.spec.classes - 1}",
            got=int(classes.max()),
            hint="The red channel, of 8 bits, is the number of the class.",
        )
    weight = encoder.channel_mapper.weight
    one_hot = F.one_hot(classes, encoder.spec.classes).movedim(-1, 1).to(weight)
    return {"low_res": encoder(one_hot).float().cpu()}


def boxes_of(text: str) -> list[Box]:
    """The boxes of a layout, one to a line, "class: left,top right,bottom".

    Raises:
        GlidewireError: A line that is no box, a box that leaves the picture, or no box.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _BOX.fullmatch(line)
        if match is None:
            raise GlidewireError(
                f"line {number} is no box",
                expected='a class and two corners, "17: 0.1,0.2 0.5,0.9"',
                got=repr(line[:80]),
            )
        found.append(Box(int(match[1]), *map(float, match.groups()[1:])))
    if not found:
        raise GlidewireError("the layout has no box", expected='at least one line such as "17: 0.1,0.2 0.5,0.9"')
    return found
