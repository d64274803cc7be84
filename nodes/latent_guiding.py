"""Guidance of latents by CLIP, which sees pictures: through the decoder, by an ordinary CLIP and by noised CLIP."""

from __future__ import annotations

from typing import Annotated

from ..diffusion import guidance
from ..diffusion.denoiser import Denoiser
from ..diffusion.guidance import Critic, PredictedGradient, Scale, ScaleSchedule
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Seed, Slider
from ..models.clip.model import ClipModel
from ..models.first_stage.critic import DecodedCritic
from ..models.first_stage.model import Autoencoder
from ..models.noised_clip.model import NoisedClip
from . import sampling
from .embedding_sampling import require_clip
from .guidance import Fraction, Strength, chosen, interval
from .noised_clip import embedding_of
from .sockets import Condition
from .token_sockets import Embedding


@node(category="guidance", title="CLIP guidance of latents", validate=interval)
def latent_clip_guidance(
    denoiser: Socket[Denoiser, "channels @space"],
    autoencoder: Socket[Autoencoder, "channels @space"],
    model: Socket[ClipModel, "width _ _ @clip"],
    text: Socket[Embedding, "_ width @clip"],
    scale: Annotated[float, Number(min=-1e6, max=1e6, step=10)] = 1000.0,
    cutouts: Annotated[int, Number(min=1, max=256)] = 16,
    power: Annotated[float, Slider(min=0.0, max=4.0, step=0.05)] = 1.0,
    through_network: bool = True,
    seed: Annotated[int, Seed()] = 0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Guide latents by an ordinary CLIP, on cutouts of the picture that the predicted z_0 decodes to.

    mean + variance · scale · grad_{z_t} (-mean over cutouts of 2 arcsin(|z_i - z_t| / 2)^2), z_i of D(z_0(z_t)).

    Args:
        denoiser: What is guided, on "channels" of an autoencoder's space.
        autoencoder: Of the same "channels" and space: its decoder is D.
        model: CLIP.
        text: Where to: the embedding of a text (or of a picture) by the same CLIP, "1 width".
        scale: 0 is no guidance, below 0 leads away from the text.
        cutouts: Random squares of each step, the same for the whole batch.
        power: Sizes of the squares: above 1 favours small ones.
        through_network: Whether the gradient goes through the denoiser too, exactly and at about three times the
            cost; otherwise the denoiser's answer is held fixed.
        seed: Of the squares.
        start, end: The part of the sampling steps, from 0 (first) to 1 (last), in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Raises: GlidewireError for an embedding of another CLIP, or an autoencoder of another space.

    Source: Crowson et al. 2022 (VQGAN-CLIP, 2204.08583), section 3; Bansal et al. 2023 (2302.07121), section 3.2.
    """
    from ..models.clip.guidance import CutoutCritic

    require_clip("the embedding", text.clip, model.clip)
    critic = CutoutCritic(model.network, text.tensor, cutouts, power, seed)
    strength = chosen(scale, schedule)
    return _guided(denoiser, autoencoder, critic, strength, (start, end), through_network=through_network)


@node(category="guidance", title="Noised CLIP guidance of latents", validate=interval)
def latent_noised_clip_guidance(
    denoiser: Socket[Denoiser, "channels @space"],
    autoencoder: Socket[Autoencoder, "channels @space"],
    model: Socket[NoisedClip, "_ width @pictures"],
    text: Socket[Condition, "_ width"],
    scale: Strength = 3.0,
    through_network: bool = True,
    seed: Annotated[int, Seed()] = 0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "channels @space"]:
    """Guide latents by noised CLIP: decode the predicted z_0, noise the picture anew, and ask how well it fits.

    mean + variance · scale · grad_{z_t} (100 cos(z_image(x_u, u), z_text)), where
    x_u = sqrt(alpha_bar_u) D(z_0(z_t)) + sqrt(1 - alpha_bar_u) noise.

    Noised CLIP reads pixels at a level of noise, and z_t decodes to no such picture: its predicted z_0 does, once it
    is noised. u is noised CLIP's timestep with the alpha_bar nearest the step's.

    Args:
        denoiser: What is guided, on "channels" of an autoencoder's space; usually of an empty text.
        autoencoder: Of the same "channels" and space: its decoder is D.
        model: Noised CLIP; pictures are fitted to its size.
        text: Where to: an embedding "1 width" of the same model.
        scale: 0 is no guidance, below 0 leads away from the text.
        through_network: Whether the gradient goes through the denoiser too, exactly and at about three times the
            cost; otherwise the denoiser's answer is held fixed.
        seed: Of the noise, a function of (seed, item, step).
        start, end: The part of the sampling steps, from 0 (first) to 1 (last), in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "channels @space".

    Raises: GlidewireError for a text of another model, or an autoencoder of another space.

    Source: Nichol et al. 2021 (GLIDE, 2112.10741), eq. 8, on what latents decode to; Bansal et al. 2023 (2302.07121),
        section 3.2.
    """
    from ..models.noised_clip.renoised import RenoisedCritic

    critic = RenoisedCritic(model.image, embedding_of(text), seed)
    strength = chosen(scale, schedule)
    return _guided(denoiser, autoencoder, critic, strength, (start, end), through_network=through_network)


def _guided(
    denoiser: Denoiser,
    autoencoder: Autoencoder,
    critic: Critic,
    scale: Scale,
    within: tuple[float, float],
    *,
    through_network: bool,
) -> Denoiser:
    sampling.require_space(denoiser, autoencoder.space)
    gradient = PredictedGradient(denoiser, DecodedCritic(autoencoder, critic), through_network=through_network)
    return guidance.gradient_guidance(denoiser, gradient, scale, *within)
