"""An example of every node: tiny real inputs, from which the registry test runs it.

A new node needs one line in EXAMPLES: its Python name, and a function that makes its inputs from `Materials`. Inputs
that are left out keep their defaults; a node without inputs that need a value has `just()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from glidewire.diffusion import guidance
from glidewire.diffusion.guidance import ScaleSchedule
from glidewire.nodes.sockets import PIXELS, Condition, Sample, Start
from glidewire.nodes.token_sockets import TokenStart
from node_materials import CLIP, CODEBOOK, Materials

Example = Callable[[Materials], dict[str, Any]]


def just(**inputs: Any) -> Example:
    """An example that needs no materials."""
    return lambda _: inputs


def _walk(materials: Materials, batch: int = 2) -> dict[str, Any]:
    return {"denoiser": materials.denoiser(), "schedule": materials.schedule, "start": materials.start(batch)}


def _token_walk(materials: Materials) -> dict[str, Any]:
    start = TokenStart(materials.tokens(2).tensor, CODEBOOK, seeds=(3, 3))
    return {"denoiser": materials.token_denoiser(), "start": start, "steps": 3}


def _token_edit(materials: Materials) -> dict[str, Any]:
    return {"denoiser": materials.token_denoiser(), "tokens": materials.tokens(2), "seed": 7}


def _pair(materials: Materials) -> dict[str, Any]:
    return {"conditional": materials.denoiser(), "unconditional": materials.denoiser("")}


EXAMPLES: dict[str, Example] = {
    # glide
    "load_glide": lambda m: {"checkpoint": m.checkpoint},
    "glide_text_encoder": lambda m: {"model": m.glide, "prompt": "a small green cone"},
    "glide_empty_text": lambda m: {"model": m.glide},
    "glide_denoiser": lambda m: {"model": m.glide, "text": m.text()},
    # glide_editing
    "glide_inpainting_denoiser": lambda m: {
        "model": m.glide_variant("inpaint"),
        "text": m.text(),
        "image": m.picture(1),
        "mask": m.mask(),
    },
    "known_region": lambda m: {"denoiser": m.denoiser(), "sample": m.sample(), "mask": m.mask()},
    "glide_upsampler_denoiser": lambda m: {
        "model": m.glide_variant("upsample-inpaint"),
        "text": m.text(),
        "sample": Sample(m.pixels(1, 8)),
        "image": m.picture(1),
        "mask": m.mask(),
    },
    "glide_upsample": lambda m: {
        "denoiser": m.upsampler(),
        "schedule": m.schedule,
        "width": 16,
        "height": 24,
        "spacing": "2",
    },
    # noised_clip
    "load_noised_clip": lambda m: m.noised_clip_files,
    "noised_clip_text_encoder": lambda m: {"model": m.noised_clip, "prompt": "a red cube"},
    "noised_clip_guidance": lambda m: {
        "denoiser": m.denoiser(""),
        "model": m.noised_clip,
        "text": Condition({"noised_clip_text": torch.ones(1, 6)}),
    },
    # autoencoders
    "load_autoencoder": lambda m: {"checkpoint": m.autoencoder_file},
    "encode_latents": lambda m: {"autoencoder": m.autoencoder, "image": m.picture()},
    "decode_latents": lambda m: {"autoencoder": m.autoencoder, "sample": m.latents()},
    # latent_conditions
    "load_clip_text_encoder": lambda m: {"checkpoint": m.clip_text_file},
    "load_bert_text_encoder": lambda m: m.bert_files,
    "encode_prompt": lambda m: {"encoder": m.text_encoder, "prompt": "a red cube"},
    "load_class_embedder": lambda m: {"checkpoint": m.class_file},
    "class_condition": lambda m: {"embedder": m.classes, "label": 2},
    # latent_diffusion
    "load_latent_denoiser": lambda m: {"checkpoint": m.latent_file()},
    "latent_denoiser": lambda m: {"model": m.latent_model(), "condition": m.latent_text()},
    "latent_inpainting_denoiser": lambda m: {
        "model": m.latent_model(9),
        "autoencoder": m.autoencoder,
        "image": m.picture(1),
        "mask": m.mask(),
        "condition": m.latent_text(),
    },
    # guidance
    "classifier_free_guidance": _pair,
    "cfg_plus_plus_guidance": _pair,
    "autoguidance": lambda m: {"good": m.denoiser(), "bad": m.denoiser("")},
    "adaptive_projected_guidance": _pair,
    "zero_star_guidance": lambda m: {**_pair(m), "schedule": ScaleSchedule(4.0, 1.0)},
    "tangential_guidance": _pair,
    "magnitude_aware_guidance": _pair,
    "frequency_decoupled_guidance": _pair,
    "composable_guidance": lambda m: {
        "unconditional": m.denoiser(""),
        "first": m.denoiser(),
        "third": m.denoiser("a cone"),
        "third_weight": -1.0,
    },
    "negative_prompt_guidance": lambda m: {**_pair(m), "negative": m.denoiser("a cone")},
    "perpendicular_negative_guidance": lambda m: {**_pair(m), "negative": m.denoiser("a cone")},
    "image_and_text_guidance": lambda m: {
        "image_and_text": m.denoiser(),
        "image": m.denoiser("a cone"),
        "unconditional": m.denoiser(""),
    },
    "annealed_condition": lambda m: {"denoiser": m.denoiser(), "batch": 2, "levels": 4},
    "plot_guidance": lambda m: {
        **_walk(m),
        "denoiser": guidance.classifier_free(m.denoiser(), m.denoiser(""), 3.0),
        "width": 240,
        "height": 160,
    },
    "plot_token_guidance": lambda m: {
        **_token_walk(m),
        "denoiser": guidance.classifier_free(m.token_denoiser(), m.token_denoiser(6), 3.0),
        "width": 240,
        "height": 160,
    },
    "perturbed_attention_guidance": lambda m: {"denoiser": m.denoiser()},
    "skip_layer_guidance": lambda m: {"denoiser": m.denoiser()},
    "smoothed_energy_guidance": lambda m: {"denoiser": m.denoiser(), "sigma": 1.0},
    "self_attention_guidance": lambda m: {"denoiser": m.denoiser(), "schedule": m.schedule},
    "rescale_guidance": lambda m: {"guided": m.denoiser(), "conditional": m.denoiser("")},
    "dynamic_threshold": lambda m: {"denoiser": m.denoiser()},
    "static_threshold": lambda m: {"denoiser": m.denoiser()},
    "scale_schedule": just(first=7.0, last=1.0, shape="cosine"),
    "noise_level_interval": lambda m: {"schedule": m.schedule},
    # images
    "load_image": lambda m: {"file": m.picture_file},
    "save_image": lambda m: {"image": m.picture()},
    "resize_image": lambda m: {"image": m.picture(), "width": 9, "height": 5},
    "image_grid": lambda m: {"images": m.picture(3)},
    "concatenate_images": lambda m: {"first": m.picture(1), "second": m.picture(2), "third": m.picture(1)},
    "batch_images": lambda m: {"images": [m.picture(1), m.picture(2)]},
    "image_to_sample": lambda m: {"image": m.picture()},
    "sample_to_image": lambda m: {"sample": m.sample()},
    # paella
    "load_paella": lambda m: {
        "checkpoint": m.paella_file(m.paella.network),
        "codebook": CODEBOOK,
        "clip": CLIP,
    },
    "load_token_autoencoder": lambda m: {"checkpoint": m.paella_file(m.token_autoencoder.network)},
    "encode_tokens": lambda m: {"autoencoder": m.token_autoencoder, "image": m.picture()},
    "decode_tokens": lambda m: {"autoencoder": m.token_autoencoder, "tokens": m.tokens()},
    "paella_denoiser": lambda m: {"model": m.paella, "text": m.embedding()},
    "token_noise_start": lambda m: {"denoiser": m.token_denoiser(), "columns": 4, "rows": 8, "batch": 2},
    "token_inpainting_start": lambda m: {
        **_token_edit(m),
        "mask": torch.eye(4).repeat_interleave(4, 1).repeat_interleave(4, 0)[None],
    },
    "token_outpainting_start": lambda m: {**_token_edit(m), "right": 2, "above": 4},
    "token_edit_start": _token_edit,
    "paella_sampler": _token_walk,
    "paella_linear_sampler": _token_walk,
    # clip and unclip
    "load_clip": lambda m: {"checkpoint": m.clip_file, "name": CLIP, "activation": "gelu"},
    "clip_text_embedding": lambda m: {"model": m.clip, "prompt": "a red cube"},
    "clip_image_embedding": lambda m: {"model": m.clip, "image": m.picture(2, 9, 12)},
    "interpolate_embeddings": lambda m: {"first": m.embedding(2), "second": m.embedding(1, 6)},
    "text_difference": lambda m: {"image": m.embedding(2), "source": m.embedding(1, 6), "target": m.embedding(1, 7)},
    "rerank_embeddings": lambda m: {"candidates": m.embedding(4), "text": m.embedding(1, 6)},
    "load_unclip_prior": lambda m: {"checkpoint": m.unclip_file(m.unclip_prior.network), "clip": CLIP},
    "unclip_prior_denoiser": lambda m: {"model": m.unclip_prior, "text": m.clip_text()},
    "unclip_prior_sampler": lambda m: {
        "model": m.unclip_prior,
        "denoiser": m.prior_denoiser(),
        "schedule": m.schedule,
        "candidates": 2,
    },
    "load_unclip_decoder": lambda m: {"checkpoint": m.unclip_file(m.unclip_decoder.network, "published"), "clip": CLIP},
    "unclip_decoder_denoiser": lambda m: {"model": m.unclip_decoder, "image": m.embedding(2), "text": m.clip_text()},
    # prompt_editing
    "weighted_prompt": lambda m: {"encoder": m.text_encoder, "prompt": "a (red:1.3) cube"},
    "weigh_words": lambda m: {
        "denoiser": m.latent_denoiser(),
        "encoder": m.text_encoder,
        "prompt": "a red cube",
        "weights": "red: 1.5",
        "region": m.mask(),
    },
    "show_words": lambda m: {
        **_walk(m),
        "encoder": m.glide,
        "prompt": "a red cube",
        "words": "red, cube",
        "width": 32,
        "height": 16,
    },
    "prompt_to_prompt": lambda m: {
        "denoiser": m.latent_denoiser(),
        "encoder": m.text_encoder,
        "schedule": m.schedule,
        "source": "a red cube",
        "target": "a blue cube",
        "blend_source": "red",
        "blend_target": "blue",
    },
    "repeat_start": lambda m: {"start": m.start(1), "count": 3},
    # imagen
    "load_t5_text_encoder": lambda m: m.t5_files,
    "t5_text": lambda m: {"encoder": m.t5, "prompt": "red"},
    "load_imagen_stage": lambda m: {"checkpoint": m.imagen_file()},
    "imagen_denoiser": lambda m: {"model": m.imagen(), "text": m.t5_text()},
    "imagen_upsampler_denoiser": lambda m: {
        "model": m.imagen(True),
        "text": m.t5_text(),
        "sample": m.sample(2),
        "width": 32,
        "height": 24,
        "told": 0.1,
    },
    # bottleneck
    "load_pixel_denoiser": lambda m: {"checkpoint": m.pixel_file},
    "load_h_direction": lambda m: {"checkpoint": m.direction_file()},
    "add_h_directions": lambda m: {"first": m.direction(), "third": m.direction(), "third_scale": -0.5},
    "edit_h_space": lambda m: {
        "denoiser": m.denoiser(),
        "direction": m.direction(),
        "schedule": m.schedule,
        "t_edit": 1,
    },
    "edit_timesteps": just(predicted="300 0.2\n500 0.31\n700 0.5", noised="100 0.9\n200 1.3"),
    "boosted_sampler": lambda m: {**_walk(m), "t_boost": 2},
    "mean_h_direction": lambda m: {**_walk(m), "direction": m.direction(), "t_edit": 1},
    # control
    "load_control_network": lambda m: {"checkpoint": m.control_file()},
    "apply_control_net": lambda m: {
        "denoiser": m.latent_denoiser(),
        "control": m.control(),
        "hint": m.picture(1, 64, 64),
    },
    "apply_prompt_diffusion": lambda m: {
        "denoiser": m.latent_denoiser(),
        "control": m.control(3),
        "source": m.picture(1, 64, 64),
        "target": m.picture(1, 64, 64, 2),
        "query": m.picture(2, 64, 64, 3),
    },
    "prompt_diffusion_task": just(task="image to depth"),
    # image_prompts
    "load_ip_adapter": lambda m: {"checkpoint": m.ip_adapter_file},
    "load_image_encoder": lambda m: {"checkpoint": m.clip_file, "activation": "gelu"},
    "encode_image_prompt": lambda m: {"adapter": m.ip_adapter, "encoder": m.image_encoder, "image": m.picture(2)},
    "encode_face_prompt": lambda m: {"adapter": m.face_adapter, "face": m.face_file},
    "apply_ip_adapter": lambda m: {
        "denoiser": m.latent_denoiser(),
        "adapter": m.ip_adapter,
        "prompt": m.image_prompt(),
        "layers": "style transfer",
        "region": m.mask(),
    },
    "join_image_prompts": lambda m: {"first": m.image_prompt(), "second": m.image_prompt(6)},
    "save_h_direction": lambda m: {"direction": m.mean_direction()},
    "save_image_prompt": lambda m: {"prompt": m.image_prompt()},
    "load_image_prompt": lambda m: {"file": m.image_prompt_file},
    # sampling
    "noise_start": lambda m: {"denoiser": m.denoiser(), "width": 8, "height": 16, "batch": 2, "seed": 7},
    "noised_start": lambda m: {"sample": m.sample(2), "schedule": m.schedule, "seed": 7},
    "ddim_inversion": lambda m: {"denoiser": m.denoiser(), "schedule": m.schedule, "sample": m.sample()},
    "ancestral_sampler": _walk,
    "sample_until": lambda m: {**_walk(m), "steps": 2},
    "ddim_sampler": lambda m: {**_walk(m), "eta": 0.5},
    "plms_sampler": lambda m: _walk(m),
    # schedules
    "noise_schedule": just(name="squaredcos_cap_v2", steps=8),
    "respace": lambda m: {"schedule": m.schedule, "spacing": "2"},
    # values
    "text": just(value="a red cube"),
    "integer": just(value=3),
    "number": just(value=0.5),
    "seed": just(value=11),
    "text_list": just(lines="a red cube\n\na blue sphere"),
    "seed_list": just(first=3, count=2),
    "pick": lambda m: {"items": [m.picture(1), m.picture(2)], "index": 1},
    "switch": lambda m: {"condition": False, "on_false": m.picture()},
    "show_text": just(value="hello"),
    "number_list": just(numbers="1, 2.5"),
    "collect_numbers": just(first=1.0, second=2.5),
    "integer_list": just(numbers="4; 8"),
    # framing
    "crop_image": lambda m: {"image": m.picture(), "left": 2, "top": 1, "width": 9, "height": 5},
    "fit_image": lambda m: {"image": m.picture(1, 8, 16), "width": 6, "height": 6},
    "extend_image": lambda m: {"image": m.picture(1), "left": 3, "below": 2},
    # masks
    "load_mask": lambda m: {"file": m.picture_file},
    "image_to_mask": lambda m: {"image": m.picture()},
    "mask_to_image": lambda m: {"mask": m.mask()},
    "box_mask": just(width=9, height=7, left=2, top=1, right=5, bottom=7),
    "colour_mask": lambda m: {"image": m.picture(), "colour": "#808080", "tolerance": 0.3},
    "brush_mask": just(strokes="3,3 9,9\n2: 12,2", width=16, height=12, radius=1.5),
    "combine_masks": lambda m: {"first": m.mask(), "second": 1 - m.mask(), "how": "first without second"},
    "invert_mask": lambda m: {"mask": m.mask()},
    "grow_mask": lambda m: {"mask": m.mask(), "pixels": 2, "softness": 1.0},
    "resize_mask": lambda m: {"mask": m.mask(), "width": 8, "height": 24},
    # figures
    "preview_image": lambda m: {"image": m.picture()},
    "labelled_grid": lambda m: {"images": m.picture(3), "labels": "a\nb", "column_labels": "c\nd", "row_labels": "e"},
    "table": just(first=[1.0, 2.0], labels=["a", "b"], second=[0.5, 0.25], names="scale, right, score"),
    "plot": just(y=[0.1, 0.4, 0.2], x=[1.0, 2.0, 4.0], names="right", title="a", width=96, height=96),
    "plot_schedule": lambda m: {"schedule": m.schedule, "width": 96, "height": 104},
    # batches
    "select_images": lambda m: {"images": m.picture(3), "items": "2, 0-1, -1"},
    "select_samples": lambda m: {"samples": m.sample(2), "items": "1"},
    "select_tokens": lambda m: {"tokens": m.tokens(2), "items": "1"},
    "select_embeddings": lambda m: {"embeddings": m.embedding(2), "items": "1"},
    "list_images": lambda m: {"images": m.picture()},
    "list_masks": lambda m: {"masks": m.mask()},
    "list_embeddings": lambda m: {"embeddings": m.embedding(4), "size": 2},
    "batch_embeddings": lambda m: {"embeddings": [m.embedding(1), m.embedding(2, 6)]},
    "repeat_images": lambda m: {"images": m.picture(), "count": 2},
    "empty_latents": lambda m: {"autoencoder": m.autoencoder, "width": 8, "height": 4},
    "empty_tokens": lambda m: {"autoencoder": m.token_autoencoder, "columns": 4, "rows": 2, "code": 3},
    # measures
    "clip_score": lambda m: {"image": m.embedding(2), "text": m.embedding(1, 6)},
    "frechet_distance": lambda m: {"real": m.embedding(6), "made": m.embedding(5, 6)},
    "precision_and_recall": lambda m: {"real": m.embedding(6), "made": m.embedding(5, 6)},
    "paired_difference": just(first=[1.0, 2.0], second=[0.5, 2.0]),
    "diversity": lambda m: {"image": m.embedding(3)},
    "retrieval_accuracy": lambda m: {"image": m.embedding(3), "text": m.embedding(3, 6)},
    "rerank_images": lambda m: {
        "image": m.picture(3),
        "embedding": m.embedding(3),
        "text": m.embedding(1, 6),
        "count": 2,
    },
    "picture_tone": lambda m: {"image": m.picture(2)},
    "pixel_error": lambda m: {"first": m.picture(2), "second": m.picture(2, seed=3), "mask": m.mask()},
    "boundary_error": lambda m: {"image": m.picture(2), "mask": m.mask()},
    # scene_world
    "render_scene": just(seed=4, size=32),
    "scene_prompts": just(count=3),
    "scene_map": lambda m: {"image": m.picture(2), "kind": "edges"},
    "judge_scenes": lambda m: {"image": m.picture(2)},
    "covered_share": lambda m: {"image": m.picture(2)},
    "layout_overlap": lambda m: {"first": m.picture(2), "second": m.picture(2)},
    # latent_pictures
    "latent_upscaling_denoiser": lambda m: {
        "model": m.latent_model(6, 0, 3),
        "image": m.picture(1, 8, 8),
    },
    "latent_depth_denoiser": lambda m: {
        "model": m.latent_model(5),
        "autoencoder": m.autoencoder,
        "depth": m.picture(1),
        "condition": m.latent_text(),
    },
    "load_box_encoder": lambda m: {"checkpoint": m.box_file},
    "encode_boxes": lambda m: {"encoder": m.boxes, "boxes": "3: 0,0 0.5,1\n7: 0.25,0.5 1,1"},
    "load_segmentation_encoder": lambda m: {"checkpoint": m.segmentation_file},
    "latent_semantic_denoiser": lambda m: {
        "model": m.latent_model(6, 0, 3),
        "encoder": m.segmentations,
        "segmentation": m.classes_picture(),
    },
    # tiling
    "encode_latents_in_tiles": lambda m: {
        "autoencoder": m.autoencoder,
        "image": m.picture(1, 96, 64),
        "tile": 64,
        "overlap": 16,
    },
    "decode_latents_in_tiles": lambda m: {
        "autoencoder": m.autoencoder,
        "sample": m.latents(),
        "tile": 64,
        "overlap": 16,
    },
    # regions
    "denoise_by_region": lambda m: {
        "background": m.denoiser(),
        "first": m.denoiser("a cone"),
        "first_mask": m.mask(),
        "third": m.denoiser(""),
        "third_mask": 1 - m.mask(),
    },
    "paella_region_denoiser": lambda m: {
        "model": m.paella,
        "background": m.embedding(),
        "first": m.embedding(1, 6),
        "first_mask": m.mask(),
    },
    "interpolate_starts": lambda m: {"first": m.start(2), "second": Start(m.pixels(2, seed=9), PIXELS, seeds=(4, 4))},
    # unclip_upsampling
    "load_unclip_upsampler": lambda m: {"checkpoint": m.unclip_file(m.unclip_upsampler.network)},
    "unclip_upsampler_denoiser": lambda m: {"model": m.unclip_upsampler, "sample": Sample(m.pixels(1, 8)), "steps": 3},
    "blur_sample": lambda m: {"sample": m.sample(2)},
    "degrade_sample": lambda m: {"sample": m.sample(2), "seed": 3},
    "denoise_in_turn": lambda m: {"first": m.denoiser(), "second": m.denoiser("")},
    # other_priors
    "load_autoregressive_prior": lambda m: {"checkpoint": m.autoregressive_prior_file},
    "autoregressive_prior_sampler": lambda m: {"model": m.autoregressive_prior, "text": m.clip_text(), "batch": 2},
    "autoregressive_prior_components": lambda m: {"model": m.autoregressive_prior},
    "load_laion_prior": lambda m: {"checkpoint": m.laion_prior_file, "clip": CLIP},
    "laion_prior_denoiser": lambda m: {"model": m.laion_prior, "text": m.wide_clip_text()},
    "laion_prior_sampler": lambda m: {
        "model": m.laion_prior,
        "denoiser": m.laion_denoiser(),
        "schedule": m.laion_prior.schedule,
        "steps": 4,
        "batch": 2,
    },
    # components
    "principal_components": lambda m: {"embeddings": m.embedding(12), "kept": 5},
    "keep_components": lambda m: {"embedding": m.embedding(2), "components": m.components(), "count": 3},
    # token_orders
    "maskgit_sampler": _token_walk,
    "halton_sampler": _token_walk,
    # clip_guiding
    "clip_guidance": lambda m: {
        "denoiser": m.denoiser(""),
        "model": m.clip,
        "text": m.embedding(1, 6),
        "cutouts": 3,
    },
    "watch_clip_score": lambda m: {"denoiser": m.denoiser(""), "model": m.clip, "text": m.embedding(1, 6)},
    "classifier_guidance": lambda m: {
        "denoiser": m.denoiser(""),
        "model": m.noised_clip,
        "classes": "a cube\na sphere",
        "label": 1,
    },
    # latent_guiding
    "latent_clip_guidance": lambda m: {
        "denoiser": m.latent_denoiser(),
        "autoencoder": m.autoencoder,
        "model": m.clip,
        "text": m.embedding(1, 6),
        "cutouts": 3,
    },
    "latent_noised_clip_guidance": lambda m: {
        "denoiser": m.latent_denoiser(),
        "autoencoder": m.autoencoder,
        "model": m.noised_clip,
        "text": Condition({"noised_clip_text": torch.ones(1, 6)}),
    },
    # replacement
    "repaint_sampler": lambda m: {
        "denoiser": m.denoiser(),
        "schedule": m.schedule,
        "start": m.start(2),
        "sample": m.sample(1),
        "mask": m.mask(),
        "resamples": 2,
        "jump": 1,
    },
    # byt5
    "load_byt5": lambda m: {"checkpoint": m.byt5_file},
    "byt5_text": lambda m: {"encoder": m.byt5, "prompt": "ein roter Würfel"},
    "mean": just(numbers=[0.5, 1.0]),
    "join_texts": just(texts=["a", "b"]),
    "number_text": just(number=2.50, before="scale "),
}
