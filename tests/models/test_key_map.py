"""Key maps: row orders are what they say, and both directions are inverse."""

from __future__ import annotations

import pytest
import torch
from glidewire.models.key_map import (
    Entry,
    Merge,
    head_major,
    published_shapes,
    published_state_dict,
    renamed,
    transposed,
    unfolded,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import nn


@given(heads=st.integers(1, 4), channels=st.integers(1, 4), width=st.integers(1, 3), parts=st.integers(1, 3))
def test_head_major_rows_are_head_part_channel(heads: int, channels: int, width: int, parts: int) -> None:
    weight, bias = head_major("qkv", [f"to.{p}" for p in range(parts)], channels)
    # Row r says who it is: head, part, channel.
    rows = [(h, p, c) for h in range(heads) for p in range(parts) for c in range(channels)]
    named = torch.tensor([100.0 * h + 10 * p + c for h, p, c in rows])
    for part, value in enumerate(bias.split(named)):
        assert value.tolist() == [100 * h + 10 * part + c for h in range(heads) for c in range(channels)]
    assert torch.equal(bias.join(bias.split(named)), named)
    published = named[:, None, None].expand(-1, width, 1)
    assert all(part.shape == (heads * channels, width) for part in weight.split(published))
    assert torch.equal(weight.join(weight.split(published)), published)


def test_head_major_rows_of_a_linear_layer() -> None:
    weight, _ = head_major("qkv", ["q", "k", "v"], 2, sides=0)
    published = torch.arange(12.0)[:, None].expand(-1, 4)
    query, key, value = weight.split(published)
    assert [part[:, 0].tolist() for part in (query, key, value)] == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    assert torch.equal(weight.join([query, key, value]), published)


def test_a_one_wide_convolution_is_a_linear_layer() -> None:
    conv, linear = nn.Conv1d(3, 5, 1), nn.Linear(3, 5)
    weight, bias = unfolded("proj", "to_out")
    linear.weight.data, linear.bias.data = weight.split(conv.weight.data)[0], bias.split(conv.bias.data)[0]
    x = torch.randn(2, 3, 7)
    torch.testing.assert_close(conv(x), linear(x.transpose(1, 2)).transpose(1, 2))
    assert torch.equal(weight.join([linear.weight.data]), conv.weight.data)


def test_published_names_and_shapes() -> None:
    module = nn.ModuleDict({"ours": nn.Linear(2, 3)})
    assert published_shapes(module, renamed("theirs", "ours")) == {"theirs.weight": (3, 2), "theirs.bias": (3,)}
    assert torch.equal(published_state_dict(module, renamed("theirs", "ours"))["theirs.weight"], module["ours"].weight)


def test_a_hole_in_a_key_map_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match=r"ours\.bias"):
        published_shapes(nn.ModuleDict({"ours": nn.Linear(2, 3)}), (Entry("w", ("ours.weight",)),))


def test_zeros_that_files_leave_out_are_put_in_and_left_out_again() -> None:
    merge = Merge(("query", "value"), "qkv", zeros=(1,))
    query, value = torch.ones(2), torch.full((2,), 3.0)
    (whole,) = merge.load((query, value))
    assert whole.tolist() == [1, 1, 0, 0, 3, 3]
    assert [part.tolist() for part in merge.publish((whole,))] == [query.tolist(), value.tolist()]


def test_a_transposed_matrix_returns() -> None:
    entry = transposed("theirs", "ours")
    matrix = torch.arange(6.0).view(2, 3)
    (loaded,) = entry.load((matrix,))
    assert loaded.shape == (3, 2) and torch.equal(entry.publish((loaded,))[0], matrix)
