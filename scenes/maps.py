"""Maps of pictures of scenes, in colours that scenes have: edges, segmentations and the like.

A frozen autoencoder of scenes gives back nothing of white lines on black; of purple ones on slate thick, smeared ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .world import COLOURS, GROUNDS, Colour, Ground

PictureMap = Callable[[Tensor], Tensor]
"""Pictures "batch 3 height width" in [-1, 1] to pictures shaped alike."""


def edges(picture: Tensor) -> Tensor:
    """Purple where brightness changes, on slate, by the norm of differences of neighbours."""
    grey = F.pad(picture.mean(1, keepdim=True), (0, 1, 0, 1), mode="replicate")
    across, down = (grey[:, :, :-1, 1:] - grey[:, :, :-1, :-1]), (grey[:, :, 1:, :-1] - grey[:, :, :-1, :-1])
    return _painted(2 * (across.square() + down.square()).sqrt(), "purple", "slate")


def segmentation(picture: Tensor) -> Tensor:
    """Blue where a solid stands, on white: solids are saturated and grounds are not."""
    chroma = picture.amax(1, keepdim=True) - picture.amin(1, keepdim=True)
    return _painted((chroma > 0.7).float(), "blue", "white")


def negative(picture: Tensor) -> Tensor:
    """Every colour and its opposite exchanged; brightness is kept."""
    return (2 * picture.mean(1, keepdim=True) - picture).clamp(-1, 1)


def exchange(picture: Tensor) -> Tensor:
    """Red and blue exchanged."""
    return picture[:, [2, 1, 0]]


TRAINED: Mapping[str, PictureMap] = {"edges": edges, "segmentation": segmentation, "negative": negative}
HELD_OUT: Mapping[str, PictureMap] = {"exchange": exchange}
"""No network is trained on these: whether they are done from an example is the question."""
MAPS: Mapping[str, PictureMap] = {**TRAINED, **HELD_OUT}


def _painted(share: Tensor, colour: Colour, ground: Ground) -> Tensor:
    """Two colours of the world, mixed: all of the first where `share` "batch 1 height width" is 1 or more."""
    first, second = (
        torch.tensor(rgb, dtype=share.dtype, device=share.device)[:, None, None] / 127.5 - 1
        for rgb in (COLOURS[colour], GROUNDS[ground])
    )
    return torch.lerp(second, first, share.clamp(0, 1))
