"""The layout of the ablated diffusion model's U-Net, which GLIDE and its descendants share, over diffusers' U-Net."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .key_map import Entry, KeyMap, head_major, renamed, unfolded

_RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
}
# Layers outside of the levels.
ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


def unet_key_map(
    widths: Sequence[int],
    attention_levels: Sequence[bool],
    num_res_blocks: int,
    num_head_channels: int,
    *,
    prefix: str = "unet.",
) -> KeyMap:
    """Published keys to diffusers' for the U-Net with residual up- and downsampling (Dhariwal & Nichol 2021).

    The published layout numbers blocks through all levels, a downsampler being a block of its own and an
    upsampler the last module of its level's last block; diffusers nests them by level.

    Args:
        widths: Channels of each level, highest resolution first.
        attention_levels: Whether each level attends.
        num_res_blocks: Residual blocks of a level on the way down.
        num_head_channels: Channels of one attention head; query, key and value rows are head-major.
        prefix: Stands before every module key.
    """
    entries: list[Entry] = []
    for source, target in ENDS.items():
        entries += renamed(source, prefix + target)
    for source, target, kind in unet_modules(widths, attention_levels, num_res_blocks):
        if kind == "attention":
            entries += _attention(source, prefix + target, num_head_channels)
        else:
            entries += residual_entries(source, prefix + target, skip=kind == "residual with skip")
    return tuple(entries)


def residual_entries(source: str, target: str, *, skip: bool) -> Iterator[Entry]:
    """A residual block, or a residual down- or upsampler, with a 1x1 convolution past it where the width changes."""
    for theirs, ours in _RESIDUAL.items():
        yield from renamed(f"{source}.{theirs}", f"{target}.{ours}")
    if skip:
        yield from renamed(f"{source}.skip_connection", f"{target}.conv_shortcut")


def _attention(source: str, target: str, channels: int) -> Iterator[Entry]:
    yield from renamed(f"{source}.norm", f"{target}.group_norm")
    yield from head_major(f"{source}.qkv", [f"{target}.to_{part}" for part in "qkv"], channels)
    yield from head_major(f"{source}.encoder_kv", [f"{target}.add_{part}_proj" for part in "kv"], channels)
    yield from unfolded(f"{source}.proj_out", f"{target}.to_out.0")


def unet_modules(
    widths: Sequence[int], attends: Sequence[bool], num_res_blocks: int | Sequence[int], *, middle_attends: bool = True
) -> Iterator[tuple[str, str, str]]:
    """Every module inside the levels: its published name, diffusers' name, and its kind.

    Kinds are "residual", "residual with skip" (the width changes), "attention", "downsampler" and "upsampler".
    Levels have one number of residual blocks, or each its own.
    """
    blocks = [num_res_blocks] * len(widths) if isinstance(num_res_blocks, int) else num_res_blocks

    def residual(channels_in: int, channels_out: int) -> str:
        return "residual" if channels_in == channels_out else "residual with skip"

    skips = [widths[0]]
    block, channels, last = 1, widths[0], len(widths) - 1
    for level, width in enumerate(widths):
        for index in range(blocks[level]):
            yield f"input_blocks.{block}.0", f"down_blocks.{level}.resnets.{index}", residual(channels, width)
            if attends[level]:
                yield f"input_blocks.{block}.1", f"down_blocks.{level}.attentions.{index}", "attention"
            skips.append(channels := width)
            block += 1
        if level < last:
            yield f"input_blocks.{block}.0", f"down_blocks.{level}.downsamplers.0", "downsampler"
            skips.append(channels)
            block += 1
    yield "middle_block.0", "mid_block.resnets.0", "residual"
    if middle_attends:
        yield "middle_block.1", "mid_block.attentions.0", "attention"
    yield f"middle_block.{1 + middle_attends}", "mid_block.resnets.1", "residual"
    block = 0
    for up, level in enumerate(reversed(range(len(widths)))):
        for index in range(blocks[level] + 1):
            kind = residual(channels + skips.pop(), widths[level])
            channels = widths[level]
            yield f"output_blocks.{block}.0", f"up_blocks.{up}.resnets.{index}", kind
            if attends[level]:
                yield f"output_blocks.{block}.1", f"up_blocks.{up}.attentions.{index}", "attention"
            if level and index == blocks[level]:
                place = 2 if attends[level] else 1
                yield f"output_blocks.{block}.{place}", f"up_blocks.{up}.upsamplers.0", "upsampler"
            block += 1
