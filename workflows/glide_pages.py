"""GLIDE's workflows: text-to-image, lists of prompts, image-to-image, and what noise and steps do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ..nodes import (
    images,
    measures,
    samplers,
    scene_world,
    values,
)
from ..nodes.sockets import Image
from . import parts
from .page import Page, Shipped
from .parts import CUBE_AND_SPHERE, Glide, sheet


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
