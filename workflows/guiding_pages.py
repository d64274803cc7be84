"""Guidance by gradients: noised CLIP, an ordinary CLIP and a classifier, on pixels and on latents."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from ..models.noised_clip.model import NoisedClip
from ..nodes import (
    autoencoders,
    clip,
    clip_guiding,
    images,
    latent_guiding,
    noised_clip,
    samplers,
    values,
)
from . import parts
from .page import Page, Shipped
from .parts import Glide, Latent, file, sampled, sheet

_CLASS_SCALE = 0.01


def load_towers(page: Page) -> NoisedClip:
    """Both towers of noised CLIP."""
    return page.titled("Noised CLIP", noised_clip.load_noised_clip(file(parts.NOISED), file(parts.NOISED_TEXT)))


def clip_guidance(page: Page) -> None:
    """Noised CLIP, an ordinary CLIP on the predicted x_0, and classifier-free guidance, from one noise."""
    prompt_text = "a large yellow cone"
    glide = Glide.load(page, "50")
    with page.group("The prompt"):
        prompt = page.titled("Prompt", values.text(prompt_text))
    with page.group("Noised CLIP: a gradient at x_t (section 2.4, eq. 8)"):
        towers = load_towers(page)
        wanted = page.titled("Noised CLIP's text", noised_clip.noised_clip_text_encoder(towers, prompt))
        by_noised = page.titled(
            "By noised CLIP", noised_clip.noised_clip_guidance(glide.unconditional, towers, wanted, 0.02)
        )
    with page.group("An ordinary CLIP, on cutouts of the predicted x_0 (Crowson et al. 2022)"):
        model = page.titled("CLIP", clip.load_clip(file(parts.CLIP)))
        text = page.titled("CLIP's text", clip.clip_text_embedding(model, prompt))
        guided = clip_guiding.clip_guidance(
            glide.unconditional, model, text.embedding, 15.0, cutouts=4, through_network=False, start=0.3
        )
        by_clip = page.titled("By CLIP", guided)
    with page.group("Classifier-free (section 2.3)"):
        free = glide.guided(prompt, "Classifier-free")
    with page.group("One noise, four guidances"):
        start = page.titled("Noise", samplers.noise_start(free, 32, 32, batch=4, seed=0))
        found = [
            images.sample_to_image(page.titled(f"Sampler: {name}", samplers.ddim_sampler(one, glide.steps, start, 1.0)))
            for name, one in (
                ("none", glide.unconditional), ("CLIP", by_clip), ("noised CLIP", by_noised), ("classifier-free", free),
            )
        ]  # fmt: skip
        every = page.titled("All", images.concatenate_images(*found))
    sheet(page, every, "glide-clip-guidance", 4, "nothing\nCLIP on x_0\nnoised CLIP\nclassifier free", side=128)


def latent_clip_guidance(page: Page) -> None:
    """Two CLIPs, which see pictures, guide a denoiser of latents that sees no text."""
    latent = Latent.load(page, "30")
    with page.group("The prompt"):
        prompt = page.titled("Prompt", values.text("a large blue sphere"))
    with page.group("Noised CLIP: decode the predicted z_0, noise it to the step's level, ask (GLIDE, eq. 8)"):
        towers = load_towers(page)
        wanted = page.titled("Noised CLIP's text", noised_clip.noised_clip_text_encoder(towers, prompt))
        by_noised = page.titled(
            "By noised CLIP",
            latent_guiding.latent_noised_clip_guidance(
                latent.unconditional, latent.autoencoder, towers, wanted, 0.5, through_network=False
            ),
        )
    with page.group("An ordinary CLIP, on cutouts of the decoded z_0 (Crowson et al. 2022)"):
        model = page.titled("CLIP", clip.load_clip(file(parts.CLIP)))
        text = page.titled("CLIP's text", clip.clip_text_embedding(model, prompt))
        by_clip = page.titled(
            "By CLIP",
            latent_guiding.latent_clip_guidance(
                latent.unconditional, latent.autoencoder, model, text.embedding, 5.0, cutouts=4, through_network=False
            ),
        )
    with page.group("One noise, three guidances"):
        start = page.titled("Noise", samplers.noise_start(by_noised, 8, 8, batch=4, seed=0))
        ways = {"nothing": latent.unconditional, "CLIP on z_0": by_clip, "noised CLIP": by_noised}
        found = [
            autoencoders.decode_latents(latent.autoencoder, sampled(page, f"Sampler: {way}", one, latent.steps, start))
            for way, one in ways.items()
        ]
        every = page.titled("All", images.concatenate_images(*found))
    sheet(page, every, "latent-clip-guidance", 4, "\n".join(ways), side=128)


def classifier_guidance(page: Page) -> None:
    """Noised CLIP over captions as a classifier of noised pictures."""
    colours = ("a red cube", "a green cube", "a blue cube", "a yellow cube")
    glide = Glide.load(page, "50")
    with page.group("A classifier: noised CLIP over one caption of each class (Radford et al. 2021, section 3.1)"):
        towers = load_towers(page)
        classes = page.titled("Classes", values.text("\n".join(colours)))
    with page.group("A text that leaves the colour open"):
        open_text = glide.conditional("a large cube")
        start = page.titled("Noise", samplers.noise_start(open_text, 32, 32, batch=3, seed=0))
    with page.group("The gradient of log p(class | x_t, t) (Dhariwal & Nichol 2021, section 4)"):
        guided = [
            page.titled(
                f"Class {number}: {name}",
                clip_guiding.classifier_guidance(open_text, towers, classes, number, _CLASS_SCALE, end=0.5),
            )
            for number, name in enumerate(colours)
        ]
    with page.group("One noise, four classes"):
        found = [
            images.sample_to_image(page.titled(f"Sampler: {name}", samplers.ddim_sampler(one, glide.steps, start, 1.0)))
            for name, one in zip(("no class", *colours), (open_text, *guided), strict=True)
        ]
        every = page.titled("All", reduce(images.concatenate_images, found))
    sheet(page, every, "classifier-guidance", 3, "no class\n" + "\n".join(colours), side=128)


WORKFLOWS: Mapping[str, Shipped] = {
    "glide-clip-guidance": Shipped(
        clip_guidance,
        "Three guidances towards one text from one noise (GLIDE, Nichol et al. 2021, section 2). The denoiser itself "
        "sees no text in the first three rows: what they know of the prompt comes from CLIP's gradient.\n\n"
        "Noised CLIP was trained on what the sampler sees, and reads x_t itself; an ordinary CLIP never saw noise and "
        "is shown cutouts of the predicted x_0.",
        (parts.GLIDE, parts.NOISED, parts.NOISED_TEXT, parts.CLIP),
    ),
    "latent-clip-guidance": Shipped(
        latent_clip_guidance,
        "CLIP guides latents through the autoencoder's decoder: CLIP's tower sees pictures, so the predicted "
        "z_0 is decoded, and the gradient comes back through the decoder (Bansal et al. 2023, section 3.2).\n\n"
        "Noised CLIP (GLIDE, Nichol et al. 2021, section 4.4) wants a picture at the step's level of noise: the "
        "decoded one is noised anew. The denoiser itself sees no text: all that is right comes from CLIP.",
        (parts.LDM_TEXT, parts.KL, parts.LDM, parts.NOISED, parts.NOISED_TEXT, parts.CLIP),
    ),
    "classifier-guidance": Shipped(
        classifier_guidance,
        "Classifier guidance (Dhariwal & Nichol 2021, section 4): the gradient of a classifier of noised pictures "
        "leads towards a class. No classifier was trained: noised CLIP over one caption of each class is one, as CLIP "
        "over captions is (Radford et al. 2021).\n\nThe text says that it is a cube, the classifier of which colour. "
        "Mini noised CLIP is a short training's: red, green and blue it leads to now and then, yellow never.",
        (parts.GLIDE, parts.NOISED, parts.NOISED_TEXT),
    ),
}
