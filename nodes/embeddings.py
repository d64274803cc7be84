"""What is done with embeddings: interpolation, text differences, and the choice of the best of several."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from ..diffusion import interpolation
from ..diffusion.reranking import best_by_similarity
from ..errors import GlidewireError
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Slider
from .token_sockets import Embedding

Weight = Annotated[float, Slider(min=0.0, max=1.0, step=0.01)]


def tensors_of(*embeddings: Embedding) -> list[Tensor]:
    """The vectors of embeddings; raises GlidewireError unless all are in one CLIP's space."""
    for other in embeddings[1:]:
        if other.clip != embeddings[0].clip:
            raise GlidewireError(
                "the embeddings are in different spaces",
                expected=embeddings[0].clip,
                got=other.clip,
                hint="Embed all of them with one CLIP.",
            )
    return [embedding.tensor for embedding in embeddings]


@node(category="embeddings")
def interpolate_embeddings(
    first: Socket[Embedding, "_ width @clip"],
    second: Socket[Embedding, "_ width @clip"],
    weight: Weight = 0.5,
) -> Socket[Embedding, "_ width @clip"]:
    """Interpolate on the sphere: sin((1 - w) a) / sin(a) · first + sin(w a) / sin(a) · second, a their angle.

    Args:
        first, second: Embeddings "batch width" of one CLIP; one of them may be a batch of 1.
        weight: 0 is the first, 1 the second.

    Returns: Embeddings "batch width".

    Raises: GlidewireError for embeddings of different spaces or batches.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 3.2.
    """
    a, b = tensors_of(first, second)
    return Embedding(interpolation.slerp(a, b, weight), first.clip)


@node(category="embeddings")
def text_difference(
    image: Socket[Embedding, "batch width @clip"],
    source: Socket[Embedding, "_ width @clip"],
    target: Socket[Embedding, "_ width @clip"],
    weight: Weight = 0.3,
) -> Socket[Embedding, "batch width @clip"]:
    """Turn a picture's embedding into the direction from one text to another: slerp(z_i, norm(t - s), w).

    Args:
        image: z_i, "batch width".
        source: What the picture shows, "1 width".
        target: What it shall show, "1 width".
        weight: How far; 0.25 to 0.5 were published.

    Returns: Embeddings "batch width", as long as those of the pictures.

    Raises: GlidewireError for embeddings of different spaces, or equal texts.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 3.3.
    """
    z_i, s, t = tensors_of(image, source, target)
    return Embedding(interpolation.text_difference(z_i, s, t, weight), image.clip)


@node(category="embeddings")
def rerank_embeddings(
    candidates: Socket[Embedding, "_ width @clip"],
    text: Socket[Embedding, "1 width @clip"],
    count: Annotated[int, Number(min=1, max=64)] = 2,
) -> Socket[Embedding, "_ width @clip"]:
    """Keep the best of every few candidates: the one whose direction fits the text's best.

    Args:
        candidates: "items*count width": the candidates of the first item, then of the second ...
        text: "1 width", the text that all were made for.
        count: Candidates of each item; two were published.

    Returns: "items width".

    Raises: GlidewireError where the candidates cannot be divided into items.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 2.2.
    """
    z_i, z_t = tensors_of(candidates, text)
    if len(z_i) % count:
        raise GlidewireError(
            "the candidates cannot be divided among the items",
            expected=f"a multiple of {count}",
            got=f"{len(z_i)} candidates",
            hint="Give the same number of candidates to the prior's sampler.",
        )
    grouped = z_i.unflatten(0, (-1, count))
    best, _ = best_by_similarity(grouped, z_t)
    return Embedding(grouped[range(len(grouped)), best], candidates.clip)
