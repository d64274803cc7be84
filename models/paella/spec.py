"""Hyper-parameters of Paella's networks, and the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..hyper_parameters import require


def _require_time(spec: object, channels: int) -> None:
    require(channels >= 4 and channels % 2 == 0, spec, "time_channels", "an even number from 4 up")


@dataclass(frozen=True)
class PaellaV1Spec:
    """The first generation's predictor, convolutions only (Rampas et al. 2022, sec. 3); defaults as published.

    Attributes:
        codes: Number of tokens of the first stage.
        width: Channels of the deepest level; each level above has half of those below.
        clip_width: Width of the CLIP vector.
        time_channels: Width of the embedding of the time.
        down_blocks: Blocks of each level on the way down, highest resolution first.
        up_blocks: Blocks of each level on the way up, lowest resolution first.
    """

    codes: int = 8192
    width: int = 1280
    clip_width: int = 1024
    time_channels: int = 64
    down_blocks: tuple[int, ...] = (4, 8, 16)
    up_blocks: tuple[int, ...] = (16, 8, 4)

    def __post_init__(self) -> None:
        for name in ("codes", "width", "clip_width"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        _require_time(self, self.time_channels)
        require(bool(self.down_blocks) and min(self.down_blocks) > 0, self, "down_blocks", "positive numbers")
        same = len(self.up_blocks) == len(self.down_blocks)
        require(same and min(self.up_blocks) > 0, self, "up_blocks", "as many positive numbers as down_blocks")
        require(self.width % self.size_multiple == 0, self, "width", f"a multiple of {self.size_multiple}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, highest resolution first."""
        levels = len(self.down_blocks)
        return tuple(self.width >> (levels - 1 - level) for level in range(levels))

    @property
    def size_multiple(self) -> int:
        """Sides of a token grid are multiples of this."""
        return 2 ** (len(self.down_blocks) - 1)


@dataclass(frozen=True)
class PaellaV3Spec:
    """The third generation's predictor, with attention (Rampas et al. 2023, sec. 3); defaults as published.

    Attributes:
        codes: Number of tokens of the first stage.
        in_channels: Width of a token's embedding.
        out_channels: Width of a token before its scores.
        time_channels: Width of the embedding of the time.
        context_width: Width of the conditions' common sequence.
        widths: Channels of each level, highest resolution first.
        heads: Attention heads of each level; 0 where it does not attend.
        blocks: Repetitions of each level's program.
        programs: What is repeated at each level: C is a convolutional block, T modulates by the time, A attends.
        clip_width: Width of CLIP's vectors.
        byt5_width: Width of ByT5's states.
        clip_tokens: Places in the sequence that each CLIP vector takes.
    """

    codes: int = 8192
    in_channels: int = 256
    out_channels: int = 256
    time_channels: int = 64
    context_width: int = 1024
    widths: tuple[int, ...] = (640, 1280, 1280)
    heads: tuple[int, ...] = (0, 16, 16)
    blocks: tuple[int, ...] = (6, 16, 6)
    programs: tuple[str, ...] = ("CT", "CTA", "CTA")
    clip_width: int = 1024
    byt5_width: int = 2560
    clip_tokens: int = 4

    def __post_init__(self) -> None:
        numbers = ("codes", "in_channels", "out_channels", "context_width", "clip_width", "byt5_width", "clip_tokens")
        for name in numbers:
            require(getattr(self, name) > 0, self, name, "a positive number")
        _require_time(self, self.time_channels)
        levels = len(self.widths)
        require(levels > 0, self, "widths", "one level or more")
        for name in ("heads", "blocks", "programs"):
            require(len(getattr(self, name)) == levels, self, name, f"one for each of {levels} levels")
        require(min(self.blocks) > 0, self, "blocks", "positive numbers")
        # The first block of a level on the way up takes the skip connection.
        right = all(program[:1] == "C" and set(program) <= set("CTA") for program in self.programs)
        require(right, self, "programs", "C first, then any of C, T and A")
        for width, heads, program in zip(self.widths, self.heads, self.programs, strict=True):
            fits = isinstance(heads, int) and (heads > 0 and width % heads == 0 if "A" in program else heads == 0)
            require(fits, self, "heads", f"divisors of {list(self.widths)} where a level attends")

    @property
    def size_multiple(self) -> int:
        """Sides of a token grid are multiples of this; the first halving is part of the embedding."""
        return 2 ** len(self.widths)


@dataclass(frozen=True)
class VqganSpec:
    """The third generation's first stage (Rampas et al. 2023, sec. 3.1); defaults as published (f4).

    Attributes:
        levels: Halvings of the picture.
        bottleneck_blocks: Blocks of the decoder at the lowest resolution.
        width: Channels at the lowest resolution; each level above has half of those below.
        latent_channels: Channels of a latent, and of a code.
        codes: Number of codes.
        scale_factor: Published latents are the autoencoder's divided by it.
    """

    levels: int = 2
    bottleneck_blocks: int = 12
    width: int = 384
    latent_channels: int = 4
    codes: int = 8192
    scale_factor: float = 0.3764

    def __post_init__(self) -> None:
        for name in ("levels", "bottleneck_blocks", "width", "latent_channels", "codes", "scale_factor"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        halves = 2 ** (self.levels - 1)
        require(self.width % halves == 0, self, "width", f"a multiple of {halves}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, highest resolution first."""
        return tuple(self.width >> (self.levels - 1 - level) for level in range(self.levels))

    @property
    def factor(self) -> int:
        """Pixels of the picture's side per token."""
        return 2**self.levels


@dataclass(frozen=True)
class PriorSpec:
    """The prior from a CLIP text vector to a CLIP image vector, an MLP; defaults as published.

    Attributes:
        clip_width: Width of both vectors.
        width: Channels between blocks.
        time_channels: Width of the embedding of the time.
        blocks: Residual blocks.
    """

    clip_width: int = 1024
    width: int = 1280
    time_channels: int = 64
    blocks: int = 48

    def __post_init__(self) -> None:
        for name in ("clip_width", "width", "blocks"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        _require_time(self, self.time_channels)


Spec = PaellaV1Spec | PaellaV3Spec | VqganSpec | PriorSpec

PUBLISHED: Mapping[str, Spec] = {
    "v1": PaellaV1Spec(),
    "1B, of CLIP image vectors": PaellaV1Spec(down_blocks=(1, 2, 8, 32), up_blocks=(32, 8, 2, 1)),
    "v3": PaellaV3Spec(),
    "f4": VqganSpec(),
    "prior": PriorSpec(),
}
