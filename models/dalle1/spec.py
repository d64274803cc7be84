"""Hyper-parameters of one half of DALL-E's discrete autoencoder, all told by its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ...errors import GlidewireError
from ..hyper_parameters import combined, require, typed

Half = Literal["encoder", "decoder"]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class DvaeSpec:
    """Hyper-parameters of one half (Ramesh et al. 2021, appendix A.1); the defaults are the published encoder's.

    Attributes:
        half: Which half it is; they are published as two files.
        channels: Channels of the pictures that go in, or of the statistics that come out.
        codes: Number of tokens.
        first: Width of the first convolution.
        widths: Width of each group of blocks, in order; between groups the sides are halved or doubled.
        blocks: Residual blocks of a group.
    """

    half: Half = "encoder"
    channels: int = 3
    codes: int = 8192
    first: int = 256
    widths: tuple[int, ...] = (256, 512, 1024, 2048)
    blocks: int = 2

    def __post_init__(self) -> None:
        require(self.half in get_args(Half), self, "half", get_args(Half))
        for name in ("channels", "codes", "first", "blocks"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        fits = bool(self.widths) and all(width > 0 and width % 4 == 0 for width in self.widths)
        require(fits, self, "widths", "multiples of 4")

    @property
    def factor(self) -> int:
        """Pixels of the picture's side per token."""
        return 2 ** (len(self.widths) - 1)


PUBLISHED: Mapping[Half, DvaeSpec] = {
    "encoder": DvaeSpec(),
    "decoder": DvaeSpec(half="decoder", channels=6, first=128, widths=(2048, 1024, 512, 256)),
}


def infer_spec(shapes: Shapes, *, stated: Mapping[str, Any], where: str) -> DvaeSpec:
    """The spec of a state dict; raises GlidewireError if it is no half's, or contradicts what is stated."""
    given = typed(DvaeSpec, stated, where=f"{where}: stated hyper-parameters")
    try:
        told = _told(shapes)
    except (KeyError, ValueError) as error:
        raise GlidewireError(f"{where} is not a half of DALL-E's autoencoder: key {error} is missing") from error
    return combined(PUBLISHED[told["half"]], told, given, where=where)


def _told(shapes: Shapes) -> dict[str, Any]:
    first, channels_in, side, _ = shapes["blocks.input.w"]
    channels_out = shapes["blocks.output.conv.w"][0]
    half: Half = "encoder" if side > 1 else "decoder"
    widths: list[int] = []
    while (key := f"blocks.group_{len(widths) + 1}.block_1.res_path.conv_4.w") in shapes:
        widths.append(shapes[key][0])
    return {
        "half": half,
        "channels": channels_in if half == "encoder" else channels_out,
        "codes": channels_out if half == "encoder" else channels_in,
        "first": first,
        "widths": tuple(widths),
        "blocks": sum(key.startswith("blocks.group_1.") and key.endswith(".conv_4.w") for key in shapes),
    }
