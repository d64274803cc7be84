"""From pictures to pictures, as recipes and measures need it: upsamplers, and painting into holes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..diffusion import guidance, samplers, schedules
from ..diffusion.augmentation import conditioning_augmentation
from ..diffusion.denoiser import Leaf
from ..diffusion.noise import SeededNoise
from ..diffusion.schedules import NoiseSchedule
from ..models.first_stage.model import Autoencoder
from ..models.glide.model import GlideModel
from ..models.imagen.model import ImagenModel, T5TextEncoder
from ..models.ldm.condition import mask_for_latents, stable_inpainting_picture
from ..models.ldm.model import LatentModel
from ..models.ldm.text import TextEncoder
from ..models.unclip.upsampler import Upsampler
from .batches import t5_states
from .painters import Sampling, latent_painter, to_bytes, to_pixels

Inpainter = Callable[
    [Sequence[str], NDArray[np.uint8], NDArray[np.float32], Sequence[int], int, float], NDArray[np.uint8]
]
"""(prompts, pictures, masks, their seeds, the first one's number, guidance scale) to pictures.

Pictures are uint8 [count height width 3], masks [count 1 height width], 1 where they are known.
"""

CaptionedEnlarger = Callable[[Sequence[str], NDArray[np.uint8], Sequence[int], int, float], NDArray[np.uint8]]
"""(prompts, small pictures, their seeds, the first one's number, guidance scale) to large pictures."""

Enlarger = Callable[[NDArray[np.uint8], Sequence[int]], NDArray[np.uint8]]
"""(small pictures uint8 [count height width 3], their seeds) to pictures of twice the side."""

UPSAMPLING = Sampling("8", eta=1.0)
"""An upsampler has little left to choose: few steps; fresh noise in between covers the errors of the first."""


def inpainting_painter(model: GlideModel, sampling: Sampling) -> Inpainter:
    """GLIDE's inpainting model, as it paints by itself: what is known is not put back in."""
    network, context = model.network, model.spec.text_context
    device = next(network.parameters()).device
    schedule = schedules.respace(schedules.SCHEDULES[model.spec.schedule](), sampling.spacing)

    @torch.no_grad()
    def paint(
        prompts: Sequence[str],
        pictures: NDArray[np.uint8],
        masks: NDArray[np.float32],
        seeds: Sequence[int],
        first: int,
        scale: float,
    ) -> NDArray[np.uint8]:
        noise = SeededNoise(tuple(seeds), first_item=first)
        known = {"inpaint_image": to_pixels(pictures).to(device), "inpaint_mask": torch.from_numpy(masks).to(device)}

        def leaf(texts: Sequence[str]) -> Leaf:
            words = (part.to(device) for part in model.tokenizer.encode_batch(texts, context))
            return Leaf(network, {**network.encode_text(*words), **known})

        denoiser = guidance.classifier_free(leaf(prompts), leaf([""] * len(prompts)), scale)
        x_T = noise.draw((3, *pictures.shape[1:3])).to(device)
        return to_bytes(samplers.sample(denoiser, schedule, x_T, sampling.built(), noise))

    return paint


def unclip_upsampling(network: Upsampler, sampling: Sampling = UPSAMPLING) -> Enlarger:
    """unCLIP's upsampler, which sees the small picture alone."""
    schedule = schedules.respace(network.spec.noise_schedule, sampling.spacing)
    return _enlarger(network, lambda low: {"low_res": low}, schedule, sampling)


def glide_upsampling(model: GlideModel, sampling: Sampling = UPSAMPLING) -> Enlarger:
    """GLIDE's upsampler without a caption."""
    schedule = schedules.respace(schedules.SCHEDULES[model.spec.schedule](), sampling.spacing)
    silent, _ = model.encode_prompt("")

    def condition(low: Tensor) -> dict[str, Tensor]:
        return {**{name: value.expand(len(low), *value.shape[1:]) for name, value in silent.items()}, "low_res": low}

    return _enlarger(model.network, condition, schedule, sampling)


def imagen_upsampling(
    model: ImagenModel, text: T5TextEncoder, sampling: Sampling = UPSAMPLING, *, level: float = 0.1
) -> Enlarger:
    """Imagen's second stage without a caption; `level` of the noise in the small picture, a share of the schedule."""
    schedule, silent = schedules.respace(schedules.squared_cosine(1000), sampling.spacing), t5_states(text, [""])

    def condition(low: Tensor) -> dict[str, Tensor]:
        size = (2 * low.shape[2], 2 * low.shape[3])
        noise = SeededNoise((0,) * len(low)).draw((low.shape[1], *size), purpose="augmentation").to(low.device)
        noised, step = conditioning_augmentation(low, size, level, noise)
        told = torch.full((len(low),), float(step), device=low.device)
        return {"text_states": silent.expand(len(low), -1, -1), "low_res": noised, "noise_level": told}

    return _enlarger(model.network, condition, schedule, sampling)


def _enlarger(
    network: Any, condition: Callable[[Tensor], Mapping[str, Tensor]], schedule: NoiseSchedule, sampling: Sampling
) -> Enlarger:
    device = next(network.parameters()).device

    @torch.no_grad()
    def enlarge(pictures: NDArray[np.uint8], seeds: Sequence[int]) -> NDArray[np.uint8]:
        noise, low = SeededNoise(tuple(seeds)), to_pixels(pictures).to(device)
        x_T = noise.draw((3, 2 * low.shape[2], 2 * low.shape[3])).to(device)
        return to_bytes(samplers.sample(Leaf(network, condition(low)), schedule, x_T, sampling.built(), noise))

    return enlarge


def masked_beside(autoencoder: Autoencoder, pictures: Tensor, known: Tensor) -> dict[str, Tensor]:
    """Stable Diffusion's convention of what inpainting sees: the masked picture's latents, and 1 where to repaint.

    Args:
        autoencoder: What encodes.
        pictures: "batch 3 height width" in [-1, 1].
        known: "batch 1 height width", 1 where they are kept.
    """
    masked, shown = stable_inpainting_picture(pictures, 1 - known)
    latents = autoencoder.encode(masked)
    return {"masked_latents": latents, "mask": mask_for_latents(shown, latents)}


def small_beside(autoencoder: Autoencoder, pictures: Tensor) -> dict[str, Tensor]:
    """What super-resolution sees of pictures "batch 3 height width": them at the latents' size.

    Source: Rombach et al. 2022, section 4.4.
    """
    return {"low_res": F.avg_pool2d(pictures, autoencoder.spec.factor)}


def latent_inpainter(model: LatentModel, text: TextEncoder, autoencoder: Autoencoder, sampling: Sampling) -> Inpainter:
    """Latent diffusion's inpainting in Stable Diffusion's convention, as it paints by itself."""

    def paint(
        prompts: Sequence[str],
        pictures: NDArray[np.uint8],
        masks: NDArray[np.float32],
        seeds: Sequence[int],
        first: int,
        scale: float,
    ) -> NDArray[np.uint8]:
        beside = masked_beside(autoencoder, to_pixels(pictures), torch.from_numpy(masks))
        return latent_painter(model, text, autoencoder, sampling, beside)(prompts, seeds, first, scale)

    return paint


def latent_enlarger(
    model: LatentModel, text: TextEncoder, autoencoder: Autoencoder, sampling: Sampling
) -> CaptionedEnlarger:
    """Latent diffusion's super-resolution of pictures of the latents' size."""

    def paint(
        prompts: Sequence[str], pictures: NDArray[np.uint8], seeds: Sequence[int], first: int, scale: float
    ) -> NDArray[np.uint8]:
        beside = {"low_res": to_pixels(pictures)}
        return latent_painter(model, text, autoencoder, sampling, beside)(prompts, seeds, first, scale)

    return paint
