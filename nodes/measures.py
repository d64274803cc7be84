"""Metrics as nodes: what pictures and embeddings score, as numbers that tables and plots take."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from ..errors import GlidewireError
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Slider
from ..metrics import comparisons, distributions, similarity
from ..metrics import pictures as picture_metrics
from .embeddings import tensors_of
from .figures import Floats
from .sockets import Image, Mask
from .token_sockets import Embedding


class PrecisionRecall(NamedTuple):
    """Fidelity and coverage of a set of pictures."""

    precision: float
    recall: float


class PixelError(NamedTuple):
    """How far pictures differ."""

    squared_error: float
    decibels: float


class Tone(NamedTuple):
    """How harsh or dull pictures are."""

    clipped: float
    contrast: float
    saturation: float


class PairedDifference(NamedTuple):
    """How two ways differ on the same prompts."""

    difference: float
    standard_error: float


class Ranked(NamedTuple):
    """The best pictures of a batch, best first."""

    image: Socket[Image, "_ height width 3"]
    best: float


@node(category="metrics", title="CLIP score", by_value=True)
def clip_score(
    image: Socket[Embedding, "_ width @clip"],
    text: Socket[Embedding, "_ width @clip"],
    weight: Annotated[float, Slider(min=0.0, max=100.0, step=0.5)] = 2.5,
) -> float:
    """Score pictures for texts: the mean of w · max(cos(z_i, z_t), 0).

    Args:
        image: Embeddings of pictures, "batch width".
        text: Of texts, "batch width", or "1 width" for all.
        weight: w; 2.5 was published, 1 is the cosine.

    Returns: The mean over the batch.

    Raises: GlidewireError for embeddings of different spaces or batches.

    Source: Hessel et al. 2021 (CLIPScore, 2104.08718), section 3.
    """
    return similarity.clip_score(*tensors_of(image, text), weight=weight).mean().item()


@node(category="metrics", title="Fréchet distance", by_value=True)
def frechet_distance(
    real: Socket[Embedding, "_ width @clip"],
    made: Socket[Embedding, "_ width @clip"],
) -> float:
    """Compare two sets of pictures: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of their embeddings' moments.

    Args:
        real: Embeddings of real pictures, "batch width", two or more.
        made: Of those that were made, "batch width", two or more.

    Returns: The distance; 0 for equal means and covariances. It falls as more pictures are given: compare equal
        numbers.

    Raises: GlidewireError for embeddings of different spaces, or fewer than two.

    Source: Heusel et al. 2017 (1706.08500), eq. 6; on CLIP's features, Kynkäänniemi et al. 2023 (2203.06026).
    """
    return distributions.frechet_distance(*tensors_of(real, made))


@node(category="metrics", by_value=True)
def precision_and_recall(
    real: Socket[Embedding, "_ width @clip"],
    made: Socket[Embedding, "_ width @clip"],
    neighbours: Annotated[int, Number(min=1, max=100)] = 3,
) -> PrecisionRecall:
    """Tell fidelity from coverage: shares of one set that lie within the k-nearest-neighbour balls of the other.

    Args:
        real: Embeddings of real pictures, "batch width", more than the neighbours.
        made: Of those that were made, "batch width", more than the neighbours.
        neighbours: k.

    Returns: precision, the share of what was made that lies among what is real; recall, the reverse.

    Raises: GlidewireError for embeddings of different spaces, or too few.

    Source: Kynkäänniemi et al. 2019 (1904.06991), eq. 1 and 2.
    """
    return PrecisionRecall(*distributions.precision_and_recall(*tensors_of(real, made), neighbours=neighbours))


@node(category="metrics", by_value=True)
def diversity(image: Socket[Embedding, "_ width @clip"]) -> float:
    """Tell how much pictures differ: 1 - the mean cosine of all pairs of their embeddings.

    Args:
        image: Embeddings of pictures, "batch width", two or more.

    Returns: 0 where all are alike, about 1 where they have nothing in common.

    Raises: GlidewireError for fewer than two.

    Source: compare Ramesh et al. 2022 (unCLIP, 2204.06125), section 5.3.
    """
    return distributions.diversity(image.tensor)


@node(category="metrics", by_value=True)
def retrieval_accuracy(
    image: Socket[Embedding, "batch width @clip"],
    text: Socket[Embedding, "batch width @clip"],
    among: Annotated[int, Number(min=1, max=100)] = 1,
) -> float:
    """Test a CLIP: the share of pictures whose own text is among the nearest of all texts.

    Args:
        image: Embeddings of pictures, "batch width".
        text: Of their texts, "batch width", in the same order.
        among: How many of the nearest texts count; 1 for top-1.

    Returns: 0 to 1.

    Raises: GlidewireError for embeddings of different spaces, or not as many texts as pictures.

    Source: Radford et al. 2021 (CLIP, 2103.00020), section 3.1.
    """
    return similarity.retrieval_accuracy(*tensors_of(image, text), among=among)


@node(category="metrics")
def rerank_images(
    image: Socket[Image, "batch height width 3"],
    embedding: Socket[Embedding, "batch features @clip"],
    text: Socket[Embedding, "1 features @clip"],
    count: Annotated[int, Number(min=1, max=1024)] = 1,
) -> Ranked:
    """Keep the pictures of a batch that fit a text best, by the cosine of their embeddings.

    Args:
        image: "batch height width 3".
        embedding: Their embeddings, "batch features".
        text: "1 features".
        count: How many to keep; all of them if there are fewer.

    Returns: image, "count height width 3", best first; best, the cosine of the first.

    Raises: GlidewireError for embeddings of different spaces, or not as many embeddings as pictures.

    Source: Ramesh et al. 2021 (DALL-E, 2102.12092), section 2.6.
    """
    order, cosines = similarity.ranked(*tensors_of(embedding, text))
    if len(image) != len(order):
        raise GlidewireError(
            "there are not as many embeddings as pictures", expected=len(image), got=len(order), hint="Embed these."
        )
    return Ranked(Image(image[order[:count]]), cosines[0].item())


@node(category="metrics", by_value=True)
def pixel_error(
    first: Socket[Image, "batch height width 3"],
    second: Socket[Image, "batch height width 3"],
    mask: Socket[Mask, "_ height width"] | None = None,
) -> PixelError:
    """Compare pictures pixel by pixel: mean (a - b)^2, and 10 log10(1 / mean) in decibels.

    Args:
        first, second: "batch height width 3" in [0, 1].
        mask: Where to compare, "batch height width", the weight of each pixel; everywhere if nothing is wired.

    Returns: squared_error, the mean; decibels, the peak signal-to-noise ratio, at most 100.

    Raises: GlidewireError for different sizes, or a mask of zeros.

    Source: none (utility).
    """
    error = picture_metrics.squared_error(first.movedim(-1, 1), second.movedim(-1, 1), mask)
    return PixelError(error, picture_metrics.peak_signal_to_noise(error))


@node(category="metrics", by_value=True)
def boundary_error(
    image: Socket[Image, "batch height width 3"],
    mask: Socket[Mask, "_ height width"],
) -> float:
    """Measure how visible the edge of a repainted region is: steps across it less steps beside it.

    Args:
        image: The inpainted pictures, "batch height width 3" in [0, 1].
        mask: "batch height width", 1 where they were repainted, cut at 1/2.

    Returns: About 0 for an edge that cannot be seen.

    Raises: GlidewireError for a mask of another size, or one without an edge.

    Source: after Nichol et al. 2021 (GLIDE, 2112.10741), section 4.3.
    """
    return picture_metrics.boundary_error(image.movedim(-1, 1), mask)


@node(category="metrics", by_value=True)
def picture_tone(image: Socket[Image, "_ height width 3"]) -> Tone:
    """Measure what strong guidance does to colours: values at the bounds, contrast, and saturation.

    Args:
        image: "batch height width 3" in [0, 1].

    Returns: clipped, the share of values within 1/100 of 0 or 1; contrast, the standard deviation of the luma of a
        picture; saturation, (max - min) / max of the channels of a pixel. Means over the batch.

    Source: Saharia et al. 2022 (Imagen, 2205.11487), section 2.3; Peli 1990, eq. 2; compare Sadat et al. 2024 (APG,
        2410.02416), section 5.
    """
    pictures = image.movedim(-1, 1)
    functions = picture_metrics.clipped_share, picture_metrics.contrast, picture_metrics.saturation
    return Tone(*(measured(pictures) for measured in functions))


@node(category="metrics", by_value=True)
def paired_difference(first: Floats, second: Floats) -> PairedDifference:
    """Tell whether two ways differ: the mean of first - second over the same prompts, and its standard error.

    Args:
        first: A metric of one way, one number for each prompt.
        second: Of the other way, for the same prompts and seeds.

    Returns: difference, the mean; standard_error, the deviation of the differences over the root of their count. A
        difference within two of them is none that was shown.

    Raises: GlidewireError for lists of different lengths, or fewer than two pairs.

    Source: Student 1908, "The probable error of a mean", section III.
    """
    return PairedDifference(*comparisons.paired_difference(first, second))
