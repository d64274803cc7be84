"""unCLIP's prior and decoder as wholes: the networks, and the CLIP whose embeddings they make and take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..checkpoint import identify, load, load_identified
from ..clip.model import CLIP
from ..first_stage.model import SPACE
from ..handle import Handle
from ..registry import Identity
from .spec import DECODERS, PRIORS

if TYPE_CHECKING:
    from .decoder import Decoder
    from .embedding import EmbeddingStatistics
    from .prior import Prior

# Of the published models (Lee et al. 2022, Karlo; Razzhigaev et al. 2023, Kandinsky).
_OPENAI, _LAION = "ViT-L/14 of OpenAI", "ViT-bigG/14"
CLIPS: Mapping[str, str] = {
    name: _LAION if name.startswith("kandinsky-2.2") else _OPENAI for name in (*PRIORS, *DECODERS)
}
PIXELS, MOVQ = "pixels", "MoVQ"


@dataclass(frozen=True)
class PriorModel(Handle):
    """A diffusion prior with the statistics of its embeddings.

    Attributes:
        network: Frozen, in evaluation mode; its `space` is the CLIP.
        statistics: Of the embeddings, where the prior's own file does not carry them.
    """

    network: Prior
    statistics: EmbeddingStatistics | None = None

    @property
    def clip(self) -> str:
        """Which CLIP's embeddings it makes."""
        return self.network.space

    def digest(self) -> str:
        """Content identity of the numbers, for cache keys."""
        return f"{self.network.digest()} {self.statistics.digest() if self.statistics else ''}"

    @torch.no_grad()
    def picture_embedding(self, x_0: Tensor) -> Tensor:
        """The CLIP embedding "batch width" that a sample stands for; errors as `Prior.picture_embedding`."""
        return self.network.picture_embedding(x_0, self.statistics)


@dataclass(frozen=True)
class DecoderModel(Handle):
    """A decoder of embeddings.

    Attributes:
        network: Frozen, in evaluation mode; its `space` is that of what it makes.
        clip: Which CLIP's embeddings it takes.
    """

    network: Decoder
    clip: str


def identify_part(path: str | Path, component: str) -> Identity:
    """The "prior" or "decoder" in a file; raises GlidewireError as `identify`, or if it is not unCLIP's."""
    identity = identify(path, component=component)
    if identity.family != "unclip":
        raise GlidewireError(f"{identity.header.name} is no unCLIP {component}", expected="unclip", got=identity.family)
    return identity


def clip_of(identity: Identity, stated: str = "") -> str:
    """The CLIP of a prior or decoder: what is stated, what the file says, or what was published.

    Raises:
        GlidewireError: Nothing tells.
    """
    named = stated or identity.header.metadata.get(CLIP, "") or CLIPS.get(identity.variant, "")
    if not named:
        raise GlidewireError(
            f"{identity.header.name} does not tell which CLIP's embeddings it was trained with",
            expected=f"a published {identity.component}, or a name",
            got=identity.variant or "an unpublished form",
            hint="Write a name into clip: the same text that the CLIP is loaded with.",
        )
    return named


def decoded_space(identity: Identity) -> str:
    """Where a decoder's samples live: what the file says; else pixels for Karlo, and Kandinsky's latents."""
    named = identity.header.metadata.get(SPACE, "")
    return named or (PIXELS if identity.spec.system == "karlo" else MOVQ)


def load_prior(
    path: str | Path,
    statistics: str | Path | None = None,
    *,
    clip: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> PriorModel:
    """Load a prior and, if it has a file of its own, the statistics of embeddings; errors as `models.checkpoint.load`.

    Raises:
        GlidewireError: The statistics are missing, or of another width.
    """
    identity = identify_part(path, "prior")
    name, spec = clip_of(identity, clip), identity.spec
    if statistics is None and not spec.carries_statistics:
        raise GlidewireError(
            f"{identity.header.name} does not carry the statistics of embeddings",
            expected="a file with their mean and deviation beside it",
            hint="Name the file of statistics that was published with the prior (Karlo: ViT-L-14_stats.th).",
        )
    loaded = None
    if statistics is not None:
        loaded = cast("EmbeddingStatistics", load(statistics, component="statistics", device=device, dtype=dtype))
        if loaded.spec.width != spec.embedding_width:
            raise GlidewireError(
                "the statistics are of other embeddings than the prior's",
                expected=f"width {spec.embedding_width}",
                got=f"width {loaded.spec.width}",
            )
    network = cast("Prior", load_identified(identity, device=device, dtype=dtype))
    network.space = name
    return PriorModel(network, loaded)


def load_decoder(
    path: str | Path,
    *,
    clip: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> DecoderModel:
    """Load a decoder, strictly; `clip` as `clip_of`, errors as `models.checkpoint.load`."""
    identity = identify_part(path, "decoder")
    name = clip_of(identity, clip)
    network = cast("Decoder", load_identified(identity, device=device, dtype=dtype))
    network.space = decoded_space(identity)
    return DecoderModel(network, name)
