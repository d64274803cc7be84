"""The latent denoiser: diffusers' U-Nets as the guidance expression evaluates them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from ...errors import GlidewireError
from .. import halves
from ..additions import NOTHING, Additions
from ..halves import Encoded
from ..unet_denoiser import UnetDenoiser
from .attention import attend_by_layer, given, project_context, projected_context
from .spec import UnetSpec


def build_unet(spec: UnetSpec) -> nn.Module:
    """diffusers' U-Net of a spec: with transformers over a context, or with attention of pixels only."""
    kind = "CrossAttn" if spec.context_width else "Attn"
    shared: dict[str, Any] = {
        "sample_size": spec.size,
        "in_channels": spec.in_channels,
        "out_channels": spec.out_channels,
        "block_out_channels": spec.widths,
        "layers_per_block": spec.num_res_blocks,
        "norm_num_groups": spec.norm_groups,
        "norm_eps": 1e-5,
        "resnet_time_scale_shift": "scale_shift" if spec.scale_shift else "default",
        "num_class_embeds": spec.classes or None,
    }
    down, up = (
        tuple(f"{kind}{way}Block2D" if attends else _plain(way, spec.residual_resampling) for attends in spec.attends)
        for way in ("Down", "Up")
    )
    if spec.context_width:
        return UNet2DConditionModel(
            **shared,
            down_block_types=down,
            up_block_types=up[::-1],
            cross_attention_dim=spec.context_width,
            transformer_layers_per_block=spec.transformer_depth,
            use_linear_projection=spec.linear_projection,
            only_cross_attention=tuple(level in spec.context_only_levels for level in range(len(down))),
            attention_head_dim=heads_by_level(spec),
            class_embed_type="projection" if spec.vector_width else None,
            projection_class_embeddings_input_dim=spec.vector_width or None,
        )
    unet = UNet2DModel(
        **shared,
        down_block_types=down,
        up_block_types=up[::-1],
        attention_head_dim=None,
        attn_norm_num_groups=spec.norm_groups,
        downsample_type="resnet" if spec.residual_resampling else "conv",
        upsample_type="resnet" if spec.residual_resampling else "conv",
    )
    for module in unet.modules():
        if isinstance(module, Attention):
            # diffusers takes one width of heads for all levels; published models have one number of heads.
            module.heads = spec.heads(module.inner_dim)
            module.scale = (module.inner_dim // module.heads) ** -0.5
    return unet


def _plain(way: str, residual_resampling: bool) -> str:
    """A level without attention."""
    return f"Resnet{way}sampleBlock2D" if residual_resampling else f"{way}Block2D"


def heads_by_level(spec: UnetSpec) -> tuple[int, ...]:
    """Heads of each level's attention, which diffusers calls `attention_head_dim`; the last is the middle's too."""
    attends = (*spec.attends[:-1], True)
    return tuple(spec.heads(width) if yes else 1 for width, yes in zip(spec.widths, attends, strict=True))


class LatentDenoiser(UnetDenoiser):
    """eps or v of noised latents under a condition (Rombach et al. 2022).

    A `Network` for the guidance expression. Its conditioning is a mapping of batch-first tensors, as the spec
    asks for: `context` "batch positions context_width"; what `spec.beside` names, at any height and width that
    latents have; `class_label` "batch" int64; `vector` "batch vector_width".

    Args:
        spec: Hyper-parameters.
    """

    def __init__(self, spec: UnetSpec) -> None:
        super().__init__(spec)
        self.space = "latents"  # set by a loader: whose latents
        self.unet: Any = build_unet(spec)
        if spec.context_width:
            attend_by_layer(self.unet)

    @property
    def prediction(self) -> Literal["eps", "x_0", "v"]:
        """What the output is."""
        return self.spec.prediction

    @property
    def channels(self) -> int:
        """Channels of x_t."""
        return self.spec.out_channels

    @property
    def learned_variance(self) -> bool:
        """No latent diffusion model learns its variance."""
        return False

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Conditioning with every layer's keys and values of the context projected, once per sampling run."""
        if not self.spec.context_width:
            return conditioning
        return {**conditioning, **project_context(self.unet, self._context(conditioning))}

    def way_down(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Encoded:
        """The way down and the middle; see `halves.Halved`, the rest as `forward`."""
        self._check(x_t)
        dtype = self.unet.conv_in.weight.dtype
        beside = [self._beside(x_t, conditioning, name, channels) for name, channels in self.spec.beside]
        labels = None
        if self.spec.classes:
            labels = given(conditioning, "class_label", "batch")
        if self.spec.vector_width:
            labels = given(conditioning, "vector", f"batch {self.spec.vector_width}").to(dtype)
        return halves.way_down(
            self.unet,
            torch.cat([x_t, *beside], dim=1).to(dtype),
            timesteps,
            states=self._context(conditioning) if self.spec.context_width else None,
            class_labels=labels,
            attention=self._attention(conditioning, additions),
            residuals=tuple(residual.to(dtype) for residual in additions.residuals),
        )

    def way_up(
        self,
        encoded: Encoded,
        conditioning: Mapping[str, Tensor],
        additions: Additions = NOTHING,
        h: Tensor | None = None,
    ) -> Tensor:
        """The way up; see `halves.Halved`."""
        return halves.way_up(self.unet, encoded, h=h, attention=self._attention(conditioning, additions))

    def _attention(self, conditioning: Mapping[str, Tensor], additions: Additions) -> dict[str, Any]:
        projected = projected_context(conditioning, self.unet.conv_in.weight.dtype)
        return {"context_keys_values": projected, "additions": additions.attention}

    def _context(self, conditioning: Mapping[str, Tensor]) -> Tensor:
        context = given(conditioning, "context", f"batch positions {self.spec.context_width}")
        return context.to(self.unet.conv_in.weight.dtype)

    def _check(self, x_t: Tensor) -> None:
        channels, multiple = self.spec.out_channels, self.spec.size_multiple
        if x_t.ndim != 4 or x_t.shape[1] != channels or any(side % multiple for side in x_t.shape[2:]):
            raise GlidewireError(
                "latents do not fit the denoiser",
                expected=f"batch x {channels} channels x sides that are multiples of {multiple}",
                got=tuple(x_t.shape),
            )

    def _beside(self, x_t: Tensor, conditioning: Mapping[str, Tensor], name: str, channels: int) -> Tensor:
        value = conditioning.get(name)
        expected = (channels, *x_t.shape[2:])
        if value is None or value.shape[1:] != expected or value.shape[0] not in (1, x_t.shape[0]):
            raise GlidewireError(
                f"the denoiser's condition {name!r} does not fit",
                expected=f"{x_t.shape[0]} x {' x '.join(map(str, expected))}",
                got="nothing" if value is None else tuple(value.shape),
                hint="It is concatenated to the latents, and so has their size.",
            )
        return value.to(x_t).expand(x_t.shape[0], -1, -1, -1)
