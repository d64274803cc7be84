"""Edits by words and guidance beyond the classifier-free, each as a workflow on a mini that we trained."""

from __future__ import annotations

from collections.abc import Mapping

from ..nodes import glide, guidance_attention, guidance_plot, images, prompt_editing, samplers, schedules, values
from . import parts
from .page import Page, Shipped
from .parts import Glide, sheet

_TEXTS = {
    "Source": "a large red cube left of a small blue sphere",
    "Target": "a large red cone left of a small blue sphere",
}


def prompt_to_prompt(page: Page) -> None:
    """A word is swapped in a picture's prompt, with the layout kept, beside a new picture of the same noise."""
    loaded = Glide.load(page, "50")
    with page.group("Two prompts, and guidance towards each"):
        prompts = {name: page.titled(f"{name} prompt", values.text(text)) for name, text in _TEXTS.items()}
        guided = {name: loaded.guided(prompt, name) for name, prompt in prompts.items()}
    with page.group("Attention of the target from the source's (Hertz et al. 2022, section 3)"):
        source, target = prompts["Source"], prompts["Target"]
        edit = page.titled(
            "Edit",
            prompt_editing.prompt_to_prompt(guided["Source"], loaded.model, loaded.steps, source, target, "replace"),
        )
    with page.group("From one noise: source, edit, and the target by itself"):
        start = page.titled("Noise", samplers.noise_start(guided["Source"], 32, 32, seed=4))
        twice = page.titled("Twice", prompt_editing.repeat_start(start, 2))
        pair = page.titled("Source and edit", samplers.ddim_sampler(edit, loaded.steps, twice))
        anew = page.titled("Prompted anew", samplers.ddim_sampler(guided["Target"], loaded.steps, start))
        pictures = images.concatenate_images(images.sample_to_image(pair), images.sample_to_image(anew))
        page.titled("Three pictures", pictures)
    sheet(page, pictures, "prompt-to-prompt", heads="source\nedit\nprompted anew", side=256)


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
        "Prompt-to-prompt (Hertz et al. 2022): a word of the prompt is swapped, and the new picture's attention is "
        "made from the old one's. Left the source, in the middle the edit, right the new prompt by itself from the "
        "same noise.\n\nThe windows say how long attention is the source's. A prompt of another length wants refine.",
        (parts.GLIDE,),
    ),
    "perturbed-attention": Shipped(
        perturbed_attention,
        "Perturbed-attention guidance (Ahn et al. 2024): away from what the network predicts where its own attention "
        "mixes nothing. It needs no empty text. Above without, below with guidance; beside them what is combined.",
        (parts.GLIDE,),
    ),
}
