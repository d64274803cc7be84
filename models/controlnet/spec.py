"""A control network's hyper-parameters: the published models, and their inference from a state dict's shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..hyper_parameters import combined, matching, require
from ..ldm.spec import Shapes, UnetSpec, told_by_shapes

# What shapes cannot tell, of what a control network uses.
UNTOLD = ("num_heads", "num_head_channels", "norm_groups", "pooled")


@dataclass(frozen=True)
class ControlNetSpec(UnetSpec):
    """Hyper-parameters of one control network (Zhang et al. 2023): those of the U-Net that it copies, and of hints.

    Attributes:
        hint_channels: Channels of the first hint: a picture, or Prompt Diffusion's pair of example pictures.
        query_channels: Channels of Prompt Diffusion's query; 0 for a ControlNet.
        hint_widths: Widths of the levels of the encoders of hints, each of half the side of the one before.
        pooled: Whether residuals are averaged over the picture, as shuffled hints need.
    """

    hint_channels: int = 3
    query_channels: int = 0
    hint_widths: tuple[int, ...] = (16, 32, 96, 256)
    pooled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.context_width > 0, self, "context_width", "a positive number")
        require(self.hint_channels > 0, self, "hint_channels", "a positive number")
        require(self.query_channels >= 0, self, "query_channels", "0 or more")
        require(min(self.hint_widths, default=0) > 0, self, "hint_widths", "positive numbers")

    @property
    def hints(self) -> tuple[tuple[str, int], ...]:
        """Names and channels of the pictures that it is controlled by."""
        if not self.query_channels:
            return (("hint", self.hint_channels),)
        return (("example_pair", self.hint_channels), ("query", self.query_channels))

    @property
    def hint_factor(self) -> int:
        """Sides of a hint over those of the latents: 8 of the published models, as of their autoencoder."""
        return 2 ** (len(self.hint_widths) - 1)

    @property
    def hint_range(self) -> tuple[float, float]:
        """The smallest and the largest value of a hint."""
        return (-1.0, 1.0) if self.query_channels else (0.0, 1.0)

    @property
    def residual_count(self) -> int:
        """Residuals: one for each skip, and the middle's."""
        levels = len(self.channel_mult)
        return 1 + levels * self.num_res_blocks + (levels - 1) + 1


_SD1 = ControlNetSpec()
PUBLISHED: Mapping[str, ControlNetSpec] = {
    "controlnet-sd1": _SD1,
    "controlnet-sd1-shuffle": replace(_SD1, pooled=True),
    "controlnet-sd2": replace(_SD1, context_width=1024, linear_projection=True, num_heads=0, num_head_channels=64),
    "prompt-diffusion": replace(_SD1, hint_channels=6, query_channels=3),
}


def told_by_encoder(
    shapes: Shapes, hints: Sequence[int], hint_widths: tuple[int, ...], *, where: str
) -> dict[str, Any]:
    """What keys and shapes tell, by the spec's names.

    Args:
        shapes: Shape of each tensor of the encoder by diffusers' key.
        hints: Channels of the first hint and of the query, 0 for none.
        hint_widths: Channels of the levels of the first hint's encoder.
        where: Named in errors.

    Raises:
        GlidewireError: The shapes are no such network's.
    """
    # It ends in residuals, and takes as many channels as the denoiser predicts.
    channels = shapes.get("conv_in.weight", (0, 0))[1:2]
    told = told_by_shapes({**shapes, "conv_out.weight": channels}, where=where)
    return {**told, "hint_channels": hints[0], "query_channels": hints[1], "hint_widths": hint_widths}


def infer_spec(
    told: Mapping[str, Any], *, stated: Mapping[str, Any], where: str
) -> tuple[str, ControlNetSpec, tuple[str, ...]]:
    """The variant, the spec, and the names of hyper-parameters that were assumed; see `ldm.spec.infer_spec`."""
    found = matching(PUBLISHED, told)
    spec = combined(next(iter(found.values()), _SD1), told, stated, where=where)
    differing = [name for name in UNTOLD if len({getattr(row, name) for row in found.values()}) > 1]
    assumed = tuple(name for name in (differing if found else UNTOLD) if name not in stated)
    if "num_heads" in stated:
        assumed = tuple(name for name in assumed if name != "num_head_channels")
    agreeing = [n for n, row in found.items() if all(getattr(row, name) == value for name, value in stated.items())]
    unknown = "Prompt Diffusion" if spec.query_channels else "ControlNet"
    return (agreeing or [*found, unknown])[0], spec, assumed
