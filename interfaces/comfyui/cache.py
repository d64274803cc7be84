"""Our content-addressed store behind the host's cache, for our own nodes: keys are those of `glidewire run`."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import torch

from ...errors import GlidewireError
from ...graph_runtime.cache import Cache
from ...graph_runtime.demand import CacheOracle
from ...graph_runtime.environment import environment
from ...graph_runtime.formats.api import from_api
from ...graph_runtime.graph import Graph
from ...graph_runtime.keys import Keys
from ...graph_runtime.registry import Registry
from ...graph_runtime.results import digest_or_none
from ..surroundings import open_store
from . import host

SWITCH = "GLIDEWIRE_HOST_CACHE"
"""The environment variable that turns the store off inside of a host: set it to 0."""

_MEMORY, _DEVICE_MEMORY = 1 * 2**30, 256 * 2**20  # the host has a cache of its own in memory
_SECONDS: dict[str, float] = {}


@functools.cache
def shared_cache() -> Cache:
    """The cache that all nodes in this host share: with the user's store, unless it cannot be opened or is off."""
    store = None
    if os.environ.get(SWITCH, "1") != "0":
        try:
            store = open_store()
        except GlidewireError as problem:
            host.LOG.warning("the store of results is not used: %s", problem)
    return Cache(memory=_MEMORY, device=_DEVICE_MEMORY, store=store)


@functools.cache
def passing_cache() -> Cache:
    """A cache in memory alone, for what no other process could find again."""
    return Cache(memory=_MEMORY // 2, device=_DEVICE_MEMORY // 2)


def took(node: str | None, seconds: float) -> None:
    """Remember how long a node ran: what its result is worth."""
    if node is not None:
        _SECONDS[node] = seconds


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

    def lookup(self, node: str) -> list[list[Any]] | None:
        """A node's outputs as the host keeps them, a list for each; None where they are not in the cache."""
        key = self.key(node)
        with torch.inference_mode(False):
            found = self._cache.get(key) if key is not None else None
        if found is None:
            return None
        declared = self._keys.declaration(node).outputs
        return [list(value) if output.is_list else [value] for output, value in zip(declared, found, strict=True)]

    def store(self, node: str, outputs: list[list[Any]]) -> None:
        """Keep a node's outputs."""
        key, declaration = self.key(node), self._keys.declaration(node) if node in self._wanted else None
        if key is None or declaration is None or self._cache.lookup(key) is not None:
            return
        pairs = list(zip(declaration.outputs, outputs, strict=True))
        if any(not output.is_list and len(items) != 1 for output, items in pairs):
            return  # the host ran it once for each item of a list
        values = tuple(list(items) if output.is_list else items[0] for output, items in pairs)
        digests = tuple(digest_or_none(value) for value in values) if declaration.by_value else None
        with torch.inference_mode(False):
            self._cache.put(key, values, _SECONDS.pop(node, 0.0), digests=digests)


def _ours(prompt: Mapping[str, Any], registry: Registry) -> Graph:
    """The part of a prompt that is ours all the way up: no key could tell whether a foreign node's result changed."""
    graph = from_api(prompt, registry).graph
    kept: dict[str, bool] = {}
    for node in graph.order():
        call = graph.calls[node]
        known = registry.get(call.type) is not None
        kept[node] = known and all(kept.get(wire.node, False) for _, wire in call.wires)
    return Graph(call for call in graph.calls.values() if kept[call.id])


def running_prompt(prompt_id: str) -> Mapping[str, Any] | None:
    """The prompt that the host runs now under this id, in the API form."""
    server = host.module("server")
    queue = getattr(getattr(getattr(server, "PromptServer", None), "instance", None), "prompt_queue", None)
    if queue is None:
        return None
    running, _ = queue.get_current_queue()
    return next((item[2] for item in running if item[1] == prompt_id), None)


def offer_store(registry: Registry) -> Any:
    """Register our store with the host, where it lets packs do so; returns the provider, or None."""
    providers = host.module("comfy_execution.cache_provider")
    if providers is None or os.environ.get(SWITCH, "1") == "0":
        return None
    made = _provider(providers, registry)
    providers.register_cache_provider(made)
    return made


def _provider(providers: Any, registry: Registry) -> Any:
    class GlidewireStore(providers.CacheProvider):
        """Answers for nodes whose key our runtime can make; the host's key knows no file's content and no version."""

        def __init__(self) -> None:
            self.keys: PromptKeys | None = None

        def on_prompt_start(self, prompt_id: str) -> None:
            prompt = running_prompt(prompt_id)
            self.keys = self._keys_of(prompt) if prompt is not None else None

        def on_prompt_end(self, prompt_id: str) -> None:
            self.keys = None
            store = shared_cache().store
            if store is not None:
                store.flush()
            for message in shared_cache().take_warnings():
                host.LOG.warning(message)

        def should_cache(self, context: Any, value: Any = None) -> bool:
            return self.keys is not None and self.keys.key(context.node_id) is not None

        async def on_lookup(self, context: Any) -> Any:
            found = self.keys.lookup(context.node_id) if self.keys is not None else None
            return None if found is None else providers.CacheValue(outputs=found)

        async def on_store(self, context: Any, value: Any) -> None:
            if self.keys is not None:
                self.keys.store(context.node_id, value.outputs)

        def _keys_of(self, prompt: Mapping[str, Any]) -> PromptKeys | None:
            from .execution import policy

            try:
                return PromptKeys(prompt, registry, shared_cache(), environment(policy()))
            except Exception as problem:  # a prompt that only the host can read: the host runs it without us
                host.LOG.debug("no keys for this prompt: %s", problem)
                return None

    return GlidewireStore()
