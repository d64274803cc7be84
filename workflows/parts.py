"""What several workflows begin and end with: a system made ready to sample, and a sheet of what came out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from ..diffusion.denoiser import Denoiser
from ..diffusion.schedules import NoiseSchedule
from ..models.autoregressive_prior.model import AutoregressivePriorModel
from ..models.clip.model import ClipModel
from ..models.first_stage.model import Autoencoder
from ..models.glide.model import GlideModel
from ..models.ldm.model import LatentModel
from ..models.ldm.text import TextEncoder
from ..models.paella.model import PaellaModel
from ..models.paella.token_autoencoder import TokenAutoencoder
from ..models.unclip.model import DecoderModel, PriorModel
from ..nodes import (
    autoencoders,
    clip,
    figures,
    glide,
    guidance,
    images,
    latent_conditions,
    latent_diffusion,
    other_priors,
    paella,
    samplers,
    schedules,
    unclip,
)
from ..nodes.clip_sockets import ClipText
from ..nodes.sockets import Image, Sample, Start
from ..nodes.token_sockets import Embedding, Tokens, TokenStart
from .page import Page

CUBE_AND_SPHERE = "a large red cube left of a small blue sphere"
GLIDE, KL, LDM, LDM_TEXT = ("mini-glide-base", "mini-kl-f4", "mini-ldm", "mini-clip-text")
VQ, PAELLA, CLIP, PRIOR = ("mini-vq-f4", "mini-paella", "mini-clip", "mini-prior")
NOISED, NOISED_TEXT, DECODER = ("mini-noised-clip", "mini-noised-clip-text", "mini-unclip-decoder")
ASYRP_BLUE, ASYRP_LARGE, ASYRP_SPHERE = ("mini-asyrp-blue", "mini-asyrp-large", "mini-asyrp-sphere")
IP_ADAPTER, AUTOREGRESSIVE = ("mini-ip-adapter", "mini-autoregressive-prior")
INPAINT, GLIDE_UP, UNCLIP_UP = ("mini-glide-inpaint", "mini-glide-upsampler", "mini-unclip-upsampler")
LDM_INPAINT, LDM_UP = ("mini-ldm-inpaint", "mini-ldm-upsampler")


def file(mini: str) -> str:
    """The file of a mini."""
    return f"{mini}.safetensors"


def _role(prompt: str, role: str, only: str = "Prompt") -> str:
    """The title of what belongs to a prompt: its role alone where the page has one prompt."""
    return role if prompt == only else f"{prompt}: {role.lower()}"


@dataclass(frozen=True)
class Guiding:
    """A system on a page, with its prediction under nothing."""

    page: Page
    unconditional: Denoiser

    def towards(self, conditional: Denoiser, title: str, scale: float) -> Denoiser:
        """Classifier-free guidance from nothing towards a condition."""
        combined = guidance.classifier_free_guidance(conditional, self.unconditional, scale)
        return self.page.titled(title, combined)


@dataclass(frozen=True)
class Prompted(Guiding, ABC):
    """A system that denoises under a prompt, and under nothing."""

    @abstractmethod
    def conditional(self, prompt: str, title: str = "Prompt") -> Denoiser:
        """The denoiser under a prompt."""

    def guided(self, prompt: str, title: str = "Prompt", scale: float = 4.0) -> Denoiser:
        """Classifier-free guidance towards a prompt."""
        return self.towards(self.conditional(prompt, title), _role(title, "Guidance"), scale)


@dataclass(frozen=True)
class Glide(Prompted):
    """GLIDE on a page: its model, the steps to walk, and its prediction under no text."""

    model: GlideModel
    schedule: NoiseSchedule
    steps: NoiseSchedule

    @classmethod
    def load(cls, page: Page, spacing: str, title: str = "GLIDE (Nichol et al. 2021)") -> Glide:
        """Load the mini, respace its schedule, and encode the empty prompt."""
        with page.group(title):
            checkpoint = page.titled("GLIDE", glide.load_glide(file(GLIDE)))
            steps = page.titled("Steps", schedules.respace(checkpoint.schedule, spacing))
            empty = page.titled("Empty prompt", glide.glide_empty_text(checkpoint.model))
            unconditional = page.titled("Unconditional", glide.glide_denoiser(checkpoint.model, empty))
        return cls(page, unconditional, checkpoint.model, checkpoint.schedule, steps)

    def conditional(self, prompt: str, title: str = "Prompt") -> Denoiser:
        """The denoiser under a prompt."""
        text = self.page.titled(title, glide.glide_text_encoder(self.model, prompt))
        return self.page.titled(_role(title, "Conditional"), glide.glide_denoiser(self.model, text))

    def drawn(self, prompt: str, batch: int) -> Sample:
        """Pictures of 32 pixels from noise, by DDIM with the noise of ancestral sampling."""
        guided = self.guided(prompt)
        start = self.page.titled("Noise", samplers.noise_start(guided, 32, 32, batch=batch, seed=0))
        return self.page.titled("Sampler", samplers.ddim_sampler(guided, self.steps, start, eta=1.0))


@dataclass(frozen=True)
class Latent(Prompted):
    """Latent diffusion on a page: text encoder, autoencoder, denoiser, steps, and its prediction under no text."""

    encoder: TextEncoder
    autoencoder: Autoencoder
    model: LatentModel
    steps: NoiseSchedule

    @classmethod
    def load(cls, page: Page, spacing: str, prefix: str = "") -> Latent:
        """Load the minis, respace the schedule, and encode the empty prompt; `prefix` tells steps and prompts apart."""
        with page.group("Latent diffusion (Rombach et al. 2022)"):
            encoder = page.titled("Text encoder", latent_conditions.load_clip_text_encoder(file(LDM_TEXT)))
            autoencoder = page.titled("Autoencoder", autoencoders.load_autoencoder(file(KL)))
            checkpoint = page.titled(f"{prefix}Denoiser", latent_diffusion.load_latent_denoiser(file(LDM)))
            steps = page.titled(f"{prefix}Steps", schedules.respace(checkpoint.schedule, spacing))
            empty = page.titled(f"{prefix}Empty prompt", latent_conditions.encode_prompt(encoder, ""))
            away = page.titled(f"{prefix}Unconditional", latent_diffusion.latent_denoiser(checkpoint.model, empty))
        return cls(page, away, encoder, autoencoder, checkpoint.model, steps)

    def conditional(self, prompt: str, title: str = "Prompt") -> Denoiser:
        """The denoiser under a prompt."""
        text = self.page.titled(title, latent_conditions.encode_prompt(self.encoder, prompt))
        return self.page.titled(_role(title, "Conditional"), latent_diffusion.latent_denoiser(self.model, text))


@dataclass(frozen=True)
class Paella(Guiding):
    """Paella on a page: CLIP, the first stage, the predictor, and its scores under nothing."""

    clip: ClipModel
    stage: TokenAutoencoder
    predictor: PaellaModel

    @classmethod
    def load(cls, page: Page, title: str = "Paella (Rampas et al. 2022)") -> Paella:
        """Load the minis."""
        with page.group(title):
            model = page.titled("CLIP", clip.load_clip(file(CLIP)))
            stage = page.titled("Token autoencoder", paella.load_token_autoencoder(file(VQ)))
            predictor = page.titled("Predictor", paella.load_paella(file(PAELLA)))
            unconditional = page.titled("Unconditional", paella.paella_denoiser(predictor))
        return cls(page, unconditional, model, stage, predictor)

    def text(self, prompt: str, title: str = "Prompt") -> Embedding:
        """CLIP's embedding of a prompt."""
        return self.page.titled(title, clip.clip_text_embedding(self.clip, prompt)).embedding

    def guided(
        self, embedding: Embedding, title: str = "Prompt", scale: float = 3.0, *, picture: bool = False
    ) -> Denoiser:
        """Classifier-free guidance on the scores, towards the embedding of a text or of a picture."""
        text, image = (None, embedding) if picture else (embedding, None)
        towards = self.page.titled(_role(title, "Conditional"), paella.paella_denoiser(self.predictor, text, image))
        return self.towards(towards, _role(title, "Guidance"), scale)

    def sampled(self, denoiser: Denoiser, start: TokenStart, steps: int, **settings: Any) -> Tokens:
        """Paella's sampler with falling temperatures, which suit the mini better than typical filtering."""
        return paella.paella_sampler(denoiser, start, steps, last_temperature=0.2, typical_mass=1.0, **settings)

    def decode(self, tokens: Tokens, title: str = "Decode") -> Image:
        """The pictures of tokens."""
        return self.page.titled(title, paella.decode_tokens(self.stage, tokens))


