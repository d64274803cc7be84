"""CLIP's image tower on open_clip's vision transformer, and both towers together."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU, VisionTransformer
from torch import Tensor, nn

from ...errors import GlidewireError
from ..clip_text.network import ClipText
from ..digest import network_digest
from .spec import ClipImageSpec, ClipSpec

# Mean and deviation of each channel in [0, 1] over CLIP's training pictures, as published.
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def fitted(picture: Tensor, side: int) -> Tensor:
    """The middle square of a picture at another size: its shorter side becomes `side`, bicubic and antialiased.

    Args:
        picture: "batch channels height width" in [-1, 1].
        side: In pixels.

    Returns:
        "batch channels side side" in [-1, 1].

    Source: Radford et al. 2021, the released preprocessing.
    """
    height, width = picture.shape[-2:]
    if (height, width) == (side, side):
        return picture
    scale = side / min(height, width)
    size = (max(side, round(height * scale)), max(side, round(width * scale)))
    resized = F.interpolate(picture, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
    top, left = ((length - side) // 2 for length in size)
    return resized[..., top : top + side, left : left + side]


class ClipImage(nn.Module):
    """A picture to its embedding (Radford et al. 2021, sec. 2.4)."""

    def __init__(self, spec: ClipImageSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.visual: Any = VisionTransformer(
            image_size=spec.image_size,
            patch_size=spec.patch_size,
            width=spec.width,
            layers=spec.layers,
            heads=spec.heads,
            mlp_ratio=(spec.mlp_width + 0.5) / spec.width,  # truncated there
            output_dim=spec.projection,
            act_layer=QuickGELU if spec.quick_gelu else nn.GELU,
        )

    def forward(self, picture: Tensor) -> Tensor:
        """Embeddings of pictures.

        Args:
            picture: "batch 3 side side" in [-1, 1], of the tower's own size (see `fitted`).

        Returns:
            "batch projection", not normalised.

        Raises:
            GlidewireError: Another size.
        """
        return self.visual(self._pixels(picture))

    def states(self, picture: Tensor, left_out: int = 1) -> Tensor:
        """States of the class token and all patches, `left_out` blocks before the last, not normalised.

        Args:
            picture: As `forward`.
            left_out: 1 is what adapters attend to (Ye et al. 2023, IP-Adapter plus).

        Returns:
            "batch 1+patches width".

        Raises:
            GlidewireError: As `forward`; or more blocks are left out than there are.
        """
        if not 0 <= left_out <= self.spec.layers:
            raise GlidewireError(
                "CLIP image: impossible number of blocks to leave out",
                expected=f"0 to {self.spec.layers}",
                got=left_out,
            )
        h = self.visual._embeds(self._pixels(picture))
        for block in self.visual.transformer.resblocks[: self.spec.layers - left_out]:
            h = block(h)
        return h

    def _pixels(self, picture: Tensor) -> Tensor:
        side = self.spec.image_size
        if picture.ndim != 4 or tuple(picture.shape[1:]) != (3, side, side):
            raise GlidewireError(
                "CLIP image: the picture does not fit the image tower",
                expected=f"batch x 3 x {side} x {side}",
                got=" x ".join(map(str, picture.shape)),
                hint="Resize and crop it first.",
            )
        mean, deviation = (
            torch.tensor(values, dtype=picture.dtype, device=picture.device)[:, None, None]
            for values in (MEAN, DEVIATION)
        )
        return (((picture + 1) / 2 - mean) / deviation).to(self.visual.conv1.weight.dtype)

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)


class Clip(nn.Module):
    """Pictures and texts in one space, where exp(logit_scale) · cos(picture, text) says how well they fit."""

    def __init__(self, spec: ClipSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.image = ClipImage(spec.image)
        self.text = ClipText(spec.text)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, picture: Tensor) -> Tensor:
        """Embeddings "batch projection", not normalised; see `ClipImage.forward`."""
        return self.image(picture)

    def encode_text(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """States "batch positions width" and embeddings "batch projection"; see `ClipText.states_and_embedding`."""
        return self.text.states_and_embedding(tokens)

    def forward(self, picture: Tensor, tokens: Tensor) -> Tensor:
        """Scores "pictures texts": exp(logit_scale) · cos of every picture with every text.

        Args:
            picture: "pictures 3 side side" in [-1, 1].
            tokens: "texts positions" int64.
        """
        image = F.normalize(self.encode_image(picture), dim=-1)
        text = F.normalize(self.encode_text(tokens)[1], dim=-1)
        return self.logit_scale.exp() * image @ text.mT

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)
