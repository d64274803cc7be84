"""Claims about GLIDE: ways of guidance, its scale, and inversion."""

from __future__ import annotations

from collections.abc import Mapping

from ...diffusion.denoiser import Denoiser
from ...nodes import (
    clip_guiding,
    images,
    measures,
    noised_clip,
    samplers,
    scene_world,
    schedules,
)
from ...nodes.sockets import Image, Start
from .. import parts
from ..parts import Glide, file
from .study import Claim, Expected, Study

_FREE, _NOISED, _ORDINARY, _NONE = ("classifier-free", "noised CLIP", "ordinary CLIP", "text alone")


def drawn(study: Study, glide: Glide, way: str, denoiser: Denoiser, start: Start) -> Image:
    """Pictures of a way, by DDIM with the noise of ancestral sampling."""
    sample = samplers.ddim_sampler(denoiser, glide.steps, start, eta=1.0)
    return images.sample_to_image(study.titled(f"{way}: sampler", sample))


def same_noise(study: Study, denoiser: Denoiser, seed: int) -> Start:
    """The noise that all ways start from."""
    with study.page.group("The same noise for all"):
        return study.titled("Noise", samplers.noise_start(denoiser, 32, 32, batch=study.pictures, seed=seed))


def _by_noised_clip(study: Study, prompt: str, denoiser: Denoiser, scale: float) -> Denoiser:
    loaded = noised_clip.load_noised_clip(file(parts.NOISED), file(parts.NOISED_TEXT))
    towers = study.titled("Noised CLIP", loaded)
    wanted = study.titled("Noised CLIP's text", noised_clip.noised_clip_text_encoder(towers, prompt))
    return study.titled("By noised CLIP", noised_clip.noised_clip_guidance(denoiser, towers, wanted, scale))


def classifier_free_or_clip(study: Study) -> None:
    """Two guidances of one text-conditional denoiser."""
    prompt, seed = study.prompts()
    glide = Glide.load(study.page, "20")
    ruler = study.ruler(prompt)
    with study.page.group("Two guidances of one denoiser under the text"):
        conditional = glide.conditional(prompt)
        free = glide.guided(prompt, "Classifier-free")
        noised = _by_noised_clip(study, prompt, conditional, 0.003)
    start = same_noise(study, conditional, seed)
    for way, denoiser in ((_NONE, conditional), (_NOISED, noised), (_FREE, free)):
        with study.page.group(f"Pictures: {way}"):
            picture = drawn(study, glide, way, denoiser, start)
        study.judge(way, picture, prompt, ruler)


def noised_or_ordinary_clip(study: Study) -> None:
    """Two CLIPs guide a denoiser that sees no text."""
    prompt, seed = study.prompts(12)
    glide = Glide.load(study.page, "20")
    ruler = study.ruler(prompt)
    with study.page.group("Two CLIPs guide a denoiser that sees no text"):
        noised = _by_noised_clip(study, prompt, glide.unconditional, 0.02)
        ordinary = study.titled(
            "By an ordinary CLIP",
            clip_guiding.clip_guidance(glide.unconditional, *ruler, 15.0, cutouts=4, through_network=False, start=0.3),
        )
    start = same_noise(study, glide.unconditional, seed)
    for way, denoiser in (("no text", glide.unconditional), (_ORDINARY, ordinary), (_NOISED, noised)):
        with study.page.group(f"Pictures: {way}"):
            picture = drawn(study, glide, way, denoiser, start)
        study.judge(way, picture, prompt, ruler)
        with study.page.group(f"Metrics: {way}"):
            study.measure(way, "attributes", scene_world.judge_scenes(picture, prompt).attributes)


def guidance_scale(study: Study) -> None:
    """One text at growing scales."""
    prompt, seed = study.prompts()
    glide = Glide.load(study.page, "20")
    ruler = study.ruler(prompt)
    with study.page.group("The text"):
        conditional = glide.conditional(prompt)
    start = same_noise(study, conditional, seed)
    for scale in (1.0, 2.0, 4.0, 8.0):
        with study.page.group(f"Scale {scale:g}"):
            denoiser = conditional if scale == 1 else glide.towards(conditional, f"Scale {scale:g}: guidance", scale)
            picture = drawn(study, glide, f"scale {scale:g}", denoiser, start)
        study.judge(f"scale {scale:g}", picture, prompt, ruler)


