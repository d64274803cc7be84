"""Batches taken apart and put together: the chosen items, one item at a time, and several batches as one."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch

from ..errors import GlidewireError
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Text
from ..models.first_stage.model import Autoencoder
from ..models.paella.token_autoencoder import TokenAutoencoder
from .embeddings import tensors_of
from .number_lists import indices_of, items_of
from .sockets import Image, Mask, Sample
from .token_sockets import Embedding, Tokens

Items = Annotated[str, Text()]


def _are_items(items: str) -> None:
    items_of(items)


@node(category="batches", validate=_are_items)
def select_images(images: Socket[Image, "_ height width 3"], items: Items = "0") -> Socket[Image, "_ height width 3"]:
    """Take some pictures of a batch, in any order, any of them more than once.

    Args:
        images: "batch height width 3".
        items: Counted from 0: "0, 2-4"; negative numbers count from the end: "-1".

    Returns: The chosen ones, "chosen height width 3".

    Raises: GlidewireError for items that are not there, or a text that cannot be read.

    Source: none (utility).
    """
    return Image(images[indices_of(items, len(images))])


@node(category="batches", validate=_are_items)
def select_samples(
    samples: Socket[Sample, "_ channels height width @space"], items: Items = "0"
) -> Socket[Sample, "_ channels height width @space"]:
    """Take some samples of a batch.

    Args:
        samples: "batch channels height width".
        items: See select_images.

    Returns: The chosen ones, "chosen channels height width".

    Raises: GlidewireError as select_images.

    Source: none (utility).
    """
    return replace(samples, tensor=samples.tensor[indices_of(items, len(samples.tensor))])


@node(category="batches", validate=_are_items)
def select_tokens(
    tokens: Socket[Tokens, "_ rows columns @codebook"], items: Items = "0"
) -> Socket[Tokens, "_ rows columns @codebook"]:
    """Take some token pictures of a batch.

    Args:
        tokens: "batch rows columns".
        items: See select_images.

    Returns: The chosen ones, "chosen rows columns".

    Raises: GlidewireError as select_images.

    Source: none (utility).
    """
    return replace(tokens, tensor=tokens.tensor[indices_of(items, len(tokens.tensor))])


@node(category="batches", validate=_are_items)
def select_embeddings(
    embeddings: Socket[Embedding, "_ width @clip"], items: Items = "0"
) -> Socket[Embedding, "_ width @clip"]:
    """Take some embeddings of a batch.

    Args:
        embeddings: "batch width".
        items: See select_images.

    Returns: The chosen ones, "chosen width".

    Raises: GlidewireError as select_images.

    Source: none (utility).
    """
    return replace(embeddings, tensor=embeddings.tensor[indices_of(items, len(embeddings.tensor))])


@node(category="batches")
def list_images(images: Socket[Image, "batch height width 3"]) -> list[Socket[Image, "1 height width 3"]]:
    """Make a list of a batch: what it is wired to runs once for each picture.

    Args:
        images: "batch height width 3".

    Returns: As many pictures, each "1 height width 3".

    Source: none (utility).
    """
    return [Image(one.clone()) for one in images.split(1)]


@node(category="batches")
def batch_embeddings(embeddings: list[Socket[Embedding, "_ width @clip"]]) -> Socket[Embedding, "_ width @clip"]:
    """Join a list of embeddings, or of batches of them, into one batch.

    Args:
        embeddings: A list, each "batch width" and of one CLIP.

    Returns: One batch, "all width", in the order of the list.

    Raises: GlidewireError for embeddings of different spaces, or an empty list.

    Source: none (utility).
    """
    if not embeddings:
        raise GlidewireError("the list of embeddings is empty", expected="at least one", got="none")
    return Embedding(torch.cat(tensors_of(*embeddings)), embeddings[0].clip)


@node(category="batches")
def list_embeddings(
    embeddings: Socket[Embedding, "_ width @clip"], size: Annotated[int, Number(min=1, max=4096)] = 1
) -> list[Socket[Embedding, "size width @clip"]]:
    """Make a list of a batch of embeddings: what it is wired to runs once for each `size` of them.

    Args:
        embeddings: "batch width".
        size: Of the parts; distances of distributions over several equal parts tell how far they scatter.

    Returns: As many batches as there are, each "size width", in the order of the batch.

    Raises: GlidewireError where the batch cannot be divided into such parts.

    Source: none (utility).
    """
    if len(embeddings.tensor) % size:
        raise GlidewireError(
            "the embeddings cannot be divided into equal parts",
            expected=f"a multiple of {size}",
            got=len(embeddings.tensor),
            hint="Choose another size.",
        )
    return [replace(embeddings, tensor=part.clone()) for part in embeddings.tensor.split(size)]


@node(category="batches")
def repeat_images(
    images: Socket[Image, "_ height width 3"], count: Annotated[int, Number(min=1, max=1024)] = 4
) -> Socket[Image, "_ height width 3"]:
    """Repeat a batch: every picture `count` times, one after the other.

    Args:
        images: "batch height width 3".
        count: How often.

    Returns: "batch*count height width 3".

    Source: none (utility).
    """
    return Image(images.repeat_interleave(count, dim=0))


@node(category="batches")
def empty_latents(
    autoencoder: Socket[Autoencoder, "channels @space"],
    width: Annotated[int, Number(min=1, max=2048)] = 32,
    height: Annotated[int, Number(min=1, max=2048)] = 32,
    batch: Annotated[int, Number(min=1, max=1024)] = 1,
) -> Socket[Sample, "batch channels height width @space"]:
    """Latents that are all 0, the mean of what denoisers see: a canvas for noised_start and known_region.

    Args:
        autoencoder: Gives the space and its "channels".
        width, height: In latent cells.
        batch: How many.

    Returns: Zeros, "batch channels height width".

    Source: Rombach et al. 2022, section 3.3 and appendix G (latents are scaled to unit variance).
    """
    return Sample(torch.zeros(batch, autoencoder.spec.code_channels, height, width), autoencoder.space)


@node(category="batches")
def empty_tokens(
    autoencoder: Socket[TokenAutoencoder, "codes @codebook"],
    columns: Annotated[int, Number(min=1, max=1024)] = 32,
    rows: Annotated[int, Number(min=1, max=1024)] = 32,
    batch: Annotated[int, Number(min=1, max=1024)] = 1,
    code: Annotated[int, Number(min=0, max=1_000_000)] = 0,
) -> Socket[Tokens, "batch rows columns @codebook"]:
    """A token picture of one code everywhere: a canvas for the inpainting start.

    Args:
        autoencoder: The first stage whose codes these are.
        columns, rows: Size of the grid.
        batch: How many.
        code: Which code.

    Returns: Tokens "batch rows columns".

    Raises: GlidewireError where the codebook has no such code.

    Source: none (utility).
    """
    if code >= autoencoder.spec.codes:
        raise GlidewireError("there is no such code", expected=f"0 to {autoencoder.spec.codes - 1}", got=code)
    return Tokens(torch.full((batch, rows, columns), code), autoencoder.codebook)


@node(category="batches")
def list_masks(masks: Socket[Mask, "batch height width"]) -> list[Socket[Mask, "1 height width"]]:
    """Make a list of a batch of masks: what it is wired to runs once for each.

    Args:
        masks: "batch height width".

    Returns: As many masks, each "1 height width".

    Source: none (utility).
    """
    return [Mask(one.clone()) for one in masks.split(1)]
