"""Batches that the recipes share: pictures of a pool as tensors, and captions drawn anew for each of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.clip.model import ClipModel
from ..models.imagen.model import T5TextEncoder
from ..models.ldm.text import TextEncoder
from ..scenes import Caption, Described, Scene, Statement, caption, worded
from .pool import Pool


def pictures(pool: Pool, chosen: NDArray[np.int64]) -> Tensor:
    """Pictures of a pool by index, "batch 3 height width" in [-1, 1]."""
    order = np.argsort(chosen, kind="stable")  # a file that is mapped is read fastest in its own order
    found = np.empty((len(chosen), *pool.pictures.shape[1:]), np.uint8)
    found[order] = pool.pictures[chosen[order]]
    return torch.from_numpy(found).permute(0, 3, 1, 2).float() / 127.5 - 1


def captions(
    pool: Pool, chosen: Sequence[int] | NDArray[np.int64], rng: np.random.Generator, *, silence: float
) -> list[Caption]:
    """A caption of each chosen scene, in a phrasing drawn anew.

    Args:
        pool: The scenes.
        chosen: Their indices.
        rng: What draws phrasings.
        silence: Chance that a caption leaves out an object's shape, or else its colour.
    """
    phrasings = rng.integers(2**31, size=len(chosen))
    return [
        caption(pool.scenes[index], int(phrasing), silence=silence)
        for index, phrasing in zip(chosen, phrasings, strict=True)
    ]


def texts(found: Sequence[Caption], rng: np.random.Generator, *, empty: float) -> list[str]:
    """The captions' texts, each left empty by chance, for classifier-free guidance (Ho & Salimans 2022)."""
    return ["" if rng.random() < empty else one.text for one in found]


@torch.no_grad()
def clip_texts(clip: ClipModel, found: Sequence[str]) -> dict[str, Tensor]:
    """What networks of unCLIP take of captions, on CLIP's device.

    Returns:
        `text_embedding` "batch projection", `text_states` "batch positions width" and `text_mask` "batch positions".
    """
    positions, device = clip.spec.text.positions, next(clip.network.parameters()).device
    encoded = [clip.tokenizer.encode(text, positions) for text in found]
    lengths = torch.tensor([min(one.length, positions) for one in encoded], device=device)
    states, embedding = clip.network.encode_text(torch.stack([one.tokens for one in encoded]).to(device))
    mask = torch.arange(positions, device=device)[None] < lengths[:, None]
    return {"text_states": states, "text_embedding": embedding, "text_mask": mask}


@torch.no_grad()
def states(text: TextEncoder, found: Sequence[str]) -> Tensor:
    """A text encoder's states of every text, "batch positions width"."""
    positions, device = text.network.spec.positions, next(text.network.parameters()).device
    tokens = torch.stack([text.tokenizer.encode(one, positions).tokens for one in found])
    return text.network(tokens.to(device))


@torch.no_grad()
def t5_states(text: T5TextEncoder, found: Sequence[str]) -> Tensor:
    """T5's states of every text, "batch positions width"."""
    device = next(text.network.parameters()).device
    words = text.tokenizer.encode_batch(found, text.network.spec.positions)
    return text.network(*(part.to(device) for part in words))


def everything(scene: Scene) -> Caption:
    """The caption that states all that is true of a scene."""
    solids = tuple(Described(solid.shape, solid.colour, solid.size) for solid in scene.solids)
    return worded(Statement(solids, scene.axis, scene.ground))
