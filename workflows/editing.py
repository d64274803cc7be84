"""Edits by words and guidance beyond the classifier-free, each as a workflow on a mini that we trained."""

from __future__ import annotations

from collections.abc import Mapping

from ..interfaces.api import Workflow
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

_SOURCE, _TARGET = "a large red cube left of a small blue sphere", "a large red cone left of a small blue sphere"


def prompt_to_prompt(flow: Workflow) -> Mapping[str, list[str]]:
    """A word is swapped in a picture's prompt, with the layout kept, beside a new picture of the same noise."""
    checkpoint = flow.titled("GLIDE", glide.load_glide("mini-glide-base.safetensors"))
    model = checkpoint.model
    source = flow.titled("Source prompt", values.text(_SOURCE))
    target = flow.titled("Target prompt", values.text(_TARGET))
    texts = {
        name: flow.titled(f"{name} text", glide.glide_text_encoder(model, prompt))
        for name, prompt in (("Source", source), ("Target", target))
    }
    empty = flow.titled("Empty text", glide.glide_empty_text(model))
    unconditional = flow.titled("Unconditional", glide.glide_denoiser(model, empty))
    guided = {
        name: flow.titled(
            f"{name} guidance",
            guidance.classifier_free_guidance(
                flow.titled(f"{name} denoiser", glide.glide_denoiser(model, text)), unconditional, 4.0
            ),
        )
        for name, text in texts.items()
    }
    steps = flow.titled("Steps", schedules.respace(checkpoint.schedule, "50"))
    edit = flow.titled(
        "Edit", prompt_editing.prompt_to_prompt(guided["Source"], model, steps, source, target, "replace")
    )
    start = flow.titled("Noise", samplers.noise_start(guided["Source"], 32, 32, seed=4))
    twice = flow.titled("Twice", prompt_editing.repeat_start(start, 2))
    pair = flow.titled("Source and edit", samplers.ddim_sampler(edit, steps, twice))
    anew = flow.titled("Prompted anew", samplers.ddim_sampler(guided["Target"], steps, start))
    both = flow.titled(
        "Three pictures", images.concatenate_images(images.sample_to_image(pair), images.sample_to_image(anew))
    )
    large = flow.titled("Enlarge", images.resize_image(both, 256, 256, "bicubic"))
    flow.titled("Save", images.save_image(images.image_grid(large, columns=3, gap=4), "prompt-to-prompt"))
    return {
        "Three texts": ["Source text", "Empty text", "Target text"],
        "Guidance of either prompt (Ho & Salimans 2022)": ["Source denoiser", "Target denoiser", "Target guidance"],
        "Attention of the target from the source's (Hertz et al. 2022, section 3)": ["Edit"],
        "Source and edit from one noise": ["Source and edit"],
        "Pictures": ["Three pictures", "Enlarge", "Save"],
    }


def perturbed_attention(flow: Workflow) -> Mapping[str, list[str]]:
    """Guidance that needs no empty text, and the lengths and angles of what it combines."""
    checkpoint = flow.titled("GLIDE", glide.load_glide("mini-glide-base.safetensors"))
    prompt = flow.titled(
        "Prompt", glide.glide_text_encoder(checkpoint.model, "a small green cone above a large blue cube")
    )
    denoiser = flow.titled("Denoiser", glide.glide_denoiser(checkpoint.model, prompt))
    guided = flow.titled("Guidance", guidance_attention.perturbed_attention_guidance(denoiser, 1.0, "all"))
    steps = flow.titled("Steps", schedules.respace(checkpoint.schedule, "50"))
    start = flow.titled("Noise", samplers.noise_start(guided, 32, 32, batch=2, seed=0))
    plain = flow.titled("Without guidance", samplers.ddim_sampler(denoiser, steps, start))
    sample = flow.titled("With guidance", samplers.ddim_sampler(guided, steps, start))
    plots = flow.titled("Norms and angles", guidance_plot.plot_guidance(guided, steps, start, width=512, height=256))
    both = flow.titled("Both", images.concatenate_images(images.sample_to_image(plain), images.sample_to_image(sample)))
    large = flow.titled("Enlarge", images.resize_image(both, 256, 256, "bicubic"))
    sheet = flow.titled("Sheet", images.image_grid(large, columns=2, gap=4))
    wide = flow.titled("As wide as the plots", images.resize_image(sheet, 512, 512, "bicubic"))
    tall = images.image_grid(images.concatenate_images(plots.norms, plots.angles), columns=1, gap=0)
    square = images.resize_image(flow.titled("Plots", tall), 512, 512, "bicubic")
    whole = flow.titled("Whole", images.image_grid(images.concatenate_images(wide, square), columns=2))
    flow.titled("Save", images.save_image(whole, "perturbed-attention"))
    return {
        "Without an empty text (Ahn et al. 2024)": ["Denoiser", "Guidance"],
        "The same noise with and without, and what is combined": ["Without guidance", "Norms and angles"],
        "Pictures": ["Both", "Plots", "Enlarge"],
        "Sheet": ["Sheet", "Whole", "Save"],
    }
