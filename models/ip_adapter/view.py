"""A denoiser under an image prompt, as a view that shares the denoiser's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...errors import GlidewireError
from ..additions import AttentionAddition, Part, grid_of, require_region
from ..ldm.attention import attention_layers, given, split_heads
from ..ldm.network import LatentDenoiser
from ..ldm.view import DenoiserView
from .model import Scaling
from .network import AdaptedLayer, IpAdapter

# Channels of the widest layers that are published.
_WIDEST = 1280
_LOW_RANK: Mapping[Part, tuple[str, ...]] = {"query": ("q",), "key_value": ("k", "v"), "out": ("out",)}


class ImagePrompted(DenoiserView):
    """A denoiser that attends to image tokens beside its context (Ye et al. 2023, eq. 5).

    attention(q, text) + scale * attention(q, tokens) in every layer that attends to the context, with keys and
    values of the adapter's own for the tokens; and, with an adapter of faces, low-rank terms of every projection.
    A leaf's conditioning has `<name>.tokens` "batch tokens context_width" beside the denoiser's own: what the
    adapter makes of a picture or a face; and may have `<name>.mask` "batch 1 height width": how much the tokens count
    in each place, of x_t's size or a whole multiple of it. At scale 0 and low-rank scale 0 it is the denoiser, bit
    for bit.

    Args:
        base: The denoiser, or another view of it.
        adapter: The adapter.
        scale: Weight of the image prompt: in all layers, or by a layer's number, with 0 elsewhere. Numbers are
            those of published files: 1, 3, 5 ... in the order down, up, middle.
        low_rank_scale: Weight of the low-rank terms, which adapters of faces have.
        scaling: What a scale multiplies; eq. 5 has "V only".
        name: What its tokens are called by; views of one denoiser need different ones.

    Raises:
        GlidewireError: The adapter belongs to another kind of denoiser, a number is no layer's, or as
            `DenoiserView`.
    """

    def __init__(
        self,
        base: LatentDenoiser | DenoiserView,
        adapter: IpAdapter,
        *,
        scale: float | Mapping[int, float] = 1.0,
        low_rank_scale: float = 1.0,
        scaling: Scaling = "V only",
        name: str = "image_prompt",
    ) -> None:
        super().__init__(base, name)
        self.adapter = adapter
        self.scaling: Scaling = scaling
        self.low_rank_scale = float(low_rank_scale) if adapter.spec.lora_rank else 0.0
        layers = attention_layers(self.denoiser.unet)
        self.heads = {number: layer.heads for number, layer in enumerate(layers)}
        _check_fit(name, adapter, layers, self.denoiser.spec.context_width)
        numbers = [2 * index + 1 for index in range(len(adapter.spec.channels))]
        scales = scale if isinstance(scale, Mapping) else dict.fromkeys(numbers, float(scale))
        if unknown := sorted(set(scales) - set(numbers)):
            raise GlidewireError(
                f"{name}: the adapter has no layer {unknown[0]}", expected=f"odd numbers up to {numbers[-1]}"
            )
        self.scales = {number: float(value) for number, value in sorted(scales.items()) if value}

    def identity(self) -> str:
        """Text of the adapter, its name and scales."""
        scales = f"{self.scales!r} {self.low_rank_scale!r} {self.scaling}"
        return f"image prompt {self.name} {self.adapter.digest()} {scales}"

    def prepared_names(self) -> Set[str]:
        """Keys and values of image tokens, and low-rank terms of the context's keys and values, by layer."""
        names = {self._tokens(number) for number in self.scales}
        if self.low_rank_scale:
            names |= {self._low_rank(2 * index + 1) for index in range(len(self.adapter.spec.channels))}
        return names

    def prepared(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What `prepared_names` lists."""
        width = self.adapter.spec.context_width
        dtype = next(self.adapter.parameters()).dtype
        found: dict[str, Tensor] = {}
        if self.scales:
            tokens = given(conditioning, f"{self.name}.tokens", f"batch tokens {width}").to(dtype)
            found |= {self._tokens(number): self.layer(number).project(tokens) for number in self.scales}
        if self.low_rank_scale:
            context = given(conditioning, "context", f"batch positions {width}").to(dtype)
            for index in range(len(self.adapter.spec.channels)):
                number = 2 * index + 1
                found[self._low_rank(number)] = self.layer(number).low_rank(_LOW_RANK["key_value"], context)
        return found

    def attention(self, conditioning: Mapping[str, Tensor], size: tuple[int, int]) -> tuple[AttentionAddition, ...]:
        """The terms of attention under a prepared conditioning."""
        names, mask = self.prepared_names(), conditioning.get(f"{self.name}.mask")
        if mask is not None:
            require_region("an image prompt's", mask, size)
        return (_Terms(self, {name: conditioning[name] for name in names}, size, mask),) if names else ()

    def layer(self, number: int) -> AdaptedLayer:
        """The adapter's part of an attention layer."""
        layer = self.adapter.layers[str(number)]
        assert isinstance(layer, AdaptedLayer)
        return layer

    def _tokens(self, number: int) -> str:
        return f"{self.name}.keys_values.{number}"

    def _low_rank(self, number: int) -> str:
        return f"{self.name}.low_rank_keys_values.{number}"


@dataclass(frozen=True)
class _Terms(AttentionAddition):
    """Those of one evaluation."""

    view: ImagePrompted
    prepared: Mapping[str, Tensor]
    size: tuple[int, int]
    mask: Tensor | None = None

    def projected(self, layer: int, part: Part, states: Tensor) -> Tensor | None:
        view = self.view
        if not view.low_rank_scale:
            return None
        term = self.prepared.get(view._low_rank(layer)) if part == "key_value" else None
        if term is None:
            term = view.layer(layer).low_rank(_LOW_RANK[part], states.to(next(view.adapter.parameters()).dtype))
        return view.low_rank_scale * term.to(states.dtype)

    def attended(self, layer: int, query: Tensor) -> Tensor | None:
        scale = self.view.scales.get(layer)
        if scale is None:
            return None
        rows = self.prepared[self.view._tokens(layer)].to(query.dtype).chunk(2, dim=-1)
        key, value = (split_heads(part, self.view.heads[layer]) for part in rows)
        key, value, scale = _scaled(self.view.scaling, scale, key, value)
        term = scale * F.scaled_dot_product_attention(query, key, value)
        if self.mask is None:
            return term
        region = F.interpolate(self.mask.to(query), grid_of(query.shape[2], self.size), mode="area")
        return region.flatten(2)[..., None] * term


def _scaled(scaling: Scaling, scale: float, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, float]:
    """Keys and values "batch heads tokens channels" under a scale, and what is left of it for what they find."""
    if scaling == "V only":
        return key, value, scale
    if scaling.endswith("penalty"):
        scale = scale * key.shape[1] * key.shape[3] / _WIDEST
    if scaling.startswith("K+V"):
        return scale * key, scale * value, 1.0
    return scale * key, value + (scale - 1) * value.mean(dim=2, keepdim=True), 1.0


def _check_fit(name: str, adapter: IpAdapter, layers: Sequence[Any], context_width: int) -> None:
    channels = tuple(layer.inner_dim for layer in layers[1::2])
    for message, wanted, has in (
        ("tokens are not as wide as the denoiser's context", context_width, adapter.spec.context_width),
        ("layers are not the denoiser's", channels, adapter.spec.channels),
    ):
        if wanted != has:
            raise GlidewireError(
                f"{name}: the adapter's {message}",
                expected=wanted,
                got=has,
                hint="Take an adapter that was trained for this denoiser.",
            )
