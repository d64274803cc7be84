"""Summaries of values: what every tensor in a value is, and what its numbers are like."""

from __future__ import annotations

import json
import math

import pytest
import torch
from glidewire.graph_runtime.summaries import BINS, summary, tensor_summary
from hypothesis import given
from hypothesis import strategies as some


def test_a_summary_names_the_tensors_of_a_value() -> None:
    told = summary({"text": torch.zeros(2, 3), "more": [torch.ones(1), 5]})
    assert [tensor["name"] for tensor in told["tensors"]] == ["text", "more/0"]
    assert told["tensors"][0]["shape"] == [2, 3]
    assert told["nbytes"] > 28
    assert summary("a red cube") == {"text": "'a red cube'", "nbytes": told_bytes("a red cube"), "tensors": []}


def told_bytes(text: str) -> int:
    return text.__sizeof__()


def test_numbers_that_are_not_finite_are_counted_and_left_out() -> None:
    told = tensor_summary(torch.tensor([0.0, 1.0, float("nan"), float("inf")]))
    assert (told["not_finite"], told["min"], told["max"], told["mean"]) == (2, 0.0, 1.0, 0.5)
    assert json.dumps(told, allow_nan=False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_every_kind_of_number_has_a_histogram(dtype: torch.dtype) -> None:
    told = tensor_summary(torch.tensor([[0, 1], [1, 1]]).to(dtype))
    assert told["dtype"] == str(dtype).removeprefix("torch.")
    assert (told["min"], told["max"]) == (0.0, 1.0)
    assert (told["histogram"][0], told["histogram"][-1], sum(told["histogram"])) == (1, 3, 4)


def test_what_has_no_numbers_has_a_shape() -> None:
    assert "min" not in tensor_summary(torch.zeros(0, 3))
    assert "min" not in tensor_summary(torch.zeros(2, dtype=torch.complex64))
    assert tensor_summary(torch.full((3,), 2.0))["histogram"] == [3]


@given(some.lists(some.floats(-1e6, 1e6, width=32), min_size=2, max_size=50))
def test_a_histogram_counts_everything(numbers: list[float]) -> None:
    told = tensor_summary(torch.tensor(numbers))
    assert sum(told["histogram"]) == len(numbers)
    assert len(told["histogram"]) == (BINS if max(numbers) > min(numbers) else 1)
    assert math.isclose(told["mean"], sum(numbers) / len(numbers), rel_tol=1e-4, abs_tol=1e-1)
