"""The cache over its tiers: where results go, what is worth the disk, pins, memos and records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.graph_runtime import codec
from glidewire.graph_runtime.cache import Cache, Store
from glidewire.graph_runtime.cache.memo import CacheMemo
from glidewire.graph_runtime.context import Policy
from glidewire.graph_runtime.environment import environment


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Cache]]:
    """Open a cache over this test's store, as another process would."""
    stores: list[Store] = []

    def open_cache(**options: Any) -> Cache:
        stores.append(Store(tmp_path / "cache"))
        return Cache(store=stores[-1], **options)

    yield open_cache
    for store in stores:
        store.close()


def numbers(size: int = 100) -> tuple[torch.Tensor]:
    return (torch.arange(float(size)),)


def test_a_result_goes_to_memory_and_to_disk_and_comes_back_up(make: Callable[..., Cache]) -> None:
    cache = make()
    cache.put("key", numbers(), seconds=2.0)
    assert cache.lookup("key") == "memory" and cache.cost("key")[0] == 2.0
    cache.clear_memory()
    assert cache.lookup("key") == "disk" and cache.cost("key")[0] == 2.0
    assert codec.digest(cache.get("key")) == codec.digest(numbers())
    assert cache.lookup("key") == "memory"
    assert cache.lookup("other") is None and cache.get("other") is None and cache.cost("other") is None


@pytest.mark.parametrize(
    ("seconds", "size", "options", "stored"),
    [
        (0.0001, 100, {}, False),
        (0.1, 100, {}, True),
        (0.1, 50_000_000, {}, False),
        (0.0001, 100, {"keep": True}, True),
        (0.0001, 100, {"digests": ("d",)}, True),
        (100.0, 100, {"storable": False}, False),
    ],
    ids=["cheap", "dear", "large for its cost", "asked for", "by value", "handle"],
)
def test_only_what_is_worth_it_goes_to_disk(
    make: Callable[..., Cache], seconds: float, size: int, options: dict[str, Any], stored: bool
) -> None:
    cache = make()
    value = (torch.empty(size, dtype=torch.uint8),)
    cache.put("key", value, seconds, **options)
    cache.clear_memory()
    assert (cache.lookup("key") == "disk") is stored


def test_value_digests_outlive_the_value_and_the_process(make: Callable[..., Cache]) -> None:
    cache = make(memory=0)
    cache.put("key", ("text",), 0.0, digests=("digest",))
    assert cache.digests("key") == ("digest",) and cache.digests("other") is None
    cache.record_run("w", {})
    assert make().digests("key") == ("digest",)


def test_pinned_results_stay_in_memory(make: Callable[..., Cache]) -> None:
    cache = make(memory=5000)
    cache.put("pinned", numbers(1000), 0.001)
    with cache.pinned(["pinned", "pinned"]):
        cache.put("dear", numbers(1000), 100.0)
        assert cache.lookup("pinned") == "memory"
    cache.put("dear", numbers(1000), 100.0)
    assert cache.lookup("pinned") != "memory" and cache.stats()["host_bytes"] <= 5000


def test_a_cache_without_a_store_forgets_nothing_while_it_has_room() -> None:
    cache = Cache()
    cache.put("key", numbers(), 0.0)
    cache.record_run("w", {"nodes": {}})
    assert cache.get("key") is not None and cache.last_run("w") == {"nodes": {}} and cache.take_warnings() == []


def test_a_memo_is_the_nodes_own_and_its_version_and_environment_count(make: Callable[..., Cache], tiny: Any) -> None:
    cache, facts = make(), environment(Policy())
    declaration = tiny.segmented.declaration
    memo = CacheMemo(cache, declaration, facts)
    memo.store("step 3", {"x": torch.ones(2), "state": torch.zeros(1, dtype=torch.bfloat16)}, 1.0)
    cache.clear_memory()
    found = memo.recall("step 3")
    assert set(found) == {"x", "state"} and torch.equal(found["x"], torch.ones(2))
    assert memo.recall("step 4") is None
    assert CacheMemo(cache, dataclasses.replace(declaration, version=2), facts).recall("step 3") is None
    assert CacheMemo(cache, tiny.add.declaration, facts).recall("step 3") is None
    assert CacheMemo(cache, declaration, {**facts, "dtype": "bfloat16"}).recall("step 3") is None
    elsewhere = CacheMemo(make(), declaration, dict(reversed(facts.items())))
    assert torch.equal(elsewhere.recall("step 3")["x"], torch.ones(2))
