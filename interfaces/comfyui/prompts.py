"""The prompt that the host runs, as our runtime sees it: the keys under which results of its nodes are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ...graph_runtime.cache import Cache
from ...graph_runtime.demand import CacheOracle
from ...graph_runtime.environment import environment
from ...graph_runtime.formats.api import from_api
from ...graph_runtime.graph import Graph
from ...graph_runtime.keys import Keys
from ...graph_runtime.registry import Registry
from ...graph_runtime.results import digest_or_none
from .. import sources
from ..session import pack_registry
from . import host
from .cache import shared_cache


class PromptKeys:
    """The keys of those nodes of a prompt that are ours, and made of nothing but ours.

    Args:
        prompt: In the API form, as the host executes it.
        registry: Our nodes.
        cache: Where results are.
        facts: The environment that is part of every key.
    """

    def __init__(self, prompt: Mapping[str, Any], registry: Registry, cache: Cache, facts: Mapping[str, str]) -> None:
        self._cache, self._keys = cache, Keys(_ours(prompt, registry), registry, host.folders(), facts, cache.files)
        self._wanted = [node for node in self._keys.graph.calls if not self._keys.declaration(node).effect]

    def key(self, node: str) -> str | None:
        """The key of a node's result, if it can be kept: one value for each output, and no handle."""
        if node not in self._wanted:
            return None
        if node not in self._keys.keys:
            # Keys behind by-value nodes are known once those have run.
            self._keys.advance(self._wanted, CacheOracle(self._keys, self._cache))
        outputs = self._keys.declaration(node).outputs
        handle = any(kind.handle for output in outputs for kind in output.types)
        if handle or node in self._keys.mapped or node not in self._keys.keys:
            return None
        return self._keys.keys[node].key

    def lookup(self, node: str) -> tuple[Any, ...] | None:
        """A node's outputs, a list where an output is one; None where they are not in the cache."""
        key = self.key(node)
        with torch.inference_mode(False):
            return None if key is None else self._cache.get(key)

    def store(self, node: str, outputs: Sequence[Any], seconds: float) -> None:
        """Keep a node's outputs, a list where an output is one."""
        key = self.key(node)
        if key is None or self._cache.lookup(key) is not None:
            return
        declaration, values = self._keys.declaration(node), tuple(outputs)
        digests = tuple(digest_or_none(value) for value in values) if declaration.by_value else None
        with torch.inference_mode(False):
            self._cache.put(key, values, seconds, digests=digests)


def _ours(prompt: Mapping[str, Any], registry: Registry) -> Graph:
    """The part of a prompt that is ours all the way up: no key could tell whether a foreign node's result changed."""
    graph = from_api(prompt, registry).graph
    kept: dict[str, bool] = {}
    for node in graph.order():
        call = graph.calls[node]
        known = registry.get(call.type) is not None
        kept[node] = known and all(kept.get(wire.node, False) for _, wire in call.wires)
    return Graph(call for call in graph.calls.values() if kept[call.id])


class Place(NamedTuple):
    """The node that runs now, in the keys of its prompt."""

    keys: PromptKeys
    node: str

    @property
    def key(self) -> str | None:
        """The key of its result, if it can be kept."""
        return self.keys.key(self.node)

    def found(self) -> tuple[Any, ...] | None:
        """Its result, if it is kept already."""
        return self.keys.lookup(self.node)

    def keep(self, outputs: Sequence[Any], seconds: float) -> None:
        """Keep its result, which took so long."""
        self.keys.store(self.node, outputs, seconds)


_last: tuple[str, PromptKeys | None] = ("", None)


def keys_of(prompt_id: str) -> PromptKeys | None:
    """The keys of the prompt that the host runs under this id; None where it does not show it, or we cannot read it."""
    global _last  # one prompt runs at a time
    if _last[0] != prompt_id:
        prompt = _running(prompt_id)
        if advice := sources.restart_advice():  # what old and new modules make together belongs under no key
            host.LOG.warning("%s Until then no results are kept.", advice)
            prompt = None
        try:
            facts = environment(host.policy())
            made = None if prompt is None else PromptKeys(prompt, pack_registry(), shared_cache(), facts)
        except Exception as problem:  # only the host can read it: it runs all the same, without our store
            host.LOG.debug("no keys for this prompt: %s", problem)
            made = None
        _last = (prompt_id, made)
    return _last[1]


def forget() -> None:
    """Let go of the keys: the prompt is over, and files may change before the next."""
    global _last
    _last = ("", None)


def place() -> Place | None:
    """Where the host is now, if it tells."""
    running = host.running()
    keys = keys_of(running.prompt) if running is not None else None
    return None if running is None or keys is None else Place(keys, running.node)


def _running(prompt_id: str) -> Mapping[str, Any] | None:
    """The prompt that the host runs now under this id, in the API form."""
    queue = getattr(host.server(), "prompt_queue", None)
    running = getattr(queue, "currently_running", {})
    return next((item[2] for item in running.values() if item[1] == prompt_id), None)
