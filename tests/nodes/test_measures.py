"""Metrics as nodes: spaces on the wire, and numbers from real embeddings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.nodes import clip, measures
from glidewire.nodes.token_sockets import Embedding


def test_pictures_are_reranked_by_their_own_embeddings(materials: Any) -> None:
    pictures = materials.picture(4)
    embedded = clip.clip_image_embedding(materials.clip, pictures)
    wanted = Embedding(embedded.tensor[2:3], embedded.clip)
    ranked = measures.rerank_images(pictures, embedded, wanted, 2)
    assert torch.equal(ranked.image[0], pictures[2])
    assert ranked.best == pytest.approx(1, abs=1e-5)
    assert measures.clip_score(wanted, wanted, 1.0) == pytest.approx(1, abs=1e-5)
    assert len(measures.rerank_images(pictures, embedded, wanted, 9).image) == 4
    with pytest.raises(GlidewireError, match="not as many embeddings as pictures; expected 3; got 4"):
        measures.rerank_images(pictures[:3], embedded, wanted)


def test_every_metric_of_embeddings_refuses_two_spaces(materials: Any) -> None:
    ours = materials.embedding(5)
    other = Embedding(ours.tensor, "another CLIP")
    for metric in (
        measures.clip_score,
        measures.frechet_distance,
        measures.precision_and_recall,
        measures.retrieval_accuracy,
    ):
        with pytest.raises(GlidewireError, match="different spaces; expected tiny CLIP; got another CLIP"):
            metric(ours, other)


def test_pixel_error_of_equal_pictures_is_nothing(materials: Any) -> None:
    picture = materials.picture(2)
    assert measures.pixel_error(picture, picture) == (0, 100)
    found = measures.pixel_error(picture, 1 - picture, materials.mask())
    assert found.squared_error > 0.1 and found.decibels < 10
