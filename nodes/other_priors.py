"""Priors beside unCLIP's published form: the autoregressive one, and LAION's diffusion prior."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.quantization import PrincipalComponents
from ..diffusion.schedules import NoiseSchedule
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket, socket_type
from ..graph_runtime.widgets import File, Number, Seed, Slider, Text
from ..models.autoregressive_prior import model as autoregressive
from ..models.autoregressive_prior.model import AutoregressivePriorModel
from ..models.dalle2_pytorch import model as laion
from ..models.dalle2_pytorch.model import LaionPriorModel
from . import prior_sampling
from .clip_sockets import ClipText
from .components import Components
from .paella import SUFFIXES
from .token_sockets import Embedding

Checkpoint = Annotated[str, File(folder="models", suffixes=SUFFIXES)]
Batch = Annotated[int, Number(min=1, max=1024)]
Candidates = Annotated[int, Number(min=1, max=64)]
First = Annotated[int, Number(min=0, max=1_000_000)]

socket_type(
    "AUTOREGRESSIVE_PRIOR", AutoregressivePriorModel, "A prior that draws an embedding code by code.", handle=True
)
socket_type("LAION_PRIOR", LaionPriorModel, "A diffusion prior trained with DALLE2-pytorch.", handle=True)


class LoadedLaionPrior(NamedTuple):
    """A diffusion prior, and the noise schedule that it was trained with."""

    model: Socket[LaionPriorModel, "width positions @clip"]
    schedule: Socket[NoiseSchedule, "steps"]


def _autoregressive_dims(checkpoint: Path, clip: str = "", **_: object) -> Mapping[str, int | str]:
    identity = autoregressive.identify_autoregressive_prior(checkpoint)
    spec = identity.spec
    dims = {"width": spec.embedding_width, "text_width": spec.text_width}
    return {**dims, "clip": autoregressive.clip_of(identity, clip)}


@node(category="unclip", static_dims=_autoregressive_dims)
def load_autoregressive_prior(
    checkpoint: Checkpoint,
    clip: Annotated[str, Text()] = "",
    context: Context = INJECTED,
) -> Socket[AutoregressivePriorModel, "width text_width @clip"]:
    """Load an autoregressive prior, strictly. None was published: this pack trains its own.

    Args:
        checkpoint: A file that this pack wrote.
        clip: Which CLIP's embeddings it makes, where the file does not tell.

    Returns: A prior from texts with states of "text_width" to embeddings of "width".

    Raises: GlidewireError with the whole list of keys that do not fit, or for another kind of prior.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 2.2.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    return autoregressive.load_autoregressive_prior(path, clip=clip, device=device, dtype=dtype)


@node(category="unclip")
def autoregressive_prior_sampler(
    model: Socket[AutoregressivePriorModel, "width text_width @clip"],
    text: Socket[ClipText, "1 _ text_width @clip"],
    batch: Batch = 1,
    candidates: Candidates = 1,
    guidance_scale: Annotated[float, Slider(min=-30.0, max=30.0, step=0.1)] = 1.0,
    temperature: Annotated[float, Slider(min=0.05, max=4.0, step=0.05)] = 1.0,
    seed: Annotated[int, Seed()] = 0,
    first_item: First = 0,
    context: Context = INJECTED,
) -> Socket[Embedding, "_ width @clip"]:
    """Draw picture embeddings for a text code by code: p(code_i | code_<i, z_i · z_t, text), most telling first.

    Args:
        model: The prior.
        text: A text of the same CLIP, "1 positions text_width".
        batch: Items.
        candidates: Embeddings of each item, one after the other, for rerank embeddings; the paper takes 2.
        guidance_scale: u + scale (c - u) on the scores; 1 is unguided.
        temperature: Scores are divided by it.
        seed: The seed of every item.
        first_item: The number of the first item, see noise_start.

    Returns: Embeddings "batch*candidates width", not normalised.

    Raises: GlidewireError for a text of another CLIP.

    Source: Ramesh et al. 2022 (unCLIP), section 2.2; guidance: Ho & Salimans 2022 (2207.12598), eq. 6.
    """
    settings = prior_sampling.Drawing(batch * candidates, first_item * candidates, seed)
    return prior_sampling.autoregressive(model, text, settings, guidance_scale, temperature, context)


