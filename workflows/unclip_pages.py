"""unCLIP's workflows: prior and decoder, variations, interpolation, text differences, probing, and other decoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ..nodes import clip, components, embeddings, images, paella, samplers, scene_world, values
from ..nodes.sockets import Image
from . import parts
from .page import Page, Shipped
from .parts import CUBE_AND_SPHERE, AutoregressivePrior, Paella, Prior, Unclip, sheet


def text_to_image(page: Page) -> None:
    """A text becomes the embedding of a picture, and the embedding a picture."""
    decoder = Unclip.load(page)
    prior = Prior.load(page, decoder.clip)
    with page.group("Prior: from text to a picture's embedding (section 2.2)"):
        embedding = prior.sample(CUBE_AND_SPHERE, batch=4)
    with page.group("Decoder: from the embedding to a picture (section 2.1)"):
        guided = decoder.guided(embedding)
        picture = decoder.drawn(guided, batch=4)
    sheet(page, picture, "unclip", side=256)


def two_priors(page: Page) -> None:
    """One text through the diffusion prior and the autoregressive one, and the same decoder."""
    decoder = Unclip.load(page)
    prior = Prior.load(page, decoder.clip, "The diffusion prior (Ramesh et al. 2022, section 2.2)")
    coded = AutoregressivePrior.load(page, decoder.clip)
    with page.group("Diffusion: an embedding is denoised as a whole"):
        diffused = prior.sample(CUBE_AND_SPHERE, batch=4)
    with page.group("Autoregressive: principal components, cut into buckets, are drawn one after the other"):
        drawn = coded.sample(CUBE_AND_SPHERE, batch=4)
    with page.group("One decoder, one noise"):
        found = [
            decoder.drawn(decoder.guided(embedding, title=f"{way} prior"), batch=4, title=way)
            for way, embedding in (("Diffusion", diffused), ("Autoregressive", drawn))
        ]
        every = page.titled("All", images.concatenate_images(*found))
    sheet(page, every, "unclip-two-priors", 4, "diffusion\nautoregressive")


def variations(page: Page) -> None:
    """One picture's embedding and its inverted noise, decoded with more and more fresh noise."""
    decoder = Unclip.load(page)
    with page.group("A picture: its embedding z_i, and x_T by DDIM inversion"):
        scene = page.titled("Scene", scene_world.render_scene(seed=11, size=32))
        embedding = page.titled("Embed", clip.clip_image_embedding(decoder.clip, scene.image))
        denoiser = decoder.denoiser(embedding, "Under its embedding")
        known = page.titled("As a sample", images.image_to_sample(scene.image))
        noise = page.titled("Inverted", samplers.ddim_inversion(denoiser, decoder.steps, known, strength=0.8))
    with page.group("The same two, and noise of strength eta on the way (section 3.1)"):
        etas = page.titled("Eta", values.number_list("0, 0.3, 0.6, 1"))
        made = samplers.ddim_sampler(denoiser, decoder.steps, noise, cast(float, etas))
        decoded = images.sample_to_image(page.titled("Sampler", made))
        batch = page.titled("One batch", images.batch_images(cast(list[Image], decoded)))
        every = page.titled("All", images.concatenate_images(scene.image, batch))
    sheet(page, every, "unclip-variations", heads="picture\neta 0\neta 0.3\neta 0.6\neta 1")


def interpolation(page: Page) -> None:
    """Between two pictures: their embeddings and their noises are interpolated on the sphere."""
    weights = "0, 0.25, 0.5, 0.75, 1"
    decoder = Unclip.load(page)
    with page.group("Two pictures"):
        scenes = [page.titled(f"Scene {seed}", scene_world.render_scene(seed=seed, size=32)) for seed in (11, 25)]
        first, second = (clip.clip_image_embedding(decoder.clip, scene.image) for scene in scenes)
    with page.group("z_i between them (section 3.2), x_T fixed"):
        weight = page.titled("Weights", values.number_list(weights))
        between = page.titled("Between", embeddings.interpolate_embeddings(first, second, cast(float, weight)))
        guided = decoder.guided(between)
        decoded = decoder.drawn(guided, batch=1)
        batch = page.titled("One batch", images.batch_images(cast(list[Image], decoded)))
        every = page.titled("All", images.concatenate_images(scenes[0].image, batch, scenes[1].image))
    sheet(page, every, "unclip-interpolation", heads="first\n" + weights.replace(", ", "\n") + "\nsecond", side=128)


def text_differences(page: Page) -> None:
    """A picture is moved along the direction from one text to another."""
    weights = "0, 0.2, 0.35, 0.5"
    decoder = Unclip.load(page)
    with page.group("A picture, and what shall change"):
        scene = page.titled("Scene", scene_world.render_scene(seed=11, size=32))
        embedding = page.titled("Embed", clip.clip_image_embedding(decoder.clip, scene.image))
        source, target = (
            page.titled(title, clip.clip_text_embedding(decoder.clip, text)).embedding
            for title, text in (("Shows", scene.caption), ("Shall show", "a large green cone"))
        )
    with page.group("Along the difference of the texts (section 3.3)"):
        weight = page.titled("How far", values.number_list(weights))
        moved = page.titled("Moved", embeddings.text_difference(embedding, source, target, cast(float, weight)))
        guided = decoder.guided(moved)
        decoded = decoder.drawn(guided, batch=1)
        batch = page.titled("One batch", images.batch_images(cast(list[Image], decoded)))
        every = page.titled("All", images.concatenate_images(scene.image, batch))
    sheet(page, every, "unclip-text-difference", heads="picture\n" + weights.replace(", ", "\n"))


