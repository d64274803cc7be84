"""The shipped workflows, written in Python: `python -m glidewire.workflows.make` writes the JSON files beside it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..graph_runtime import formats
from ..interfaces.api import Workflow
from ..nodes import glide, guidance, images, samplers, schedules, values
from ..nodes.sockets import Image
from . import editing, systems

FOLDER = Path(__file__).resolve().parent
_COLOURS = {"text": "#3f5159", "guidance": "#593f59", "sampling": "#3f593f", "picture": "#595131"}
_MARGIN, _TITLE, _NOTE_WIDTH, _LINE, _LETTERS = 24.0, 44.0, 460.0, 22.0, 62


@dataclass(frozen=True)
class Shipped:
    """A workflow with what makes it readable.

    Args:
        build: Writes the node calls; returns the titles of the nodes of each group.
        note: What it shows, and which section of which paper it follows.
    """

    build: Callable[[Workflow], Mapping[str, list[str]]]
    note: str
    names: tuple[str, ...] = field(default=())


def text_to_image(flow: Workflow) -> Mapping[str, list[str]]:
    """GLIDE's base model with classifier-free guidance."""
    checkpoint = flow.titled("GLIDE", glide.load_glide("mini-glide-base.safetensors"))
    prompt = flow.titled(
        "Prompt", glide.glide_text_encoder(checkpoint.model, "a large red cube left of a small blue sphere")
    )
    empty = flow.titled("Empty prompt", glide.glide_empty_text(checkpoint.model))
    conditional = flow.titled("Conditional", glide.glide_denoiser(checkpoint.model, prompt))
    unconditional = flow.titled("Unconditional", glide.glide_denoiser(checkpoint.model, empty))
    guided = flow.titled("Guidance", guidance.classifier_free_guidance(conditional, unconditional, 4.0))
    steps = flow.titled("Steps", schedules.respace(checkpoint.schedule, "50"))
    start = flow.titled("Noise", samplers.noise_start(guided, 32, 32, batch=4, seed=0))
    sample = flow.titled("Sampler", samplers.ancestral_sampler(guided, steps, start))
    picture = flow.titled("Pictures", images.sample_to_image(sample))
    large = flow.titled("Enlarge", images.resize_image(picture, 256, 256, "bicubic"))
    sheet = flow.titled("Sheet", images.image_grid(large, columns=0, gap=4))
    flow.titled("Save", images.save_image(sheet, "text-to-image"))
    return {
        "Text (GLIDE, section 3)": ["Prompt", "Empty prompt"],
        "Classifier-free guidance (Ho & Salimans 2022, eq. 6)": ["Conditional", "Unconditional", "Guidance"],
        "Sampling (Ho et al. 2020, algorithm 2)": ["Noise", "Sampler"],
        "Pictures": ["Pictures", "Enlarge", "Sheet", "Save"],
    }


def image_to_image(flow: Workflow) -> Mapping[str, list[str]]:
    """SDEdit: a picture is noised part of the way and denoised under a prompt."""
    checkpoint = flow.titled("GLIDE", glide.load_glide("mini-glide-base.safetensors"))
    model = checkpoint.model
    first = flow.titled("First prompt", glide.glide_text_encoder(model, "a large red cube"))
    second = flow.titled("Second prompt", glide.glide_text_encoder(model, "a large green sphere"))
    empty = flow.titled("Empty prompt", glide.glide_empty_text(model))
    unconditional = flow.titled("Unconditional", glide.glide_denoiser(model, empty))
    make = flow.titled(
        "Make", guidance.classifier_free_guidance(glide.glide_denoiser(model, first), unconditional, 3.0)
    )
    edit = flow.titled(
        "Edit", guidance.classifier_free_guidance(glide.glide_denoiser(model, second), unconditional, 3.0)
    )
    steps = flow.titled("Steps", schedules.respace(checkpoint.schedule, "50"))
    start = flow.titled("Noise", samplers.noise_start(make, 32, 32, batch=2, seed=1))
    original = flow.titled("Original", samplers.ddim_sampler(make, steps, start))
    noised = flow.titled("Noised", samplers.noised_start(original, steps, strength=0.7, seed=2))
    edited = flow.titled("Edited", samplers.ancestral_sampler(edit, steps, noised))
    before = flow.titled("Before", images.sample_to_image(original))
    after = flow.titled("After", images.sample_to_image(edited))
    both = flow.titled("Side by side", images.concatenate_images(before, after))
    large = flow.titled("Enlarge", images.resize_image(both, 256, 256, "bicubic"))
    flow.titled("Save", images.save_image(images.image_grid(large, columns=2, gap=4), "image-to-image"))
    return {
        "Text": ["First prompt", "Second prompt", "Empty prompt"],
        "One guidance for each prompt": ["Make", "Edit"],
        "SDEdit (Meng et al. 2021, algorithm 2)": ["Noise", "Original", "Noised", "Edited", "Before"],
        "Before (upper row) and after": ["After", "Side by side", "Enlarge", "Save"],
    }


