"""Eviction by worth."""

from __future__ import annotations

from glidewire.graph_runtime.cache.gdsf import Gdsf
from hypothesis import given
from hypothesis import strategies as st


def test_cheap_and_large_goes_before_dear_and_small() -> None:
    order = Gdsf()
    order.add("cheap", cost=1.0, size=100)
    order.add("dear", cost=50.0, size=100)
    order.add("small", cost=1.0, size=1)
    assert [order.evict(), order.evict(), order.evict(), order.evict()] == ["cheap", "dear", "small", None]


def test_uses_count() -> None:
    order = Gdsf()
    order.add("used", cost=1.0, size=10)
    order.add("other", cost=1.5, size=10)
    order.hit("used")
    assert order.evict() == "other"


def test_what_is_not_used_any_more_ages() -> None:
    order = Gdsf()
    order.add("old", cost=10.0, size=1)
    for index in range(30):
        order.add(f"{index}", cost=1.0, size=1)
        assert order.evict() is not None
    assert "old" not in order


def test_kept_keys_stay_and_can_go_later() -> None:
    order = Gdsf()
    order.add("a", cost=1.0, size=10)
    order.add("b", cost=2.0, size=10)
    assert order.evict(keep={"a"}) == "b"
    assert order.evict(keep={"a"}) is None
    assert order.evict() == "a" and len(order) == 0


@given(st.lists(st.tuples(st.sampled_from(["add", "hit", "remove", "evict"]), st.integers(0, 9)), max_size=200))
def test_it_holds_exactly_what_was_put_in_and_not_taken_out(moves: list[tuple[str, int]]) -> None:
    order, held = Gdsf(), set()
    for move, number in moves:
        key = str(number)
        if move == "add":
            order.add(key, cost=number + 1, size=number % 3 + 1)
            held.add(key)
        elif move == "hit" and key in held:
            order.hit(key)
        elif move == "remove":
            order.remove(key)
            held.discard(key)
        elif move == "evict":
            gone = order.evict()
            assert (gone in held) if held else gone is None
            held.discard(gone or "")
        assert len(order) == len(held) and all(name in order for name in held)
