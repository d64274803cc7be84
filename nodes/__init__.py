"""What a user wires: one file per component family, each node a declaration and a few lines."""

from .glide import glide_denoiser, glide_empty_text, glide_text_encoder, load_glide
from .guidance import classifier_free_guidance
from .images import (
    batch_images,
    concatenate_images,
    image_grid,
    image_to_sample,
    load_image,
    resize_image,
    sample_to_image,
    save_image,
)
from .samplers import ancestral_sampler, ddim_inversion, ddim_sampler, noise_start, noised_start
from .schedules import noise_schedule, respace
from .values import integer, number, pick, seed, seed_list, show_text, switch, text, text_list

__all__ = [
    "ancestral_sampler",
    "batch_images",
    "classifier_free_guidance",
    "concatenate_images",
    "ddim_inversion",
    "ddim_sampler",
    "glide_denoiser",
    "glide_empty_text",
    "glide_text_encoder",
    "image_grid",
    "image_to_sample",
    "integer",
    "load_glide",
    "load_image",
    "noise_schedule",
    "noise_start",
    "noised_start",
    "number",
    "pick",
    "resize_image",
    "respace",
    "sample_to_image",
    "save_image",
    "seed",
    "seed_list",
    "show_text",
    "switch",
    "text",
    "text_list",
]
