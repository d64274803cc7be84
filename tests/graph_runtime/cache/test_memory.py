"""The memory tiers: budgets, eviction, pins."""

from __future__ import annotations

import pytest
import torch
from glidewire.graph_runtime.cache.memory import MemoryTier
from hypothesis import given
from hypothesis import strategies as st


def block(kilobytes: int) -> tuple[torch.Tensor]:
    return (torch.zeros(kilobytes * 256),)


def test_the_budget_holds_and_the_dear_stay() -> None:
    tier = MemoryTier(budget=100_000, device_budget=0)
    tier.put("dear", block(40), seconds=100.0, pinned=())
    for index in range(10):
        tier.put(f"cheap {index}", block(40), seconds=0.1, pinned=())
        assert tier.used[0] <= 100_000
    assert "dear" in tier and len(tier) == 2


def test_what_is_larger_than_the_budget_is_not_kept_and_pushes_nothing_out() -> None:
    tier = MemoryTier(budget=50_000, device_budget=0)
    tier.put("small", block(10), seconds=1.0, pinned=())
    assert not tier.put("large", block(100), seconds=1000.0, pinned=())
    assert "small" in tier and "large" not in tier


def test_pinned_entries_stay_over_the_budget() -> None:
    tier = MemoryTier(budget=50_000, device_budget=0)
    tier.put("pinned", block(40), seconds=0.001, pinned=())
    tier.put("dear", block(40), seconds=100.0, pinned={"pinned"})
    assert "pinned" in tier and "dear" not in tier


def test_values_come_back_as_they_are() -> None:
    tier = MemoryTier(budget=50_000, device_budget=0)
    value = block(1)
    tier.put("a", value, seconds=1.0, pinned=())
    assert tier.get("a") is value
    tier.clear()
    assert "a" not in tier and tier.used == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.floats(0, 10)), max_size=40))
def test_bytes_are_counted_right_whatever_happens(puts: list[tuple[int, int, float]]) -> None:
    tier = MemoryTier(budget=10_000, device_budget=0)
    for key, size, seconds in puts:
        tier.put(str(key), block(size), seconds, pinned=())
        assert 0 <= tier.used[0] <= 10_000
        assert tier.used[0] == sum(tier.nbytes(str(held)) for held in range(6) if str(held) in tier)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_what_leaves_the_device_waits_on_the_host_and_comes_back() -> None:
    tier = MemoryTier(budget=1_000_000, device_budget=50_000)
    first, second = (torch.ones(10_000, device="cuda"),), (torch.zeros(10_000, device="cuda"),)
    tier.put("first", first, seconds=1.0, pinned=())
    tier.put("second", second, seconds=2.0, pinned=())
    assert tier.used[1] <= 50_000 and tier.used[0] >= 40_000 and len(tier) == 2
    back = tier.get("first")[0]
    assert back.device.type == "cuda" and torch.equal(back, first[0])


def test_a_handle_counts_what_it_says_and_is_dropped_rather_than_moved() -> None:
    class Network:
        device = torch.device("cuda")

        def nbytes(self) -> int:
            return 40_000

    tier = MemoryTier(budget=1_000_000, device_budget=50_000)
    tier.put("one", (Network(),), seconds=1.0, pinned=())
    assert tier.used[1] >= 40_000
    tier.put("two", (Network(),), seconds=2.0, pinned=())
    assert "one" not in tier and "two" in tier and tier.used[1] < 50_000
