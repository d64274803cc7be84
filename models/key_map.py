"""How a published state dict's keys and rows become a module's, as tables that work in both directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def _one(value: Tensor) -> tuple[Tensor, ...]:
    return (value,)


def _only(values: Sequence[Tensor]) -> Tensor:
    return values[0]


@dataclass(frozen=True)
class Entry:
    """One published key and the module keys that it feeds.

    Attributes:
        source: The published key.
        targets: The module's keys.
        split: The published tensor as one tensor per target.
        join: The inverse of `split`, exactly; on meta tensors it tells the published shape.
    """

    source: str
    targets: tuple[str, ...]
    split: Callable[[Tensor], tuple[Tensor, ...]] = _one
    join: Callable[[Sequence[Tensor]], Tensor] = _only

    @property
    def sources(self) -> tuple[str, ...]:
        """The published keys."""
        return (self.source,)

    def load(self, published: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The module's tensors, in the order of `targets`, from the published ones, in the order of `sources`."""
        return self.split(published[0])

    def publish(self, values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The inverse of `load`."""
        return (self.join(values),)


@dataclass(frozen=True)
class Merge:
    """Published keys of the same shape that the module holds in one tensor, one below the other.

    Attributes:
        sources: The published keys.
        target: The module's key.
        zeros: Places among the parts where the module has zeros that files leave out, such as a missing bias.
    """

    sources: tuple[str, ...]
    target: str
    zeros: tuple[int, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The module's key."""
        return (self.target,)

    def load(self, published: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The module's tensor from the published ones, in the order of `sources`."""
        parts = list(published)
        for place in self.zeros:
            parts.insert(place, torch.zeros_like(published[0]))
        return (torch.cat(parts),)

    def publish(self, values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The inverse of `load`."""
        parts = values[0].unflatten(0, (len(self.sources) + len(self.zeros), -1)).unbind()
        return tuple(part for place, part in enumerate(parts) if place not in self.zeros)


KeyMap = tuple[Entry | Merge, ...]

WEIGHT_AND_BIAS = ("weight", "bias")


def renamed(source: str, target: str, leaves: Sequence[str] = WEIGHT_AND_BIAS) -> tuple[Entry, ...]:
    """A layer's weight and bias under another name."""
    return tuple(Entry(f"{source}.{leaf}", (f"{target}.{leaf}",)) for leaf in leaves)


def unfolded(source: str, target: str, *, sides: int = 1) -> tuple[Entry, ...]:
    """A 1-wide convolution "out in 1", or "out in 1 1" with two sides, as a linear layer "out in"."""

    def split(weight: Tensor) -> tuple[Tensor, ...]:
        return (weight.flatten(1),)

    def join(parts: Sequence[Tensor]) -> Tensor:
        return parts[0][(..., *(None,) * sides)]

    weight = Entry(f"{source}.weight", (f"{target}.weight",), split, join)
    return weight, Entry(f"{source}.bias", (f"{target}.bias",))


def unprefixed(key_map: KeyMap, prefix: str) -> KeyMap:
    """The layout in which files carry the module's own names, without the prefix of our wrapper around it."""
    targets = dict.fromkeys(target for entry in key_map for target in entry.targets)
    return tuple(Entry(target.removeprefix(prefix), (target,)) for target in targets)


def transposed(source: str, target: str) -> Entry:
    """A matrix that the module holds with its sides exchanged."""
    return Entry(source, (target,), lambda value: (value.mT,), lambda values: values[0].mT)


def head_major(source: str, targets: Sequence[str], channels: int, *, sides: int = 1) -> tuple[Entry, ...]:
    """One 1-wide convolution whose rows are [head][part][channel], as one linear layer per part.

    Args:
        source: The published layer.
        targets: The module's layers, in the order of the parts (query, key, value).
        channels: Channels of one head.
        sides: Sides of the published convolution; 0 for a linear layer.
    """

    def split(value: Tensor) -> tuple[Tensor, ...]:
        rows = value.flatten(1) if value.ndim > 2 else value
        return tuple(part.flatten(0, 1) for part in rows.unflatten(0, (-1, len(targets), channels)).unbind(dim=1))

    def join(parts: Sequence[Tensor]) -> Tensor:
        rows = torch.stack([part.unflatten(0, (-1, channels)) for part in parts], dim=1).flatten(0, 2)
        return rows[(..., *(None,) * sides)] if rows.ndim == 2 else rows

    return tuple(
        Entry(f"{source}.{leaf}", tuple(f"{target}.{leaf}" for target in targets), split, join)
        for leaf in WEIGHT_AND_BIAS
    )


def published_shapes(module: nn.Module, key_map: KeyMap) -> dict[str, tuple[int, ...]]:
    """The shapes that a published file of this module has; works on the meta device."""
    state = {name: value.detach().to("meta") for name, value in module.state_dict().items()}
    return {key: tuple(value.shape) for key, value in _published(state, key_map).items()}


def published_state_dict(module: nn.Module, key_map: KeyMap) -> dict[str, Tensor]:
    """The module's tensors under the published keys and in the published row order."""
    return _published(module.state_dict(), key_map)


def _published(state: Mapping[str, Tensor], key_map: KeyMap) -> dict[str, Tensor]:
    mapped = {target for entry in key_map for target in entry.targets}
    # A hole in a key map is our mistake, not the user's.
    assert mapped == set(state), f"key map and module differ: {sorted(mapped ^ set(state))}"
    return {
        source: value
        for entry in key_map
        for source, value in zip(entry.sources, entry.publish([state[name] for name in entry.targets]), strict=True)
    }
