"""Imagen's cascade as a workflow: T5's text, a first stage under a dynamic threshold, and a noised second stage."""

from __future__ import annotations

from collections.abc import Mapping

from ..nodes import guidance, guidance_bounds, imagen, images, samplers, schedules
from . import parts
from .page import Page, Shipped
from .parts import file, sheet

T5, BASE, UPSAMPLER = ("mini-t5", "mini-imagen-base", "mini-imagen-upsampler")
_BATCH, _LEVEL = 3, 0.1


def cascade(page: Page) -> None:
    """One prompt through two stages, both guided, both bounded."""
    with page.group("The text, by a frozen T5 (Saharia et al. 2022, section 2.1)"):
        encoder = page.titled("T5", imagen.load_t5_text_encoder(file(T5)))
        text = page.titled("Prompt", imagen.t5_text(encoder, parts.CUBE_AND_SPHERE))
        empty = page.titled("Empty prompt", imagen.t5_text(encoder, ""))
    with page.group("32 pixels: strong guidance, bounded by a percentile (section 2.3)"):
        first = page.titled("First stage", imagen.load_imagen_stage(file(BASE)))
        steps = page.titled("Steps", schedules.respace(first.schedule, "50"))
        towards, away = (
            page.titled(title, imagen.imagen_denoiser(first.model, said))
            for title, said in (("Conditional", text), ("Unconditional", empty))
        )
        guided = page.titled("Guidance", guidance.classifier_free_guidance(towards, away, 5.0))
        bounded = page.titled("Dynamic threshold", guidance_bounds.dynamic_threshold(guided, 0.95, 1.5))
        start = page.titled("Noise", samplers.noise_start(bounded, 32, 32, batch=_BATCH, seed=0))
        sample = samplers.ddim_sampler(bounded, steps, start, eta=1.0, clip=False)
        small = page.titled("Sampler", sample)
    with page.group("64 pixels: the small picture noised, and the level told (section 2.4)"):
        second = page.titled("Second stage", imagen.load_imagen_stage(file(UPSAMPLER)))
        few = page.titled("Steps of the second stage", schedules.respace(second.schedule, "25"))
        upwards, plainly = (
            page.titled(
                f"{title} at 64",
                imagen.imagen_upsampler_denoiser(second.model, said, small, 64, 64, _LEVEL, seed=1),
            )
            for title, said in (("Conditional", text), ("Unconditional", empty))
        )
        sharper = page.titled("Guidance at 64", guidance.classifier_free_guidance(upwards, plainly, 4.0))
        large_start = page.titled("Noise at 64", samplers.noise_start(sharper, 64, 64, batch=_BATCH, seed=2))
        large = page.titled("Sampler at 64", samplers.ddim_sampler(sharper, few, large_start, eta=1.0))
    with page.group("Side by side, the pixels as they are"):
        shown = [
            page.titled(title, images.resize_image(images.sample_to_image(one), 256, 256, "nearest"))
            for title, one in (("At 32", small), ("At 64", large))
        ]
        every = page.titled("Both", images.concatenate_images(*shown))
    sheet(page, every, "imagen-cascade", _BATCH, "32 px\n64 px", side=256)


WORKFLOWS: Mapping[str, Shipped] = {
    "imagen-cascade": Shipped(
        cascade,
        "Imagen (Saharia et al. 2022) in DeepFloyd IF's form: a frozen T5 reads the prompt, the first stage draws 32 "
        "pixels under strong guidance that a dynamic threshold bounds, and the second stage doubles the side.\n\n"
        "The second stage, guided with 4 and clipped, sees the small picture noised, and is told how much: more noise "
        "hides more of it, mistakes and details alike.",
        (T5, BASE, UPSAMPLER),
    ),
}
