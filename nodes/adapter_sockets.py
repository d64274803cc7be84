"""The socket types of adapters and control networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..graph_runtime import codec
from ..graph_runtime.sockets import socket_type
from ..models.clip.image_encoder import ImageEncoder
from ..models.controlnet.model import ControlModel
from ..models.ip_adapter.model import AdapterModel


@dataclass(frozen=True)
class ImagePrompt:
    """A picture as an adapter's denoiser attends to it.

    Args:
        tensor: Tokens, "batch tokens width".
        adapter: The file of the adapter that made them.
    """

    tensor: Tensor
    adapter: str


codec.register(ImagePrompt, "ImagePrompt")
socket_type("IMAGE_PROMPT", ImagePrompt, "Pictures as image tokens: batch tokens width.")
socket_type("IMAGE_ENCODER", ImageEncoder, "CLIP's image tower: embeddings and states of pictures.", handle=True)
socket_type("IP_ADAPTER", AdapterModel, "An adapter that lets a denoiser attend to pictures.", handle=True)
socket_type("CONTROL_NETWORK", ControlModel, "A network that controls a denoiser by pictures.", handle=True)