@dataclass(frozen=True)
class Prior:
    """unCLIP's diffusion prior on a page."""

    page: Page
    clip: ClipModel
    model: PriorModel
    steps: NoiseSchedule

    @classmethod
    def load(cls, page: Page, model: ClipModel, title: str = "The prior (Ramesh et al. 2022)") -> Prior:
        """Load the mini and respace its schedule to the 25 steps of Karlo."""
        with page.group(title):
            prior = page.titled("Prior", unclip.load_unclip_prior(file(PRIOR)))
            steps = page.titled("Steps of the prior", schedules.respace(prior.schedule, "25"))
        return cls(page, model, prior.model, steps)

    def sample(self, prompt: str, batch: int = 1, scale: float = 2.0, seed: int = 0, candidates: int = 1) -> Embedding:
        """Embeddings of pictures that a prompt describes, by classifier-free guidance; a scale of 1 is without."""
        towards, away = (
            unclip.unclip_prior_denoiser(
                self.model, self.page.titled(title, clip.clip_text_embedding(self.clip, text)).text
            )
            for title, text in (("Prompt", prompt), ("Empty prompt", ""))
        )
        guided = guidance.classifier_free_guidance(towards, away, scale)
        self.page.titled("Guided prior", guided)
        found = unclip.unclip_prior_sampler(self.model, guided, self.steps, batch, candidates, seed)
        return self.page.titled("Embedding", found)


