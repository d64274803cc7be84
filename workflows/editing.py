"""Edits by words and guidance beyond the classifier-free, each as a workflow on a mini that we trained."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from ..nodes import (
    glide,
    guidance,
    guidance_attention,
    guidance_plot,
    images,
    prompt_editing,
    samplers,
    schedules,
    values,
)
from . import parts
from .page import Page, Shipped
from .parts import Glide, sheet

_SOURCE = "a red cube left of a blue sphere"
# What is done, the target prompt, the word that it is about, and words with weights.
_EDITS = (
    ("replace", "a green cube left of a blue sphere", "green", ""),
    ("refine", "a red cube left of a blue sphere on slate ground", "slate ground", ""),
    ("reweight", _SOURCE, "blue", "blue: -2"),
)


def prompt_to_prompt(page: Page) -> None:
    """A word is swapped, a phrase is added and a word is weighed in a picture's prompt, with the layout kept."""
    loaded = Glide.load(page, "50")
    with page.group("A picture and its noise"):
        source = page.titled("Source prompt", values.text(_SOURCE))
        guided = loaded.guided(source, "Source")
        start = page.titled("Noise", samplers.noise_start(guided, 32, 32, seed=1))
        twice = page.titled("Twice", prompt_editing.repeat_start(start, 2))
    every = []
    for way, prompt, word, weights in _EDITS:
        with page.group(f"{way.capitalize()} (Hertz et al. 2022, section 3)"):
            target = page.titled(f"Target prompt: {way}", values.text(prompt))
            mode = "keep" if way == "reweight" else way
            changes = prompt_editing.prompt_to_prompt(
                guided, loaded.model, loaded.steps, source, target, mode, weights=weights
            )
            edit = page.titled(f"Edit: {way}", changes)
            pair = page.titled(f"Source and edit: {way}", samplers.ddim_sampler(edit, loaded.steps, twice))
        with page.group(f"{way.capitalize()}: without the source's attention, and where the word acts"):
            own = loaded.conditional(target, f"Target: {way}")
            if weights:
                own = page.titled("Weigh words", prompt_editing.weigh_words(own, loaded.model, target, weights))
            alone = page.titled(f"Guidance: {way}", guidance.classifier_free_guidance(own, loaded.unconditional, 4.0))
            anew = page.titled(f"Prompted anew: {way}", samplers.ddim_sampler(alone, loaded.steps, start))
            shown = prompt_editing.show_words(own, loaded.model, loaded.steps, start, target, word, width=32, height=32)
            maps = page.titled(f"Where the word acts: {way}", shown)
            every += [images.sample_to_image(pair), images.sample_to_image(anew), maps]
    with page.group("All of them"):
        pictures = page.titled("Pictures", reduce(images.concatenate_images, every))
    rows = "\n".join(way for way, *_ in _EDITS)
    sheet(page, pictures, "prompt-to-prompt", 4, rows, "source\nedit\nprompted anew\nwhere the word acts", side=128)


def perturbed_attention(page: Page) -> None:
    """Guidance that needs no empty text, and the lengths and angles of what it combines."""
    with page.group("Without an empty text (Ahn et al. 2024)"):
        checkpoint = page.titled("GLIDE", glide.load_glide(parts.file(parts.GLIDE)))
        steps = page.titled("Steps", schedules.respace(checkpoint.schedule, "50"))
        text = page.titled(
            "Prompt", glide.glide_text_encoder(checkpoint.model, "a small green cone above a large blue cube")
        )
        denoiser = page.titled("Denoiser", glide.glide_denoiser(checkpoint.model, text))
        guided = page.titled("Guidance", guidance_attention.perturbed_attention_guidance(denoiser, 1.0, "all"))
    with page.group("The same noise with and without"):
        start = page.titled("Noise", samplers.noise_start(guided, 32, 32, batch=2, seed=0))
        plain = page.titled("Without guidance", samplers.ddim_sampler(denoiser, steps, start))
        sample = page.titled("With guidance", samplers.ddim_sampler(guided, steps, start))
        both = images.concatenate_images(images.sample_to_image(plain), images.sample_to_image(sample))
        large = page.titled("Both", images.image_grid(images.resize_image(both, 254, 254, "bicubic"), 2, 4))
    with page.group("What is combined, step by step"):
        plots = page.titled(
            "Norms and angles", guidance_plot.plot_guidance(guided, steps, start, width=512, height=256)
        )
        tall = page.titled(
            "Plots", images.image_grid(images.concatenate_images(plots.norms, plots.angles), columns=1, gap=0)
        )
    with page.group("Pictures"):
        wide = page.titled("Beside one another", images.concatenate_images(large, tall))
        page.titled("Save", images.save_image(page.titled("Sheet", images.image_grid(wide, 2)), "perturbed-attention"))


WORKFLOWS: Mapping[str, Shipped] = {
    "prompt-to-prompt": Shipped(
        prompt_to_prompt,
        "Prompt-to-prompt (Hertz et al. 2022): a word of the prompt is swapped, a phrase is added, or a word is "
        "weighed, and the new picture's attention is made from the old one's. Beside each edit what its prompt makes "
        "of the same noise by itself, and where its word acts.\n\nThe windows say how long attention is the source's. "
        "Replace wants prompts of as many words, refine takes any.",
        (parts.GLIDE,),
    ),
    "perturbed-attention": Shipped(
        perturbed_attention,
        "Perturbed-attention guidance (Ahn et al. 2024): away from what the network predicts where its own attention "
        "mixes nothing. It needs no empty text. Above without, below with guidance; beside them what is combined.",
        (parts.GLIDE,),
    ),
}
