"""A claim about cascades: the noise in what a second stage sees, and being told how much of it there is."""

from __future__ import annotations

from collections.abc import Mapping

from ...nodes import imagen, images, measures, samplers, scene_world, schedules, unclip_upsampling, values
from ..imagen_pages import T5, UPSAMPLER
from ..parts import file
from .study import Claim, Expected, Study

_CLEAN, _TOLD, _UNTOLD, _TOO_MUCH = "level 0", "level 0.3", "level 0.3, told 0", "level 0.3, told 0.39"
# The level of the noise, and what the second stage is told where it is not the truth. It was trained up to 0.4.
_LEVELS: Mapping[str, tuple[float, float | None]] = {
    _CLEAN: (0.0, None),
    _TOLD: (0.3, None),
    _UNTOLD: (0.3, 0.0),
    _TOO_MUCH: (0.3, 0.39),
}
_FROM_CLEAN, _FROM_DEGRADED = "dB from clean", "dB from degraded"


def noise_level(study: Study) -> None:
    """Small pictures enlarged without noise, with noise of a level that is told, and with a wrong level told."""
    picture, caption, seeds = study.scenes(24, 9000, side=64)
    with study.page.group("The same scenes at half the side, clean and degraded"):
        clean = images.image_to_sample(study.titled("Small", scene_world.render_scene(seeds, 32)).image)
        degraded = study.titled("Degraded", unclip_upsampling.degrade_sample(clean, 1.0, seed=seeds))
    with study.page.group("A second stage under the caption (Saharia et al. 2022, sections 2.3 and 2.4)"):
        encoder = study.titled("T5", imagen.load_t5_text_encoder(file(T5)))
        text = study.titled("Text", imagen.t5_text(encoder, caption))
        stage = study.titled("Second stage", imagen.load_imagen_stage(file(UPSAMPLER)))
        steps = study.titled("Steps", schedules.respace(stage.schedule, "10"))
    for way, (level, told) in _LEVELS.items():
        wrong = None if told is None else study.titled(f"Told {told:g}", values.number(told))
        for metric, small in ((_FROM_CLEAN, clean), (_FROM_DEGRADED, degraded)):
            with study.page.group(f"{metric.removeprefix('dB ').capitalize()}: {way}"):
                seen = imagen.imagen_upsampler_denoiser(stage.model, text, small, 64, 64, level, seeds, told=wrong)
                start = samplers.noise_start(seen, 64, 64, seed=seeds)
                sample = study.titled(f"{way}, {metric}: sampler", samplers.ddim_sampler(seen, steps, start))
                large = images.sample_to_image(sample)
                study.measure(way, metric, measures.pixel_error(large, picture).decibels)
            if metric == _FROM_CLEAN:
                study.shown[way] = large


CLAIMS: Mapping[str, Claim] = {
    "noise-level": Claim(
        noise_level,
        "A second stage sees the small picture noised: told how much, it keeps what the noise leaves, and the noise "
        "hides the small picture's mistakes.",
        "Imagen (Saharia et al. 2022), section 2.4 and appendix A.1",
        (
            Expected(_FROM_CLEAN, _TOLD, _UNTOLD),
            Expected(_FROM_CLEAN, _TOLD, _TOO_MUCH),
            Expected(_FROM_CLEAN, _CLEAN, _TOLD),
            Expected(_FROM_DEGRADED, _TOLD, _CLEAN),
        ),
        (T5, UPSAMPLER),
        "Decibels against the scene rendered at 64 pixels. The small pictures are renders at 32 pixels, clean, or "
        "blurred, resampled, grained and compressed at random in place of a first stage's mistakes: a kind that this "
        "second stage was trained on as well, so that it needs no noise against them.",
    ),
}
