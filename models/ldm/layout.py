"""The published layout of latent denoisers over diffusers' U-Nets: its key map, and how it names what tells a spec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ..adm import ENDS, residual_entries, unet_modules
from ..key_map import Entry, KeyMap, head_major, renamed, unfolded, unprefixed
from .spec import Shapes, UnetSpec

PREFIX = "unet."
_UPSAMPLER = re.compile(r"output_blocks\.\d+\.[12]\.(conv|in_layers\.0)\.weight")
# Only plain ones are told from residual blocks by their names.
_DOWNSAMPLER = re.compile(r"input_blocks\.\d+\.0\.op\.weight")
_ENCODER = ("time_embed.", "input_blocks.", "middle_block.")
# Layers whose shapes tell something, inside of a residual block or a downsampler.
_TELLING = {"in_layers.2": "conv1", "emb_layers.1": "time_emb_proj"}
_ENDS = {
    "input_blocks.0.0": "conv_in",
    "out.2": "conv_out",
    "label_emb": "class_embedding",
    "label_emb.0.0": "class_embedding.linear_1",
}


def key_map(spec: UnetSpec) -> KeyMap:
    """The published layout and `LatentDenoiser`'s."""
    entries: list[Entry] = []
    ends = dict(ENDS)
    if spec.vector_width:
        ends |= {f"label_emb.0.{layer}": f"class_embedding.linear_{n}" for n, layer in ((1, 0), (2, 2))}
    for source, target in ends.items():
        entries += renamed(source, PREFIX + target)
    if spec.classes:
        entries += renamed("label_emb", f"{PREFIX}class_embedding", ("weight",))
    for source, target, kind in unet_modules(spec.widths, spec.attends, spec.num_res_blocks):
        ours = PREFIX + target
        if kind == "attention":
            entries += _transformer(spec, source, ours) if spec.context_width else _attention(spec, source, ours)
        elif kind.endswith("sampler") and not spec.residual_resampling:
            entries += renamed(f"{source}.{'op' if kind == 'downsampler' else 'conv'}", f"{ours}.conv")
        else:
            entries += residual_entries(source, ours, skip=kind == "residual with skip")
    return tuple(entries)


def diffusers_key_map(spec: UnetSpec) -> KeyMap:
    """diffusers' layout and `LatentDenoiser`'s."""
    return unprefixed(key_map(spec), PREFIX)


def encoder_key_map(spec: UnetSpec, prefix: str) -> tuple[Entry, ...]:
    """The published layout of the way down and the middle, over the same modules of diffusers' under a prefix."""
    return tuple(
        replace(entry, targets=tuple(prefix + target.removeprefix(PREFIX) for target in entry.targets))
        for entry in key_map(spec)
        if isinstance(entry, Entry) and entry.source.startswith(_ENCODER)
    )


def _transformer(spec: UnetSpec, source: str, target: str) -> Iterator[Entry]:
    """A spatial transformer (Rombach et al. 2022, appendix E.2.1); both layouts name its layers alike."""
    layers = ["norm", "proj_in", "proj_out"]
    for block in (f"transformer_blocks.{index}" for index in range(spec.transformer_depth)):
        layers += [f"{block}.{layer}" for layer in ("norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2")]
        for attention in ("attn1", "attn2"):
            layers.append(f"{block}.{attention}.to_out.0")
            for part in "qkv":
                layer = f"{block}.{attention}.to_{part}"
                yield from renamed(f"{source}.{layer}", f"{target}.{layer}", ("weight",))
    for layer in layers:
        yield from renamed(f"{source}.{layer}", f"{target}.{layer}")


def _attention(spec: UnetSpec, source: str, target: str) -> Iterator[Entry]:
    """Attention of pixels to pixels; rows of query, key and value are head-major."""
    channels = spec.num_head_channels or _width(spec, target) // spec.num_heads
    yield from renamed(f"{source}.norm", f"{target}.group_norm")
    yield from head_major(f"{source}.qkv", [f"{target}.to_{part}" for part in "qkv"], channels)
    yield from unfolded(f"{source}.proj_out", f"{target}.to_out.0")


def _width(spec: UnetSpec, target: str) -> int:
    """Channels of the level that a module of diffusers' lies in."""
    part, level, *_ = target.removeprefix(PREFIX).split(".")
    if part == "mid_block":
        return spec.widths[-1]
    return spec.widths[int(level) if part == "down_blocks" else -1 - int(level)]


def telling_shapes(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The shapes of a published state dict that tell its spec, by diffusers' names; empty if it is none.

    Blocks are numbered through all levels: a level is its residual blocks and a downsampler.
    """
    blocks = {int(key.split(".")[1]) for key in shapes if key.startswith("input_blocks.")}
    levels = 1 + max(sum(way.fullmatch(key) is not None for key in shapes) for way in (_UPSAMPLER, _DOWNSAMPLER))
    stride = len(blocks) // levels
    if not stride:
        return {}
    told: dict[str, tuple[int, ...]] = {}
    for key, shape in shapes.items():
        layer, _, leaf = key.rpartition(".")
        if layer in _ENDS:
            told[f"{_ENDS[layer]}.{leaf}"] = shape
        elif key.startswith("middle_block.1."):
            told[f"mid_block.attentions.0.{key.removeprefix('middle_block.1.')}"] = shape
        elif key.startswith("input_blocks.") and layer != "input_blocks.0.0":
            _, number, module, rest = key.split(".", 3)
            level, index = divmod(int(number) - 1, stride)
            told[f"down_blocks.{level}.{_down(rest, module, index, index == stride - 1)}"] = shape
    return told


def _down(rest: str, module: str, index: int, resamples: bool) -> str:
    if module == "1":
        return f"attentions.{index}.{rest}"
    for theirs, ours in _TELLING.items():
        rest = rest.replace(f"{theirs}.", f"{ours}.")
    return f"downsamplers.0.{rest}" if resamples else f"resnets.{index}.{rest}"
