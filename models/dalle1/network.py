"""The two halves of DALL-E's discrete autoencoder; no library has them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest
from .spec import DvaeSpec

# Pixels are kept this far from 0 and 1, where a logit-Laplace density has no mass (Ramesh et al. 2021, eq. 2).
MARGIN = 0.1
# Kernel of each convolution of a residual path.
_KERNELS = {"encoder": (3, 3, 3, 1), "decoder": (1, 3, 3, 3)}


def map_pixels(picture: Tensor) -> Tensor:
    """(1 - 2 margin) x + margin: pixels in [0, 1] as the encoder takes them (Ramesh et al. 2021, A.3)."""
    return (1 - 2 * MARGIN) * picture + MARGIN


def unmap_pixels(statistics: Tensor) -> Tensor:
    """The picture "batch 3 height width" in [0, 1] of the decoder's statistics "batch 6 height width".

    clamp((sigmoid(mu) - margin) / (1 - 2 margin), 0, 1), where mu are the first three channels
    (Ramesh et al. 2021, A.3).
    """
    return ((torch.sigmoid(statistics[:, :3]) - MARGIN) / (1 - 2 * MARGIN)).clamp(0, 1)


class Block(nn.Module):
    """id(h) + path(h) / layers^2 (Ramesh et al. 2021, appendix A.1); the paths are alike but for their kernels."""

    def __init__(self, width_in: int, width: int, layers: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.gain = layers**-2
        hidden = width // 4
        widths = (width_in, hidden, hidden, hidden, width)
        self.path = nn.ModuleList(
            nn.Conv2d(before, after, kernel, padding=kernel // 2)
            for before, after, kernel in zip(widths, widths[1:], kernels, strict=False)
        )
        self.identity = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        """Sides are kept: "batch width_in height width" to "batch width height width"."""
        change = h
        for layer in self.path:
            change = layer(F.relu(change))
        return self.identity(h) + self.gain * change


class DvaeHalf(nn.Module):
    """Encoder: pictures to logits of tokens. Decoder: tokens to statistics of pictures (Ramesh et al. 2021)."""

    def __init__(self, spec: DvaeSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        encodes = spec.half == "encoder"
        self.input = (
            nn.Conv2d(spec.channels, spec.first, 7, padding=3) if encodes else nn.Conv2d(spec.codes, spec.first, 1)
        )
        layers, before = len(spec.widths) * spec.blocks, spec.first
        groups = []
        for width in spec.widths:
            sizes = [before, *[width] * (spec.blocks - 1)]
            groups.append(nn.ModuleList(Block(size, width, layers, _KERNELS[spec.half]) for size in sizes))
            before = width
        self.groups = nn.ModuleList(groups)
        self.output = nn.Conv2d(before, spec.codes if encodes else spec.channels, 1)

    def forward(self, h: Tensor) -> Tensor:
        """One half.

        Args:
            h: Encoder: a picture in [0, 1] after `map_pixels`, "batch 3 height width", sides multiples of
                `spec.factor`. Decoder: weights of the tokens, one-hot or soft, "batch codes h w".

        Returns:
            Encoder: logits "batch codes height/factor width/factor". Decoder: statistics "batch 6 height width".

        Raises:
            GlidewireError: Channels or sides that do not fit.
        """
        encodes = self.spec.half == "encoder"
        channels, multiple = (self.spec.channels, self.spec.factor) if encodes else (self.spec.codes, 1)
        if h.ndim != 4 or h.shape[1] != channels or any(side % multiple for side in h.shape[2:]):
            raise GlidewireError(
                f"DALL-E's {self.spec.half} does not fit its input",
                expected=f"batch x {channels} channels x sides that are multiples of {multiple}",
                got=tuple(h.shape),
            )
        h = self.input(h)
        for index, group in enumerate(self.groups):
            if index:
                h = F.max_pool2d(h, 2) if encodes else F.interpolate(h, scale_factor=2, mode="nearest")
            for block in group:  # pyrefly: ignore
                h = block(h)
        return self.output(F.relu(h))

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def encode(self, picture: Tensor) -> Tensor:
        """Tokens "batch h w" of a picture "batch 3 height width" in [0, 1]: the likeliest of each place."""
        self._require("encoder")
        return self(map_pixels(picture)).argmax(dim=1)

    def decode(self, tokens: Tensor) -> Tensor:
        """The picture "batch 3 height width" in [0, 1] of tokens "batch h w" int64."""
        self._require("decoder")
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.spec.codes:
            raise GlidewireError(
                "a token has no code in DALL-E's autoencoder",
                expected=f"0 to {self.spec.codes - 1}",
                got=f"{int(tokens.min())} to {int(tokens.max())}",
            )
        weights = F.one_hot(tokens, self.spec.codes).movedim(-1, 1).to(self.input.weight.dtype)
        return unmap_pixels(self(weights))

    def _require(self, half: str) -> None:
        if self.spec.half != half:
            raise GlidewireError(f"this is the {self.spec.half} of DALL-E's autoencoder", expected=f"its {half}")