def prompts_and_seeds(flow: Workflow) -> Mapping[str, list[str]]:
    """One picture for each prompt of a list."""
    lines = "a small red sphere\na large blue cone\na green cylinder\na yellow cube"
    prompts = flow.titled("Prompts", values.text_list(lines))
    checkpoint = flow.titled("GLIDE", glide.load_glide("mini-glide-base.safetensors"))
    prompt = flow.titled("Each prompt", glide.glide_text_encoder(checkpoint.model, cast(str, prompts)))
    empty = flow.titled("Empty prompt", glide.glide_empty_text(checkpoint.model))
    conditional = flow.titled("Conditional", glide.glide_denoiser(checkpoint.model, prompt))
    unconditional = flow.titled("Unconditional", glide.glide_denoiser(checkpoint.model, empty))
    guided = flow.titled("Guidance", guidance.classifier_free_guidance(conditional, unconditional, 4.0))
    steps = flow.titled("Steps", schedules.respace(checkpoint.schedule, "ddim25"))
    start = flow.titled("Noise", samplers.noise_start(guided, 32, 32, seed=0))
    sample = flow.titled("Sampler", samplers.ddim_sampler(guided, steps, start))
    pictures = flow.titled("Pictures", images.sample_to_image(sample))
    batch = flow.titled("One batch", images.batch_images(cast(list[Image], pictures)))
    large = flow.titled("Enlarge", images.resize_image(batch, 256, 256, "bicubic"))
    flow.titled("Save", images.save_image(images.image_grid(large, columns=4, gap=4), "prompts"))
    return {
        "A list runs what it is wired to once for each line": ["Prompts", "Each prompt", "Conditional", "Guidance"],
        "DDIM in 25 steps (Song et al. 2021, eq. 12)": ["Noise", "Sampler"],
        "Pictures": ["Pictures", "One batch", "Enlarge", "Save"],
    }


SHIPPED: Mapping[str, Shipped] = {
    "text-to-image": Shipped(
        text_to_image,
        "GLIDE's base model (Nichol et al. 2021) under classifier-free guidance.\n\n"
        "The mini knows spheres, cubes, cones and cylinders in six colours, small and large, one alone or two, "
        "left of or above one another. Published checkpoints load in the same node.",
    ),
    "image-to-image": Shipped(
        image_to_image,
        "SDEdit (Meng et al. 2021): the first picture is noised 70 % of the way and denoised under another prompt. "
        "What is large and coarse stays, what the new prompt says changes. Less strength keeps more.",
    ),
    "prompts": Shipped(
        prompts_and_seeds,
        "A list of prompts: every node that the list reaches runs once for each line, and the rest once.",
    ),
    "prompt-to-prompt": Shipped(
        editing.prompt_to_prompt,
        "Prompt-to-prompt (Hertz et al. 2022): a word of the prompt is swapped, and the new picture's attention is "
        "made from the old one's. Left the source, in the middle the edit, right the new prompt by itself from the "
        "same noise.\n\nThe windows say how long attention is the source's. A prompt of another length wants refine.",
    ),
    "perturbed-attention": Shipped(
        editing.perturbed_attention,
        "Perturbed-attention guidance (Ahn et al. 2024): away from what the network predicts where its own attention "
        "mixes nothing. It needs no empty text. Above without, below with guidance; beside them what is combined.",
    ),
    "latent-diffusion": Shipped(
        systems.latent_diffusion_text_to_image,
        "Latent diffusion (Rombach et al. 2022): an autoencoder makes 8 x 8 latents of a 32-pixel picture, and a U-Net "
        "walks through them and attends to the states of CLIP's text tower, as Stable Diffusion does.\n\n"
        "Denoiser and autoencoder say whose latents they mean: another autoencoder is refused on the wire.",
    ),
    "paella": Shipped(
        systems.paella_text_to_image,
        "Paella (Rampas et al. 2022): every token of the picture is predicted at once, then a shrinking random share "
        "becomes noise again. Eight steps are enough, with locally typical sampling and guidance on the logits.",
    ),
    "prior-into-paella": Shipped(
        systems.prior_into_paella,
        "Two systems in one: unCLIP's prior (Ramesh et al. 2022) turns a text into the CLIP embedding of a picture; "
        "Paella's predictor, which takes any embedding of the same CLIP, draws it.",
    ),
}


def document(name: str) -> dict[str, Any]:
    """The saved workflow called `name`, with its groups and its note."""
    shipped = SHIPPED[name]
    with Workflow(name) as flow:
        groups = shipped.build(flow)
    saved = formats.to_saved(flow.graph, flow.registry)
    saved["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"glidewire/workflows/{name}"))
    by_title = {node.get("title"): node for node in saved["nodes"]}
    saved["groups"] = [
        _group(index, title, [by_title[member] for member in members])
        for index, (title, members) in enumerate(groups.items(), 1)
    ]
    saved["nodes"].append(_note(saved, shipped.note))
    saved["last_node_id"] = max(node["id"] for node in saved["nodes"])
    return saved


def _group(number: int, title: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    left, top = (min(node["pos"][axis] for node in nodes) for axis in (0, 1))
    right, bottom = (max(node["pos"][axis] + node["size"][axis] for node in nodes) for axis in (0, 1))
    bounds = [left - _MARGIN, top - 2 * _TITLE, right - left + 2 * _MARGIN, bottom - top + 2 * _TITLE + _MARGIN]
    colour = list(_COLOURS.values())[(number - 1) % len(_COLOURS)]
    return {"id": number, "title": title, "bounding": bounds, "color": colour, "font_size": 24, "flags": {}}


def _note(saved: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A note above everything else."""
    left = min(node["pos"][0] for node in saved["nodes"])
    top = min(node["pos"][1] for node in saved["nodes"])
    lines = sum(1 + len(paragraph) // _LETTERS for paragraph in text.split("\n"))
    height = _LINE * (lines + 1)
    return {
        "id": max(node["id"] for node in saved["nodes"]) + 1,
        "type": "MarkdownNote",
        "pos": [left, top - height - 3 * _TITLE],
        "size": [_NOTE_WIDTH, height],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "About",
        "properties": {},
        "widgets_values": [text],
    }


def main() -> None:
    """Write every shipped workflow."""
    for name in SHIPPED:
        formats.write(FOLDER / f"{name}.json", document(name))
        print(f"{name}.json")


if __name__ == "__main__":
    main()
