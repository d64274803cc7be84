"""Views of a U-Net: it with something added inside, sharing its weights and changing nothing of it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from typing import Any, Literal

from torch import Tensor

from ..errors import GlidewireError
from .additions import NOTHING, Additions, AttentionAddition
from .halves import Encoded


class UnetView(ABC):
    """A denoiser, or a view of one, with additions: a `Network` for the guidance expression, in two halves.

    Args:
        base: What is added to: a network that runs in two halves.
        name: What the view's conditions are called by, before a dot.

    Raises:
        GlidewireError: Another view of the denoiser has the same name.
    """

    def __init__(self, base: Any, name: str) -> None:
        self.base, self.name = base, name
        if name in (names := names_of_views(base)):
            raise GlidewireError(
                f"two views of one denoiser are called {name!r}",
                expected=f"a name other than {' and '.join(names)}",
                hint="Their conditions could not be told apart.",
            )

    @property
    def denoiser(self) -> Any:
        """The denoiser at the bottom of all views."""
        return self.base.denoiser if isinstance(self.base, UnetView) else self.base

    @property
    def unet(self) -> Any:
        """diffusers' U-Net."""
        return self.denoiser.unet

    @property
    def prediction(self) -> Literal["eps", "x_0", "v"]:
        """What the output is."""
        return self.denoiser.prediction

    @property
    def channels(self) -> int:
        """Channels of x_t."""
        return self.denoiser.channels

    @property
    def space(self) -> str:
        """What x_t is: whose latents, or pixels."""
        return self.denoiser.space

    @property
    def learned_variance(self) -> bool:
        """Whether the output carries variance channels."""
        return self.denoiser.learned_variance

    @property
    def before_text(self) -> int:
        """Positions of the context that stand in front of a text's."""
        return self.denoiser.before_text

    def retold(
        self, conditioning: Mapping[str, Tensor], before: Mapping[str, Tensor], after: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor] | None:
        """What of a condition is another under another text; see `UnetDenoiser.retold`."""
        return self.denoiser.retold(conditioning, before, after)

    def digest(self) -> str:
        """Content identity of the denoiser and of all that is added to it."""
        return hashlib.sha256(f"{self.base.digest()} {self.identity()}".encode()).hexdigest()

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Conditioning with all that does not depend on x_t or the time computed, once per sampling run."""
        return {**self.base.prepare(conditioning), **self.prepared(conditioning)}

    def __call__(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Tensor:
        """One batched evaluation; see the denoiser's own."""
        conditioning = self.ready(conditioning)
        encoded = self.way_down(x_t, timesteps, conditioning, additions)
        return self.way_up(encoded, conditioning, additions).to(x_t.dtype)

    def ready(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A conditioning as `prepare` makes it, if it is not yet."""
        return conditioning if _prepared_names(self) <= conditioning.keys() else self.prepare(conditioning)

    def way_down(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Encoded:
        """The way down and the middle under a prepared conditioning; see `halves.Halved`."""
        size = (x_t.shape[-2], x_t.shape[-1])
        own = Additions(self.attention(conditioning, size), self.residuals(x_t, timesteps, conditioning))
        # What an outer view puts in place comes last.
        return self.base.way_down(x_t, timesteps, conditioning, own + additions)

    def way_up(
        self,
        encoded: Encoded,
        conditioning: Mapping[str, Tensor],
        additions: Additions = NOTHING,
        h: Tensor | None = None,
    ) -> Tensor:
        """The way up under a prepared conditioning; see `halves.Halved`."""
        first = encoded.skips[0]
        own = Additions(self.attention(conditioning, (first.shape[-2], first.shape[-1])))
        return self.base.way_up(encoded, conditioning, own + additions, h)

    @abstractmethod
    def identity(self) -> str:
        """Text of all that decides what is added."""

    def prepared_names(self) -> Set[str]:
        """Names of what `prepared` adds to a conditioning."""
        return set()

    def prepared(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What this view computes once per sampling run, under names of its own."""
        return {}

    def attention(self, conditioning: Mapping[str, Tensor], size: tuple[int, int]) -> tuple[AttentionAddition, ...]:
        """What this view adds to attention.

        Args:
            conditioning: Prepared, of the rows that are evaluated.
            size: Height and width of x_t.
        """
        return ()

    def residuals(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """What this view adds to the skips and the middle; or nothing at all."""
        return ()


def names_of_views(network: Any) -> list[str]:
    """The names of a network's views, the outermost first."""
    return [network.name, *names_of_views(network.base)] if isinstance(network, UnetView) else []


def _prepared_names(network: Any) -> set[str]:
    return {*network.prepared_names(), *_prepared_names(network.base)} if isinstance(network, UnetView) else set()


def free_name(network: Any, name: str) -> str:
    """A name that no view of a network has: the given one, or with the next number."""
    taken, free, number = names_of_views(network), name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def rows(value: Tensor | None, count: int, like: Tensor) -> Tensor | None:
    """A condition of 1 row or of all, for all rows and on the device of a tensor."""
    return None if value is None else value.to(like.device).expand(count, *value.shape[1:])