def probing(page: Page) -> None:
    """What a decoder makes of an embedding's first k principal components."""
    counts = "4, 8, 16, 32, 64"
    decoder = Unclip.load(page)
    with page.group("Components of the embeddings of many pictures"):
        seeds = page.titled("Seeds", values.seed_list(1000, 256))
        many = page.titled("Scenes", scene_world.render_scene(cast(int, seeds), size=32))
        batch = page.titled("One batch of scenes", images.batch_images(cast(list[Image], many.image)))
        found = page.titled(
            "Principal components", components.principal_components(clip.clip_image_embedding(decoder.clip, batch), 64)
        )
    with page.group("A picture from its first k components (section 4, figure 7)"):
        scene = page.titled("Scene", scene_world.render_scene(seed=11, size=32))
        embedding = page.titled("Embed", clip.clip_image_embedding(decoder.clip, scene.image))
        kept = page.titled("Kept", values.integer_list(counts))
        probed = page.titled("Keep", components.keep_components(embedding, found, cast(int, kept)))
        guided = decoder.guided(probed)
        decoded = decoder.drawn(guided, batch=1)
        made = page.titled("One batch", images.batch_images(cast(list[Image], decoded)))
        every = page.titled("All", images.concatenate_images(made, scene.image))
    sheet(page, every, "unclip-probing", heads=counts.replace(", ", "\n") + "\npicture")


def prior_into_paella(page: Page) -> None:
    """unCLIP's prior makes a picture's embedding of a text; Paella's predictor draws what it says."""
    loaded = Paella.load(page)
    prior = Prior.load(page, loaded.clip)
    with page.group("Prior: from text to a picture's embedding (Ramesh et al. 2022, section 2.2)"):
        embedding = prior.sample(CUBE_AND_SPHERE, batch=4)
    with page.group("Paella under the embedding (Rampas et al. 2022)"):
        guided = loaded.guided(embedding, "Picture", picture=True)
        start = page.titled("Noise", paella.token_noise_start(guided, 8, 8, batch=4, seed=0))
        picture = loaded.decode(page.titled("Sampler", loaded.sampled(guided, start, steps=8)))
    sheet(page, picture, "prior-into-paella", side=256)


_UNCLIP = (parts.CLIP, parts.DECODER)
WORKFLOWS: Mapping[str, Shipped] = {
    "unclip": Shipped(
        text_to_image,
        "unCLIP (Ramesh et al. 2022): a prior makes the CLIP embedding of a picture that fits a text, and a decoder "
        "makes the picture. The decoder is given no caption here: what the prior does not say, it chooses.",
        (*_UNCLIP, parts.PRIOR),
    ),
    "unclip-two-priors": Shipped(
        two_priors,
        "unCLIP's two priors (Ramesh et al. 2022, section 2.2): a diffusion prior, and one that draws the embedding's "
        "principal components code by code, after a token that says how well the picture shall fit the text. None of "
        "the latter was published.",
        (*_UNCLIP, parts.PRIOR, parts.AUTOREGRESSIVE),
    ),
    "unclip-variations": Shipped(
        variations,
        "Image variations (unCLIP, section 3.1): a picture is encoded as its CLIP embedding z_i and the noise x_T from "
        "which DDIM makes it again. With eta above 0 fresh noise enters, and what z_i does not say varies.",
        _UNCLIP,
    ),
    "unclip-interpolation": Shipped(
        interpolation,
        "Interpolation (unCLIP, section 3.2): embeddings of two pictures are interpolated on the sphere, and each is "
        "decoded from one noise.",
        _UNCLIP,
    ),
    "unclip-text-difference": Shipped(
        text_differences,
        "Text differences (unCLIP, section 3.3): the embedding of a picture is turned towards the difference of two "
        "texts' embeddings, and decoded from the same noise.",
        _UNCLIP,
    ),
    "unclip-probing": Shipped(
        probing,
        "Probing CLIP's space (unCLIP, section 4): embeddings are rebuilt from their first principal components alone. "
        "Coarse things, such as colour, come first; details and shapes need more of them.",
        _UNCLIP,
    ),
    "prior-into-paella": Shipped(
        prior_into_paella,
        "Two systems in one: unCLIP's prior (Ramesh et al. 2022) turns a text into the CLIP embedding of a picture; "
        "Paella's predictor, which takes any embedding of the same CLIP, draws it.",
        (parts.CLIP, parts.PRIOR, parts.VQ, parts.PAELLA),
    ),
}
