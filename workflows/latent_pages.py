"""Latent diffusion's workflows: text-to-image, edits of latents, emphasis, autoencoders, and pictures in tiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ..nodes import (
    autoencoders,
    glide_editing,
    guidance,
    images,
    latent_diffusion,
    masks,
    measures,
    paella,
    prompt_editing,
    samplers,
    scene_world,
    tiling,
    values,
)
from ..nodes.sockets import Image
from . import parts
from .page import Page, Shipped
from .parts import CUBE_AND_SPHERE, Latent, file, sampled, sheet


def text_to_image(page: Page) -> None:
    """A denoiser of a KL autoencoder's latents that attends to CLIP's states of a text."""
    latent = Latent.load(page, "30")
    with page.group("Guidance towards the prompt (section 3.3; Ho & Salimans 2022, eq. 6)"):
        guided = latent.guided(CUBE_AND_SPHERE)
    with page.group("A walk through latents (section 3.2)"):
        start = page.titled("Noise", samplers.noise_start(guided, 8, 8, batch=4, seed=0))
        latents = sampled(page, "Sampler", guided, latent.steps, start)
    with page.group("Back to pixels (section 3.1)"):
        picture = page.titled("Decode", autoencoders.decode_latents(latent.autoencoder, latents))
    sheet(page, picture, "latent-diffusion", side=256)


def image_to_image(page: Page) -> None:
    """A scene's latents, noised part of the way and denoised under another prompt."""
    latent = Latent.load(page, "30")
    with page.group("A picture, as latents (section 3.1)"):
        scene = page.titled("Scene", scene_world.render_scene(seed=11, size=32))
        known = page.titled("Encode", autoencoders.encode_latents(latent.autoencoder, scene.image, "mode"))
    with page.group("SDEdit with latents (Meng et al. 2021, algorithm 2)"):
        guided = latent.guided("a large green sphere")
        strengths = page.titled("Strengths", values.number_list("0.3, 0.5, 0.7, 0.9"))
        start = page.titled("Noised", samplers.noised_start(known, latent.steps, cast(float, strengths), seed=1))
        edited = sampled(page, "Edited", guided, latent.steps, start)
        decoded = page.titled("Decode", autoencoders.decode_latents(latent.autoencoder, edited))
        batch = page.titled("One batch", images.batch_images(cast(list[Image], decoded)))
        every = page.titled("All", images.concatenate_images(scene.image, batch))
    sheet(page, every, "latent-image-to-image", 5, heads="picture\n0.3\n0.5\n0.7\n0.9")


def inpainting(page: Page) -> None:
    """Replacement of known latents, with a model that was never trained for it."""
    latent = Latent.load(page, "30")
    with page.group("A picture and a mask"):
        scene = page.titled("Scene", scene_world.render_scene(seed=4, size=32))
        mask = page.titled("Mask", masks.box_mask(32, 32, 16, 0, 32, 32))
        known = page.titled("Encode", autoencoders.encode_latents(latent.autoencoder, scene.image, "mode"))
    with page.group("Replacement: what is known enters every predicted x_0"):
        guided = latent.guided("a green cylinder left of a blue sphere")
        kept = page.titled("Known region", glide_editing.known_region(guided, known, mask))
        start = page.titled("Noise", samplers.noise_start(guided, 8, 8, batch=3, seed=0))
        latents = sampled(page, "Sampler", kept, latent.steps, start)
        decoded = page.titled("Decode", autoencoders.decode_latents(latent.autoencoder, latents))
    with page.group("Beside the picture"):
        shown = page.titled("Mask as a picture", masks.mask_to_image(mask))
        every = page.titled("All", images.concatenate_images(scene.image, shown, decoded))
    sheet(page, every, "latent-inpainting", 5, heads="picture\nmask\ninpainted\n\n")


def autoencoder_round_trip(page: Page) -> None:
    """What the two first stages keep of a picture."""
    with page.group("Scenes"):
        seeds = page.titled("Seeds", values.seed_list(20, 6))
        scenes = page.titled("Scenes", scene_world.render_scene(cast(int, seeds), size=32))
        batch = page.titled("One batch", images.batch_images(cast(list[Image], scenes.image)))
    with page.group("KL: continuous latents (Rombach et al. 2022, section 3.1)"):
        kl = page.titled("KL autoencoder", autoencoders.load_autoencoder(file(parts.KL)))
        latents = page.titled("Encode", autoencoders.encode_latents(kl, batch, "mode"))
        by_kl = page.titled("Decode", autoencoders.decode_latents(kl, latents))
    with page.group("VQ: one of 512 codes at each place (van den Oord et al. 2017, eq. 1)"):
        vq = page.titled("VQ autoencoder", paella.load_token_autoencoder(file(parts.VQ)))
        tokens = page.titled("Encode to tokens", paella.encode_tokens(vq, batch))
        by_vq = page.titled("Decode tokens", paella.decode_tokens(vq, tokens))
    with page.group("How near they come"):
        for name, made in (("KL", by_kl), ("VQ", by_vq)):
            error = page.titled(f"{name} error", measures.pixel_error(batch, made))
            said = page.titled(f"{name} in words", values.number_text(error.decibels, f"{name}: ", " dB"))
            page.titled(f"Show {name}", values.show_text(said))
        every = page.titled("All", images.concatenate_images(batch, by_kl, by_vq))
    sheet(page, every, "autoencoders", 6, rows="scenes\nKL\nVQ", side=128)


