"""From ComfyUI's types to ours: its models become denoisers, its latents samples, its conditions conditions."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch

from ....diffusion.denoiser import Denoiser
from ....diffusion.schedules import NoiseSchedule
from ....errors import GlidewireError
from ....graph_runtime.declaration import node
from ....graph_runtime.sockets import Socket
from ....graph_runtime.widgets import Text
from ....models.first_stage.model import Autoencoder
from ....nodes.sockets import Condition, Image, Sample
from ....nodes.token_sockets import Embedding
from . import noise_levels
from .autoencoders import vae_as_autoencoder
from .network import network_of
from .network import space_of as space_of_format
from .types import HostClip, HostClipVision, HostConditioning, HostLatent, HostModel, HostSigmas, HostVae


class DenoiserOfHost(NamedTuple):
    """A model under a condition, and the noise it was trained with."""

    denoiser: Socket[Denoiser, "channels @space"]
    schedule: Socket[NoiseSchedule, "_"]


@node(category="comfyui", title="Denoiser from ComfyUI model")
def host_denoiser(model: Socket[HostModel, "..."], conditioning: Socket[HostConditioning, "..."]) -> DenoiserOfHost:
    """Any model that ComfyUI can sample as a denoiser: guide it, combine it and sample it with this pack's nodes.

    Areas, masks, ControlNets and LoRAs act as in ComfyUI's samplers; its guidance (CFG and what patches it) does not:
    wire one denoiser for each condition, and combine them.

    Args:
        model: A MODEL, whatever it predicts and whatever noise it knows.
        conditioning: Its condition, a CONDITIONING.

    Returns: denoiser, on "channels" of the model's latents; schedule, all levels that the model knows.

    Raises: GlidewireError for what is no model.

    Source: none (utility).
    """
    network = network_of(model)
    return DenoiserOfHost(network.leaf(conditioning), noise_levels.trained_schedule(network.sampling))


@node(category="comfyui", title="Schedule from ComfyUI sigmas")
def host_schedule(model: Socket[HostModel, "..."], sigmas: Socket[HostSigmas, "..."]) -> Socket[NoiseSchedule, "_"]:
    """The levels of one of ComfyUI's schedulers (Karras, beta, simple ...) as a schedule for this pack's samplers.

    Args:
        model: The MODEL that will be sampled: it says what a level means.
        sigmas: SIGMAS, falling.

    Returns: The schedule; its timesteps are the levels.

    Raises: GlidewireError for levels that do not fall.

    Source: Karras et al. 2022 (2206.00364), section 2.
    """
    if not isinstance(sigmas, torch.Tensor):
        raise GlidewireError("these are no sigmas", expected="SIGMAS", got=f"{type(sigmas)}")
    return noise_levels.schedule_of(network_of(model).sampling, sigmas)


@node(category="comfyui", title="Condition from ComfyUI conditioning")
def host_condition(conditioning: Socket[HostConditioning, "..."]) -> Socket[Condition, "_ _ width"]:
    """The encoded text of a conditioning, for a latent denoiser of this pack.

    Args:
        conditioning: A CONDITIONING of one entry.

    Returns: context, "batch positions width".

    Raises: GlidewireError for several entries, whose areas or times this condition could not hold.

    Source: none (utility).
    """
    if len(conditioning) != 1 or not isinstance(conditioning[0][0], torch.Tensor):
        raise GlidewireError(
            "this conditioning is more than one encoded text",
            expected="one entry",
            got=f"{len(conditioning)} entries",
            hint="Make one condition of each text, and combine the denoisers.",
        )
    return Condition({"context": conditioning[0][0].float().cpu()})


@node(category="comfyui", title="Encode text with ComfyUI CLIP")
def host_text_condition(
    clip: Socket[HostClip, "..."], prompt: Annotated[str, Text(multiline=True)] = ""
) -> Socket[Condition, "_ _ width"]:
    """Encode a text with ComfyUI's text encoder, for a latent denoiser of this pack.

    Args:
        clip: A CLIP.
        prompt: Any text, in ComfyUI's syntax of weights.

    Returns: context, "1 positions width".

    Source: none (utility).
    """
    encoder: object = clip
    with torch.inference_mode():
        context = encoder.encode_from_tokens(encoder.tokenize(prompt))  # type: ignore[attr-defined]
    return Condition({"context": context.clone().float().cpu()})


@node(category="comfyui", title="Embed image with ComfyUI CLIP vision")
def host_image_embedding(
    clip_vision: Socket[HostClipVision, "..."],
    image: Socket[Image, "batch _ _ 3"],
    name: Annotated[str, Text()] = "ViT-L/14 of OpenAI",
) -> Socket[Embedding, "batch width @clip"]:
    """Embed pictures with ComfyUI's picture encoder.

    Args:
        clip_vision: A CLIP_VISION.
        image: "batch height width 3" in [0, 1].
        name: Which CLIP this is, in the words that Load CLIP uses: only embeddings of one CLIP go together.

    Returns: Embeddings "batch width", not normalised.

    Source: Radford et al. 2021 (CLIP, 2103.00020), section 2.4.
    """
    encoder: object = clip_vision
    with torch.inference_mode():
        seen = encoder.encode_image(image)  # type: ignore[attr-defined]
    return Embedding(seen["image_embeds"].clone().float().cpu(), name)


@node(category="comfyui", title="Autoencoder from ComfyUI VAE")
def host_autoencoder(
    vae: Socket[HostVae, "..."], model: Socket[HostModel, "..."]
) -> Socket[Autoencoder, "channels @space"]:
    """ComfyUI's VAE as an autoencoder: its latents scaled as the model sees them, in the model's space.

    Encoding gives the mean of the posterior, as ComfyUI does.

    Args:
        vae: A VAE.
        model: The MODEL that its latents are for: it says how they are scaled.

    Returns: An autoencoder of latents with "channels".

    Source: Rombach et al. 2022 (2112.10752), appendix G.
    """
    return vae_as_autoencoder(vae, network_of(model).patcher.get_model_object("latent_format"))


@node(category="comfyui", title="Sample from ComfyUI latent")
def host_sample(
    latent: Socket[HostLatent, "..."], model: Socket[HostModel, "..."]
) -> Socket[Sample, "batch channels height width @space"]:
    """ComfyUI's latents as a sample: scaled as the model sees them.

    Args:
        latent: A LATENT; its noise mask is not read, see known region.
        model: The MODEL that they are for.

    Returns: "batch channels height width".

    Source: Rombach et al. 2022 (2112.10752), appendix G.
    """
    latent_format = network_of(model).patcher.get_model_object("latent_format")
    scaled = latent_format.process_in(latent["samples"].float().cpu())
    return Sample(scaled, space_of_format(latent_format))
