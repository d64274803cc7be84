"""From prompts to pictures with each system, as recipes and the judge's table need it: no graph, no cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..diffusion import guidance, renoising, samplers, schedules, solvers
from ..diffusion.denoiser import Leaf
from ..diffusion.noise import SeededNoise
from ..diffusion.token_noise import SeededTokenNoise
from ..errors import GlidewireError
from ..models.checkpoint import identify
from ..models.clip.model import ClipModel, load_clip
from ..models.first_stage.model import Autoencoder, load_autoencoder
from ..models.glide.model import load_model
from ..models.glide.network import GlideTextToImage
from ..models.glide.tokenizer import GlideTokenizer
from ..models.imagen.model import ImagenModel, T5TextEncoder, load_stage, load_t5
from ..models.ldm.model import LatentModel, load_denoiser
from ..models.ldm.text import TextEncoder, load_clip_text
from ..models.paella.model import PaellaModel, load_predictor
from ..models.paella.token_autoencoder import TokenAutoencoder, load_token_autoencoder
from ..models.unclip.model import DecoderModel, PriorModel, load_decoder, load_prior
from .batches import clip_texts, states, t5_states

Painter = Callable[[Sequence[str], Sequence[int], int, float], NDArray[np.uint8]]
"""(prompts, their seeds, the first one's number, guidance scale) to one picture each, uint8 [count side side 3].

Picture i depends on its prompt, seed and number and on the scale alone.
"""


class EmbeddingPainter(Protocol):
    """The same from embeddings of pictures "batch width", with prompts or without."""

    def __call__(
        self, embeddings: Tensor, seeds: Sequence[int], first: int, scale: float, prompts: Sequence[str] = ()
    ) -> NDArray[np.uint8]:
        """One picture for each embedding."""
        ...


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn.

    Attributes:
        spacing: Kept steps of the schedule, as `schedules.respace` reads them; for tokens, the number of steps.
        solver: "ancestral" or "ddim".
        eta: Share of fresh noise in each DDIM step (Song et al. 2021, eq. 16); 1 is ancestral sampling with the
            posterior's variance instead of the learned one.
        batch: Pictures at a time.

    Raises:
        GlidewireError: when there is no such solver.
    """

    spacing: str = "30"
    solver: str = "ddim"
    eta: float = 1.0
    batch: int = 50

    def __post_init__(self) -> None:
        if self.solver not in ("ancestral", "ddim"):
            raise GlidewireError("solver", expected="ancestral or ddim", got=self.solver)

    def built(self, *, clip: bool = True) -> solvers.Solver:
        """The solver itself; `clip` bounds x_0 by 1, as pixels are and latents are not."""
        return solvers.ancestral(clip=clip) if self.solver == "ancestral" else solvers.ddim(self.eta, clip=clip)


def to_bytes(pixels: Tensor) -> NDArray[np.uint8]:
    """Pictures "batch 3 height width" in [-1, 1], clipped, as uint8 [batch height width 3]."""
    found = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return found.permute(0, 2, 3, 1).cpu().numpy()


def to_pixels(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures uint8 [batch height width 3] as "batch 3 height width" in [-1, 1]; the way back from `to_bytes`."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def glide_painter(
    network: GlideTextToImage, tokenizer: GlideTokenizer, sampling: Sampling, *, side: int | None = None
) -> Painter:
    """GLIDE's base model; `side` in pixels, by default the network's own."""
    device = next(network.parameters()).device
    schedule = schedules.respace(schedules.SCHEDULES[network.spec.schedule](), sampling.spacing)
    side, context = side or network.spec.image_size, network.spec.text_context
    with torch.no_grad():
        empty = network.encode_text(*(part.to(device) for part in tokenizer.encode_batch([""], context)))

    @torch.no_grad()
    def paint(prompts: Sequence[str], seeds: Sequence[int], first: int, scale: float) -> NDArray[np.uint8]:
        noise = SeededNoise(tuple(seeds), first_item=first)
        text = network.encode_text(*(part.to(device) for part in tokenizer.encode_batch(prompts, context)))
        denoiser = guidance.classifier_free(Leaf(network, text), Leaf(network, empty), scale)
        x_T = noise.draw((3, side, side)).to(device)
        return to_bytes(samplers.sample(denoiser, schedule, x_T, sampling.built(), noise))

    return paint


def imagen_painter(model: ImagenModel, text: T5TextEncoder, sampling: Sampling) -> Painter:
    """The first stage of a cascade under T5's texts."""
    network, device = model.network, next(model.network.parameters()).device
    schedule = schedules.respace(schedules.squared_cosine(1000), sampling.spacing)
    shape = (network.channels, model.spec.size, model.spec.size)

    @torch.no_grad()
    def paint(prompts: Sequence[str], seeds: Sequence[int], first: int, scale: float) -> NDArray[np.uint8]:
        noise = SeededNoise(tuple(seeds), first_item=first)
        said, silent = (Leaf(network, {"text_states": t5_states(text, texts)}) for texts in (prompts, [""]))
        denoiser = guidance.classifier_free(said, silent, scale)
        return to_bytes(samplers.sample(denoiser, schedule, noise.draw(shape).to(device), sampling.built(), noise))

    return paint


def latent_painter(
    model: LatentModel,
    text: TextEncoder,
    autoencoder: Autoencoder,
    sampling: Sampling,
    beside: Mapping[str, Tensor] | None = None,
) -> Painter:
    """Latent diffusion under a text encoder's states, and what else it sees beside x_t, one row to a prompt."""
    device = next(model.network.parameters()).device
    schedule = schedules.respace(model.schedule, sampling.spacing)
    shape = (model.network.channels, model.spec.size, model.spec.size)

    @torch.no_grad()
    def paint(prompts: Sequence[str], seeds: Sequence[int], first: int, scale: float) -> NDArray[np.uint8]:
        noise = SeededNoise(tuple(seeds), first_item=first)
        given, nothing = ({"context": states(text, texts).to(device), **(beside or {})} for texts in (prompts, [""]))
        denoiser = guidance.classifier_free(Leaf(model.network, given), Leaf(model.network, nothing), scale)
        x_T = noise.draw(shape).to(device)
        x_0 = samplers.sample(denoiser, schedule, x_T, sampling.built(clip=False), noise)
        return to_bytes(autoencoder.decode(x_0))

    return paint


def paella_painter(
    model: PaellaModel, clip: ClipModel, autoencoder: TokenAutoencoder, sampling: Sampling, *, side: int = 8
) -> Painter:
    """Paella's first generation under CLIP's embeddings of texts; `side` in tokens."""
    device = next(model.network.parameters()).device
    network, codes = model.network, autoencoder.spec.codes
    steps = renoising.cosine_steps(int(sampling.spacing), temperature=(1.0, 0.2))

    @torch.no_grad()
    def paint(prompts: Sequence[str], seeds: Sequence[int], first: int, scale: float) -> NDArray[np.uint8]:
        noise = SeededTokenNoise(tuple(seeds), first)
        embedded = torch.cat([clip.encode_prompt(prompt)[0]["text_embedding"] for prompt in prompts]).to(device)
        nothing = torch.zeros(1, embedded.shape[1], device=device)
        leaves = Leaf(network, {"clip": embedded}), Leaf(network, {"clip": nothing})
        denoiser = guidance.classifier_free(*leaves, scale)
        start = noise.start((side, side), codes).to(device)
        drawn = renoising.sample_renoising(denoiser, steps, start, noise)
        return to_bytes(autoencoder.decode(drawn) * 2 - 1)

    return paint


def picture_embeddings(
    prior: PriorModel, condition: Mapping[str, Tensor], noise: SeededNoise, *, spacing: str = "25"
) -> Tensor:
    """What a prior makes of texts, unguided: one embedding "batch width" for each seed of the noise."""
    schedule = schedules.respace(prior.network.spec.noise_schedule, spacing)
    solver = solvers.ancestral(clip=prior.network.spec.x_0_bound)
    x_T = noise.draw((prior.network.channels,)).to(next(prior.network.parameters()).device)
    return prior.picture_embedding(samplers.sample(Leaf(prior.network, condition), schedule, x_T, solver, noise))


def decoder_painter(model: DecoderModel, clip: ClipModel, sampling: Sampling, *, side: int = 32) -> EmbeddingPainter:
    """unCLIP's decoder under embeddings, and captions where there are any; `side` in pixels."""
    network, device = model.network, next(model.network.parameters()).device
    schedule = schedules.respace(network.spec.noise_schedule, sampling.spacing)
    silent = clip_texts(clip, [""])

    @torch.no_grad()
    def paint(
        embeddings: Tensor, seeds: Sequence[int], first: int, scale: float, prompts: Sequence[str] = ()
    ) -> NDArray[np.uint8]:
        noise = SeededNoise(tuple(seeds), first_item=first)
        texts = clip_texts(clip, prompts or [""] * len(embeddings))
        under, nothing = network.encode(embeddings.to(device), **texts), network.encode(None, **silent)
        x_T = noise.draw((network.channels, side, side)).to(device)
        denoiser = guidance.classifier_free(Leaf(network, under), Leaf(network, nothing), scale)
        return to_bytes(samplers.sample(denoiser, schedule, x_T, sampling.built(), noise))

    return paint


def unclip_painter(prior: PriorModel, clip: ClipModel, decoder: DecoderModel, sampling: Sampling) -> Painter:
    """unCLIP: from a text to a picture's embedding, and from both to the picture."""
    decode = decoder_painter(decoder, clip, sampling)

    @torch.no_grad()
    def paint(prompts: Sequence[str], seeds: Sequence[int], first: int, scale: float) -> NDArray[np.uint8]:
        noise = SeededNoise(tuple(seeds), first_item=first)
        embeddings = picture_embeddings(prior, clip_texts(clip, prompts), noise)
        return decode(embeddings, seeds, first, scale, prompts)

    return paint


def painter_of(weights: Path, beside: Path, sampling: Sampling, device: torch.device) -> Painter:
    """The painter of a mini, with the other minis of its system from the folder `beside`.

    Raises:
        GlidewireError: The file's network draws no pictures from texts, or another mini is missing.
    """
    identity = identify(weights)
    kind = (identity.family, identity.component)
    if kind == ("glide", "text_to_image"):
        glide = load_model(weights, device=device)
        return glide_painter(glide.network, glide.tokenizer, sampling)
    if kind == ("ldm", "denoiser"):
        text = load_clip_text(beside / "mini-clip-text.safetensors", device=device)
        autoencoder = load_autoencoder(beside / "mini-kl-f4.safetensors", device=device)
        return latent_painter(load_denoiser(weights, device=device), text, autoencoder, sampling)
    if kind == ("paella", "token_denoiser"):
        clip = load_clip(beside / "mini-clip.safetensors", device=device)
        stage = load_token_autoencoder(beside / "mini-vq-f4.safetensors", device=device)
        return paella_painter(load_predictor(weights, device=device), clip, stage, sampling)
    if kind == ("unclip", "decoder"):
        clip = load_clip(beside / "mini-clip.safetensors", device=device)
        prior = load_prior(beside / "mini-prior.safetensors", device=device)
        return unclip_painter(prior, clip, load_decoder(weights, device=device), sampling)
    if kind == ("imagen", "denoiser"):
        text = load_t5(beside / "mini-t5.safetensors", device=device)
        return imagen_painter(load_stage(weights, device=device), text, sampling)
    raise GlidewireError(
        f"{weights.name} draws no pictures from texts",
        expected="GLIDE's base model, a latent denoiser, a token predictor, unCLIP's decoder or Imagen's first stage",
        got=" ".join(kind),
    )
