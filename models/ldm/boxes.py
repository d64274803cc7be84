"""Layouts of bounding boxes as tokens, which latent diffusion's layout-to-image models read, and their encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..checkpoint import load_identified
from ..handle import Handle
from ..registry import Identity
from .text import identify_text_encoder

if TYPE_CHECKING:
    from .bert import Bert

CROP_TOKENS = 2
"""Behind the boxes stand two tokens of the corners of the part of the picture that was cropped."""


@dataclass(frozen=True)
class Box:
    """One object of a layout.

    Args:
        category: The number of its class.
        left, top, right, bottom: Of the picture's sides, 0 to 1; x to the right and y downwards.
    """

    category: int
    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        inside = 0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1
        if not inside:
            raise GlidewireError(
                "a box does not lie in the picture",
                expected="0 <= left < right <= 1 and 0 <= top < bottom <= 1",
                got=f"left {self.left:g}, top {self.top:g}, right {self.right:g}, bottom {self.bottom:g}",
            )


WHOLE = Box(0, 0.0, 0.0, 1.0, 1.0)
"""The crop that is none."""


def position_token(x: float, y: float, vocabulary: int) -> int:
    """round(x (s - 1)) + s round(y (s - 1)) on a grid of s = floor(sqrt(vocabulary)) cells a side."""
    sections = math.isqrt(vocabulary)
    return round(x * (sections - 1)) + round(y * (sections - 1)) * sections


def box_tokens(boxes: Sequence[Box], vocabulary: int = 8192, positions: int = 92, crop: Box = WHOLE) -> Tensor:
    """A layout as tokens: class, top left corner and bottom right corner of each box; then those of the crop.

    Args:
        boxes: At most (positions - 2) / 3; the rest is filled with the last token, which says nothing.
        vocabulary: Tokens that the encoder knows.
        positions: Tokens of a layout.
        crop: The part of the picture that is made.

    Returns:
        "positions" int64.

    Raises:
        GlidewireError: Too many boxes, or a class that is no token.

    Source: Rombach et al. 2022, section 4.3.1 and appendix E.2.1; the tokens: Jahn et al. 2021 (2105.06458), sec. 3.
    """
    most = (positions - CROP_TOKENS) // 3
    if len(boxes) > most:
        raise GlidewireError("the layout has too many boxes", expected=f"at most {most}", got=len(boxes))
    tokens: list[int] = []
    for box in boxes:
        if not 0 <= box.category < vocabulary - 1:
            raise GlidewireError("a box has an impossible class", expected=f"0 to {vocabulary - 2}", got=box.category)
        tokens += [box.category, *_corners(box, vocabulary)]
    tokens += [vocabulary - 1] * (positions - CROP_TOKENS - len(tokens))
    return torch.tensor([*tokens, *_corners(crop, vocabulary)])


def _corners(box: Box, vocabulary: int) -> tuple[int, int]:
    corners = (box.left, box.top), (box.right, box.bottom)
    first, last = (position_token(x, y, vocabulary) for x, y in corners)
    return first, last


@dataclass(frozen=True)
class BoxEncoder(Handle):
    """The encoder of layouts.

    Attributes:
        network: Frozen, in evaluation mode.
    """

    network: Bert

    @torch.no_grad()
    def encode(self, boxes: Sequence[Box], crop: Box = WHOLE) -> Tensor:
        """States of a layout, "1 positions width"; errors as `box_tokens`."""
        spec = self.network.spec
        tokens = box_tokens(boxes, spec.vocabulary_size, spec.positions, crop)
        return self.network(tokens[None].to(next(self.network.parameters()).device))


def identify_box_encoder(path: str | Path) -> Identity:
    """The encoder of layouts in a file, of its own or inside of a whole checkpoint.

    Raises:
        GlidewireError: As `identify`, or the file's encoder reads texts.
    """
    identity = identify_text_encoder(path, "ldm")
    if (identity.spec.positions - CROP_TOKENS) % 3:
        raise GlidewireError(
            f"{identity.header.name} has an encoder of texts",
            expected="three positions for each box and two of the crop, 92 in the published one",
            got=f"{identity.spec.positions} positions",
            hint="Load it as a BERT text encoder.",
        )
    return identity


def load_box_encoder(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> BoxEncoder:
    """Load the encoder of layouts, strictly; arguments and errors as `models.checkpoint.load`."""
    return BoxEncoder(cast("Bert", load_identified(identify_box_encoder(path), device=device, dtype=dtype)))
