"""Items of batches, and lists written as text."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.nodes import batches, latent_pictures, masks, scene_world, token_orders
from glidewire.nodes.number_lists import indices_of, numbers_of
from glidewire.nodes.sockets import Image
from glidewire.nodes.token_sockets import Embedding
from glidewire.nodes.values import integer_list, join_texts, mean, number_list, number_text
from hypothesis import given
from hypothesis import strategies as st


def test_items_are_taken_in_the_order_that_is_written() -> None:
    pictures = Image(torch.arange(4.0)[:, None, None, None].expand(4, 2, 2, 3))
    chosen = batches.select_images(pictures, "2, 0-1, -1, 2")
    assert chosen[:, 0, 0, 0].tolist() == [2, 0, 1, 3, 2]
    assert [one.shape for one in batches.list_images(pictures)] == [(1, 2, 2, 3)] * 4
    assert batches.repeat_images(pictures, 2)[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("4", "the batch has no item 4; expected 0 to 3"),
        ("-5", "the batch has no item -5"),
        ("0-9", "the batch has no item 4"),
        ("", "no item of the batch is named"),
        ("3-1", "no item of the batch is named"),
        ("a", "'a' names no items of a batch"),
    ],
)
def test_items_that_are_not_there_are_refused(text: str, words: str) -> None:
    with pytest.raises(GlidewireError, match=words):
        indices_of(text, 4)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_written_items_are_read_again(items: list[int]) -> None:
    assert indices_of(", ".join(map(str, items)), 10) == items


@given(st.text(max_size=30))
def test_any_text_is_items_or_refused(text: str) -> None:
    try:
        found = indices_of(text, 7)
    except GlidewireError as problem:
        assert "item" in str(problem)
    else:
        assert found
        assert all(0 <= index < 7 for index in found)


def test_numbers_are_read_and_anything_else_is_refused() -> None:
    assert number_list("1, 2.5;-4\n1e-3") == [1, 2.5, -4, 1e-3]
    assert integer_list("4 8") == [4, 8]
    for text in ("", "a", "1,,b", "nan", "inf"):
        with pytest.raises(GlidewireError, match="something else than numbers"):
            numbers_of(text)
    with pytest.raises(GlidewireError, match="numbers that are not whole"):
        integer_list("1.5")


def test_embeddings_of_one_clip_make_a_batch(materials: Any) -> None:
    first, second = materials.embedding(1), materials.embedding(2, 6)
    assert torch.equal(batches.batch_embeddings([first, second]).tensor[1:], second.tensor)
    with pytest.raises(GlidewireError, match="embeddings are in different spaces"):
        batches.batch_embeddings([first, Embedding(second.tensor, "another")])
    with pytest.raises(GlidewireError, match="list of embeddings is empty"):
        batches.batch_embeddings([])


def test_a_batch_of_embeddings_is_divided_into_equal_parts() -> None:
    rows = Embedding(torch.arange(12.0).view(6, 2), "some CLIP")
    divided = batches.list_embeddings(rows, 3)
    assert [part.clip for part in divided] == ["some CLIP"] * 2
    assert torch.equal(torch.stack([part.tensor for part in divided]), rows.tensor.view(2, 3, 2))
    with pytest.raises(GlidewireError, match="cannot be divided into equal parts; expected a multiple of 4; got 6"):
        batches.list_embeddings(rows, 4)


def test_empty_canvases_know_their_space(materials: Any) -> None:
    latents = batches.empty_latents(materials.autoencoder, 8, 4, 2)
    assert latents.tensor.shape == (2, 4, 4, 8) and latents.space == materials.autoencoder.space
    assert not latents.tensor.any()
    tokens = batches.empty_tokens(materials.token_autoencoder, 4, 2, 3, code=5)
    assert tokens.tensor.tolist() == [[[5] * 4] * 2] * 3
    with pytest.raises(GlidewireError, match="there is no such code; expected 0 to 31; got 32"):
        batches.empty_tokens(materials.token_autoencoder, code=32)


def test_lists_become_one_value() -> None:
    assert mean([1.0, 2.0, 6.0]) == 3
    with pytest.raises(GlidewireError, match="an empty list has no mean"):
        mean([])
    assert join_texts(["a", "b"]) == "a\nb"
    assert [number_text(number) for number in (2.5, 3.0, -0.001, 100.0)] == ["2.5", "3", "0", "100"]
    assert number_text(1 / 3, "scale ", " %", 3) == "scale 0.333 %"
    assert number_text(120.0, digits=0) == "120"


@pytest.mark.parametrize(
    ("node", "values", "words"),
    [
        (batches.select_images, {"items": "x"}, "names no items of a batch"),
        (number_list, {"numbers": "1, b"}, "something else than numbers"),
        (integer_list, {"numbers": "1.5"}, "not whole"),
        (masks.box_mask, {"left": 9, "right": 9}, "does not lie in the mask"),
        (masks.colour_mask, {"colour": "redd"}, "no colour"),
        (masks.brush_mask, {"strokes": "1"}, "no stroke"),
        (latent_pictures.encode_boxes, {"boxes": "1"}, "no box"),
        (token_orders.maskgit_sampler, {"schedule": "sine"}, "unknown schedule of masks"),
        (scene_world.judge_scenes, {"prompt": "a horse"}, "not a sentence of the scene grammar"),
    ],
)
def test_texts_that_cannot_be_read_are_told_before_anything_runs(node: Any, values: dict[str, Any], words: str) -> None:
    given = {entry.id: entry.default for entry in node.declaration.inputs} | values
    told = []
    for function in node.declaration.validate:
        try:
            function(**{name: given[name] for name in inspect.signature(function).parameters})
        except GlidewireError as problem:
            told.append(str(problem))
    assert len(told) == 1
    assert words in told[0]
