"""Claims about guidance: in an interval, within the manifold of samples, and at scales that would burn out."""

from __future__ import annotations

from collections.abc import Mapping

from ...diffusion.denoiser import Denoiser
from ...nodes import guidance, guidance_bounds, images, samplers
from ...nodes.sockets import Start
from .. import parts
from ..parts import Glide
from .study import Claim, Expected, Ruler, Study

_PLAIN, _WITHIN, _RENOISED = "plain", "interval", "CFG++"
_FREE, _STATIC, _DYNAMIC = "no threshold", "static threshold", "dynamic threshold"


def _prompted(study: Study, count: int) -> tuple[Glide, Denoiser, Start, str, Ruler]:
    """Held-out prompts under GLIDE, their noise, and the ruler."""
    prompt, seed = study.prompts(count)
    glide = Glide.load(study.page, "20")
    ruler = study.ruler(prompt)
    with study.page.group("The text, and the same noise for all"):
        conditional = glide.conditional(prompt)
        start = study.titled("Noise", samplers.noise_start(conditional, 32, 32, batch=study.pictures, seed=seed))
    return glide, conditional, start, prompt, ruler


def interval_and_renoising(study: Study) -> None:
    """A large scale in all steps, in the middle ones, and with the unconditional noise to step by."""
    glide, conditional, start, prompt, ruler = _prompted(study, 16)
    away = glide.unconditional
    with study.page.group("Three guidances"):
        ways = {
            _PLAIN: guidance.classifier_free_guidance(conditional, away, 7.0),
            _WITHIN: guidance.classifier_free_guidance(conditional, away, 7.0, 0.2, 0.7),
            _RENOISED: guidance.cfg_plus_plus_guidance(conditional, away, 0.6),
        }
    for way, denoiser in ways.items():
        with study.page.group(f"Pictures: {way}"):
            sample = study.titled(f"{way}: sampler", samplers.ddim_sampler(denoiser, glide.steps, start))
            picture = images.sample_to_image(sample)
        study.judge(way, picture, prompt, ruler)


def thresholds(study: Study) -> None:
    """A scale far too large, with the predicted sample left alone, clipped, and scaled into its bounds."""
    glide, conditional, start, prompt, ruler = _prompted(study, 16)
    with study.page.group("A scale far too large (Saharia et al. 2022, section 2.3)"):
        guided = glide.towards(conditional, "Guidance", 15.0)
        bounded = study.titled("Dynamic threshold", guidance_bounds.dynamic_threshold(guided))
    for way, denoiser, clip in ((_FREE, guided, False), (_STATIC, guided, True), (_DYNAMIC, bounded, True)):
        with study.page.group(f"Pictures: {way}"):
            sample = study.titled(f"{way}: sampler", samplers.ddim_sampler(denoiser, glide.steps, start, clip=clip))
            picture = images.sample_to_image(sample)
        study.judge(way, picture, prompt, ruler)


CLAIMS: Mapping[str, Claim] = {
    "guidance-interval": Claim(
        interval_and_renoising,
        "Guidance in the middle of a run, or one that steps with the unconditional noise, keeps the diversity that "
        "plain guidance at a large scale loses.",
        "Kynkäänniemi et al. 2024, section 4; CFG++ (Chung et al. 2024), section 4",
        (
            Expected("diversity", _WITHIN, _PLAIN),
            Expected("diversity", _RENOISED, _PLAIN),
            Expected("judge", _WITHIN, _PLAIN),
        ),
        (parts.GLIDE, parts.CLIP),
    ),
    "thresholds": Claim(
        thresholds,
        "At large scales predicted samples leave their bounds: clipping them helps, and scaling them into their bounds "
        "helps more.",
        "Imagen (Saharia et al. 2022), section 2.3",
        (
            Expected("judge", _STATIC, _FREE),
            Expected("judge", _DYNAMIC, _STATIC),
            Expected("CLIP score", _DYNAMIC, _STATIC),
        ),
        (parts.GLIDE, parts.CLIP),
    ),
}
