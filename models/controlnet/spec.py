"""A control network's hyper-parameters: the published models, and their inference from a state dict's shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..hyper_parameters import combined, matching, require
from ..ldm.spec import Shapes, UnetSpec, told_by_shapes

# Levels at which the encoders of hints halve a picture's sides; it is this much larger than the latents.
HINT_WIDTHS = (16, 32, 96, 256)
HINT_FACTOR = 2 ** (len(HINT_WIDTHS) - 1)
# What shapes cannot tell, of what a control network uses.
UNTOLD = ("num_heads", "num_head_channels", "norm_groups", "pooled")


@dataclass(frozen=True)
class ControlNetSpec(UnetSpec):
    """Hyper-parameters of one control network (Zhang et al. 2023): those of the U-Net that it copies, and of hints.

    Attributes:
        hint_channels: Channels of the first hint: a picture, or Prompt Diffusion's pair of example pictures.
        query_channels: Channels of Prompt Diffusion's query; 0 for a ControlNet.
        pooled: Whether residuals are averaged over the picture, as shuffled hints need.
    """

    hint_channels: int = 3
    query_channels: int = 0
    pooled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.context_width > 0, self, "context_width", "a positive number")
        require(self.hint_channels > 0, self, "hint_channels", "a positive number")
        require(self.query_channels >= 0, self, "query_channels", "0 or more")

    @property
    def hints(self) -> tuple[tuple[str, int], ...]:
        """Names and channels of the pictures that it is controlled by, 8 times as large as the latents."""
        if not self.query_channels:
            return (("hint", self.hint_channels),)
        return (("example_pair", self.hint_channels), ("query", self.query_channels))

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


def told_by_encoder(shapes: Shapes, hints: Sequence[int], *, where: str) -> dict[str, Any]:
    """What keys and shapes tell, by the spec's names.

    Args:
        shapes: Shape of each tensor of the encoder by diffusers' key.
        hints: Channels of the first hint and of the query, 0 for none.
        where: Named in errors.

    Raises:
        GlidewireError: The shapes are no such network's.
    """
    # It ends in residuals, and takes as many channels as the denoiser predicts.
    channels = shapes.get("conv_in.weight", (0, 0))[1:2]
    told = told_by_shapes({**shapes, "conv_out.weight": channels}, where=where)
    return {**told, "hint_channels": hints[0], "query_channels": hints[1]}


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
