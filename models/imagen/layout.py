"""The published layout of DeepFloyd IF's denoisers over diffusers' U-Net."""

from __future__ import annotations

from collections.abc import Iterator

from ..adm import ENDS, residual_entries, unet_modules
from ..key_map import Entry, KeyMap, head_major, renamed, unfolded, unprefixed
from .spec import ImagenSpec

PREFIX = "unet."
# Layers that take the text: projected for attention, and pooled for the time embedding.
_TEXT = {
    "encoder_proj": "encoder_hid_proj",
    "encoder_pooling.0": "add_embedding.norm1",
    "encoder_pooling.1.q_proj": "add_embedding.pool.q_proj",
    "encoder_pooling.1.k_proj": "add_embedding.pool.k_proj",
    "encoder_pooling.1.v_proj": "add_embedding.pool.v_proj",
    "encoder_pooling.2": "add_embedding.proj",
    "encoder_pooling.3": "add_embedding.norm2",
}
_POSITION = ("encoder_pooling.1.positional_embedding", "add_embedding.pool.positional_embedding")
# Layers that take the noise level of the low-resolution picture.
_LEVEL = {"aug_proj.0": "class_embedding.linear_1", "aug_proj.2": "class_embedding.linear_2"}


def key_map(spec: ImagenSpec) -> KeyMap:
    """The published layout and `ImagenDenoiser`'s."""
    entries: list[Entry] = [Entry(_POSITION[0], (PREFIX + _POSITION[1],))]
    for source, target in (ENDS | _TEXT | (_LEVEL if spec.upsampler else {})).items():
        entries += renamed(source, PREFIX + target)
    for source, target, kind in unet_modules(spec.widths, spec.attends, spec.num_res_blocks):
        if kind == "attention":
            entries += _attention(spec, source, PREFIX + target)
        else:
            entries += residual_entries(source, PREFIX + target, skip=kind == "residual with skip")
    return tuple(entries)


def diffusers_key_map(spec: ImagenSpec) -> KeyMap:
    """diffusers' layout and `ImagenDenoiser`'s."""
    return unprefixed(key_map(spec), PREFIX)


def _attention(spec: ImagenSpec, source: str, target: str) -> Iterator[Entry]:
    """Attention to the text and, where there is self-attention, to pixels; rows are head-major."""
    parts = "qkv" if spec.self_attention else "q"
    yield from renamed(f"{source}.norm", f"{target}.group_norm")
    yield from renamed(f"{source}.norm_encoder", f"{target}.norm_cross")
    yield from head_major(f"{source}.qkv", [f"{target}.to_{part}" for part in parts], spec.num_head_channels)
    added = [f"{target}.add_{part}_proj" for part in "kv"]
    yield from head_major(f"{source}.encoder_kv", added, spec.num_head_channels)
    yield from unfolded(f"{source}.proj_out", f"{target}.to_out.0")