def inversion_steps(study: Study) -> None:
    """DDIM there and back in more and more steps."""
    image, caption, _seed = study.scenes(12)
    glide = Glide.load(study.page, "20")
    with study.page.group("Scenes that no network made"):
        sample = study.titled("As a sample", images.image_to_sample(image))
        denoiser = glide.conditional(caption, "Its caption")
    for count in (10, 20, 40, 80):
        way = f"{count} steps"
        with study.page.group(f"There and back in {count} steps"):
            steps = study.titled(f"Schedule of {count}", schedules.respace(glide.schedule, str(count)))
            noise = study.titled(f"Inverted in {count}", samplers.ddim_inversion(denoiser, steps, sample, strength=0.8))
            back = study.titled(f"Back in {count}", samplers.ddim_sampler(denoiser, steps, noise, clip=False))
            again = images.sample_to_image(back)
            study.measure(way, "decibels", measures.pixel_error(image, again).decibels)
        study.shown[way] = again


_GLIDE, _CLIPS = (parts.GLIDE, parts.CLIP), (parts.NOISED, parts.NOISED_TEXT)
CLAIMS: Mapping[str, Claim] = {
    "classifier-free-or-clip": Claim(
        classifier_free_or_clip,
        "People prefer classifier-free guidance to guidance by CLIP, though CLIP scores its own guidance higher.",
        "GLIDE (Nichol et al. 2021), section 5.2",
        (Expected("judge", _FREE, _NOISED), Expected("CLIP score", _NOISED, _FREE)),
        (*_GLIDE, *_CLIPS),
        "The judge stands for people. Mini GLIDE is nearly always right without guidance, which leaves little room; "
        "mini noised CLIP is a short training's. Its scale was chosen on six of the prompts among 0.001, 0.003, 0.006 "
        "and 0.02: none made pictures better than the text alone, and the larger ones, which suit a denoiser that "
        "sees no text, made them far worse.",
    ),
    "noised-or-ordinary-clip": Claim(
        noised_or_ordinary_clip,
        "A CLIP that was trained on noised pictures guides better than an ordinary one.",
        "GLIDE (Nichol et al. 2021), sections 2.4 and 4.4",
        (Expected("attributes", _NOISED, _ORDINARY), Expected("CLIP score", _NOISED, _ORDINARY)),
        (*_GLIDE, *_CLIPS),
        "The guided denoiser sees no text: all that pictures show of it comes from CLIP. The ordinary CLIP is shown "
        "four cutouts of the predicted x_0, and is also the ruler, which favours it. Attributes are the share of those "
        "stated that are right, as hardly a picture is right in all.",
    ),
    "guidance-scale": Claim(
        guidance_scale,
        "A larger guidance scale trades diversity for fidelity.",
        "GLIDE (Nichol et al. 2021), section 5.2; Ho & Salimans 2022, section 4",
        (
            Expected("diversity", "scale 1", "scale 4"),
            Expected("diversity", "scale 4", "scale 8"),
            Expected("CLIP score", "scale 4", "scale 1"),
            Expected("judge", "scale 4", "scale 1"),
        ),
        _GLIDE,
    ),
    "inversion-steps": Claim(
        inversion_steps,
        "The more steps DDIM takes, the nearer a picture comes back from its inverted noise.",
        "DDIM (Song et al. 2021), section 5.4 and table 2",
        (
            Expected("decibels", "20 steps", "10 steps"),
            Expected("decibels", "40 steps", "20 steps"),
            Expected("decibels", "80 steps", "40 steps"),
        ),
        (parts.GLIDE,),
        "Pictures are inverted 80 % of the way: GLIDE's schedule leaves next to no signal in x_T itself, from where no "
        "number of steps brings a picture back.",
    ),
}
