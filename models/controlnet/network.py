"""The control network: diffusers' ControlNet with one or two encoders of hints, computed once per sampling run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding, ControlNetModel
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest
from ..ldm.attention import attend_by_layer, project_context
from ..ldm.network import heads_by_level
from .spec import ControlNetSpec

# Hints that come from files of 8 bits, or from resizing, may leave their range by rounding.
_MARGIN = 1e-3


class ControlNet(nn.Module):
    """Residuals for a denoiser's skips and middle, from x_t and a hint (Zhang et al. 2023, sec. 3.2).

    Args:
        spec: Hyper-parameters.
    """

    def __init__(self, spec: ControlNetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.encoder: Any = build_encoder(spec)
        self.hint_encoders = nn.ModuleDict(
            {
                name: ControlNetConditioningEmbedding(spec.model_channels, channels, spec.hint_widths)
                for name, channels in spec.hints
            }
        )

    def encode(self, hints: Mapping[str, Tensor]) -> Tensor:
        """The sum of all hints' features, which do not depend on x_t or the time.

        Args:
            hints: What `spec.hints` names, "batch channels factor*height factor*width" for latents of height and
                width, in `spec.hint_range`; the factor is `spec.hint_factor`. Prompt Diffusion's pair is the source,
                then the target, along the channels.

        Returns:
            Features "batch model_channels height width".

        Raises:
            GlidewireError: A hint is missing, has other channels or sides, or leaves the range.
        """
        dtype = self.encoder.conv_in.weight.dtype
        checked = {name: self._checked(hints, name, channels) for name, channels in self.spec.hints}
        if len({(hint.shape[0], *hint.shape[2:]) for hint in checked.values()}) > 1:
            got = ", ".join(f"{name} {tuple(hint.shape)}" for name, hint in checked.items())
            raise GlidewireError("hints differ in their batch or sides", expected="the same for all", got=got)
        features = [self.hint_encoders[name](hint.to(dtype)) for name, hint in checked.items()]
        return torch.stack(features).sum(dim=0)

    def project_context(self, context: Tensor, prefix: str) -> dict[str, Tensor]:
        """Keys and values of every layer for a context "batch positions context_width", by prefix and layer."""
        return project_context(self.encoder, context.to(self.encoder.conv_in.weight.dtype), prefix)

    def forward(
        self,
        x_t: Tensor,
        timesteps: Tensor,
        context: Tensor,
        features: Tensor,
        context_keys_values: Mapping[int, Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Residuals for one evaluation.

        Args:
            x_t: Noised latents, "batch in_channels height width".
            timesteps: Ids of the original schedule, "batch".
            context: The denoiser's, "batch positions context_width".
            features: What `encode` made of the hints.
            context_keys_values: What `project_context` made of the context, by layer.

        Returns:
            One residual for each skip in the order of the way down, then the middle's; "batch channels height
            width" of each, or "batch channels 1 1" where the spec says that they are pooled.

        Raises:
            GlidewireError: x_t does not fit the network or the hints.
        """
        expected = (self.spec.in_channels, *features.shape[2:])
        if x_t.shape[1:] != expected:
            raise GlidewireError(
                "latents do not fit the control network and its hints",
                expected=f"batch x {' x '.join(map(str, expected))}",
                got=tuple(x_t.shape),
                hint=f"A hint's sides are {self.spec.hint_factor} times the latents'.",
            )
        dtype = self.encoder.conv_in.weight.dtype
        skips, middle = self.encoder(
            x_t.to(dtype),
            timesteps,
            context.to(dtype),
            features.to(dtype),
            cross_attention_kwargs={"context_keys_values": context_keys_values},
            return_dict=False,
        )
        residuals = (*skips, middle)
        if self.spec.pooled:
            residuals = tuple(residual.mean(dim=(2, 3), keepdim=True) for residual in residuals)
        return residuals

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def _checked(self, hints: Mapping[str, Tensor], name: str, channels: int) -> Tensor:
        hint, factor = hints.get(name), self.spec.hint_factor
        if hint is None or hint.ndim != 4 or hint.shape[1] != channels or any(side % factor for side in hint.shape[2:]):
            raise GlidewireError(
                f"the control network's {name!r} does not fit",
                expected=f"batch x {channels} channels x sides that are multiples of {factor}",
                got="nothing" if hint is None else tuple(hint.shape),
            )
        low, high = self.spec.hint_range
        if hint.numel() and not low - _MARGIN <= float(hint.min()) <= float(hint.max()) <= high + _MARGIN:
            raise GlidewireError(
                f"the control network's {name!r} leaves its range",
                expected=f"{low:g} to {high:g}",
                got=f"{float(hint.min()):.3g} to {float(hint.max()):.3g}",
            )
        return hint


def build_encoder(spec: ControlNetSpec) -> nn.Module:
    """diffusers' ControlNet of a spec, which takes encoded hints."""
    encoder = ControlNetModel(
        in_channels=spec.in_channels,
        down_block_types=tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in spec.attends),
        only_cross_attention=tuple(level in spec.context_only_levels for level in range(len(spec.widths))),  # pyrefly: ignore
        block_out_channels=spec.widths,
        layers_per_block=spec.num_res_blocks,
        norm_num_groups=spec.norm_groups,
        cross_attention_dim=spec.context_width,
        transformer_layers_per_block=spec.transformer_depth,
        attention_head_dim=heads_by_level(spec),
        use_linear_projection=spec.linear_projection,
        conditioning_embedding_out_channels=spec.hint_widths,
    )
    encoder.controlnet_cond_embedding = nn.Identity()  # pyrefly: ignore
    attend_by_layer(encoder)
    return encoder
