"""The socket types of token pictures and of embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..graph_runtime import codec
from ..graph_runtime.sockets import socket_type
from ..models.paella.model import PaellaModel
from ..models.paella.token_autoencoder import TokenAutoencoder


@dataclass(frozen=True)
class Tokens:
    """Pictures as ids of codes.

    Args:
        tensor: "batch rows columns", int64.
        codebook: Which first stage's codes these are.
    """

    tensor: Tensor
    codebook: str


@dataclass(frozen=True)
class TokenStart:
    """Where sampling of tokens starts, and the random numbers it will draw on the way.

    Args:
        tensor: Tokens, partly noise, "batch rows columns", int64.
        codebook: As in `Tokens`.
        seeds: The seed of each item of the batch.
        first_item: The number of the batch's first item.
        share: The share of the tokens that is noise, where they are to be made; 1 is pure noise.
        generate: Where tokens are made, bool "batch rows columns" or "1 rows columns"; None is everywhere.
    """

    tensor: Tensor
    codebook: str
    seeds: tuple[int, ...]
    first_item: int = 0
    share: float = 1.0
    generate: Tensor | None = None


@dataclass(frozen=True)
class Embedding:
    """CLIP's embeddings of pictures or texts, as the towers give them: not normalised.

    Args:
        tensor: "batch width".
        clip: Which CLIP's space these are in.
    """

    tensor: Tensor
    clip: str


for _cls in (Tokens, TokenStart, Embedding):
    codec.register(_cls, _cls.__name__)

socket_type("TOKENS", Tokens, "Pictures as ids of a codebook's codes: batch rows columns.")
socket_type("TOKEN_START", TokenStart, "Where sampling of tokens starts: tokens, partly noise, and seeds.")
socket_type("EMBEDDING", Embedding, "CLIP embeddings of pictures or texts: batch width, not normalised.")
socket_type("PAELLA_MODEL", PaellaModel, "A token predictor.", handle=True)
socket_type("TOKEN_AUTOENCODER", TokenAutoencoder, "A first stage with a codebook: pictures to tokens.", handle=True)
