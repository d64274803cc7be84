"""Our content-addressed store inside of the host, and behind its own cache where it lets packs do that."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import GlidewireError
from ...graph_runtime.cache import Cache
from ..surroundings import open_store
from . import host

if TYPE_CHECKING:
    from .prompts import PromptKeys

SWITCH = "GLIDEWIRE_HOST_CACHE"
"""The environment variable that turns the store off inside of a host: set it to 0."""

_MEMORY, _DEVICE_MEMORY = 1 * 2**30, 256 * 2**20  # the host has a cache of its own in memory


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


def offer_store() -> Any:
    """Register our store with the host, where it lets packs do so; returns the provider, or None.

    The host then asks it before it runs what a node of ours needs. Older hosts run that, and the node alone finds its
    result in the store.
    """
    providers = host.module("comfy_execution.cache_provider")
    if providers is None or os.environ.get(SWITCH, "1") == "0":
        return None
    from . import prompts

    made = provider(providers, prompts.keys_of, prompts.forget)
    providers.register_cache_provider(made)
    return made


def provider(providers: Any, keys_of: Callable[[str], PromptKeys | None], forget: Callable[[], None]) -> Any:
    """A provider for the host's cache.

    Args:
        providers: The host's module of them.
        keys_of: The keys of the prompt that runs under an id.
        forget: Called where it is over.
    """

    class GlidewireStore(providers.CacheProvider):
        """Answers for nodes whose key our runtime can make; the host's key knows no file's content and no version."""

        keys: PromptKeys | None = None

        def on_prompt_start(self, prompt_id: str) -> None:
            self.keys = keys_of(prompt_id)

        def on_prompt_end(self, prompt_id: str) -> None:
            self.keys = None
            forget()
            store = shared_cache().store
            if store is not None:
                store.flush()
            for message in shared_cache().take_warnings():
                host.LOG.warning(message)

        def should_cache(self, context: Any, value: Any = None) -> bool:
            # Nodes put their results there by themselves: only they know what these took.
            return value is None and self.keys is not None and self.keys.key(context.node_id) is not None

        async def on_lookup(self, context: Any) -> Any:
            found = None if self.keys is None else self.keys.lookup(context.node_id)
            if found is None:
                return None
            return providers.CacheValue(outputs=[item if isinstance(item, list) else [item] for item in found])

        async def on_store(self, context: Any, value: Any) -> None:
            """Nothing: see `should_cache`."""

    return GlidewireStore()
