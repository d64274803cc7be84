"""unCLIP's components: the diffusion prior and its sampler, the decoder and its conditions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.schedules import NoiseSchedule
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import File, Number, Seed, Text
from ..models.unclip import model as unclip
from ..models.unclip.model import DecoderModel, PriorModel
from . import embedding_sampling
from .clip_sockets import ClipText
from .paella import SUFFIXES
from .token_sockets import Embedding
from .unet_tags import of_unet

Checkpoint = Annotated[str, File(folder="models", suffixes=SUFFIXES)]


class LoadedPrior(NamedTuple):
    """A diffusion prior, and the noise schedule that it was trained with."""

    model: Socket[PriorModel, "width positions text_width @clip"]
    schedule: Socket[NoiseSchedule, "steps"]


class LoadedDecoder(NamedTuple):
    """A decoder, and the noise schedule that it was trained with."""

    model: Socket[DecoderModel, "channels width text_width @space @clip @sides @context_width @bottleneck @time_width"]
    schedule: Socket[NoiseSchedule, "steps"]


def _prior_dims(checkpoint: Path, clip: str = "", **_: object) -> Mapping[str, int | str]:
    identity = unclip.identify_part(checkpoint, "prior")
    spec = identity.spec
    dims = {"width": spec.embedding_width, "positions": spec.text_context, "text_width": spec.text_width}
    return {**dims, "clip": unclip.clip_of(identity, clip)}


@node(category="unclip", title="Load unCLIP prior", static_dims=_prior_dims)
def load_unclip_prior(
    checkpoint: Checkpoint,
    statistics: Checkpoint | None = None,
    clip: Annotated[str, Text()] = "",
    context: Context = INJECTED,
) -> LoadedPrior:
    """Load a diffusion prior (Karlo's or Kandinsky's), strictly.

    Args:
        checkpoint: A file in the published layout or in diffusers'.
        statistics: The file with mean and deviation of the embeddings, in the folder of models, where the
            prior's own file does not carry them (Karlo: ViT-L-14_stats.th).
        clip: Which CLIP's embeddings it makes, where neither the file nor its published form tells.

    Returns: model, from texts of "positions" with states of "text_width" to embeddings of "width"; schedule,
        "steps".

    Raises: GlidewireError with the whole list of keys that do not fit, or where statistics are missing.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 2.2.
    """
    path = context.folders.find("models", checkpoint)
    beside = context.folders.find("models", statistics) if statistics else None
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    model = unclip.load_prior(path, beside, clip=clip, device=device, dtype=dtype)
    return LoadedPrior(model, model.network.spec.noise_schedule)


@node(category="unclip", title="Prior denoiser (unCLIP)")
def unclip_prior_denoiser(
    model: Socket[PriorModel, "width positions text_width @clip"],
    text: Socket[ClipText, "_ positions text_width @clip"],
) -> Socket[Denoiser, "width @clip"]:
    """The prior's prediction of a picture's embedding under a text, as a leaf of a guidance expression.

    Args:
        model: The prior.
        text: A text of the same CLIP, "1 positions text_width"; the empty one is unconditional.

    Returns: A denoiser of embeddings "width @clip". Karlo and Kandinsky guide it with 4, the paper not at all.

    Raises: GlidewireError for a text of another CLIP.

    Source: Ramesh et al. 2022 (unCLIP), section 2.2.
    """
    return Leaf(model.network, embedding_sampling.text_condition(text, model.clip, model.network))


@node(category="unclip", title="Prior sampler (unCLIP)")
def unclip_prior_sampler(
    model: Socket[PriorModel, "width _ _ @clip"],
    denoiser: Socket[Denoiser, "width @clip"],
    schedule: Socket[NoiseSchedule, "_"],
    batch: Annotated[int, Number(min=1, max=1024)] = 1,
    candidates: Annotated[int, Number(min=1, max=64)] = 1,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
    context: Context = INJECTED,
) -> Socket[Embedding, "_ width @clip"]:
    """Sample picture embeddings with the reverse process over a text's: x_0 bounded by 10, then · std + mean.

    Args:
        model: The prior: gives the bound and the statistics.
        denoiser: The prior under a text, guided or not.
        schedule: The timesteps to visit: 25 (Karlo, Kandinsky) or 64 (the paper).
        batch: Items.
        candidates: Embeddings of each item, one after the other, for rerank embeddings; the paper takes 2.
        seed: The seed of every item.
        first_item: The number of the first item, see noise_start.

    Returns: Embeddings "batch*candidates width", not normalised.

    Raises: GlidewireError for a denoiser that is not of this prior's embeddings.

    Source: Ramesh et al. 2022 (unCLIP), section 2.2; Ho et al. 2020, algorithm 2.
    """
    counts = (batch * candidates, first_item * candidates)
    return embedding_sampling.run(model, denoiser, schedule, counts, seed, context)


def _decoder_dims(checkpoint: Path, clip: str = "", **_: object) -> Mapping[str, int | str]:
    identity = unclip.identify_part(checkpoint, "decoder")
    spec = identity.spec
    dims = {"channels": spec.channels, "width": spec.embedding_width, "text_width": spec.text_width}
    tags = {"space": unclip.decoded_space(identity), "clip": unclip.clip_of(identity, clip)}
    return {**dims, **tags, **of_unet(spec, spec.context_width)}


@node(category="unclip", title="Load unCLIP decoder", static_dims=_decoder_dims)
def load_unclip_decoder(
    checkpoint: Checkpoint,
    clip: Annotated[str, Text()] = "",
    context: Context = INJECTED,
) -> LoadedDecoder:
    """Load a decoder (Karlo's or Kandinsky's), strictly.

    Args:
        checkpoint: A file in the published layout or in diffusers'.
        clip: Which CLIP's embeddings it takes, where neither the file nor its published form tells.

    Returns: model, on "channels" of pixels (Karlo) or MoVQ latents (Kandinsky), of embeddings of "width" and
        texts with states of "text_width" (0 for none); schedule, "steps".

    Raises: GlidewireError with the whole list of keys that do not fit.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 2.1.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    model = unclip.load_decoder(path, clip=clip, device=device, dtype=dtype)
    return LoadedDecoder(model, model.network.spec.noise_schedule)


@node(category="unclip", title="Decoder denoiser (unCLIP)")
def unclip_decoder_denoiser(
    model: Socket[DecoderModel, "channels width text_width @space @clip @sides @context_width @bottleneck @time_width"],
    image: Socket[Embedding, "_ width @clip"] | None = None,
    text: Socket[ClipText, "_ _ text_width @clip"] | None = None,
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """The decoder's prediction of eps and variance under a picture's embedding, as a leaf of guidance.

    Guided with 8 (Karlo) against no picture and the empty text, or with 4 (Kandinsky) against the embedding of
    an all-zero picture.

    Args:
        model: The decoder.
        image: A picture's embedding, "batch width"; without it Karlo takes the one it learned for none.
        text: A caption by the same CLIP, "1 positions text_width", for decoders that take text.

    Returns: A denoiser on "channels @space".

    Raises: GlidewireError for an embedding or text of another CLIP, or one that is missing or too much.

    Source: Ramesh et al. 2022 (unCLIP), section 2.1.
    """
    return embedding_sampling.decoder_leaf(model, image, text)