def prompt_weights(page: Page) -> None:
    """One word's weight, as two programs read it on states, and on attention itself."""
    weighted = "a large red cube left of a small (blue:0) sphere"
    latent = Latent.load(page, "30")
    with page.group("Without weights"):
        plain = latent.guided(CUBE_AND_SPHERE, "No weights")
    made = {"no weights": plain}
    with page.group("Weights on the text's states"):
        for interpretation in ("comfy", "a1111"):
            text = prompt_editing.weighted_prompt(latent.encoder, weighted, interpretation)
            leaf = latent_diffusion.latent_denoiser(latent.model, page.titled(f"As {interpretation} reads it", text))
            guided = guidance.classifier_free_guidance(leaf, latent.unconditional, 4.0)
            made[interpretation] = page.titled(f"{interpretation}: guidance", guided)
    with page.group("Weights on attention (Hertz et al. 2022, section 3.2, attention re-weighting)"):
        made["attention"] = page.titled(
            "Weigh words", prompt_editing.weigh_words(plain, latent.encoder, CUBE_AND_SPHERE, "blue: 0")
        )
    with page.group("From one noise"):
        start = page.titled("Noise", samplers.noise_start(plain, 8, 8, batch=2, seed=0))
        found = [
            autoencoders.decode_latents(latent.autoencoder, sampled(page, f"Sampler: {name}", one, latent.steps, start))
            for name, one in made.items()
        ]
        every = page.titled("All", images.concatenate_images(*found))
    sheet(page, every, "prompt-weights", 2, rows="\n".join(made))


def tiles(page: Page) -> None:
    """A picture far larger than those that the autoencoder learned from, in tiles and whole."""
    with page.group("A large picture"):
        scene = page.titled("Scene", scene_world.render_scene(seed=4, size=128))
        autoencoder = page.titled("Autoencoder", autoencoders.load_autoencoder(file(parts.KL)))
    with page.group("In tiles of 64 pixels that overlap by 32"):
        latents = page.titled("Encode in tiles", tiling.encode_latents_in_tiles(autoencoder, scene.image, 64, 32))
        tiled = page.titled("Decode in tiles", tiling.decode_latents_in_tiles(autoencoder, latents, 64, 32))
    with page.group("Whole"):
        at_once = page.titled("Encode", autoencoders.encode_latents(autoencoder, scene.image, "mode"))
        whole = page.titled("Decode", autoencoders.decode_latents(autoencoder, at_once))
    with page.group("How far the two differ"):
        error = page.titled("Difference", measures.pixel_error(tiled, whole))
        said = page.titled("In words", values.number_text(error.decibels, "tiles against whole: ", " dB"))
        page.titled("Show", values.show_text(said))
        every = page.titled("All", images.concatenate_images(scene.image, tiled, whole))
    sheet(page, every, "latent-tiles", 3, heads="picture\nin tiles\nwhole", side=256)


WORKFLOWS: Mapping[str, Shipped] = {
    "latent-diffusion": Shipped(
        text_to_image,
        "Latent diffusion (Rombach et al. 2022): an autoencoder makes 8 x 8 latents of a 32-pixel picture, and a U-Net "
        "walks through them and attends to the states of CLIP's text tower, as Stable Diffusion does.\n\n"
        "Denoiser and autoencoder say whose latents they mean: another autoencoder is refused on the wire.",
        (parts.LDM_TEXT, parts.KL, parts.LDM),
    ),
    "latent-image-to-image": Shipped(
        image_to_image,
        "Image-to-image as Stable Diffusion does it: SDEdit (Meng et al. 2021) on latents. The more of the way a "
        "picture is noised, the less of it stays: from left to right 30, 50, 70 and 90 %.",
        (parts.LDM_TEXT, parts.KL, parts.LDM),
    ),
    "latent-inpainting": Shipped(
        inpainting,
        "Inpainting of latents by replacement, with a model that was never trained for it. A latent is repainted where "
        "any of its 4 x 4 pixels is masked. Models that were trained to inpaint take the mask through the latent "
        "inpainting denoiser (Rombach et al. 2022, section 4.5).",
        (parts.LDM_TEXT, parts.KL, parts.LDM),
    ),
    "autoencoders": Shipped(
        autoencoder_round_trip,
        "The two first stages: a KL autoencoder's continuous latents (Rombach et al. 2022, section 3.1) and the tokens "
        "of a VQ autoencoder (van den Oord et al. 2017), each encoded and decoded, with the signal-to-noise ratio of "
        "what comes back.",
        (parts.KL, parts.VQ),
    ),
    "prompt-weights": Shipped(
        prompt_weights,
        "Emphasis, (word:weight): ComfyUI moves a token's state away from the empty prompt's, AUTOMATIC1111 multiplies "
        "states and restores their mean, and both leave the word in its neighbours' states. Weights on attention act "
        "where the picture looks at the word (Hertz et al. 2022, section 3.2).\n\nHere blue has weight 0.",
        (parts.LDM_TEXT, parts.KL, parts.LDM),
    ),
    "latent-tiles": Shipped(
        tiles,
        "Large pictures through an autoencoder in overlapping tiles, so that memory does not grow with them. This "
        "autoencoder learned from pictures of 32 pixels: tiles are nearer to those than the whole is.",
        (parts.KL,),
    ),
}
