"""Views of a denoiser: it with something added inside, sharing its weights and changing nothing of it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from typing import Literal

from torch import Tensor

from ...errors import GlidewireError
from .additions import NOTHING, Additions
from .network import LatentDenoiser


class DenoiserView(ABC):
    """A denoiser, or a view of one, with additions: a `Network` for the guidance expression.

    Args:
        base: What is added to.
        name: What the view's conditions are called by, before a dot.

    Raises:
        GlidewireError: The denoiser has no context, or another view of it has the same name.
    """

    def __init__(self, base: LatentDenoiser | DenoiserView, name: str) -> None:
        self.base, self.name = base, name
        if name in (names := self._names_below()):
            raise GlidewireError(
                f"two views of one denoiser are called {name!r}",
                expected=f"a name other than {' and '.join(names)}",
                hint="Their conditions could not be told apart.",
            )
        if not self.denoiser.spec.context_width:
            raise GlidewireError(
                f"{type(self).__name__} needs a denoiser with a context",
                expected="a text-conditional latent denoiser, such as Stable Diffusion",
                got="a denoiser without context",
            )

    @property
    def denoiser(self) -> LatentDenoiser:
        """The denoiser at the bottom of all views."""
        return self.base if isinstance(self.base, LatentDenoiser) else self.base.denoiser

    def _names_below(self) -> list[str]:
        return [] if isinstance(self.base, LatentDenoiser) else [self.base.name, *self.base._names_below()]

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
        """Whose latents are denoised."""
        return self.denoiser.space

    @property
    def learned_variance(self) -> bool:
        """Whether the output carries variance channels."""
        return self.denoiser.learned_variance

    def digest(self) -> str:
        """Content identity of the denoiser and of all that is added to it."""
        return hashlib.sha256(f"{self.base.digest()} {self.identity()}".encode()).hexdigest()

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Conditioning with all that does not depend on x_t or the time computed, once per sampling run."""
        return {**self.base.prepare(conditioning), **self.prepared(conditioning)}

    def __call__(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Tensor:
        """One batched evaluation; see `LatentDenoiser.forward`."""
        if not self.prepared_names() <= conditioning.keys():
            conditioning = self.prepare(conditioning)
        return self.base(x_t, timesteps, conditioning, additions + self.additions(x_t, timesteps, conditioning))

    @abstractmethod
    def identity(self) -> str:
        """Text of all that decides what is added."""

    @abstractmethod
    def prepared_names(self) -> Set[str]:
        """Names of what `prepared` adds to a conditioning."""

    @abstractmethod
    def prepared(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What this view computes once per sampling run, under names of its own."""

    @abstractmethod
    def additions(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Additions:
        """What this view adds in one evaluation under a prepared conditioning."""
