"""Systems on a page that look at a picture beside x_t: upsamplers, and models that were trained to inpaint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..diffusion.denoiser import Denoiser
from ..diffusion.schedules import NoiseSchedule
from ..models.first_stage.model import Autoencoder
from ..models.glide.model import GlideModel
from ..models.ldm.model import LatentModel
from ..models.ldm.text import TextEncoder
from ..models.unclip.upsampling import UpsamplerModel
from ..nodes import (
    autoencoders,
    glide,
    glide_editing,
    guidance,
    latent_conditions,
    latent_diffusion,
    samplers,
    schedules,
    unclip_upsampling,
)
from ..nodes.sockets import Condition, Image, Mask, Sample
from . import parts
from .page import Page
from .parts import file

UPSAMPLING_STEPS = 8
"""An upsampler has little left to choose."""


@dataclass(frozen=True)
class GlideInpainter:
    """GLIDE's inpainting model on a page, with the steps to walk and the empty prompt."""

    page: Page
    model: GlideModel
    steps: NoiseSchedule
    empty: Condition

    @classmethod
    def load(cls, page: Page, spacing: str) -> GlideInpainter:
        """Load the mini, respace its schedule, and encode the empty prompt."""
        with page.group("GLIDE, trained on to inpaint (Nichol et al. 2021, section 4.3)"):
            checkpoint = page.titled("Inpainting GLIDE", glide.load_glide(file(parts.INPAINT)))
            steps = page.titled("Steps", schedules.respace(checkpoint.schedule, spacing))
            empty = page.titled("Empty prompt", glide.glide_empty_text(checkpoint.model))
        return cls(page, checkpoint.model, steps, empty)

    def guided(self, prompt: str, image: Image, mask: Mask, scale: float = 3.0) -> Denoiser:
        """Classifier-free guidance towards a prompt around what the mask keeps, which both predictions see."""
        text = self.page.titled("Prompt", glide.glide_text_encoder(self.model, prompt))
        towards, away = (
            self.page.titled(title, glide_editing.glide_inpainting_denoiser(self.model, condition, image, mask))
            for title, condition in (("Conditional", text), ("Unconditional", self.empty))
        )
        return self.page.titled("Guidance", guidance.classifier_free_guidance(towards, away, scale))


@dataclass(frozen=True)
class GlideUpsampler:
    """GLIDE's upsampler on a page."""

    page: Page
    model: GlideModel
    schedule: NoiseSchedule

    @classmethod
    def load(cls, page: Page) -> GlideUpsampler:
        """Load the mini; its schedule is its own, and whole."""
        with page.group("GLIDE's upsampler (section 4.1)"):
            checkpoint = page.titled("Upsampler", glide.load_glide(file(parts.GLIDE_UP)))
        return cls(page, checkpoint.model, checkpoint.schedule)

    def enlarged(self, prompt: str, small: Sample, side: int, batch: int) -> Sample:
        """Pictures of a side of the small ones, as published: 27 steps of deterministic DDIM."""
        text = self.page.titled(f"Text for {side}", glide.glide_text_encoder(self.model, prompt))
        denoiser = glide_editing.glide_upsampler_denoiser(self.model, text, small)
        denoiser = self.page.titled(f"Denoiser of {side}", denoiser)
        made = glide_editing.glide_upsample(denoiser, self.schedule, side, side, batch)
        return self.page.titled(f"Sampler of {side}", made)


@dataclass(frozen=True)
class UnclipUpsampler:
    """unCLIP's upsampler on a page, with its steps."""

    page: Page
    model: UpsamplerModel
    steps: NoiseSchedule

    @classmethod
    def load(cls, page: Page) -> UnclipUpsampler:
        """Load the mini and respace its schedule."""
        with page.group("unCLIP's upsampler (Ramesh et al. 2022, section 2.1)"):
            checkpoint = page.titled("Upsampler", unclip_upsampling.load_unclip_upsampler(file(parts.UNCLIP_UP)))
            steps = page.titled("Upsampler's steps", schedules.respace(checkpoint.schedule, str(UPSAMPLING_STEPS)))
        return cls(page, checkpoint.model, steps)

    def enlarged(self, small: Sample, side: int, batch: int) -> Sample:
        """Pictures of a side of the small ones; fresh noise in each step covers the errors of the first."""
        denoiser = unclip_upsampling.unclip_upsampler_denoiser(self.model, small, UPSAMPLING_STEPS)
        denoiser = self.page.titled(f"Denoiser of {side}", denoiser)
        start = self.page.titled(f"Noise of {side}", samplers.noise_start(denoiser, side, side, batch=batch, seed=0))
        return self.page.titled(f"Sampler of {side}", samplers.ddim_sampler(denoiser, self.steps, start, eta=1.0))


@dataclass(frozen=True)
class LatentBeside:
    """Latent diffusion that was trained on to see something beside x_t: a masked picture, or a small one."""

    page: Page
    encoder: TextEncoder
    autoencoder: Autoencoder
    model: LatentModel
    steps: NoiseSchedule

    @classmethod
    def load(cls, page: Page, mini: str, spacing: str) -> LatentBeside:
        """Load the minis and respace the schedule."""
        with page.group("Latent diffusion (Rombach et al. 2022)"):
            encoder = page.titled("Text encoder", latent_conditions.load_clip_text_encoder(file(parts.LDM_TEXT)))
            autoencoder = page.titled("Autoencoder", autoencoders.load_autoencoder(file(parts.KL)))
            checkpoint = page.titled("Denoiser", latent_diffusion.load_latent_denoiser(file(mini)))
            steps = page.titled("Steps", schedules.respace(checkpoint.schedule, spacing))
        return cls(page, encoder, autoencoder, checkpoint.model, steps)

    def guided(self, prompt: str, denoiser: Callable[[Condition], Denoiser], scale: float = 3.0) -> Denoiser:
        """Classifier-free guidance; `denoiser` says what is seen beside x_t under an encoded text."""
        texts = [
            self.page.titled(title, latent_conditions.encode_prompt(self.encoder, text))
            for title, text in (("Prompt", prompt), ("Empty prompt", ""))
        ]
        towards, away = (
            self.page.titled(title, denoiser(text))
            for title, text in zip(("Conditional", "Unconditional"), texts, strict=True)
        )
        return self.page.titled("Guidance", guidance.classifier_free_guidance(towards, away, scale))

    def drawn(self, denoiser: Denoiser, batch: int) -> Image:
        """Pictures of 32 pixels from noise."""
        start = self.page.titled("Noise", samplers.noise_start(denoiser, 8, 8, batch=batch, seed=0))
        latents = parts.sampled(self.page, "Sampler", denoiser, self.steps, start)
        return self.page.titled("Decode", autoencoders.decode_latents(self.autoencoder, latents))
