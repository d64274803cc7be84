"""What a user wires: one file per component family, each node a declaration and a few lines."""

from .autoencoders import decode_latents, encode_latents, load_autoencoder
from .glide import glide_denoiser, glide_empty_text, glide_text_encoder, load_glide
from .glide_editing import glide_inpainting_denoiser, glide_upsample, glide_upsampler_denoiser, known_region
from .guidance import (
    adaptive_projected_guidance,
    autoguidance,
    cfg_plus_plus_guidance,
    classifier_free_guidance,
    frequency_decoupled_guidance,
    magnitude_aware_guidance,
    tangential_guidance,
    zero_star_guidance,
)
from .guidance_bounds import (
    dynamic_threshold,
    noise_level_interval,
    rescale_guidance,
    scale_schedule,
    static_threshold,
)
from .guidance_conditions import (
    annealed_condition,
    composable_guidance,
    image_and_text_guidance,
    negative_prompt_guidance,
    perpendicular_negative_guidance,
)
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
from .latent_conditions import (
    class_condition,
    encode_prompt,
    load_bert_text_encoder,
    load_class_embedder,
    load_clip_text_encoder,
)
from .latent_diffusion import latent_denoiser, latent_inpainting_denoiser, load_latent_denoiser
from .noised_clip import load_noised_clip, noised_clip_guidance, noised_clip_text_encoder
from .samplers import ancestral_sampler, ddim_inversion, ddim_sampler, noise_start, noised_start
from .schedules import noise_schedule, respace
from .values import integer, number, pick, seed, seed_list, show_text, switch, text, text_list

__all__ = [
    "adaptive_projected_guidance",
    "ancestral_sampler",
    "annealed_condition",
    "autoguidance",
    "batch_images",
    "cfg_plus_plus_guidance",
    "class_condition",
    "classifier_free_guidance",
    "composable_guidance",
    "concatenate_images",
    "ddim_inversion",
    "ddim_sampler",
    "decode_latents",
    "dynamic_threshold",
    "encode_latents",
    "encode_prompt",
    "frequency_decoupled_guidance",
    "glide_denoiser",
    "glide_empty_text",
    "glide_inpainting_denoiser",
    "glide_text_encoder",
    "glide_upsample",
    "glide_upsampler_denoiser",
    "image_and_text_guidance",
    "image_grid",
    "image_to_sample",
    "integer",
    "known_region",
    "latent_denoiser",
    "latent_inpainting_denoiser",
    "load_autoencoder",
    "load_bert_text_encoder",
    "load_class_embedder",
    "load_clip_text_encoder",
    "load_glide",
    "load_image",
    "load_latent_denoiser",
    "load_noised_clip",
    "magnitude_aware_guidance",
    "negative_prompt_guidance",
    "noise_level_interval",
    "noise_schedule",
    "noise_start",
    "noised_clip_guidance",
    "noised_clip_text_encoder",
    "noised_start",
    "number",
    "perpendicular_negative_guidance",
    "pick",
    "rescale_guidance",
    "resize_image",
    "respace",
    "sample_to_image",
    "save_image",
    "scale_schedule",
    "seed",
    "seed_list",
    "show_text",
    "static_threshold",
    "switch",
    "tangential_guidance",
    "text",
    "text_list",
    "zero_star_guidance",
]
