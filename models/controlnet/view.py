"""A denoiser under a control network, as a view that shares the denoiser's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from torch import Tensor

from ...errors import GlidewireError
from ..ldm.attention import given, projected_context
from ..ldm.network import LatentDenoiser
from ..ldm.view import DenoiserView
from .network import ControlNet

# What a control network has in common with the denoiser whose encoder it copies.
_SHARED = ("model_channels", "channel_mult", "num_res_blocks", "context_width")


def guess_strengths(count: int, factor: float = 0.825) -> tuple[float, ...]:
    """Strengths for guessing without a text: factor^(count-1-i), the middle's 1 (Zhang et al. 2023, sec. 3.4)."""
    return tuple(factor ** (count - 1 - index) for index in range(count))


class Controlled(DenoiserView):
    """A denoiser whose skips and middle a control network adds to: skip_i + strength_i * residual_i.

    A leaf's conditioning has the control network's hints beside the denoiser's own, each under this view's name
    and its own: `control.hint`, or `control.example_pair` and `control.query`. The context is the denoiser's.
    Without any strength it is the denoiser, bit for bit.

    Args:
        base: The denoiser, or another view of it.
        control: The control network.
        strength: Of all residuals, or one for each: the skips in the order of the way down, then the middle.
        name: What its hints are called by; views of one denoiser need different ones.

    Raises:
        GlidewireError: The control network belongs to another kind of denoiser, strengths are not as many as
            residuals, or as `DenoiserView`.
    """

    def __init__(
        self,
        base: LatentDenoiser | DenoiserView,
        control: ControlNet,
        *,
        strength: float | Sequence[float] = 1.0,
        name: str = "control",
    ) -> None:
        super().__init__(base, name)
        self.control = control
        count = control.spec.residual_count
        given_strengths = strength if isinstance(strength, Sequence) else (strength,) * count
        self.strengths = tuple(float(value) for value in given_strengths)
        if len(self.strengths) != count:
            raise GlidewireError(
                f"{name}: one strength for each residual is needed", expected=count, got=len(self.strengths)
            )
        for field in _SHARED:
            wanted, has = (getattr(network.spec, field) for network in (self.denoiser, control))
            if wanted != has:
                raise GlidewireError(
                    f"{name}: the control network's {field} is not the denoiser's",
                    expected=wanted,
                    got=has,
                    hint="Take a control network that was trained for this denoiser.",
                )

    @property
    def _features(self) -> str:
        return f"{self.name}.features"

    @property
    def _context(self) -> str:
        return f"{self.name}.context_keys_values."

    def identity(self) -> str:
        """Text of the control network, its name and strengths."""
        return f"control {self.name} {self.control.digest()} {self.strengths!r}"

    def prepared_names(self) -> Set[str]:
        """The encoded hints; the projected context comes with them."""
        return {self._features} if any(self.strengths) else set()

    def prepared(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Encoded hints, and the control network's keys and values of the context."""
        if not any(self.strengths):
            return {}
        hints = {name: self._hint(conditioning, name, channels) for name, channels in self.control.spec.hints}
        context = given(conditioning, "context", f"batch positions {self.control.spec.context_width}")
        features = self.control.encode(hints)
        return {self._features: features, **self.control.project_context(context, self._context)}

    def residuals(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """The control network's, each times its strength."""
        if not any(self.strengths):
            return ()
        projected = projected_context(conditioning, self.control.encoder.conv_in.weight.dtype, self._context)
        features = conditioning[self._features].expand(x_t.shape[0], -1, -1, -1)
        residuals = self.control(x_t, timesteps, conditioning["context"], features, projected)
        return tuple(s * residual for s, residual in zip(self.strengths, residuals, strict=True))

    def _hint(self, conditioning: Mapping[str, Tensor], name: str, channels: int) -> Tensor:
        hint = conditioning.get(f"{self.name}.{name}")
        if hint is None:
            raise GlidewireError(
                f"the denoiser's condition '{self.name}.{name}' is missing",
                expected=f"batch x {channels} channels x sides {self.control.spec.hint_factor} times the latents'",
                got=", ".join(sorted(conditioning)) or "no condition",
            )
        return hint
