"""Frames: what a node leaves of its steps, found again by its key, shared by walks that share their steps."""

from __future__ import annotations

from pathlib import Path

import torch
from glidewire.graph_runtime.cache import Cache, Store
from glidewire.graph_runtime.cache.frames import CacheFrames, frame_under, walks_of
from glidewire.graph_runtime.frames import Frame, Frames

_RED = torch.tensor([[[255, 0, 0]]], dtype=torch.uint8)


def test_nobody_wants_frames_unless_asked_for() -> None:
    frames = Frames()
    assert not frames.wanted
    frames.begin(["a"])
    frames.keep(0, Frame({"step": 0.0}))


def test_frames_are_found_by_the_key_of_their_node() -> None:
    cache = Cache()
    frames = CacheFrames(cache, "k" * 64, {"torch": "1"})
    frames.begin(["a", "b"])
    frames.keep(0, Frame({"norm": 1.5}, {"x": _RED}))
    (walk,) = walks_of(cache, "k" * 64)
    kept, missing = (frame_under(cache, key) for key in walk)
    assert kept is not None
    assert kept.facts == {"norm": 1.5}
    assert torch.equal(kept.pictures["x"], _RED)
    assert missing is None
    assert walks_of(cache, "another") == []


def test_a_walk_that_resumes_has_the_frames_of_its_first_part() -> None:
    cache = Cache()
    first = CacheFrames(cache, "first", {})
    first.begin(["a", "b"])
    first.keep(0, Frame({"step": 0.0}))
    second = CacheFrames(cache, "second", {})
    second.begin(["a", "c"])
    second.keep(1, Frame({"step": 1.0}))
    (walk,) = walks_of(cache, "second")
    assert [frame.facts["step"] for key in walk if (frame := frame_under(cache, key))] == [0.0, 1.0]
    other = CacheFrames(cache, "third", {"torch": "another"})
    other.begin(["a"])
    assert frame_under(cache, walks_of(cache, "third")[0][0]) is None


def test_a_node_that_runs_once_per_item_leaves_a_walk_for_each() -> None:
    cache = Cache()
    frames = CacheFrames(cache, "key", {})
    for name in "ab":
        frames.begin([name])
        frames.keep(0, Frame({"step": float(ord(name))}))
    walks = walks_of(cache, "key")
    assert [frame.facts for (key,) in walks if (frame := frame_under(cache, key))] == [{"step": 97.0}, {"step": 98.0}]


def test_slow_steps_outlive_the_process(tmp_path: Path) -> None:
    cache = Cache(store=Store(tmp_path), write_seconds=0.0)
    frames = CacheFrames(cache, "key", {})
    frames.begin(["a"])
    frames.keep(0, Frame({"step": 3.0}, {"x": _RED}))
    cache.record_run("workflow", {})
    again = Cache(store=Store(tmp_path))
    kept = frame_under(again, walks_of(again, "key")[0][0])
    assert kept is None or kept.facts == {"step": 3.0}
    assert len(walks_of(again, "key")[0]) == 1
