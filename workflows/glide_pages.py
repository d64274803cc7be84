"""GLIDE's workflows: text-to-image, guidance by CLIP, inpainting, iterative editing, and what noise and steps do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ..nodes import (
    batches,
    clip,
    clip_guiding,
    figures,
    glide_editing,
    images,
    masks,
    measures,
    noised_clip,
    replacement,
    samplers,
    scene_world,
    values,
)
from ..nodes.sockets import Image, Sample
from . import parts
from .page import Page, Shipped
from .parts import CUBE_AND_SPHERE, Glide, file, sheet


def text_to_image(page: Page) -> None:
    """GLIDE's base model with classifier-free guidance."""
    glide = Glide.load(page, "50")
    with page.group("Guidance towards the prompt (Ho & Salimans 2022, eq. 6)"):
        guided = glide.guided(CUBE_AND_SPHERE)
    with page.group("Sampling (Ho et al. 2020, algorithm 2)"):
        start = page.titled("Noise", samplers.noise_start(guided, 32, 32, batch=4, seed=0))
        sample = page.titled("Sampler", samplers.ancestral_sampler(guided, glide.steps, start))
        picture = page.titled("To pictures", images.sample_to_image(sample))
    sheet(page, picture, "text-to-image", side=256)


def prompts_and_seeds(page: Page) -> None:
    """One picture for each prompt of a list."""
    lines = "a small red sphere\na large blue cone\na green cylinder\na yellow cube"
    with page.group("A list: what it is wired to runs once for each line"):
        prompts = page.titled("Prompts", values.text_list(lines))
    glide = Glide.load(page, "ddim25")
    with page.group("Guidance towards each prompt"):
        guided = glide.guided(cast(str, prompts), "Each prompt")
    with page.group("DDIM in 25 steps (Song et al. 2021, eq. 12)"):
        start = page.titled("Noise", samplers.noise_start(guided, 32, 32, seed=0))
        sample = page.titled("Sampler", samplers.ddim_sampler(guided, glide.steps, start))
        pictures = page.titled("To pictures", images.sample_to_image(sample))
        batch = page.titled("One batch", images.batch_images(cast(list[Image], pictures)))
    sheet(page, batch, "prompts", columns=4, heads=lines)


def image_to_image(page: Page) -> None:
    """SDEdit: a picture is noised part of the way and denoised under a prompt."""
    glide = Glide.load(page, "50")
    with page.group("A picture to begin with"):
        make = glide.guided("a large red cube", "First prompt", 3.0)
        start = page.titled("Noise", samplers.noise_start(make, 32, 32, batch=2, seed=1))
        original = page.titled("Original", samplers.ddim_sampler(make, glide.steps, start))
        before = page.titled("Before", images.sample_to_image(original))
    with page.group("SDEdit (Meng et al. 2021, algorithm 2)"):
        edit = glide.guided("a large green sphere", "Second prompt", 3.0)
        noised = page.titled("Noised", samplers.noised_start(original, glide.steps, strength=0.7, seed=2))
        edited = page.titled("Edited", samplers.ancestral_sampler(edit, glide.steps, noised))
        after = page.titled("After", images.sample_to_image(edited))
        both = page.titled("Both", images.concatenate_images(before, after))
    sheet(page, both, "image-to-image", columns=2, rows="before\nafter", side=256)


def clip_guidance(page: Page) -> None:
    """Noised CLIP, an ordinary CLIP on the predicted x_0, and classifier-free guidance, from one noise."""
    prompt_text = "a large yellow cone"
    glide = Glide.load(page, "50")
    with page.group("The prompt"):
        prompt = page.titled("Prompt", values.text(prompt_text))
    with page.group("Noised CLIP: a gradient at x_t (section 2.4, eq. 8)"):
        towers = page.titled("Noised CLIP", noised_clip.load_noised_clip(file(parts.NOISED), file(parts.NOISED_TEXT)))
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
        errors = [
            page.titled(f"Edge: {name}", measures.boundary_error(one, mask))
            for name, one in (("replacement", first), ("RePaint", second))
        ]
        names = page.titled("Names", values.text_list("replacement\nRePaint"))
        written = page.titled(
            "Table", figures.table(values.collect_numbers(*errors), names, names="way, edge", digits=4)
        )
        page.titled("Edges", values.show_text(written))
        original = batches.repeat_images(images.sample_to_image(picture), 3)
        every = page.titled("All", images.concatenate_images(original, first, second))
    sheet(page, every, "glide-inpainting", 3, "picture\nreplacement\nRePaint")


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


