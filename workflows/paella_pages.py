"""Paella's workflows: text-to-image, edits of tokens, pictures as prompts, regions, and other orders of sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ..diffusion.denoiser import Denoiser
from ..nodes import clip, embeddings, guidance, images, masks, paella, regions, scene_world, token_orders, values
from ..nodes.sockets import Image
from ..nodes.token_sockets import Tokens, TokenStart
from . import parts
from .page import Page, Shipped
from .parts import CUBE_AND_SPHERE, Paella, sheet

_SIDE = 8


def _noise(page: Page, denoiser: Denoiser, batch: int = 4, columns: int = _SIDE) -> TokenStart:
    return page.titled("Noise", paella.token_noise_start(denoiser, columns, _SIDE, batch=batch, seed=0))


def _scene(page: Page, loaded: Paella, seed: int = 11) -> tuple[Image, Tokens]:
    """A picture that no network made, and its tokens."""
    with page.group("A picture, as tokens"):
        scene = page.titled("Scene", scene_world.render_scene(seed=seed, size=32))
        return scene.image, page.titled("Encode", paella.encode_tokens(loaded.stage, scene.image))


def text_to_image(page: Page) -> None:
    """A predictor of tokens, eight steps from noise tokens to a picture's."""
    loaded = Paella.load(page)
    with page.group("Guidance on logits (section 3; Tang et al. 2022)"):
        guided = loaded.guided(loaded.text(CUBE_AND_SPHERE))
    with page.group("Predict all, renoise fewer (algorithm 1)"):
        tokens = page.titled("Sampler", loaded.sampled(guided, _noise(page, guided), steps=8))
    with page.group("Back to pixels"):
        picture = loaded.decode(tokens)
    sheet(page, picture, "paella", side=256)


def inpainting(page: Page) -> None:
    """Known tokens stay in every step; a token is made anew where any of its pixels is masked."""
    loaded = Paella.load(page)
    image, tokens = _scene(page, loaded, seed=4)
    with page.group("Noise where the mask is 1 (section 4)"):
        mask = page.titled("Mask", masks.box_mask(32, 32, 16, 0, 32, 32))
        guided = loaded.guided(loaded.text("a green cylinder left of a blue sphere"))
        start = page.titled("Start", paella.token_inpainting_start(guided, tokens, mask, seed=0))
        made = loaded.decode(page.titled("Sampler", loaded.sampled(guided, start, steps=12)))
        shown = page.titled("Mask as a picture", masks.mask_to_image(mask))
        every = page.titled("All", images.concatenate_images(image, shown, made))
    sheet(page, every, "paella-inpainting", heads="picture\nmask\ninpainted", side=256)


def outpainting(page: Page) -> None:
    """A picture is continued to its right, and then downwards."""
    loaded = Paella.load(page)
    image, tokens = _scene(page, loaded)
    with page.group("To the right, then below (section 4)"):
        guided = loaded.guided(loaded.text("a large green cone"))
        right = page.titled("Wider", paella.token_outpainting_start(guided, tokens, right=_SIDE, seed=0))
        wide = page.titled("To the right", loaded.sampled(guided, right, steps=12))
        below = page.titled("Taller", paella.token_outpainting_start(guided, wide, right=0, below=_SIDE, seed=1))
        tall = page.titled("Below", loaded.sampled(guided, below, steps=12))
        picture = loaded.decode(tall)
    with page.group("Beside what it grew from"):
        large = page.titled("As large", images.resize_image(image, 64, 64, "bicubic"))
        every = page.titled("All", images.concatenate_images(large, picture))
    sheet(page, every, "paella-outpainting", heads="picture\ncontinued", side=256)


def structural_editing(page: Page) -> None:
    """A share of the tokens becomes noise: the picture's structure is kept, its content follows the prompt."""
    loaded = Paella.load(page)
    image, tokens = _scene(page, loaded)
    with page.group("Start in the middle (section 4, structural editing)"):
        guided = loaded.guided(loaded.text("a large green cylinder"))
        share = page.titled("Shares", values.number_list("0.5, 0.7, 0.866, 0.95"))
        start = page.titled("Start", paella.token_edit_start(guided, tokens, cast(float, share), seed=0))
        edited = page.titled("Sampler", loaded.sampled(guided, start, steps=12, renoise="previous"))
        batch = page.titled("One batch", images.batch_images(cast(list[Image], loaded.decode(edited))))
        every = page.titled("All", images.concatenate_images(image, batch))
    sheet(page, every, "paella-structural-editing", heads="picture\n0.5\n0.7\n0.866\n0.95")


def variations(page: Page) -> None:
    """The embedding of a picture in the place of a text's."""
    loaded = Paella.load(page)
    with page.group("A picture's embedding"):
        scene = page.titled("Scene", scene_world.render_scene(seed=11, size=32))
        embedding = page.titled("Embed", clip.clip_image_embedding(loaded.clip, scene.image))
    with page.group("Pictures with the same embedding (section 4, image variations)"):
        guided = loaded.guided(embedding, "Picture", picture=True)
        tokens = page.titled("Sampler", loaded.sampled(guided, _noise(page, guided), steps=12))
        every = page.titled("All", images.concatenate_images(scene.image, loaded.decode(tokens)))
    sheet(page, every, "paella-variations", 5, heads="picture\nvariations")