@dataclass(frozen=True)
class AutoregressivePrior:
    """unCLIP's autoregressive prior on a page."""

    page: Page
    clip: ClipModel
    model: AutoregressivePriorModel

    @classmethod
    def load(cls, page: Page, model: ClipModel) -> AutoregressivePrior:
        """Load the mini."""
        with page.group("The autoregressive prior (Ramesh et al. 2022)"):
            prior = page.titled("Autoregressive prior", other_priors.load_autoregressive_prior(file(AUTOREGRESSIVE)))
        return cls(page, model, prior)

    def sample(self, prompt: str, batch: int = 1, scale: float = 2.0, seed: int = 0) -> Embedding:
        """Embeddings of pictures that a prompt describes, drawn code by code."""
        text = self.page.titled("Prompt, code by code", clip.clip_text_embedding(self.clip, prompt)).text
        found = other_priors.autoregressive_prior_sampler(self.model, text, batch, guidance_scale=scale, seed=seed)
        return self.page.titled("Drawn embedding", found)


@dataclass(frozen=True)
class Unclip(Guiding):
    """unCLIP's decoder on a page: CLIP, the decoder of embeddings, its steps, and the caption that says nothing."""

    clip: ClipModel
    model: DecoderModel
    steps: NoiseSchedule
    silent: ClipText

    @classmethod
    def load(cls, page: Page, spacing: str = "30", title: str = "unCLIP's decoder (Ramesh et al. 2022)") -> Unclip:
        """Load the minis; the decoder learned an embedding that stands for none, as Karlo's did."""
        with page.group(title):
            model = page.titled("CLIP", clip.load_clip(file(CLIP)))
            decoder = page.titled("Decoder", unclip.load_unclip_decoder(file(DECODER)))
            steps = page.titled("Steps", schedules.respace(decoder.schedule, spacing))
            silent = page.titled("No caption", clip.clip_text_embedding(model, "")).text
            away = page.titled("Unconditional", unclip.unclip_decoder_denoiser(decoder.model, None, silent))
        return cls(page, away, model, decoder.model, steps, silent)

    def denoiser(self, embedding: Embedding, title: str = "Conditional") -> Denoiser:
        """The decoder under pictures' embeddings."""
        return self.page.titled(title, unclip.unclip_decoder_denoiser(self.model, embedding, self.silent))

    def guided(self, embedding: Embedding, scale: float = 3.0, title: str = "Conditional") -> Denoiser:
        """Classifier-free guidance towards embeddings."""
        return self.towards(self.denoiser(embedding, title), _role(title, "Guidance", "Conditional"), scale)

    def sampled(self, denoiser: Denoiser, batch: int, seed: int = 0, title: str = "Sampler") -> Sample:
        """Samples from noise, by DDIM with the noise of ancestral sampling."""
        start = self.page.titled(f"{title}: noise", samplers.noise_start(denoiser, 32, 32, batch=batch, seed=seed))
        return self.page.titled(title, samplers.ddim_sampler(denoiser, self.steps, start, eta=1.0))

    def drawn(self, denoiser: Denoiser, batch: int, seed: int = 0, title: str = "Sampler") -> Image:
        """Pictures from noise."""
        return images.sample_to_image(self.sampled(denoiser, batch, seed, title))


def sampled(page: Page, title: str, denoiser: Denoiser, steps: NoiseSchedule, start: Start) -> Sample:
    """Latents by DDIM with the noise of ancestral sampling; they have no bounds to be clipped at."""
    return page.titled(title, samplers.ddim_sampler(denoiser, steps, start, eta=1.0, clip=False))


def sheet(
    page: Page, pictures: Image, name: str, columns: int = 0, rows: str = "", heads: str = "", side: int = 192
) -> None:
    """Enlarge pictures, set them in a sheet with words, and save it: the last group of a page."""
    with page.group("Pictures"):
        large = page.titled("Enlarge", images.resize_image(pictures, side, side, "bicubic"))
        arranged = figures.labelled_grid(large, column_labels=heads, row_labels=rows, columns=columns, letters=16)
        page.titled("Save", images.save_image(page.titled("Sheet", arranged), name))
