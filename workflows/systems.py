"""One workflow per system of this line, each with the mini that we trained."""

from __future__ import annotations

from collections.abc import Mapping

from ..interfaces.api import Workflow
from ..nodes import (
    autoencoders,
    clip,
    guidance,
    images,
    latent_conditions,
    latent_diffusion,
    paella,
    samplers,
    schedules,
    unclip,
)

_PROMPT = "a large red cube left of a small blue sphere"


def latent_diffusion_text_to_image(flow: Workflow) -> Mapping[str, list[str]]:
    """A denoiser of a KL autoencoder's latents that attends to CLIP's states of a text."""
    encoder = flow.titled("Text encoder", latent_conditions.load_clip_text_encoder("mini-clip-text.safetensors"))
    autoencoder = flow.titled("Autoencoder", autoencoders.load_autoencoder("mini-kl-f4.safetensors"))
    checkpoint = flow.titled("Denoiser", latent_diffusion.load_latent_denoiser("mini-ldm.safetensors"))
    prompt = flow.titled("Prompt", latent_conditions.encode_prompt(encoder, _PROMPT))
    empty = flow.titled("Empty prompt", latent_conditions.encode_prompt(encoder, ""))
    conditional = flow.titled("Conditional", latent_diffusion.latent_denoiser(checkpoint.model, prompt))
    unconditional = flow.titled("Unconditional", latent_diffusion.latent_denoiser(checkpoint.model, empty))
    guided = flow.titled("Guidance", guidance.classifier_free_guidance(conditional, unconditional, 4.0))
    steps = flow.titled("Steps", schedules.respace(checkpoint.schedule, "30"))
    start = flow.titled("Noise", samplers.noise_start(guided, 8, 8, batch=4, seed=0))
    latents = flow.titled("Sampler", samplers.ddim_sampler(guided, steps, start, eta=1.0, clip=False))
    picture = flow.titled("Decode", autoencoders.decode_latents(autoencoder, latents))
    large = flow.titled("Enlarge", images.resize_image(picture, 256, 256, "bicubic"))
    sheet = flow.titled("Sheet", images.image_grid(large, columns=0, gap=4))
    flow.titled("Save", images.save_image(sheet, "latent-diffusion"))
    return {
        "Text (Rombach et al. 2022, section 3.3)": ["Prompt", "Empty prompt"],
        "Classifier-free guidance (Ho & Salimans 2022, eq. 6)": ["Conditional", "Unconditional", "Guidance"],
        "A walk through latents (section 3.2)": ["Noise", "Sampler"],
        "Back to pixels (section 3.1)": ["Decode", "Enlarge", "Sheet", "Save"],
    }


def paella_text_to_image(flow: Workflow) -> Mapping[str, list[str]]:
    """A predictor of tokens, eight steps from noise tokens to a picture's."""
    model = flow.titled("CLIP", clip.load_clip("mini-clip.safetensors"))
    stage = flow.titled("Token autoencoder", paella.load_token_autoencoder("mini-vq-f4.safetensors"))
    predictor = flow.titled("Predictor", paella.load_paella("mini-paella.safetensors"))
    text = flow.titled("Prompt", clip.clip_text_embedding(model, _PROMPT))
    conditional = flow.titled("Conditional", paella.paella_denoiser(predictor, text.embedding))
    unconditional = flow.titled("Unconditional", paella.paella_denoiser(predictor))
    guided = flow.titled("Guidance", guidance.classifier_free_guidance(conditional, unconditional, 4.0))
    start = flow.titled("Noise", paella.token_noise_start(guided, 8, 8, batch=4, seed=0))
    tokens = flow.titled("Sampler", paella.paella_sampler(guided, start, steps=8))
    picture = flow.titled("Decode", paella.decode_tokens(stage, tokens))
    large = flow.titled("Enlarge", images.resize_image(picture, 256, 256, "bicubic"))
    sheet = flow.titled("Sheet", images.image_grid(large, columns=0, gap=4))
    flow.titled("Save", images.save_image(sheet, "paella"))
    return {
        "Text": ["Prompt"],
        "Guidance on logits (Rampas et al. 2022, section 3)": ["Conditional", "Guidance"],
        "Predict all, renoise fewer (algorithm 1)": ["Noise", "Sampler"],
        "Back to pixels": ["Decode", "Enlarge", "Sheet", "Save"],
    }


def prior_into_paella(flow: Workflow) -> Mapping[str, list[str]]:
    """unCLIP's prior makes a picture's embedding of a text; Paella's predictor draws what it says."""
    model = flow.titled("CLIP", clip.load_clip("mini-clip.safetensors"))
    prior = flow.titled("Prior", unclip.load_unclip_prior("mini-prior.safetensors"))
    stage = flow.titled("Token autoencoder", paella.load_token_autoencoder("mini-vq-f4.safetensors"))
    predictor = flow.titled("Predictor", paella.load_paella("mini-paella.safetensors"))
    text = flow.titled("Prompt", clip.clip_text_embedding(model, _PROMPT))
    empty = flow.titled("Empty prompt", clip.clip_text_embedding(model, ""))
    towards = flow.titled("Prior under the prompt", unclip.unclip_prior_denoiser(prior.model, text.text))
    away = flow.titled("Prior under nothing", unclip.unclip_prior_denoiser(prior.model, empty.text))
    guided_prior = flow.titled("Guided prior", guidance.classifier_free_guidance(towards, away, 2.0))
    steps = flow.titled("Steps", schedules.respace(prior.schedule, "25"))
    embedding = flow.titled("Embedding", unclip.unclip_prior_sampler(prior.model, guided_prior, steps, batch=4, seed=0))
    conditional = flow.titled("Conditional", paella.paella_denoiser(predictor, image=embedding))
    unconditional = flow.titled("Unconditional", paella.paella_denoiser(predictor))
    guided = flow.titled("Guidance", guidance.classifier_free_guidance(conditional, unconditional, 4.0))
    start = flow.titled("Noise", paella.token_noise_start(guided, 8, 8, batch=4, seed=0))
    tokens = flow.titled("Sampler", paella.paella_sampler(guided, start, steps=8))
    picture = flow.titled("Decode", paella.decode_tokens(stage, tokens))
    large = flow.titled("Enlarge", images.resize_image(picture, 256, 256, "bicubic"))
    sheet = flow.titled("Sheet", images.image_grid(large, columns=0, gap=4))
    flow.titled("Save", images.save_image(sheet, "prior-into-paella"))
    return {
        "Text": ["Prompt", "Empty prompt"],
        "Prior (Ramesh et al. 2022, section 2.2)": ["Prior under the prompt", "Prior under nothing", "Guided prior"],
        "A picture's embedding": ["Embedding"],
        "Paella under it (Rampas et al. 2022)": ["Conditional", "Guidance"],
        "Tokens": ["Noise", "Sampler"],
        "Back to pixels": ["Decode", "Enlarge", "Sheet", "Save"],
    }
