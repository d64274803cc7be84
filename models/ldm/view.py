"""Views of latent denoisers, which need a context."""

from __future__ import annotations

from typing import Any

from ...errors import GlidewireError
from ..view import UnetView


class DenoiserView(UnetView):
    """A latent denoiser with a context, or a view of one, with additions.

    Args:
        base: What is added to.
        name: What the view's conditions are called by, before a dot.

    Raises:
        GlidewireError: The denoiser has no context, or as `UnetView`.
    """

    def __init__(self, base: Any, name: str) -> None:
        from .network import LatentDenoiser

        super().__init__(base, name)
        if not isinstance(self.denoiser, LatentDenoiser) or not self.denoiser.spec.context_width:
            raise GlidewireError(
                f"{type(self).__name__} needs a denoiser with a context",
                expected="a text-conditional latent denoiser, such as Stable Diffusion",
                got="a denoiser without context"
                if isinstance(self.denoiser, LatentDenoiser)
                else type(self.denoiser).__name__,
            )
