"""Stand-in for the hook behind the host's cache."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

PROVIDERS = []


@dataclass
class CacheContext:
    node_id: str
    class_type: str
    cache_key_hash: str


@dataclass
class CacheValue:
    outputs: list
    ui: dict | None = None


class CacheProvider(ABC):
    @abstractmethod
    async def on_lookup(self, context): ...

    @abstractmethod
    async def on_store(self, context, value): ...

    def should_cache(self, context, value=None):
        return True

    def on_prompt_start(self, prompt_id):
        return None

    def on_prompt_end(self, prompt_id):
        return None


def register_cache_provider(provider):
    PROVIDERS.append(provider)
