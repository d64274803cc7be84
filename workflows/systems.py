"""Write docs/systems.md: a row for each component, from the nodes' own declarations and the shipped workflows.

    python -m glidewire.workflows.systems

The table below names what belongs together; papers and sections come from the nodes' docstrings, workflows from the
files that use a node. What is not in a table of the pack (a published checkpoint, a golden case, a mini) is not known.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from ..graph_runtime.docstrings import parse_docstring
from ..interfaces.session import pack_registry
from .gallery import DOCS
from .make import FOLDER

CATEGORIES = (
    "glide", "unclip", "paella", "latent diffusion", "embeddings", "clip",
    "imagen", "image prompts", "control", "bottleneck", "prompts", "guidance",
)  # fmt: skip
"""Every node of these categories stands in the table."""


class Component(NamedTuple):
    """A component: its nodes (the first one tells the paper), published checkpoints, golden cases, and its mini."""

    what: str
    nodes: str
    published: str = ""
    parity: str = ""
    mini: str = ""


SYSTEMS: dict[str, tuple[Component, ...]] = {
    "GLIDE": (
        Component("text encoder", "glide_text_encoder glide_empty_text", "glide-base", "glide_base glide_tokenizer",
                  "mini-glide-base"),
        Component("base denoiser", "glide_denoiser load_glide", "glide-base", "glide_base glide_sampling",
                  "mini-glide-base"),
        Component("classifier-free guidance", "classifier_free_guidance", "", "glide_sampling guidance_formulas",
                  "mini-glide-base"),
        Component("noised CLIP", "load_noised_clip noised_clip_text_encoder", "glide-clip-image glide-clip-text",
                  "glide_noised_clip", "mini-noised-clip mini-noised-clip-text"),
        Component("guidance by noised CLIP", "noised_clip_guidance", "", "glide_sampling", "mini-noised-clip"),
        Component("guidance by an ordinary CLIP", "clip_guidance", "", "", "mini-clip"),
        Component("classifier guidance", "classifier_guidance", "", "", "mini-noised-clip"),
        Component("upsampler", "glide_upsampler_denoiser glide_upsample", "glide-upsample", "glide_upsample",
                  "mini-glide-upsampler"),
        Component("inpainting, fine-tuned", "glide_inpainting_denoiser", "glide-base-inpaint glide-upsample-inpaint",
                  "glide_base_inpaint glide_upsample_inpaint", "mini-glide-inpaint"),
        Component("inpainting by replacement", "known_region", "", "glide_sampling", "mini-glide-base"),
        Component("inpainting by RePaint", "repaint_sampler", "", "", "mini-glide-base"),
    ),
    "unCLIP": (
        Component("CLIP", "load_clip clip_text_embedding clip_image_embedding", "clip-vit-l-14", "", "mini-clip"),
        Component("diffusion prior", "unclip_prior_denoiser load_unclip_prior unclip_prior_sampler",
                  "karlo-prior kandinsky-2-1-prior kandinsky-2-2-prior",
                  "karlo_prior kandinsky21_prior kandinsky22_prior", "mini-prior"),
        Component("LAION's diffusion prior", "laion_prior_denoiser load_laion_prior laion_prior_sampler",
                  "dalle2-prior", "dalle2_prior"),
        Component("autoregressive prior", "autoregressive_prior_sampler load_autoregressive_prior "
                  "autoregressive_prior_components", "", "unclip_ar_prior", "mini-autoregressive-prior"),
        Component("rerank of several", "rerank_embeddings", "", "", "mini-prior"),
        Component("decoder", "unclip_decoder_denoiser load_unclip_decoder",
                  "karlo-decoder kandinsky-2-1-decoder kandinsky-2-2-decoder",
                  "karlo_decoder kandinsky21_decoder kandinsky22_decoder", "mini-unclip-decoder"),
        Component("upsamplers", "unclip_upsampler_denoiser load_unclip_upsampler", "karlo-upsampler", "karlo_sr",
                  "mini-unclip-upsampler"),
        Component("degradation of the first", "blur_sample"),
        Component("degradation of the second", "degrade_sample"),
        Component("variations", "ddim_inversion"),
        Component("interpolation", "interpolate_embeddings interpolate_starts"),
        Component("text differences", "text_difference"),
        Component("probing by components", "principal_components keep_components"),
    ),
    "Paella": (
        Component("first stage", "load_token_autoencoder encode_tokens decode_tokens",
                  "paella-vqgan rudalle-vqgan ldm-vq-f4", "paella_v3_vqgan rudalle_gumbel_vq vq_f4", "mini-vq-f4"),
        Component("token predictor", "paella_denoiser load_paella", "paella-v3", "paella_v1_unet paella_v3_unet",
                  "mini-paella"),
        Component("ByT5", "byt5_text load_byt5", "byt5-xl"),
        Component("sampler of the first generation", "paella_sampler token_noise_start", "",
                  "paella_v1_sampling paella_typical_filter", "mini-paella"),
        Component("sampler of the third generation", "paella_linear_sampler", "", "paella_v3_sampling"),
        Component("sampling by confidence", "maskgit_sampler", "", "maskgit_decode_original", "mini-paella"),
        Component("sampling in Halton's order", "halton_sampler", "", "halton_order", "mini-paella"),
        Component("inpainting", "token_inpainting_start", "", "", "mini-paella"),
        Component("outpainting", "token_outpainting_start", "", "", "mini-paella"),
        Component("structural editing", "token_edit_start", "", "", "mini-paella"),
        Component("regions", "paella_region_denoiser", "", "", "mini-paella"),
    ),
    "Latent diffusion": (
        Component("KL autoencoder", "load_autoencoder encode_latents decode_latents",
                  "ldm-kl-f4 ldm-kl-f8 stable-diffusion-vae", "kl_f4 kl_f8 vq_f4", "mini-kl-f4"),
        Component("large pictures in tiles", "decode_latents_in_tiles encode_latents_in_tiles", "", "", "mini-kl-f4"),
        Component("text encoder, CLIP's", "load_clip_text_encoder encode_prompt", "stable-diffusion-text-encoder", "",
                  "mini-clip-text"),
        Component("text encoder, BERT", "load_bert_text_encoder", "ldm-text-to-image", "ldm_bert"),
        Component("denoiser", "latent_denoiser load_latent_denoiser", "stable-diffusion-1-5 ldm-text-to-image",
                  "ldm_unet_crossattn ldm_schedules", "mini-ldm"),
        Component("inpainting, fine-tuned", "latent_inpainting_denoiser",
                  "ldm-inpainting stable-diffusion-1-5-inpainting", "ldm_unet_inpaint7", "mini-ldm-inpaint"),
        Component("super-resolution", "latent_upscaling_denoiser", "ldm-super-resolution stable-diffusion-x4-upscaler",
                  "", "mini-ldm-upsampler"),
        Component("classes", "class_condition load_class_embedder", "ldm-imagenet", "ldm_unet_class"),
        Component("layouts", "encode_boxes load_box_encoder", "ldm-layout"),
        Component("segmentations", "latent_semantic_denoiser load_segmentation_encoder", "ldm-semantic"),
        Component("depth", "latent_depth_denoiser", "stable-diffusion-2-depth"),
        Component("guidance by CLIP", "latent_clip_guidance latent_noised_clip_guidance", "", "",
                  "mini-clip mini-noised-clip"),
        Component("weights of words", "weighted_prompt weigh_words", "", "prompt_weights", "mini-ldm"),
    ),
    "Imagen, as DeepFloyd IF": (
        Component("text encoder", "t5_text load_t5_text_encoder", "t5-v1-1-xxl", "", "mini-t5"),
        Component("first stage", "imagen_denoiser load_imagen_stage", "if-stage-1 if-stage-1-l if-stage-1-xl",
                  "if_stage1 if_stage1_diffusers", "mini-imagen-base"),
        Component("dynamic threshold", "dynamic_threshold", "", "if_dynamic_threshold", "mini-imagen-base"),
        Component("second stage, told a noise level", "imagen_upsampler_denoiser", "if-stage-2 if-stage-2-l",
                  "if_stage2 if_stage2_diffusers", "mini-imagen-upsampler"),
    ),
    "Adapters and edits": (
        Component("IP-Adapter", "apply_ip_adapter load_ip_adapter load_image_encoder encode_image_prompt",
                  "ip-adapter-sd15 ip-adapter-plus-sd15 ip-adapter-image-encoder",
                  "ip_adapter_base ip_adapter_plus ip_adapter_full", "mini-ip-adapter"),
        Component("IP-Adapter of faces", "encode_face_prompt", "ip-adapter-faceid-sd15", "ip_adapter_faceid"),
        Component("several image prompts, kept in files", "join_image_prompts save_image_prompt load_image_prompt"),
        Component("ControlNet", "apply_control_net load_control_network", "controlnet-canny", "controlnet_plain"),
        Component("Prompt Diffusion", "apply_prompt_diffusion prompt_diffusion_task", "prompt-diffusion",
                  "prompt_diffusion", "mini-prompt-diffusion"),
        Component("Asyrp", "edit_h_space load_h_direction add_h_directions mean_h_direction save_h_direction "
                  "load_pixel_denoiser", "asyrp-smiling asyrp-dog-happy", "asyrp_delta_layouts asyrp_trajectory",
                  "mini-asyrp-blue mini-asyrp-large mini-asyrp-sphere"),
        Component("Asyrp's timesteps and boost", "edit_timesteps boosted_sampler", "", "asyrp_t_edit"),
        Component("prompt-to-prompt", "prompt_to_prompt", "", "prompt_to_prompt", "mini-glide-base"),
        Component("attention to words", "show_words", "", "", "mini-glide-base mini-ldm"),
    ),
    "Guidance, of every system": (
        Component("classifier-free: any space", "classifier_free_guidance", "", "guidance_formulas guidance_diffusers"),
        Component("at scales that change", "scale_schedule"),
        Component("in an interval of noise levels", "noise_level_interval", "", "guidance_formulas"),
        Component("CFG++: any but tokens", "cfg_plus_plus_guidance", "", "guidance_formulas"),
        Component("APG: any but tokens", "adaptive_projected_guidance", "", "guidance_formulas guidance_diffusers"),
        Component("autoguidance: any space", "autoguidance", "", "guidance_diffusers"),
        Component("CFG-Zero*: any space", "zero_star_guidance", "", "guidance_diffusers"),
        Component("TCFG: any space", "tangential_guidance", "", "guidance_diffusers"),
        Component("MAMBO-G: any space", "magnitude_aware_guidance", "", "guidance_diffusers"),
        Component("FDG: whatever has rows and columns", "frequency_decoupled_guidance", "", "guidance_diffusers"),
        Component("CADS: any space", "annealed_condition"),
        Component("AND, NOT: any space", "composable_guidance", "", "guidance_formulas"),
        Component("negative prompt: any space", "negative_prompt_guidance"),
        Component("Perp-Neg: any space", "perpendicular_negative_guidance", "", "guidance_formulas"),
        Component("image and text: any space", "image_and_text_guidance", "", "guidance_formulas"),
        Component("rescale: any space", "rescale_guidance", "", "guidance_diffusers"),
        Component("thresholds: any but tokens", "dynamic_threshold static_threshold", "",
                  "guidance_formulas if_dynamic_threshold"),
        Component("PAG: U-Nets", "perturbed_attention_guidance", "", "guidance_diffusers"),
        Component("SLG: U-Nets", "skip_layer_guidance", "", "guidance_diffusers"),
        Component("SEG: U-Nets", "smoothed_energy_guidance", "", "guidance_diffusers"),
        Component("SAG: U-Nets", "self_attention_guidance"),
        Component("by gradients: pictures", "clip_guidance noised_clip_guidance classifier_guidance", "",
                  "guidance_formulas glide_noised_clip"),
        Component("by gradients: latents", "latent_clip_guidance latent_noised_clip_guidance"),
        Component("elsewhere otherwise", "denoise_by_region known_region"),
        Component("looking at it", "plot_guidance plot_token_guidance watch_clip_score"),
    ),
}  # fmt: skip

_HEAD = """# Systems

