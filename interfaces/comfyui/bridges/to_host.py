"""From our types to ComfyUI's: denoisers become models and guiders, solvers samplers, samples latents."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from ....diffusion import solvers
from ....diffusion.denoiser import Denoiser
from ....diffusion.schedules import NoiseSchedule
from ....errors import GlidewireError
from ....graph_runtime.declaration import node
from ....graph_runtime.sockets import Socket
from ....graph_runtime.widgets import Number, Seed, Slider
from ....models.first_stage.model import Autoencoder
from ....models.ldm.text import TextEncoder
from ....nodes.sockets import Condition, Sample
from ....nodes.token_sockets import Embedding
from .. import host
from . import noise_levels
from .autoencoders import AutoencoderVae, TextEncoderClip
from .expression_model import as_guider, as_model, latent_scale, nothing
from .samplers import HostNoise as SeededHostNoise
from .samplers import as_sampler
from .types import (
    HostClip,
    HostClipVisionOutput,
    HostConditioning,
    HostGuider,
    HostLatent,
    HostModel,
    HostNoise,
    HostSampler,
    HostSigmas,
    HostVae,
)

Scale = Annotated[float, Number(min=0.0, max=1000.0, step=0.00001)]


class ModelForHost(NamedTuple):
    """A guidance expression where ComfyUI takes models or guiders."""

    model: Socket[HostModel, "..."]
    guider: Socket[HostGuider, "..."]
    empty: Socket[HostConditioning, "..."]


@node(category="comfyui", title="Denoiser to ComfyUI model and guider")
def denoiser_for_host(
    denoiser: Socket[Denoiser, "channels @space"],
    schedule: Socket[NoiseSchedule, "_"],
    scale: Scale = 0.0,
    clip: bool = True,
) -> ModelForHost:
    """A guidance expression as ComfyUI's MODEL and GUIDER: its samplers and schedulers walk it.

    The expression carries its conditions and its guidance: give KSampler the empty conditioning and cfg 1, or take
    the guider into SamplerCustomAdvanced. Models of pixels take latents with 3 channels of the picture's own size.

    Args:
        denoiser: What denoises.
        schedule: The schedule that its networks were trained with, not respaced.
        scale: Of the latents, where the space's name does not tell; 0 takes the published one.
        clip: Clip the predicted x_0 of models of pixels to [-1, 1]; latents never are.

    Returns: model, a MODEL; guider, a GUIDER without any other guidance; empty, a CONDITIONING that says nothing.

    Raises: GlidewireError where nothing tells the scale; when sampled, for guidance that steps with another noise
        than it denoises with (CFG++, Asyrp).

    Source: Karras et al. 2022 (2206.00364), section 3: sigma = sqrt(1 / alpha_bar - 1).
    """
    model = as_model(denoiser, schedule, scale, clip=clip)
    return ModelForHost(model, as_guider(model), HostConditioning(nothing()))


@node(category="comfyui", title="Schedule to ComfyUI sigmas")
def sigmas_for_host(schedule: Socket[NoiseSchedule, "_"]) -> Socket[HostSigmas, "..."]:
    """A schedule as ComfyUI's SIGMAS: sigma = sqrt(1 / alpha_bar - 1), falling.

    Args:
        schedule: The steps to walk, usually respaced.

    Returns: SIGMAS, "steps+1", ending clean.

    Source: Karras et al. 2022 (2206.00364), section 3.
    """
    return HostSigmas(noise_levels.sigmas_of(schedule))


@node(category="comfyui", title="Noise to ComfyUI")
def noise_for_host(
    seed: Annotated[int, Seed()] = 0, first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0
) -> Socket[HostNoise, "..."]:
    """The noise that this pack's samplers start from, as ComfyUI's NOISE: a function of (seed, item) alone.

    Args:
        seed: The seed of every item.
        first_item: The number of the first item, see noise_start.

    Returns: NOISE.

    Source: Ho et al. 2020, algorithm 2, line 1.
    """
    return HostNoise(SeededHostNoise(seed, first_item))


@node(category="comfyui", title="Solver to ComfyUI sampler")
def solver_for_host(
    solver: Literal["ddim", "ancestral"] = "ddim",
    eta: Annotated[float, Slider(min=0.0, max=1.0, step=0.05)] = 0.0,
    clip: bool = False,
) -> Socket[HostSampler, "..."]:
    """One of this pack's solvers as ComfyUI's SAMPLER, for any of its models.

    Args:
        solver: ddim (Song et al. 2021) or ancestral (Ho et al. 2020), the published updates exactly.
        eta: Of ddim: 0 is deterministic, 1 has the variance of the ancestral solver.
        clip: Clip the predicted x_0 to [-1, 1], as models of pixels want.

    Returns: SAMPLER; its noise is a function of (seed, item, step).

    Source: Song et al. 2021 (DDIM, 2010.02502), eq. 12; Ho et al. 2020, algorithm 2.
    """
    chosen = solvers.ddim(eta, clip=clip) if solver == "ddim" else solvers.ancestral(clip=clip)
    return HostSampler(as_sampler(chosen))


@node(category="comfyui", title="Condition to ComfyUI conditioning")
def conditioning_for_host(condition: Socket[Condition, "_ _ width"]) -> Socket[HostConditioning, "..."]:
    """An encoded text as ComfyUI's CONDITIONING.

    Args:
        condition: context, "batch positions width".

    Returns: CONDITIONING of one entry, without a pooled state.

    Raises: GlidewireError for a condition that is no encoded text.

    Source: none (utility).
    """
    if "context" not in condition.tensors:
        raise GlidewireError(
            "this condition is no encoded text", expected="context", got=", ".join(sorted(condition.tensors))
        )
    return HostConditioning([[condition.tensors["context"], {}]])


@node(category="comfyui", title="Text encoder to ComfyUI CLIP")
def clip_for_host(text_encoder: Socket[TextEncoder, "_ width"]) -> Socket[HostClip, "..."]:
    """A text encoder as ComfyUI's CLIP.

    Args:
        text_encoder: CLIP's or BERT, with states of "width".

    Returns: CLIP, which takes no LoRA and has no other layers to choose.

    Source: none (utility).
    """
    return HostClip(TextEncoderClip(text_encoder))


@node(category="comfyui", title="Embedding to ComfyUI CLIP vision output")
def embedding_for_host(embedding: Socket[Embedding, "_ width @clip"]) -> Socket[HostClipVisionOutput, "..."]:
    """An embedding, a prior's for one, as ComfyUI's CLIP_VISION_OUTPUT, for its unCLIP conditioning.

    Args:
        embedding: "batch width", not normalised.

    Returns: CLIP_VISION_OUTPUT with nothing but image_embeds.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 2.1.
    """
    made: Any = host.require("comfy.clip_vision").Output()
    made["image_embeds"] = embedding.tensor
    return HostClipVisionOutput(made)


@node(category="comfyui", title="Autoencoder to ComfyUI VAE")
def vae_for_host(autoencoder: Socket[Autoencoder, "channels @space"]) -> Socket[HostVae, "..."]:
    """An autoencoder as ComfyUI's VAE: its latents not scaled, as ComfyUI keeps them.

    Args:
        autoencoder: KL or VQ, of latents with "channels".

    Returns: VAE.

    Source: Rombach et al. 2022 (2112.10752), appendix G.
    """
    return HostVae(AutoencoderVae(autoencoder))


@node(category="comfyui", title="Sample to ComfyUI latent")
def latent_for_host(
    sample: Socket[Sample, "batch channels height width @space"],
    scale: Scale = 0.0,
    model: Socket[HostModel, "..."] | None = None,
) -> Socket[HostLatent, "..."]:
    """A sample as ComfyUI's LATENT: not scaled, as ComfyUI keeps latents.

    Args:
        sample: "batch channels height width", scaled as denoisers see it.
        scale: Of the space, where its name does not tell; 0 takes the published one.
        model: The MODEL whose latents these are, if it is one of ComfyUI's own.

    Returns: LATENT.

    Raises: GlidewireError where nothing tells the scale.

    Source: Rombach et al. 2022 (2112.10752), appendix G.
    """
    if model is not None:
        handle: Any = model
        return HostLatent({"samples": handle.get_model_object("latent_format").process_out(sample.tensor)})
    return HostLatent({"samples": sample.tensor / latent_scale(sample.space, scale)})
