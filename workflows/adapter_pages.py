"""Edits of the bottleneck, and pictures as prompts, each as a workflow on minis that we trained."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from ..diffusion.denoiser import Denoiser
from ..models.asyrp.edit import WeightedDirections
from ..nodes import autoencoders, batches, bottleneck, control, guidance, image_prompts, images, samplers, scene_world
from ..nodes.sockets import Image
from ..scenes.maps import TRAINED
from . import parts
from .page import Page, Shipped
from .parts import Glide, Latent, file, sheet

PROMPT_DIFFUSION = "mini-prompt-diffusion"
START, T_EDIT, STEPS = 0.15, 200, 20
"""The part of the run that is left as it is, the last timestep that is edited, and the steps: as directions were
trained."""
COLOUR_START = 0.05
"""The same of directions of colour, which is decided before shape and size are."""


def edited(
    glide: Glide, denoiser: Denoiser, direction: WeightedDirections, strength: float = 1.0, start: float = START
) -> Denoiser:
    """An edit of the bottleneck in the part of the run that mini directions were trained in."""
    return bottleneck.edit_h_space(denoiser, direction, glide.steps, strength, T_EDIT, STEPS, start)


def asyrp(page: Page) -> None:
    """Three directions, their sum, and one of them backwards, from the same noise."""
    glide = Glide.load(page, str(STEPS))
    with page.group("A prompt that is silent of size and colour"):
        plain = glide.conditional("a cube on white ground")
        start = page.titled("Noise", samplers.noise_start(plain, 32, 32, batch=4, seed=5))
    with page.group("Directions in the bottleneck (Kwon et al. 2023)"):
        large = page.titled("Larger", bottleneck.load_h_direction(file(parts.ASYRP_LARGE)))
        sphere = page.titled("Rounder", bottleneck.load_h_direction(file(parts.ASYRP_SPHERE)))
        blue = page.titled("Bluer", bottleneck.load_h_direction(file(parts.ASYRP_BLUE)))
        two = page.titled("Larger and rounder", bottleneck.add_h_directions(large, sphere))
        every = page.titled("All three", bottleneck.add_h_directions(two, blue))
    ways: dict[str, Denoiser] = {"as drawn": plain}
    # Sums are divided by the root of how many they add.
    edits = {
        "larger": (large, 1.0, START),
        "larger, backwards": (large, -0.5, START),
        "rounder": (sphere, 1.0, START),
        "bluer": (blue, 1.0, COLOUR_START),
        "all three": (every, 1.7, COLOUR_START),
    }
    with page.group("Edits of the predicted sample alone (eq. 4)"):
        for title, edit in edits.items():
            ways[title] = page.titled(f"Edit: {title}", edited(glide, plain, *edit))
    drawn = []
    with page.group("DDIM without noise (Song et al. 2021)"):
        for title, denoiser in ways.items():
            sample = page.titled(f"Sampler: {title}", samplers.ddim_sampler(denoiser, glide.steps, start))
            drawn.append(images.sample_to_image(sample))
        pictures = reduce(images.concatenate_images, drawn)
    sheet(page, pictures, "asyrp", columns=4, rows="\n".join(ways), side=128)


def image_prompt(page: Page) -> None:
    """A picture gives the colour that the caption leaves open, at growing scales."""
    latent = Latent.load(page, "30")
    with page.group("A picture as a prompt (Ye et al. 2023, section 3.2)"):
        adapter = page.titled("IP-Adapter", image_prompts.load_ip_adapter(file(parts.IP_ADAPTER)))
        encoder = page.titled("Image encoder", image_prompts.load_image_encoder(file(parts.CLIP)))
        scene = page.titled("Picture", scene_world.render_scene(101, 32))
        seen = page.titled("Image prompt", image_prompts.encode_image_prompt(adapter, encoder, scene.image))
    with page.group("A caption without a colour"):
        conditional = latent.conditional("a large cone on white ground")
        start = page.titled("Noise", samplers.noise_start(conditional, 8, 8, batch=4, seed=3))
    scales = (0.0, 0.5, 1.0)
    drawn = []
    for scale in scales:
        with page.group(f"Scale {scale:g}"):
            towards = image_prompts.apply_ip_adapter(conditional, adapter, seen.prompt, scale)
            away = image_prompts.apply_ip_adapter(latent.unconditional, adapter, seen.unconditional, scale)
            guided = page.titled(f"Guidance at {scale:g}", guidance.classifier_free_guidance(towards, away, 3.0))
            walked = samplers.ddim_sampler(guided, latent.steps, start, eta=1.0, clip=False)
            drawn.append(autoencoders.decode_latents(latent.autoencoder, page.titled(f"Sampler at {scale:g}", walked)))
    with page.group("All of them"):
        four = page.titled("The picture, for each column", batches.repeat_images(scene.image, 4))
        pictures = reduce(images.concatenate_images, [four, *drawn])
    rows = "\n".join(["picture", *(f"scale {scale:g}" for scale in scales)])
    sheet(page, pictures, "image-prompt", columns=4, rows=rows, side=128)


def prompt_diffusion(page: Page) -> None:
    """Three maps of a scene, made after an example, and the scene again from each, after the same example reversed."""
    latent = Latent.load(page, "20")
    with page.group("Prompt Diffusion (Wang et al. 2023)"):
        network = page.titled("Control network", control.load_control_network(file(PROMPT_DIFFUSION)))
    with page.group("An example, and what is asked"):
        example = page.titled("Example", scene_world.render_scene(102, 32))
        query = page.titled("Query", scene_world.render_scene(118, 32))
        guided = latent.guided(query.caption, "Caption", 3.0)
        start = page.titled("Noise", samplers.noise_start(latent.unconditional, 8, 8, seed=1))
    rows: dict[str, list[Image]] = {}
    for kind in TRAINED:
        with page.group(f"{kind.capitalize()}, and back"):
            shown, asked = (
                page.titled(f"{title}: {kind}", scene_world.scene_map(scene.image, kind))
                for title, scene in (("Example", example), ("Query", query))
            )
            for row, denoiser, triple in (
                (f"to {kind}", latent.unconditional, (example.image, shown, query.image)),
                (f"from {kind}", guided, (shown, example.image, asked)),
            ):
                controlled = page.titled(row.capitalize(), control.apply_prompt_diffusion(denoiser, network, *triple))
                drawn = parts.sampled(page, f"Sampler {row}", controlled, latent.steps, start)
                picture = page.titled(f"Decode {row}", autoencoders.decode_latents(latent.autoencoder, drawn))
                rows[row] = [*triple, picture]
    with page.group("All of them"):
        pictures = reduce(images.concatenate_images, [one for row in rows.values() for one in row])
    heads, names = "source\ntarget\nquery\nmade", "\n".join(rows)
    sheet(page, pictures, "prompt-diffusion", columns=4, rows=names, heads=heads, side=128)


WORKFLOWS: Mapping[str, Shipped] = {
    "asyrp": Shipped(
        asyrp,
        "Asyrp (Kwon et al. 2023): small networks add directions to the bottleneck of mini GLIDE's U-Net, and only the "
        "predicted clean sample takes them, not the noise that leads on. The first row is as the model draws it.\n\n"
        "Directions add up, and half the strength goes half the way. Colour is decided before shape and size, so that "
        "its edits start earlier. An edit that starts later resumes from what is stored of the run without it.",
        (parts.GLIDE, parts.ASYRP_LARGE, parts.ASYRP_SPHERE, parts.ASYRP_BLUE),
    ),
    "image-prompt": Shipped(
        image_prompt,
        "IP-Adapter (Ye et al. 2023): the frozen latent denoiser attends to tokens of a picture beside its text. The "
        "caption leaves the colour out, the picture gives it, and the caption goes on saying what is drawn.\n\n"
        "At scale 0 the denoiser is itself, bit for bit.",
        (parts.LDM, parts.LDM_TEXT, parts.KL, parts.CLIP, parts.IP_ADAPTER),
    ),
    "prompt-diffusion": Shipped(
        prompt_diffusion,
        "Prompt Diffusion (Wang et al. 2023): an example pair, a source and its target, shows a frozen latent denoiser "
        "what to do to a query. No word names the task. To make a picture of a map the pair is reversed, and the "
        "caption says what the map does not.\n\nOne control network has learnt all six.",
        (parts.LDM, parts.LDM_TEXT, parts.KL, PROMPT_DIFFUSION),
    ),
}
