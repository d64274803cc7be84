"""Published layouts of pixel diffusion U-Nets over diffusers' U-Net, and of directions over our blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..adm import ENDS, residual_entries, unet_modules
from ..key_map import Entry, KeyMap, Merge, head_major, renamed, unfolded, unprefixed
from .spec import DeltaBlockSpec, DeltaTensorSpec, Kind, PixelUnetSpec

PREFIX = "unet."

_DDPM_ENDS = {
    "temb.dense.0": "time_embedding.linear_1",
    "temb.dense.1": "time_embedding.linear_2",
    "conv_in": "conv_in",
    "norm_out": "conv_norm_out",
    "conv_out": "conv_out",
}
_DDPM_RESIDUAL = ("norm1", "conv1", "temb_proj", "norm2", "conv2")
_DDPM_MIDDLE = {"resnets.0": "block_1", "attentions.0": "attn_1", "resnets.1": "block_2"}
_DDPM_LEVEL = {"resnets": "block.{}", "attentions": "attn.{}", "downsamplers": "downsample", "upsamplers": "upsample"}
_ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
# Layers of one direction: their published names, and ours.
DELTA_LAYERS: Mapping[Kind, Mapping[str, str]] = {
    "ddpm": {
        "conv1": "first_convolution",
        "temb_proj": "embedding",
        "norm2": "second_norm",
        "conv2": "second_convolution",
    },
    "guided": {
        "in_layers.0": "first_norm",
        "in_layers.2": "first_convolution",
        "emb_layers.1": "embedding",
        "out_layers.0": "second_norm",
        "out_layers.3": "second_convolution",
    },
}


def key_map(spec: PixelUnetSpec) -> KeyMap:
    """The published layout and `PixelDenoiser`'s."""
    guided = spec.kind == "guided"
    entries: list[Entry] = []
    for source, target in (ENDS if guided else _DDPM_ENDS).items():
        entries += renamed(source, PREFIX + target)
    for source, target, kind in unet_modules(spec.widths, spec.attends, spec.num_res_blocks):
        if guided:
            entries += _guided(spec, source, PREFIX + target, kind)
        else:
            entries += _ddpm(_ddpm_name(target, len(spec.widths)), PREFIX + target, kind)
    return tuple(entries)


def diffusers_key_map(spec: PixelUnetSpec) -> KeyMap:
    """diffusers' layout and `PixelDenoiser`'s."""
    return unprefixed(key_map(spec), PREFIX)


def _guided(spec: PixelUnetSpec, source: str, target: str, kind: str) -> Iterator[Entry]:
    """One module of the ablated model; rows of query, key and value are head-major."""
    if kind != "attention":
        yield from residual_entries(source, target, skip=kind == "residual with skip")
        return
    channels = spec.num_head_channels or _width(spec, target)
    yield from renamed(f"{source}.norm", f"{target}.group_norm")
    yield from head_major(f"{source}.qkv", [f"{target}.to_{part}" for part in "qkv"], channels)
    yield from unfolded(f"{source}.proj_out", f"{target}.to_out.0")


def _width(spec: PixelUnetSpec, target: str) -> int:
    """Channels of the level that a module of diffusers' lies in."""
    part, level, *_ = target.removeprefix(PREFIX).split(".")
    if part == "mid_block":
        return spec.widths[-1]
    return spec.widths[int(level) if part == "down_blocks" else -1 - int(level)]


def _ddpm(source: str, target: str, kind: str) -> Iterator[Entry]:
    """One module of DDPM's U-Net: a residual block, attention by 1x1 convolutions, or a convolution."""
    if kind == "attention":
        yield from renamed(f"{source}.norm", f"{target}.group_norm")
        for theirs, ours in _ATTENTION.items():
            yield from unfolded(f"{source}.{theirs}", f"{target}.{ours}", sides=2)
    elif kind.startswith("residual"):
        for layer in _DDPM_RESIDUAL:
            ours = "time_emb_proj" if layer == "temb_proj" else layer
            yield from renamed(f"{source}.{layer}", f"{target}.{ours}")
        if kind == "residual with skip":
            yield from renamed(f"{source}.nin_shortcut", f"{target}.conv_shortcut")
    else:
        yield from renamed(f"{source}.conv", f"{target}.conv")


def _ddpm_name(target: str, levels: int) -> str:
    """DDPM's name of one of diffusers' modules; DDPM counts levels from the highest resolution on both ways."""
    if target.startswith("mid_block."):
        return f"mid.{_DDPM_MIDDLE[target.removeprefix('mid_block.')]}"
    way, level, part, index = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)", target).groups()  # pyrefly: ignore
    place = int(level) if way == "down" else levels - 1 - int(level)
    return f"{way}.{place}.{_DDPM_LEVEL[part].format(index)}"


def delta_block_key_map(spec: DeltaBlockSpec) -> KeyMap:
    """Published directions, each under its number, and `DeltaBlocks`'."""
    entries: list[Entry] = []
    for number in range(spec.directions):
        for source, target in DELTA_LAYERS[spec.kind].items():
            entries += renamed(f"{number}.{source}", f"blocks.{number}.{target}")
    return tuple(entries)


def delta_tensor_key_map(spec: DeltaTensorSpec) -> KeyMap:
    """A direction's tensors under their timesteps, and `DeltaTensors`'."""
    return (Merge(tuple(map(str, spec.timesteps)), "tensors"),)