@node(category="unclip")
def autoregressive_prior_components(
    model: Socket[AutoregressivePriorModel, "width _ @clip"],
) -> Socket[Components, "width _ @clip"]:
    """The principal components whose coordinates an autoregressive prior draws.

    Args:
        model: The prior of embeddings of "width".

    Returns: The components, "width kept".

    Source: Ramesh et al. 2022 (unCLIP), section 2.2 (319 of 1024 components lose less than 1 %).
    """
    found: PrincipalComponents = model.components
    return Components(found.basis.clone(), found.mean.clone(), found.eigenvalues.clone(), model.clip)


def _laion_dims(checkpoint: Path, clip: str = "", **_: object) -> Mapping[str, int | str]:
    identity = laion.identify_laion_prior(checkpoint)
    spec = identity.spec
    return {"width": spec.width, "positions": spec.text_positions, "clip": laion.clip_of(identity, clip)}


@node(category="unclip", title="Load LAION prior", static_dims=_laion_dims)
def load_laion_prior(
    checkpoint: Checkpoint,
    clip: Annotated[str, Text()] = "",
    context: Context = INJECTED,
) -> LoadedLaionPrior:
    """Load a diffusion prior that was trained with DALLE2-pytorch (LAION's), strictly.

    Args:
        checkpoint: A training state or a state dict in the published layout.
        clip: Which CLIP's embeddings it makes, where neither the file nor its published width tells.

    Returns: model, from texts of "positions" to embeddings of "width"; schedule, "steps".

    Raises: GlidewireError with the whole list of keys that do not fit, or for another kind of prior.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 2.2; as trained by LAION, 2022.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    model = laion.load_laion_prior(path, clip=clip, device=device, dtype=dtype)
    return LoadedLaionPrior(model, model.schedule)


@node(category="unclip", title="Prior denoiser (LAION)")
def laion_prior_denoiser(
    model: Socket[LaionPriorModel, "width positions @clip"],
    text: Socket[ClipText, "_ positions width @clip"] | None = None,
) -> Socket[Denoiser, "width @clip"]:
    """The prior's prediction of a picture's embedding under a text, as a leaf of a guidance expression.

    Args:
        model: The prior, for texts of "positions" with states of "width".
        text: A text of the same CLIP, "1 positions width"; without it, the learned unconditional branch.

    Returns: A denoiser of embeddings "width @clip".

    Raises: GlidewireError for a text of another CLIP.

    Source: Ramesh et al. 2022 (unCLIP), section 2.2.
    """
    return Leaf(model.network, prior_sampling.laion_condition(model, text))


@node(category="unclip", title="Prior sampler (LAION)")
def laion_prior_sampler(
    model: Socket[LaionPriorModel, "width _ @clip"],
    denoiser: Socket[Denoiser, "width @clip"],
    schedule: Socket[NoiseSchedule, "_"],
    steps: Annotated[int, Number(min=2, max=1000)] = 64,
    eta: Annotated[float, Slider(min=0.0, max=1.0, step=0.05)] = 1.0,
    batch: Batch = 1,
    candidates: Candidates = 1,
    seed: Annotated[int, Seed()] = 0,
    first_item: First = 0,
    context: Context = INJECTED,
) -> Socket[Embedding, "_ width @clip"]:
    """Sample picture embeddings as DALLE2-pytorch does: its own times and DDIM step.

    Args:
        model: The prior: gives the length that embeddings are divided by.
        denoiser: The prior under a text, guided or not.
        schedule: The prior's own schedule, whole.
        steps: Times that are chosen; one less is evaluated.
        eta: Share of fresh noise; 1 was published.
        batch: Items.
        candidates: Embeddings of each item, one after the other, for rerank embeddings.
        seed: The seed of every item.
        first_item: The number of the first item, see noise_start.

    Returns: Embeddings "batch*candidates width", of about length 1.

    Raises: GlidewireError for a denoiser that is not of this prior's embeddings, or impossible steps.

    Source: Song et al. 2021 (DDIM, 2010.02502), eq. 12, with the shifted alpha_bar of DALLE2-pytorch.
    """
    settings = prior_sampling.Drawing(batch * candidates, first_item * candidates, seed)
    return prior_sampling.laion(model, denoiser, schedule, settings, (steps, eta), context)
