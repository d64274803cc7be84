"""Inpainting: without training for it and by models that were, of pixels and latents; editing in rounds; variations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ..diffusion.denoiser import Denoiser
from ..nodes import (
    batches,
    clip,
    figures,
    glide_editing,
    images,
    latent_diffusion,
    masks,
    measures,
    replacement,
    samplers,
    scene_world,
    values,
)
from ..nodes.sockets import Condition, Image, Mask, Sample
from . import parts
from .beside import GlideInpainter, LatentBeside
from .page import Page, Shipped
from .parts import CUBE_AND_SPHERE, Glide, Unclip, sheet


def _picture(page: Page, glide: Glide, prompt: str, seed: int, batch: int = 1) -> Sample:
    """A picture to be edited."""
    with page.group("A picture to edit"):
        guided = glide.guided(prompt, "What it shows")
        start = page.titled("Noise of the picture", samplers.noise_start(guided, 32, 32, batch=batch, seed=seed))
        return page.titled("Picture", samplers.ddim_sampler(guided, glide.steps, start))


def inpainting(page: Page) -> None:
    """Two ways of inpainting with a model that was never trained for it."""
    glide = Glide.load(page, "50")
    picture = _picture(page, glide, CUBE_AND_SPHERE, seed=3)
    with page.group("What to repaint, and as what"):
        mask = page.titled("Mask", masks.box_mask(32, 32, 16, 0, 32, 32))
        guided = glide.guided("a large red cube left of a small green cone", "New prompt")
        start = page.titled("Noise", samplers.noise_start(guided, 32, 32, batch=3, seed=5))
    with page.group("Replacement in every predicted x_0 (section 4.3)"):
        known = page.titled("Known region", glide_editing.known_region(guided, picture, mask))
        replaced = page.titled("Replacement", samplers.ddim_sampler(known, glide.steps, start, 1.0))
    with page.group("RePaint: go back and agree (Lugmayr et al. 2022, algorithm 1)"):
        repainted = page.titled(
            "RePaint", replacement.repaint_sampler(guided, glide.steps, start, picture, mask, resamples=4, jump=5)
        )
    with page.group("The edge: steps across it less steps beside it"):
        first, second = (images.sample_to_image(one) for one in (replaced, repainted))
        _edges(page, mask, {"replacement": first, "RePaint": second})
        original = batches.repeat_images(images.sample_to_image(picture), 3)
        every = page.titled("All", images.concatenate_images(original, first, second))
    sheet(page, every, "glide-inpainting", 3, "picture\nreplacement\nRePaint")


def _scene(page: Page) -> tuple[Image, Mask]:
    """A picture that no network made, and a hole over its right half."""
    with page.group("A picture that no network made, and a hole"):
        scene = page.titled("Scene", scene_world.render_scene(seed=4, size=32))
        mask = page.titled("Mask", masks.box_mask(32, 32, 16, 0, 32, 32))
    return scene.image, mask


def fine_tuned(page: Page) -> None:
    """GLIDE's inpainting model beside replacement with the base model, from one noise."""
    prompt = "a green cylinder left of a blue sphere"
    trained, base = GlideInpainter.load(page, "50"), Glide.load(page, "50", "GLIDE's base model")
    image, mask = _scene(page)
    with page.group("It sees the masked picture and the mask beside x_t"):
        painted = trained.guided(prompt, image, mask)
        start = page.titled("Noise", samplers.noise_start(painted, 32, 32, batch=3, seed=0))
        first = page.titled("Fine-tuned", samplers.ddim_sampler(painted, trained.steps, start, 1.0))
    with page.group("The base model sees neither: replacement in every predicted x_0"):
        guided = base.guided(prompt, "Base", 3.0)
        known = page.titled("Known region", glide_editing.known_region(guided, images.image_to_sample(image), mask))
        second = page.titled("Replacement", samplers.ddim_sampler(known, base.steps, start, 1.0))
    with page.group("Beside the picture, with the edge: steps across it less steps beside it"):
        made = [images.sample_to_image(one) for one in (first, second)]
        _edges(page, mask, dict(zip(("fine-tuned", "replacement"), made, strict=True)))
        original = page.titled("Picture", batches.repeat_images(image, 3))
        every = page.titled("All", images.concatenate_images(original, *made))
    sheet(page, every, "glide-inpainting-fine-tuned", 3, "picture\nfine-tuned\nreplacement")


def _edges(page: Page, mask: Mask, made: Mapping[str, Image]) -> None:
    """A table of how visible the edge of the mask is."""
    errors = [page.titled(f"Edge: {name}", measures.boundary_error(picture, mask)) for name, picture in made.items()]
    names = page.titled("Names", values.text_list("\n".join(made)))
    written = figures.table(values.collect_numbers(*errors), names, names="way, edge", digits=4)
    page.titled("Edges", values.show_text(page.titled("Table", written)))


