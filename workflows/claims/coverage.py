"""A claim about distributions: what guidance does to the distance from real pictures, to precision, and to recall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ...nodes import batches, clip, measures, samplers
from ...nodes.token_sockets import Embedding
from .. import parts
from ..parts import Glide
from .pixels import drawn
from .study import Claim, Expected, Study

_SCALES = (1.0, 3.0, 8.0)
_PART = 16


def coverage(study: Study) -> None:
    """Pictures of scenes' captions at growing scales beside the scenes' own, compared part by part."""
    image, caption, seed = study.scenes(8 * _PART)
    glide = Glide.load(study.page, "20")
    model, _text = study.ruler(caption)
    size = study.part_size(_PART)
    with study.page.group("The scenes' own embeddings, in parts"):
        real = _in_parts(study, "scenes", clip.clip_image_embedding(model, image), size)
    with study.page.group("Their captions, and the same noise for all"):
        conditional = glide.conditional(caption)
        start = study.titled("Noise", samplers.noise_start(conditional, 32, 32, seed=seed))
    for scale in _SCALES:
        way = f"scale {scale:g}"
        with study.page.group(f"Pictures: {way}"):
            denoiser = conditional if scale == 1 else glide.towards(conditional, f"{way}: guidance", scale)
            made = drawn(study, glide, way, denoiser, start)
        study.shown[way] = made
        with study.page.group(f"Metrics: {way}"):
            parts_made = _in_parts(study, way, clip.clip_image_embedding(model, made), size)
            study.measure(way, "Fréchet distance", measures.frechet_distance(real, parts_made))
            study.measure(way, "precision", measures.precision_and_recall(real, parts_made, 1).precision)
            study.measure(way, "recall", measures.precision_and_recall(real, parts_made, 1).recall)


def _in_parts(study: Study, name: str, embedding: Embedding, size: int) -> Embedding:
    """Embeddings of single pictures as a list of equal batches."""
    together = study.titled(f"{name}: all", batches.batch_embeddings(cast(list[Embedding], embedding)))
    return cast(Embedding, study.titled(f"{name}: parts", batches.list_embeddings(together, size)))


CLAIMS: Mapping[str, Claim] = {
    "guidance-and-coverage": Claim(
        coverage,
        "Guidance trades coverage for fidelity: pictures move away from the distribution of real ones, and fewer of "
        "those are covered, while more of what is made lies among them.",
        "Ho & Salimans 2022, section 4; GLIDE (Nichol et al. 2021), section 5.2 and figure 6",
        (
            Expected("Fréchet distance", "scale 8", "scale 1"),
            Expected("recall", "scale 1", "scale 8"),
            Expected("precision", "scale 3", "scale 1"),
        ),
        (parts.GLIDE, parts.CLIP),
        "On mini CLIP's embeddings, in parts of 16 pictures and the 16 scenes that their captions were written for: "
        "the parts are the items. So small parts overrate every distance (Heusel et al. 2017), at all scales alike. "
        "Precision and recall look one neighbour far: among three, as published, parts so small cover everything.",
    ),
}