def noise_interpolation(page: Page) -> None:
    """What lies between two noises, under one prompt."""
    weights = "0, 0.2, 0.4, 0.6, 0.8, 1"
    glide = Glide.load(page, "50")
    with page.group("Two noises"):
        guided = glide.guided("a large blue sphere", scale=3.0)
        first = page.titled("First noise", samplers.noise_start(guided, 32, 32, seed=1))
        second = page.titled("Second noise", samplers.noise_start(guided, 32, 32, seed=2))
    with page.group("On the sphere between them (Song et al. 2021, section 5.3)"):
        weight = page.titled("Weights", values.number_list(weights))
        between = page.titled("Between", samplers.interpolate_starts(first, second, cast(float, weight)))
        samples = page.titled("Deterministic DDIM", samplers.ddim_sampler(guided, glide.steps, between))
        batch = page.titled("One batch", images.batch_images(cast(list[Image], images.sample_to_image(samples))))
    sheet(page, batch, "glide-noise-interpolation", 6, heads=weights.replace(", ", "\n"))


def inversion(page: Page) -> None:
    """The noise from which DDIM makes a given picture, and what another prompt makes of it."""
    glide = Glide.load(page, "100")
    with page.group("A picture that no network made"):
        scene = page.titled("Scene", scene_world.render_scene(seed=11, size=32))
        picture = page.titled("As a sample", images.image_to_sample(scene.image))
    with page.group("DDIM backwards (Song et al. 2021, section 4.3)"):
        denoiser = glide.conditional(scene.caption, "Its caption")
        noise = page.titled("Inverted", samplers.ddim_inversion(denoiser, glide.steps, picture, strength=0.8))
    with page.group("And forwards again: the same prompt, another prompt"):
        again = page.titled(
            "Again", images.sample_to_image(samplers.ddim_sampler(denoiser, glide.steps, noise, clip=False))
        )
        other = glide.guided("a large green cone", "Another prompt", 3.0)
        edited = page.titled("Edited", images.sample_to_image(samplers.ddim_sampler(other, glide.steps, noise)))
        error = page.titled("Error", measures.pixel_error(scene.image, again))
        said = page.titled("In words", values.number_text(error.decibels, "signal to noise: ", " dB"))
        page.titled("How near", values.show_text(said))
        every = page.titled("All", images.concatenate_images(scene.image, again, edited))
    sheet(page, every, "glide-inversion", 3, heads="picture\nagain\nanother prompt", side=256)


_GLIDE = (parts.GLIDE,)
WORKFLOWS: Mapping[str, Shipped] = {
    "text-to-image": Shipped(
        text_to_image,
        "GLIDE's base model (Nichol et al. 2021) under classifier-free guidance.\n\n"
        "The mini knows spheres, cubes, cones and cylinders in six colours, small and large, one alone or two, "
        "left of or above one another. Published checkpoints load in the same node.",
        _GLIDE,
    ),
    "prompts": Shipped(
        prompts_and_seeds,
        "A list of prompts: every node that the list reaches runs once for each line, and the rest once.",
        _GLIDE,
    ),
    "image-to-image": Shipped(
        image_to_image,
        "SDEdit (Meng et al. 2021): the first picture is noised 70 % of the way and denoised under another prompt. "
        "What is large and coarse stays, what the new prompt says changes. Less strength keeps more.",
        _GLIDE,
    ),
    "glide-clip-guidance": Shipped(
        clip_guidance,
        "Three guidances towards one text from one noise (GLIDE, Nichol et al. 2021, section 2). The denoiser itself "
        "sees no text in the first three rows: what they know of the prompt comes from CLIP's gradient.\n\n"
        "Noised CLIP was trained on what the sampler sees, and reads x_t itself; an ordinary CLIP never saw noise and "
        "is shown cutouts of the predicted x_0.",
        (parts.GLIDE, parts.NOISED, parts.NOISED_TEXT, parts.CLIP),
    ),
    "glide-inpainting": Shipped(
        inpainting,
        "Inpainting without training for it: what is known replaces the prediction in every step (GLIDE, section 4.3), "
        "or the noised x_t while the walk goes to and fro (RePaint, Lugmayr et al. 2022).\n\n"
        "A mask is 1 where to repaint. Beside the pictures: how visible the edge of the mask is.",
        _GLIDE,
    ),
    "glide-iterative-editing": Shipped(
        iterative_editing,
        "Iterative editing (GLIDE, Nichol et al. 2021, figure 3): a picture grows by repainting one box after another, "
        "each under a prompt of its own. Every round starts from the result of the one before.",
        _GLIDE,
    ),
    "glide-noise-interpolation": Shipped(
        noise_interpolation,
        "With deterministic DDIM a picture is a function of its first noise, and noises between two others make "
        "pictures between theirs (Song et al. 2021, section 5.3).",
        _GLIDE,
    ),
    "glide-inversion": Shipped(
        inversion,
        "DDIM walked backwards finds the noise of a picture that no network made (Song et al. 2021, section 4.3; "
        "Dhariwal & Nichol 2021, appendix F). Forwards under the same prompt it comes back; under another prompt it "
        "becomes something else in the same place. It stops at 80 % of the way: "
        "GLIDE's schedule leaves next to no signal at the end.",
        _GLIDE,
    ),
}
