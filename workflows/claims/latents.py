"""Claims about tokens and latents: steps, what Paella's sampler is made of, and latents against pixels."""

from __future__ import annotations

from collections.abc import Mapping

from ...diffusion.denoiser import Denoiser
from ...nodes import autoencoders, images, paella, samplers, token_orders
from ...nodes.sockets import Image
from ...nodes.token_sockets import Tokens, TokenStart
from .. import parts
from ..parts import Glide, Latent, Paella, sampled
from .study import Claim, Expected, Study

_WHOLE, _UNGUIDED, _UNFILTERED = "all of it", "no guidance", "no typical filter"
_RENOISE, _REMASK, _ORDER = "renoise", "remask (MaskGIT)", "fixed order (Halton)"
_LATENT, _PIXEL = "latents", "pixels"


def _prompted(study: Study) -> tuple[Paella, Denoiser, Denoiser, TokenStart, str]:
    """Paella under held-out prompts: with guidance and without, and its noise."""
    prompt, seed = study.prompts()
    loaded = Paella.load(study.page)
    with study.page.group("Guidance on logits (section 3)"):
        text = loaded.text(prompt)
        guided = loaded.guided(text)
        plain = study.titled("Without guidance", paella.paella_denoiser(loaded.predictor, text))
        start = study.titled("Noise", paella.token_noise_start(guided, 8, 8, batch=study.pictures, seed=seed))
    return loaded, guided, plain, start, prompt


def _judged(study: Study, loaded: Paella, way: str, tokens: Tokens, prompt: str) -> None:
    with study.page.group(f"Pictures: {way}"):
        picture = loaded.decode(study.titled(f"{way}: sampler", tokens), f"{way}: decode")
    study.judge(way, picture, prompt)


def paella_steps(study: Study) -> None:
    """One prompt in more and more steps."""
    loaded, guided, _plain, start, prompt = _prompted(study)
    for count in (4, 8, 12, 24):
        with study.page.group(f"Pictures: {count} steps"):
            tokens = paella.paella_sampler(guided, start, steps=count)
        _judged(study, loaded, f"{count} steps", tokens, prompt)


def paella_ablations(study: Study) -> None:
    """The sampler as published, without guidance, and without locally typical sampling."""
    loaded, guided, plain, start, prompt = _prompted(study)
    for way, denoiser, mass in ((_WHOLE, guided, 0.2), (_UNGUIDED, plain, 0.2), (_UNFILTERED, guided, 1.0)):
        with study.page.group(f"Pictures: {way}"):
            tokens = paella.paella_sampler(denoiser, start, steps=8, typical_mass=mass)
        _judged(study, loaded, way, tokens, prompt)


def renoise_or_remask(study: Study) -> None:
    """One predictor, three orders, as many steps."""
    loaded, guided, _plain, start, prompt = _prompted(study)
    orders = (paella.paella_sampler, token_orders.maskgit_sampler, token_orders.halton_sampler)
    for way, sampler in zip((_RENOISE, _REMASK, _ORDER), orders, strict=True):
        with study.page.group(f"Pictures: {way}"):
            tokens = sampler(guided, start, steps=12)
        _judged(study, loaded, way, tokens, prompt)


def latent_or_pixel(study: Study) -> None:
    """A walk through latents and a walk through pixels that cost about as many operations."""
    prompt, seed = study.prompts()
    glide = Glide.load(study.page, "5")
    latent = Latent.load(study.page, "20", prefix="Latent ")
    drawn: dict[str, Image] = {}
    with study.page.group("Latents: 20 steps"):
        guided = latent.guided(prompt, "Latent prompt")
        start = study.titled("Latent noise", samplers.noise_start(guided, 8, 8, batch=study.pictures, seed=seed))
        latents = sampled(study.page, "Latent sampler", guided, latent.steps, start)
        drawn[_LATENT] = study.titled("Decode", autoencoders.decode_latents(latent.autoencoder, latents))
    with study.page.group("Pixels: 5 steps"):
        guided = glide.guided(prompt)
        start = study.titled("Noise", samplers.noise_start(guided, 32, 32, batch=study.pictures, seed=seed))
        sample = study.titled("Sampler", samplers.ddim_sampler(guided, glide.steps, start, eta=1.0))
        drawn[_PIXEL] = study.titled("To pictures", images.sample_to_image(sample))
    for way, picture in drawn.items():
        study.judge(way, picture, prompt)


_PAELLA, _LDM = (parts.CLIP, parts.VQ, parts.PAELLA), (parts.LDM, parts.LDM_TEXT, parts.KL)
CLAIMS: Mapping[str, Claim] = {
    "paella-steps": Claim(
        paella_steps,
        "Eight steps are nearly as good as many more.",
        "Paella (Rampas et al. 2022), section 4",
        (Expected("judge", "8 steps", "4 steps"), Expected("judge", "12 steps", "8 steps")),
        _PAELLA,
    ),
    "paella-ablations": Claim(
        paella_ablations,
        "Guidance on logits and locally typical sampling both make pictures better.",
        "Paella (Rampas et al. 2022), section 4",
        (Expected("judge", _WHOLE, _UNGUIDED), Expected("judge", _WHOLE, _UNFILTERED)),
        _PAELLA,
    ),
    "renoise-or-remask": Claim(
        renoise_or_remask,
        "Renoising lets a predictor correct itself, which keeping what it was surest of does not.",
        "Paella (Rampas et al. 2022), section 3; MaskGIT (Chang et al. 2022), section 3.2",
        (Expected("judge", _RENOISE, _REMASK), Expected("judge", _RENOISE, _ORDER)),
        _PAELLA,
        "The predictor was trained with noise tokens, not with a mask: both other orders start from noise too.",
    ),
    "latent-or-pixel": Claim(
        latent_or_pixel,
        "At equal compute, diffusion of latents is better than diffusion of pixels.",
        "Latent diffusion (Rombach et al. 2022), section 4.1",
        (Expected("judge", _LATENT, _PIXEL),),
        (parts.GLIDE, *_LDM),
        "Equal in operations of sampling (5 guided steps of 323 million operations an evaluation, "
        "against 20 of 67 million and the decoder), not of training: mini GLIDE saw many more pictures.",
    ),
}
