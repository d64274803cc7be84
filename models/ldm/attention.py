"""Attention inside of latent denoisers, with contexts that are projected once per sampling run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from ...errors import GlidewireError
from ..additions import AttentionAddition, Part, found, output

# Conditioning carries the projected context of attention layer i under this prefix and i.
CONTEXT = "context_keys_values."


class ContextAttention:
    """softmax(q k^T / sqrt(d)) v, with the context's keys and values projected ahead if given, and additions.

    Source: Rombach et al. 2022, sec. 3.3.
    """

    def __init__(self, layer: int) -> None:
        self.layer = layer

    def __call__(
        self,
        attn: Any,  # an Attention, whose layers diffusers types as optional
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        context_keys_values: Mapping[int, Tensor] | None = None,
        additions: tuple[AttentionAddition, ...] = (),
    ) -> Tensor:
        """Picture states "batch positions width" in and out."""
        states = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if attn.is_cross_attention and context_keys_values is not None:
            projected = context_keys_values[self.layer]
        else:
            projected = project(attn, states)
        query = split_heads(self._with(additions, "query", hidden_states, attn.to_q(hidden_states)), attn.heads)
        keys_values = self._with(additions, "key_value", states, projected).chunk(2, dim=-1)
        key, value = (split_heads(rows, attn.heads) for rows in keys_values)
        kind, context = ("cross", key.shape[2]) if attn.is_cross_attention else ("self", 0)
        h = found(self.layer, kind, (query, key, value), context, None, additions).transpose(1, 2).flatten(2)
        return output(self.layer, self._with(additions, "out", h, attn.to_out[0](h)), additions)

    def _with(self, additions: Sequence[AttentionAddition], part: Part, states: Tensor, projected: Tensor) -> Tensor:
        for addition in additions:
            term = addition.projected(self.layer, part, states)
            projected = projected if term is None else projected + term
        return projected


def split_heads(rows: Tensor, heads: int) -> Tensor:
    """ "batch positions heads*channels" to "batch heads positions channels"."""
    return rows.unflatten(-1, (heads, -1)).transpose(1, 2)


def project(attn: Any, states: Tensor) -> Tensor:
    """Keys and values of one layer: "batch positions 2*channels"."""
    return torch.cat([attn.to_k(states), attn.to_v(states)], dim=-1)


def attention_layers(network: nn.Module) -> list[Any]:
    """A U-Net's attention layers in a fixed order: down, up, middle; even ones attend to the picture itself."""
    return [module for module in network.modules() if isinstance(module, Attention)]


def attend_by_layer(network: nn.Module) -> None:
    """Let every attention layer of a network under construction compute as `ContextAttention`."""
    for layer, attention in enumerate(attention_layers(network)):
        attention.set_processor(ContextAttention(layer))


def project_context(network: nn.Module, context: Tensor, prefix: str = CONTEXT) -> dict[str, Tensor]:
    """Keys and values of a context "batch positions width" for every layer that attends to it, by prefix and layer."""
    return {
        f"{prefix}{layer}": project(attention, context)
        for layer, attention in enumerate(attention_layers(network))
        if attention.is_cross_attention
    }


def projected_context(
    conditioning: Mapping[str, Tensor], dtype: torch.dtype, prefix: str = CONTEXT
) -> dict[int, Tensor] | None:
    """What `project_context` put into a conditioning, by layer; None if it did not."""
    found = {
        int(name.removeprefix(prefix)): value.to(dtype)
        for name, value in conditioning.items()
        if name.startswith(prefix)
    }
    return found or None


def given(conditioning: Mapping[str, Tensor], name: str, shape: str) -> Tensor:
    """A condition by its name.

    Args:
        conditioning: A leaf's.
        name: Which one.
        shape: Names of its dimensions; a last one that is a number is its size.

    Raises:
        GlidewireError: It is missing or has another shape.
    """
    value = conditioning.get(name)
    width = shape.rpartition(" ")[2]
    right = value is not None and value.ndim == len(shape.split()) and width in ("batch", str(value.shape[-1]))
    if value is None or not right:
        raise GlidewireError(
            f"the denoiser's condition {name!r} does not fit",
            expected=shape,
            got="nothing" if value is None else tuple(value.shape),
        )
    return value