The systems of this line, component by component. Written by `python -m glidewire.workflows.systems`: do not
edit. *Paper* is what the node's own documentation cites; *published* are names for `glidewire models pull`; *parity*
are golden cases, whose errors are in [checkpoints.md](checkpoints.md); a mini in *(brackets)* is not shipped yet;
*workflows* are those that use one of the nodes, with pictures in [workflows.md](workflows.md).
"""

_MINIS = """What the judge, or the check of its kind, found in each mini: the first figure of its card, or that of the
best scale. "Everything" is the share of pictures of held-out prompts in which all that the prompt states is right.
"""


def users() -> dict[str, list[str]]:
    """Node name -> the shipped workflows that use it."""
    names = {declaration.id: declaration.name for declaration in pack_registry()}
    found: dict[str, list[str]] = {}
    for path in sorted(FOLDER.rglob("*.json")):
        workflow = path.relative_to(FOLDER).with_suffix("").as_posix()
        for type_ in {node["type"] for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]} & set(names):
            found.setdefault(names[type_], []).append(workflow)
    return found


def _row(component: Component, used: dict[str, list[str]]) -> str:
    registry = {declaration.name: declaration for declaration in pack_registry()}
    nodes = component.nodes.split()
    paper = parse_docstring(inspect.getdoc(registry[nodes[0]].function) or "").source.rstrip(".").replace("|", "\\|")
    tasks = sorted({workflow for name in nodes for workflow in used.get(name, ()) if "/" not in workflow})
    minis = [f"`{mini}`" if _shipped(mini) else f"*({mini})*" for mini in component.mini.split()]
    cells = [component.what, _code(nodes), paper, _code(component.published.split()), _code(component.parity.split()),
             ", ".join(minis), _some(tasks)]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _some(workflows: list[str], most: int = 3) -> str:
    more = f" and {len(workflows) - most} more" if len(workflows) > most else ""
    return ", ".join(workflows[:most]) + more


def _shipped(mini: str) -> bool:
    return (FOLDER.parent / "weights" / f"{mini}.safetensors").is_file()


def minis() -> str:
    """The judge's table: what each mini's card says of it, its best row."""
    lines = ["| mini | parameters | figure |", "|---|---:|---|"]
    for path in sorted((FOLDER.parent / "weights").glob("*.md")):
        card = path.read_text(encoding="utf-8")
        size = re.search(r"([0-9.,]+ M) parameters", card)
        rows = [
            [cell.strip() for cell in line.strip("| \n").split("|")] for line in card.splitlines() if line[:1] == "|"
        ]
        if len(rows) > 2:
            (first, second, *_), body = rows[0], rows[2:]
            scales = first == "guidance" or " at " in f" {body[0][0]}"
            # What an upsampler and a direction are asked for.
            asked = [row for row in body if row[0].startswith("verdict kept") or row[0] == "at strength 1"]
            best = asked[-1] if asked else max(body, key=lambda row: _number(row[1])) if scales else body[0]
            unit = "" if "%" in best[1] else " %"
            figure = f"{best[0]}: {best[1]}" if second == "found" else f"{second} {best[1]}{unit}, {first} {best[0]}"
            lines.append(f"| [{path.stem}](../weights/{path.name}) | {size.group(1) if size else ''} | {figure} |")
    return "\n".join(lines)


def _number(text: str) -> float:
    found = re.search(r"[0-9.]+", text)
    return float(found.group()) if found else 0.0


def page() -> str:
    """The page."""
    used = users()
    parts = [_HEAD]
    for system, components in SYSTEMS.items():
        rows = "\n".join(_row(component, used) for component in components)
        head = "| component | nodes | paper | published | parity | mini | workflows |\n|---|---|---|---|---|---|---|"
        parts.append(f"## {system}\n\n{head}\n{rows}\n")
    parts.append(f"## Minis\n\n{_MINIS}\n{minis()}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (DOCS / "systems.md").write_text(page(), encoding="utf-8")
