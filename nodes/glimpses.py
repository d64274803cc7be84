"""Small pictures of what is no picture: latents, tokens, maps, for previews and inspection."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .sockets import PIXELS

SIDE = 256
ITEMS = 4
_GOLDEN = 0.6180339887498949


def of_batch(batch: Tensor, space: str) -> Tensor:
    """The first items of a batch side by side.

    Args:
        batch: "batch channels height width".
        space: Of "pixels", colours in [-1, 1]; of latents the first three channels, scaled by their deviation.

    Returns:
        uint8 "height width 3", no side of an item longer than `SIDE`.
    """
    items = batch[:ITEMS].detach().float().cpu()
    if space == PIXELS and items.shape[1] == 3:
        colours = (items + 1) / 2
    else:
        colours = 0.5 + _three(items) / (5 * items.std(correction=0).clamp(min=1e-6))
    return beside(colours.movedim(1, -1))


def principal(batch: Tensor) -> Tensor:
    """Latents "batch channels height width" as colours: their three strongest directions over batch and places.

    Each direction points to where its largest weight is positive, so that equal latents give equal colours.

    Returns: uint8 "height width 3", the first items side by side.
    """
    items = batch.detach().double().cpu()
    if items.shape[1] < 3:
        return of_batch(batch, "latents")
    rows = items.movedim(1, -1).flatten(0, -2)
    rows = rows - rows.mean(0)
    directions = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -3:].flip(1)
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    colours = rows @ (directions * largest.sign())
    colours = 0.5 + colours / (5 * colours.std(0, correction=0).clamp(min=1e-9))
    return beside(colours.reshape(*items.movedim(1, -1).shape[:-1], 3)[:ITEMS].float())


def of_tokens(tokens: Tensor) -> Tensor:
    """Tokens "batch rows columns" as a map of colours, one per code: neighbours in number differ in hue.

    Returns: uint8 "height width 3", the first items side by side.
    """
    codes = tokens[:ITEMS].detach().cpu().double()
    hue = (codes * _GOLDEN) % 1.0
    light = 0.55 + 0.25 * ((codes * _GOLDEN**2) % 1.0)
    thirds = torch.stack([hue, (hue + 1 / 3) % 1, (hue + 2 / 3) % 1], -1)
    return beside((light[..., None] + 0.35 * torch.cos(2 * math.pi * thirds)).float())


def of_map(values: Tensor) -> Tensor:
    """A map "batch height width" as heat: dark blue at its least value, through red, to white at its largest.

    Returns: uint8 "height width 3", the first items side by side.
    """
    heat = values[:ITEMS].detach().float().cpu()
    low, high = heat.amin(), heat.amax()
    heat = (heat - low) / (high - low).clamp(min=1e-12)
    channels = [heat * 2, heat * 2 - 0.75, torch.where(heat < 0.5, 0.35 + heat, heat * 4 - 3)]
    return beside(torch.stack(channels, -1))


def beside(pictures: Tensor) -> Tensor:
    """Pictures "batch height width 3" in [0, 1], shrunk if need be, in one row of uint8 "height width 3"."""
    height, width = pictures.shape[1:3]
    if max(height, width) > SIDE:
        size = [max(1, round(side * SIDE / max(height, width))) for side in (height, width)]
        pictures = F.interpolate(pictures.movedim(-1, 1), size, mode="area").movedim(1, -1)
    levels = pictures.nan_to_num().clamp(0, 1).mul(255).round().to(torch.uint8)
    gaps = torch.full((*levels.shape[:2], 1, 3), 128, dtype=torch.uint8)
    return torch.cat([part for one, gap in zip(levels, gaps, strict=True) for part in (gap, one)][1:], dim=1)


def _three(items: Tensor) -> Tensor:
    """The first three channels, those that are missing made of the first."""
    channels = items.shape[1]
    return items[:, [min(index, channels - 1) if channels > 1 else 0 for index in range(3)]]
