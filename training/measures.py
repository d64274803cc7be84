"""What is measured of minis that draw nothing by themselves: autoencoders by the judge, CLIP by retrieval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from ..diffusion import losses, schedules
from ..diffusion.noise import SeededNoise
from ..diffusion.token_noise import SeededTokenNoise
from ..models.autoregressive_prior.model import AutoregressivePriorModel, load_autoregressive_prior
from ..models.autoregressive_prior.sampling import sample_embedding
from ..models.checkpoint import identify
from ..models.clip.model import ClipModel, load_clip
from ..models.first_stage.model import load_autoencoder
from ..models.glide.model import GlideModel, load_model
from ..models.imagen.model import T5TextEncoder, load_stage, load_t5
from ..models.ldm.model import load_denoiser
from ..models.ldm.text import load_clip_text
from ..models.noised_clip.model import NoisedClip, load_noised_clip
from ..models.paella.token_autoencoder import load_token_autoencoder
from ..models.unclip.model import PriorModel, load_prior
from ..models.unclip.upsampling import load_upsampler
from ..scenes import render
from .batches import clip_texts, everything, t5_states
from .edits import DirectionMeasures
from .example_pairs import example_pair_figures
from .fresh import fresh_scenes, judged
from .image_prompt_measures import image_prompt_figures
from .painters import Sampling, picture_embeddings, to_pixels
from .repainters import (
    glide_upsampling,
    imagen_upsampling,
    inpainting_painter,
    latent_enlarger,
    latent_inpainter,
    unclip_upsampling,
)
from .repainting import decibels, enlarged_under_captions, rendered, repainted, verdicts_kept_larger
from .t5 import glide_states
from .unclip import fit

_BATCH = 100


def verdicts_kept(decoded: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], count: int, size: int) -> dict[str, float]:
    """How often the judge finds everything that is true of a scene in what an autoencoder gives back.

    Args:
        decoded: Pictures to what comes back of them, uint8 [count size size 3].
        count: Scenes.
        size: Side in pixels.

    Returns:
        Shares as `judged`, and "signal to noise" in decibels: 10 log10(255^2 / mean square error).
    """
    scenes = fresh_scenes(count)
    pictures = rendered(scenes, size)
    found = np.concatenate([decoded(pictures[first : first + _BATCH]) for first in range(0, count, _BATCH)])
    return {**judged(found, [everything(scene) for scene in scenes]), "signal to noise": decibels(found, pictures)}


@torch.no_grad()
def retrieval(clip: ClipModel, count: int) -> dict[str, float]:
    """How often the caption nearest to a scene's picture is its own, and the picture nearest to its caption.

    Args:
        clip: The model.
        count: Scenes, no two of the same attributes, each with the caption that states all of them.

    Returns:
        Top-1 shares.

    Source: Radford et al. 2021, section 3.1.
    """
    captions, images = _captions_and_images(clip, count)
    texts = torch.cat([clip.encode_prompt(text)[0]["text_embedding"] for text in captions])
    return {"caption of a picture": _nearest(images, texts), "picture of a caption": _nearest(texts, images)}


@torch.no_grad()
def prior_retrieval(prior: PriorModel, clip: ClipModel, count: int, *, spacing: str = "25") -> dict[str, float]:
    """How often the picture nearest to what a prior makes of a caption is the caption's own.

    Args:
        prior: The prior.
        clip: Its CLIP.
        count: Scenes, as in `retrieval`.
        spacing: Kept steps of the schedule.

    Returns:
        Top-1 share and mean cosine with the picture's own embedding; and the same of the caption's embedding, which
        a decoder without a prior would be given.

    Source: Ramesh et al. 2022, section 2.2 and figure 8.
    """
    captions, images = _captions_and_images(clip, count)
    condition = clip_texts(clip, captions)
    made = picture_embeddings(prior, condition, SeededNoise((0,) * count), spacing=spacing)
    return _retrieved(made, condition["text_embedding"], images)


@torch.no_grad()
def autoregressive_retrieval(prior: AutoregressivePriorModel, clip: ClipModel, count: int) -> dict[str, float]:
    """What `prior_retrieval` measures, of an autoregressive prior."""
    captions, images = _captions_and_images(clip, count)
    condition = clip_texts(clip, captions)
    states = condition["text_states"] * condition["text_mask"][..., None]
    noise = SeededTokenNoise((0,) * count)
    made = sample_embedding(prior.network, condition["text_embedding"], states, noise)
    return _retrieved(made, condition["text_embedding"], images)


def _retrieved(made: torch.Tensor, texts: torch.Tensor, images: torch.Tensor) -> dict[str, float]:
    return {
        "picture of a made embedding": _nearest(made, images),
        "picture of a caption": _nearest(texts, images),
        "cosine of a made embedding": float(F.cosine_similarity(made, images).mean()),
        "cosine of a caption": float(F.cosine_similarity(texts, images).mean()),
    }


@torch.no_grad()
def noised_retrieval(model: NoisedClip, count: int) -> dict[str, float]:
    """How often the caption nearest to a noised picture is its own, at several timesteps.

    Args:
        model: Noised CLIP.
        count: Scenes, as in `retrieval`.

    Source: Nichol et al. 2021, section 2.3.
    """
    scenes = fresh_scenes(count, distinct=True)
    side, steps = model.image.spec.image_size, model.image.spec.timesteps
    pictures = np.stack([render(scene, side) for scene in scenes])
    x_0 = to_pixels(pictures)
    texts = torch.cat([model.encode_prompt(everything(scene).text)[0] for scene in scenes])
    noise = SeededNoise((0,) * count).draw(tuple(x_0.shape[1:]))
    schedule, found = schedules.squared_cosine(steps), {}
    for eighth in (0, 2, 4, 6):
        timesteps = torch.full((count,), steps * eighth // 8)
        images = model.image(losses.q_sample(x_0, timesteps, noise, schedule), timesteps)
        found[f"caption of a picture at timestep {steps * eighth // 8}"] = _nearest(images, texts)
    return found


@torch.no_grad()
def states_told(text: T5TextEncoder, glide: GlideModel, count: int) -> dict[str, float]:
    """How much of what GLIDE's text transformer says of captions a linear map of T5's states tells.

    Args:
        text: T5.
        glide: The model whose text transformer it learnt from.
        count: Fresh captions; the map is fitted to as many others.

    Returns:
        Shares of the variance of GLIDE's states: of all positions, and of the last, which tells the whole text.
    """
    texts = [everything(scene).text for scene in fresh_scenes(2 * count)]
    given, wanted = t5_states(text, texts), glide_states(glide, texts)
    linear = nn.Linear(given.shape[2], wanted.shape[2])
    fit(linear, given[count:].flatten(0, 1), wanted[count:].flatten(0, 1))
    errors, target = (linear(given[:count]) - wanted[:count]).square(), wanted[:count]
    around = (target - target.mean(dim=0)).square()
    return {
        "variance of the states that is told": 1 - float(errors.sum() / around.sum()),
        "variance of the last state that is told": 1 - float(errors[:, -1].sum() / around[:, -1].sum()),
    }


def _captions_and_images(clip: ClipModel, count: int) -> tuple[list[str], torch.Tensor]:
    scenes = fresh_scenes(count, distinct=True)
    pictures = np.stack([render(scene, clip.spec.image.image_size) for scene in scenes])
    values = to_pixels(pictures)
    return [everything(scene).text for scene in scenes], clip.encode_picture(values)


def _nearest(queries: torch.Tensor, candidates: torch.Tensor) -> float:
    """Share of rows whose nearest candidate, by cosine, is the one of the same number."""
    scores = F.normalize(queries, dim=1) @ F.normalize(candidates, dim=1).mT
    return float((scores.argmax(dim=1) == torch.arange(len(scores))).float().mean())


def measured(weights: Path, count: int, beside: Path) -> dict[str, float] | None:
    """The figures of a mini that draws nothing by itself, with others from `beside`; None for one that draws."""
    identity = identify(weights)
    if identity.component == "clip":
        return retrieval(load_clip(weights), count)
    if (identity.family, identity.component) == ("asyrp", "direction"):
        return DirectionMeasures(weights, beside, count).figures()
    if identity.component == "adapter":
        return image_prompt_figures(weights, beside, count)
    if identity.component == "control":
        return example_pair_figures(weights, beside, count)
    if (identity.family, identity.component) == ("noised_clip", "image_encoder"):
        text = weights.with_name(f"{weights.stem}-text.safetensors")
        return noised_retrieval(load_noised_clip(weights, text), count)
    if (identity.family, identity.component) == ("unclip", "prior"):
        return prior_retrieval(load_prior(weights), load_clip(beside / "mini-clip.safetensors"), count)
    if (identity.family, identity.component) == ("imagen", "text_encoder"):
        return states_told(load_t5(weights), load_model(beside / "mini-glide-base.safetensors"), count)
    if identity.family == "imagen" and identity.spec.upsampler:
        text = load_t5(beside / "mini-t5.safetensors")
        return verdicts_kept_larger(imagen_upsampling(load_stage(weights), text), count)
    if (identity.family, identity.component) == ("unclip", "upsampler"):
        return verdicts_kept_larger(unclip_upsampling(load_upsampler(weights).network), count)
    if identity.family == "glide" and identity.spec.takes_low_resolution:
        return verdicts_kept_larger(glide_upsampling(load_model(weights)), count)
    if identity.family == "autoregressive_prior":
        clip = load_clip(beside / "mini-clip.safetensors")
        return autoregressive_retrieval(load_autoregressive_prior(weights), clip, count)
    if identity.family == "glide" and identity.spec.takes_known_pixels:
        model = load_model(weights)
        return repainted(inpainting_painter(model, Sampling()), count, model.spec.image_size)
    if (identity.family, identity.component) == ("ldm", "denoiser") and identity.spec.beside:
        return _latent_editing(weights, beside, count)
    if identity.component != "first_stage":
        return None
    if identity.dims.get("codes"):
        tokens = load_token_autoencoder(weights)

        def through_tokens(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
            values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
            return _bytes(tokens.decode(tokens.encode(values)))

        return verdicts_kept(through_tokens, count, 32)
    autoencoder = load_autoencoder(weights)

    def through_latents(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        values = to_pixels(pictures)
        return _bytes((autoencoder.decode(autoencoder.encode(values)) + 1) / 2)

    return verdicts_kept(through_latents, count, 32)


def _latent_editing(weights: Path, beside: Path, count: int) -> dict[str, float]:
    """The figures of latent diffusion's inpainting or super-resolution."""
    text = load_clip_text(beside / "mini-clip-text.safetensors")
    autoencoder = load_autoencoder(beside / "mini-kl-f4.safetensors")
    parts = load_denoiser(weights), text, autoencoder, Sampling()
    if parts[0].spec.beside[0][0] == "low_res":
        return enlarged_under_captions(latent_enlarger(*parts), count)
    return repainted(latent_inpainter(*parts), count, 32)


def _bytes(pictures: torch.Tensor) -> NDArray[np.uint8]:
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
