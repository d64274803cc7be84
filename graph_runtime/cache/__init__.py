"""The content-addressed cache: memory and disk tiers, budgets, eviction, and the store that processes share."""

from .store import Store
from .tiers import Cache

__all__ = ["Cache", "Store"]
