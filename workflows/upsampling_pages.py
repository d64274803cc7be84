"""Larger pictures: GLIDE's and unCLIP's upsamplers, twice in a row, one behind the other system, and of latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..diffusion.denoiser import Denoiser
from ..nodes import images, latent_pictures, scene_world, values
from ..nodes.sockets import Condition, Sample
from . import parts
from .beside import GlideUpsampler, LatentBeside, UnclipUpsampler
from .page import Page, Shipped
from .parts import CUBE_AND_SPHERE, Glide, Prior, Unclip, sheet

_BATCH = 3


def _sizes(page: Page, samples: Sequence[Sample], name: str) -> None:
    """A sheet of the same pictures at growing sizes, each enlarged by whole pixels to one size."""
    with page.group("Side by side, the pixels as they are"):
        shown = [
            page.titled(f"At {32 * 2**number}", images.resize_image(images.sample_to_image(one), 256, 256, "nearest"))
            for number, one in enumerate(samples)
        ]
        every = page.titled("All", images.concatenate_images(*shown))
    sheet(page, every, name, _BATCH, "\n".join(f"{32 * 2**number} px" for number in range(len(samples))), side=256)


def glide(page: Page) -> None:
    """GLIDE's base model, its upsampler, and its upsampler again."""
    prompt_text = CUBE_AND_SPHERE
    base = Glide.load(page, "50")
    upsampler = GlideUpsampler.load(page)
    with page.group("The prompt, for all three"):
        prompt = page.titled("Prompt", values.text(prompt_text))
    with page.group("32 pixels: the base model (section 4.1)"):
        small = base.drawn(prompt, _BATCH)
    with page.group("64 pixels: the upsampler sees the small picture beside x_t"):
        middle = upsampler.enlarged(prompt, small, 64, _BATCH)
    with page.group("128 pixels: and again"):
        large = upsampler.enlarged(prompt, middle, 128, _BATCH)
    _sizes(page, (small, middle, large), "glide-upsampling")


def unclip(page: Page) -> None:
    """unCLIP whole: prior, decoder, and two upsamplings."""
    decoder = Unclip.load(page)
    prior = Prior.load(page, decoder.clip)
    upsampler = UnclipUpsampler.load(page)
    with page.group("Prior: from text to a picture's embedding (section 2.2)"):
        embedding = prior.sample(CUBE_AND_SPHERE, batch=_BATCH)
    with page.group("Decoder: from the embedding to 32 pixels (section 2.1)"):
        small = decoder.sampled(decoder.guided(embedding), _BATCH)
    with page.group("64 pixels: no text, no guidance, no attention"):
        middle = upsampler.enlarged(small, 64, _BATCH)
    with page.group("128 pixels: and again"):
        large = upsampler.enlarged(middle, 128, _BATCH)
    _sizes(page, (small, middle, large), "unclip-upsampling")


def glide_into_unclip(page: Page) -> None:
    """GLIDE's base model, and unCLIP's upsampler behind it."""
    base = Glide.load(page, "50")
    upsampler = UnclipUpsampler.load(page)
    with page.group("32 pixels: GLIDE's base model"):
        small = base.drawn("a small green cone above a large yellow cube", _BATCH)
    with page.group("64 pixels: unCLIP's upsampler sees pictures alone, whoever made them"):
        middle = upsampler.enlarged(small, 64, _BATCH)
    with page.group("128 pixels: and again"):
        large = upsampler.enlarged(middle, 128, _BATCH)
    _sizes(page, (small, middle, large), "glide-into-unclip-upsampler")


def latents(page: Page) -> None:
    """Latent diffusion's super-resolution: four times the side, through latents."""
    latent = LatentBeside.load(page, parts.LDM_UP, "30")
    with page.group("A scene, and its picture of 8 pixels"):
        scene = page.titled("Scene", scene_world.render_scene(seed=4, size=32))
        small = page.titled("Small", images.resize_image(scene.image, 8, 8, "area"))

    def denoiser(text: Condition) -> Denoiser:
        return latent_pictures.latent_upscaling_denoiser(latent.model, small, text)

    with page.group("The small picture beside x_t, of the latents' size (section 4.4)"):
        guided = latent.guided(scene.caption, denoiser)
    with page.group("A walk through latents, and back to pixels"):
        decoded = latent.drawn(guided, 3)
    with page.group("Beside the picture, and what an interpolation makes of it"):
        pixels = page.titled("Pixels", images.resize_image(small, 32, 32, "nearest"))
        smooth = page.titled("Interpolated", images.resize_image(small, 32, 32, "bicubic"))
        every = page.titled("All", images.concatenate_images(scene.image, pixels, smooth, decoded))
    sheet(page, every, "latent-super-resolution", 6, heads="picture\n8 pixels\nbicubic\nlatent diffusion\n\n")


WORKFLOWS: Mapping[str, Shipped] = {
    "glide-upsampling": Shipped(
        glide,
        "GLIDE's cascade (Nichol et al. 2021, section 4.1): the base model draws 32 pixels, and the upsampler, which "
        "sees them beside x_t and reads the same text, doubles them, twice. It learnt from crops, so one model serves "
        "any size. It walks 27 chosen steps from noise that is a little too cold, as published.",
        (parts.GLIDE, parts.GLIDE_UP),
    ),
    "unclip-upsampling": Shipped(
        unclip,
        "unCLIP whole (Ramesh et al. 2022, section 2.1): prior, decoder, and an upsampler that is convolutions alone "
        "and is told of no text. Its training degraded the small pictures, so that it forgives what the decoder leaves "
        "unsharp.",
        (parts.CLIP, parts.DECODER, parts.PRIOR, parts.UNCLIP_UP),
    ),
    "glide-into-unclip-upsampler": Shipped(
        glide_into_unclip,
        "Two systems in one: GLIDE's base model (Nichol et al. 2021) draws, and unCLIP's upsampler (Ramesh et al. "
        "2022, section 2.1), which knows neither text nor embedding, enlarges. Both live in pixel space, so they fit.",
        (parts.GLIDE, parts.UNCLIP_UP),
    ),
    "latent-super-resolution": Shipped(
        latents,
        "Super-resolution by latent diffusion (Rombach et al. 2022, section 4.4): the small picture is as large as the "
        "latents, and stands beside x_t as three more channels. What eight pixels do not say, the caption does.",
        (parts.LDM_TEXT, parts.KL, parts.LDM_UP),
    ),
}
