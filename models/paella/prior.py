"""Paella's prior: a residual MLP that denoises a CLIP image vector under a CLIP text vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import GlidewireError
from .layers import PaellaNetwork, given, time_embedding
from .spec import PriorSpec


class ResidualMlp(nn.Module):
    """x + LN(Linear(GELU(LN(Linear([x, condition, time]))))), the linear layers without bias."""

    def __init__(self, width: int, beside: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width + beside, 4 * width, bias=False)
        self.expand_norm = nn.LayerNorm(4 * width)
        self.contract = nn.Linear(4 * width, width, bias=False)
        self.contract_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        """x "batch width", beside "batch channels"."""
        h = F.gelu(self.expand_norm(self.expand(torch.cat([x, beside], dim=1))))
        return x + self.contract_norm(self.contract(h))


class PaellaPrior(PaellaNetwork):
    """eps of a noised CLIP image vector, under a CLIP text vector.

    A `Network` for the guidance expression, over `continuous_time.continuous_cosine`. Its conditioning is `clip`,
    "batch clip_width"; the empty condition is all zeros.

    Args:
        spec: Hyper-parameters.
    """

    def __init__(self, spec: PriorSpec) -> None:
        super().__init__(spec)
        self.spec = spec
        self.first = nn.Linear(spec.clip_width, spec.width)
        beside = spec.clip_width + spec.time_channels
        self.blocks = nn.ModuleList(ResidualMlp(spec.width, beside) for _ in range(spec.blocks))
        self.last = nn.Linear(spec.width, spec.clip_width)

    @property
    def prediction(self) -> Literal["eps", "logits"]:
        """What the output is."""
        return "eps"

    def forward(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """One batched evaluation.

        Args:
            x_t: Noised vectors, "batch clip_width".
            timesteps: t, "batch" in [0, 1]; 1 is pure noise.
            conditioning: See the class.

        Returns:
            The predicted noise, shaped as x_t.

        Raises:
            GlidewireError: Vectors that do not fit.
        """
        if x_t.ndim != 2 or x_t.shape[1] != self.spec.clip_width:
            raise GlidewireError(
                "vectors do not fit the prior", expected=f"batch x {self.spec.clip_width}", got=tuple(x_t.shape)
            )
        clip = given(conditioning, "clip", self.spec.clip_width, self.dtype, dims=(2,)).expand(x_t.shape[0], -1)
        beside = torch.cat([clip, time_embedding(timesteps, self.spec.time_channels).to(self.dtype)], dim=1)
        x = self.first(x_t.to(self.dtype))
        for block in self.blocks:
            x = block(x, beside)
        return self.last(x).to(x_t.dtype)

    def null(self) -> Mapping[str, Tensor]:
        """The empty condition: one vector of zeros, "1 clip_width"."""
        return {"clip": torch.zeros(1, self.spec.clip_width)}
