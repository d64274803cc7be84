"""The socket types of CLIP and of unCLIP's networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..graph_runtime import codec
from ..graph_runtime.sockets import socket_type
from ..models.clip.model import ClipModel
from ..models.unclip.model import DecoderModel, PriorModel


@dataclass(frozen=True)
class ClipText:
    """A text as a prior or a decoder takes it: CLIP's states beside the embedding.

    Args:
        tensor: States, "1 positions width".
        embedding: "1 projection", not normalised.
        mask: "1 positions" bool, True for tokens.
        clip: Which CLIP's these are.
    """

    tensor: Tensor
    embedding: Tensor
    mask: Tensor
    clip: str


codec.register(ClipText, "ClipText")
socket_type("CLIP_TEXT", ClipText, "A text as CLIP encodes it: states, embedding and mask.")
socket_type("CLIP_MODEL", ClipModel, "CLIP: both towers with their tokenizer.", handle=True)
socket_type("UNCLIP_PRIOR", PriorModel, "A diffusion prior: texts to picture embeddings.", handle=True)
socket_type("UNCLIP_DECODER", DecoderModel, "A decoder: picture embeddings to pictures.", handle=True)
