"""The cache inside a node: tensors under keys of the node's own making (sampler segments)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import torch

from ..context import Memo
from ..declaration import NodeDeclaration
from .tiers import Cache

_SCHEMA: Final = "glidewire memo 1"


class CacheMemo(Memo):
    """A `Memo` over the cache, so that a node finds what it stored in earlier runs and other processes.

    The node's id and version (or the name of the memo that it shares) and the environment are added to its keys: a
    version bump forgets, as it does for whole results. Everything else that a stored tensor depends on must be in the
    node's own key.
    """

    def __init__(self, cache: Cache, declaration: NodeDeclaration, environment: Mapping[str, str]) -> None:
        self._cache = cache
        owner = declaration.memo or f"{declaration.id}\n{declaration.version}"
        self._head = f"{_SCHEMA}\n{owner}\n{sorted(environment.items())}\n"

    def recall(self, key: str) -> Mapping[str, torch.Tensor] | None:
        """What was stored under `key`, or None."""
        found = self._cache.get(self._key(key))
        return None if found is None else found[0]

    def store(self, key: str, value: Mapping[str, torch.Tensor], seconds: float) -> None:
        """Keep tensors under `key`; `seconds` is what it cost to make them."""
        self._cache.put(self._key(key), (dict(value),), seconds)

    def _key(self, key: str) -> str:
        return hashlib.sha256(f"{self._head}{key}".encode()).hexdigest()
