"""Frames in the cache: kept under what each step depends on, and found again by the key of their node."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Final

from ..frames import Frame, Frames
from .tiers import Cache

_SCHEMA: Final = "glidewire frames 1"


class CacheFrames(Frames):
    """The frames of one call of a node; each costs what its step took, so that slow ones outlive fast ones.

    Args:
        cache: Where they are kept.
        key: The node's key.
        environment: What else can change numbers; part of every frame's key.
    """

    def __init__(self, cache: Cache, key: str, environment: Mapping[str, str]) -> None:
        self._cache, self._list = cache, _list_key(key)
        self._head = repr(sorted(environment.items()))
        self._walks: list[list[str]] = []
        self._since = 0.0

    @property
    def wanted(self) -> bool:
        """Somebody looks."""
        return True

    def begin(self, names: Sequence[str]) -> None:
        """Begin a walk; a node that runs once per item begins one for each."""
        self._walks.append([_digest("frame", self._head, name) for name in names])
        self._cache.put(self._list, ([list(walk) for walk in self._walks],), 0.0, keep=True)
        self._since = time.perf_counter()

    def keep(self, index: int, frame: Frame) -> None:
        """Keep a frame."""
        now = time.perf_counter()
        value = {"facts": dict(frame.facts), "pictures": dict(frame.pictures)}
        self._cache.put(self._walks[-1][index], (value,), now - self._since)
        self._since = now


def walks_of(cache: Cache, key: str) -> list[list[str]]:
    """The keys of the frames that the node under a key left, one list for each walk; empty if it left none."""
    found = cache.get(_list_key(key))
    return [] if found is None else found[0]


def frame_under(cache: Cache, key: str) -> Frame | None:
    """The frame under one of these keys, if it is still there."""
    found = cache.get(key)
    return None if found is None else Frame(**found[0])


def _list_key(key: str) -> str:
    return _digest("list", "", key)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join([_SCHEMA, *parts]).encode()).hexdigest()
