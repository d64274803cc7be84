"""Paella's first predictor: convolutions only, modulated by one CLIP vector, or by one for every position."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import EPSILON, PaellaNetwork, check_grid, given, time_embedding
from .spec import PaellaV1Spec


class ModulatedBlock(nn.Module):
    """x + s · MLP(g w LN(DW(x)) + b w [, skip]), where w = Linear(condition) and g, b are single numbers.

    DW is a depthwise 3x3 convolution under reflection padding.

    Source: Rampas et al. 2022 (Paella v1), sec. 3 and figure 3.
    """

    def __init__(self, width: int, skip_width: int, condition_width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect", groups=width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.modulate = nn.Linear(condition_width, width)
        self.scale = nn.Parameter(torch.ones(1, 1, 1))
        self.shift = nn.Parameter(torch.ones(1, 1, 1))
        self.expand = nn.Linear(width + skip_width, 4 * width)
        self.contract = nn.Linear(4 * width, width)
        self.layer_scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Tensor, condition: Tensor, skip: Tensor | None = None) -> Tensor:
        """x and skip "batch channels height width", condition "batch height width channels" or sides of 1."""
        w = self.modulate(condition)
        h = self.scale * w * self.norm(self.depthwise(x).movedim(1, -1)) + self.shift * w
        if skip is not None:
            h = torch.cat([h, skip.movedim(1, -1)], dim=-1)
        return x + (self.layer_scale * self.contract(F.gelu(self.expand(h)))).movedim(-1, 1)


class PaellaV1(PaellaNetwork):
    """Scores of every token at every position of a noised token grid (Rampas et al. 2022, sec. 3).

    A `Network` for the guidance expression. Its conditioning is `clip`: one vector "batch clip_width", not
    normalised, or one for each part of the picture, "batch clip_width height width" of any size. The empty
    condition is all zeros.

    Args:
        spec: Hyper-parameters.
    """

    def __init__(self, spec: PaellaV1Spec) -> None:
        super().__init__(spec)
        self.spec = spec
        widths, last = spec.widths, len(spec.widths) - 1
        condition = spec.clip_width + spec.time_channels
        self.embedding = nn.Embedding(spec.codes, widths[0])
        self.down = nn.ModuleList(
            nn.ModuleList(ModulatedBlock(width, 0, condition) for _ in range(blocks))
            for width, blocks in zip(widths, spec.down_blocks, strict=True)
        )
        self.downsample = nn.ModuleList(
            nn.Conv2d(widths[level], widths[level + 1], 4, stride=2, padding=1) for level in range(last)
        )
        self.up = nn.ModuleList(
            nn.ModuleList(
                ModulatedBlock(width, width if level and not index else 0, condition) for index in range(blocks)
            )
            for level, (width, blocks) in enumerate(zip(widths[::-1], spec.up_blocks, strict=True))
        )
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(widths[level], widths[level - 1], 4, stride=2, padding=1) for level in range(last, 0, -1)
        )
        self.head = nn.Conv2d(widths[0], spec.codes, 1)

    def forward(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """One batched evaluation.

        Args:
            x_t: Tokens "batch height width", int64; sides are multiples of `spec.size_multiple`.
            timesteps: r, "batch" in [0, 1]; 0 is pure noise, and cos(pi r / 2) of the tokens are noise at r.
            conditioning: See the class.

        Returns:
            Logits "batch codes height width".

        Raises:
            GlidewireError: Tokens or a condition that do not fit.
        """
        check_grid(x_t, self.spec.size_multiple, self.spec.codes)
        condition = self._condition(timesteps, conditioning)
        x = self.embedding(x_t).movedim(-1, 1)
        skips = []
        for level, blocks in enumerate(self.down):
            x = self.downsample[level - 1](x) if level else x
            at_level = condition(x)
            for block in blocks:  # pyrefly: ignore
                x = block(x, at_level)
            skips.append(x)
        for level, blocks in enumerate(self.up):
            skip = skips.pop()
            at_level = condition(x)
            for index, block in enumerate(blocks):  # pyrefly: ignore
                x = block(x, at_level, skip if level and not index else None)
            x = self.upsample[level](x) if level < len(self.upsample) else x
        return self.head(x)

    def null(self) -> Mapping[str, Tensor]:
        """The empty condition: one vector of zeros, "1 clip_width"."""
        return {"clip": torch.zeros(1, self.spec.clip_width)}

    def _condition(self, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> _Condition:
        clip = given(conditioning, "clip", self.spec.clip_width, self.dtype, dims=(2, 4))
        # gamma(r) = cos(pi r / 2), the share of noise, is what the network is told.
        time = time_embedding((timesteps * math.pi * 0.5).cos(), self.spec.time_channels).to(self.dtype)
        return _Condition(clip if clip.ndim == 4 else clip[..., None, None], time)


class _Condition:
    """CLIP vectors resized to a level's sides, each beside the embedded time: "batch height width channels"."""

    def __init__(self, clip: Tensor, time: Tensor) -> None:
        self.clip, self.time = clip, time
        self.known: dict[torch.Size, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        sides = x.shape[2:]
        if sides not in self.known:
            clip = self.clip
            if clip.shape[2:] not in ((1, 1), sides):
                clip = F.interpolate(clip, sides, mode="bilinear", align_corners=False)
            time = self.time[..., None, None].expand(-1, -1, *clip.shape[2:])
            self.known[sides] = torch.cat([clip, time], dim=1).movedim(1, -1)
        return self.known[sides]