def interpolation(page: Page) -> None:
    """From one text to another on the sphere of embeddings, with the noise held fixed."""
    weights = "0, 0.25, 0.5, 0.75, 1"
    loaded = Paella.load(page)
    with page.group("Between two texts (section 4, latent space interpolation)"):
        first = loaded.text("a large red cube", "First prompt")
        second = loaded.text("a large blue sphere", "Second prompt")
        weight = page.titled("Weights", values.number_list(weights))
        between = page.titled("Between", embeddings.interpolate_embeddings(first, second, cast(float, weight)))
    with page.group("One noise for all"):
        guided = loaded.guided(between, "Between")
        start = _noise(page, guided, batch=1)
        tokens = page.titled("Sampler", loaded.sampled(guided, start, steps=20, renoise_steps=11))
        batch = page.titled("One batch", images.batch_images(cast(list[Image], loaded.decode(tokens))))
    sheet(page, batch, "paella-interpolation", heads=weights.replace(", ", "\n"))


def by_regions(page: Page) -> None:
    """A map of CLIP vectors: each half of a wide picture has a text of its own."""
    loaded = Paella.load(page)
    with page.group("A text for each half"):
        left = loaded.text("a large red cube", "Left prompt")
        right = loaded.text("a large blue sphere", "Right prompt")
        where = page.titled("Right half", masks.box_mask(64, 32, 32, 0, 64, 32))
    with page.group("One forward under a map of vectors (section 4, multi-conditioning)"):
        towards = page.titled("By region", regions.paella_region_denoiser(loaded.predictor, left, right, where))
        guided = page.titled("Guidance", guidance.classifier_free_guidance(towards, loaded.unconditional, 4.0))
        start = _noise(page, guided, batch=2, columns=2 * _SIDE)
        tokens = page.titled("Sampler", loaded.sampled(guided, start, steps=12))
        picture = loaded.decode(tokens)
    with page.group("Pictures"):
        large = page.titled("Enlarge", images.resize_image(picture, 512, 256, "bicubic"))
        page.titled("Save", images.save_image(page.titled("Sheet", images.image_grid(large, 1, 4)), "paella-regions"))


def orders(page: Page) -> None:
    """One predictor, three ways to choose which tokens are settled first."""
    loaded = Paella.load(page)
    with page.group("The prompt"):
        guided = loaded.guided(loaded.text("a large yellow sphere"))
        start = _noise(page, guided)
    with page.group("Renoise at random (Rampas et al. 2022, algorithm 1)"):
        first = loaded.decode(page.titled("Paella", loaded.sampled(guided, start, steps=12)), "Decode 1")
    with page.group("Keep the surest (MaskGIT, Chang et al. 2022, section 3.2)"):
        second = loaded.decode(
            page.titled("MaskGIT", token_orders.maskgit_sampler(guided, start, steps=12)), "Decode 2"
        )
    with page.group("A fixed order that spreads out (Besnier et al. 2025)"):
        third = loaded.decode(page.titled("Halton", token_orders.halton_sampler(guided, start, steps=16)), "Decode 3")
    with page.group("One noise, three orders"):
        every = page.titled("All", images.concatenate_images(first, second, third))
    sheet(page, every, "paella-orders", 4, rows="renoise\nMaskGIT\nHalton")


_MINIS = (parts.CLIP, parts.VQ, parts.PAELLA)
WORKFLOWS: Mapping[str, Shipped] = {
    "paella": Shipped(
        text_to_image,
        "Paella (Rampas et al. 2022): every token of the picture is predicted at once, then a shrinking random share "
        "becomes noise again. Eight steps are enough, with guidance on the logits and "
        "temperatures that fall to 0.2; the published locally typical sampling is a mass of 0.2 at the sampler.",
        _MINIS,
    ),
    "paella-inpainting": Shipped(
        inpainting,
        "Inpainting (Paella, section 4): tokens under the mask start as noise, the known ones are put back after every "
        "step. No training for it is needed, as the predictor fills noise among known tokens anyway.",
        _MINIS,
    ),
    "paella-outpainting": Shipped(
        outpainting,
        "Outpainting (Paella, section 4): a convolutional predictor has no fixed size, so that a picture's grid of "
        "tokens can be extended on any side and the new ones sampled beside the old.",
        _MINIS,
    ),
    "paella-structural-editing": Shipped(
        structural_editing,
        "Structural editing (Paella, section 4): sampling starts from a picture of which a share of the tokens is "
        "noise, and renoises with the tokens of the step before. The smaller the share, the more of the picture stays.",
        _MINIS,
    ),
    "paella-variations": Shipped(
        variations,
        "Image variations (Paella, section 4): a share of training saw embeddings of pictures in the place of those of "
        "texts, so that a picture can be the prompt. What varies is what CLIP's embedding does not tell.",
        _MINIS,
    ),
    "paella-interpolation": Shipped(
        interpolation,
        "Interpolation (Paella, section 4): embeddings of two texts are interpolated on the sphere, with one noise "
        "throughout; 20 steps, 11 of which renoise, as published.",
        _MINIS,
    ),
    "paella-regions": Shipped(
        by_regions,
        "Multi-conditioning (Paella, section 4): the condition is a map of CLIP vectors, one for each place, so that "
        "regions have texts of their own within one forward of the predictor.",
        _MINIS,
    ),
    "paella-orders": Shipped(
        orders,
        "Three samplers on one predictor: Paella renoises at random, MaskGIT (Chang et al. 2022) keeps what it is "
        "surest of, and Halton's order (Besnier et al. 2025) spreads over the picture whatever the scores say.",
        _MINIS,
    ),
}