def iterative_editing(page: Page) -> None:
    """A picture made in rounds, each of which repaints a box under a new prompt."""
    glide = Glide.load(page, "50")
    picture = _picture(page, glide, CUBE_AND_SPHERE, seed=3)
    shown = [picture]
    rounds = (
        ("a large red cube left of a small green cone", (16, 0, 32, 32)),
        ("a large yellow sphere left of a small green cone", (0, 0, 17, 32)),
    )
    for number, (prompt, box) in enumerate(rounds, 1):
        with page.group(f"Round {number}: {prompt}"):
            mask = page.titled(f"Mask {number}", masks.box_mask(32, 32, *box))
            guided = glide.guided(prompt, f"Prompt {number}")
            start = page.titled(f"Noise {number}", samplers.noise_start(guided, 32, 32, seed=number))
            picture = page.titled(
                f"Repainted {number}",
                replacement.repaint_sampler(guided, glide.steps, start, picture, mask, resamples=4, jump=5),
            )
            shown.append(picture)
    with page.group("One after the other"):
        every = page.titled("All", images.concatenate_images(*map(images.sample_to_image, shown)))
    sheet(page, every, "glide-iterative-editing", 3, heads="text to image\nround 1\nround 2", side=256)


def latents_fine_tuned(page: Page) -> None:
    """Latent diffusion's inpainting model, which sees the masked picture's latents and the mask."""
    latent = LatentBeside.load(page, parts.LDM_INPAINT, "30")
    image, mask = _scene(page)

    def denoiser(text: Condition) -> Denoiser:
        return latent_diffusion.latent_inpainting_denoiser(latent.model, latent.autoencoder, image, mask, text)

    with page.group("The mask and the masked picture's latents beside x_t (section 4.5; Stable Diffusion's order)"):
        guided = latent.guided("a green cylinder left of a blue sphere", denoiser)
    with page.group("A walk through latents, and back to pixels"):
        decoded = latent.drawn(guided, 3)
        shown = page.titled("Mask as a picture", masks.mask_to_image(mask))
        every = page.titled("All", images.concatenate_images(image, shown, decoded))
    sheet(page, every, "latent-inpainting-fine-tuned", 5, heads="picture\nmask\ninpainted\n\n")


def then_vary(page: Page) -> None:
    """GLIDE repaints a part of a picture, and unCLIP varies what has become of it."""
    trained, decoder = GlideInpainter.load(page, "50"), Unclip.load(page)
    image, mask = _scene(page)
    with page.group("Inpaint"):
        painted = trained.guided("a green cylinder left of a blue sphere", image, mask)
        start = page.titled("Noise", samplers.noise_start(painted, 32, 32, seed=0))
        sample = page.titled("Inpainted", samplers.ddim_sampler(painted, trained.steps, start, 1.0))
        edited = page.titled("As a picture", images.sample_to_image(sample))
    with page.group("Its embedding z_i, and x_T by DDIM inversion (Ramesh et al. 2022, section 3.1)"):
        embedding = page.titled("Embed", clip.clip_image_embedding(decoder.clip, edited))
        denoiser = decoder.denoiser(embedding, "Under its embedding")
        noise = page.titled("Inverted", samplers.ddim_inversion(denoiser, decoder.steps, sample, strength=0.8))
    with page.group("Vary: the same two, and noise of strength eta on the way"):
        etas = page.titled("Eta", values.number_list("0.3, 0.6, 1"))
        made = page.titled("Sampler", samplers.ddim_sampler(denoiser, decoder.steps, noise, cast(float, etas)))
        varied = page.titled("One batch", images.batch_images(cast(list[Image], images.sample_to_image(made))))
        every = page.titled("All", images.concatenate_images(image, edited, varied))
    sheet(page, every, "inpaint-then-vary", heads="picture\ninpainted\neta 0.3\neta 0.6\neta 1")


_GLIDE = (parts.GLIDE,)
WORKFLOWS: Mapping[str, Shipped] = {
    "glide-inpainting": Shipped(
        inpainting,
        "Inpainting without training for it: what is known replaces the prediction in every step (GLIDE, section 4.3), "
        "or the noised x_t while the walk goes to and fro (RePaint, Lugmayr et al. 2022).\n\n"
        "A mask is 1 where to repaint. Beside the pictures: how visible the edge of the mask is.",
        _GLIDE,
    ),
    "glide-inpainting-fine-tuned": Shipped(
        fine_tuned,
        "GLIDE's inpainting model (Nichol et al. 2021, section 4.3): trained on with the masked picture and the mask "
        "as four more channels, it knows in every step what surrounds the hole. Below it the base model by "
        "replacement, from the same noise: it learns of the surroundings only by what is put back.",
        (parts.INPAINT, parts.GLIDE),
    ),
    "glide-iterative-editing": Shipped(
        iterative_editing,
        "Iterative editing (GLIDE, Nichol et al. 2021, figure 3): a picture grows by repainting one box after another, "
        "each under a prompt of its own. Every round starts from the result of the one before.",
        _GLIDE,
    ),
    "latent-inpainting-fine-tuned": Shipped(
        latents_fine_tuned,
        "Latent diffusion's inpainting model (Rombach et al. 2022, section 4.5), in Stable Diffusion's convention: "
        "nine channels, of which five are the mask and the latents of the masked picture. Latent diffusion's own seven "
        "channels go through the same node.",
        (parts.LDM_TEXT, parts.KL, parts.LDM_INPAINT),
    ),
    "inpaint-then-vary": Shipped(
        then_vary,
        "Two systems in one: GLIDE's inpainting model (Nichol et al. 2021, section 4.3) repaints a part of a picture, "
        "and unCLIP (Ramesh et al. 2022, section 3.1) makes variations of the whole.",
        (parts.INPAINT, parts.CLIP, parts.DECODER),
    ),
}
