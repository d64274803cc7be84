"""CLIP's components: the checkpoint, and the embeddings of texts and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import File, Text
from ..models.clip import model as clip_model
from ..models.clip.model import ClipModel
from .clip_sockets import ClipText
from .paella import SUFFIXES
from .sockets import Image
from .token_sockets import Embedding


class EncodedText(NamedTuple):
    """A text in CLIP's space: its embedding, and all that priors and decoders take."""

    embedding: Socket[Embedding, "1 width @clip"]
    text: Socket[ClipText, "1 positions text_width @clip"]


def _header_dims(checkpoint: Path, name: str = "", activation: str = "stored", **_: object) -> Mapping[str, int | str]:
    identity = clip_model.identify_clip(checkpoint, _stated(activation))
    spec = identity.spec
    dims = {"width": spec.image.projection, "positions": spec.text.positions, "text_width": spec.text.width}
    return {**dims, "clip": clip_model.clip_name(identity, name)}


@node(category="clip", title="Load CLIP", static_dims=_header_dims)
def load_clip(
    checkpoint: Annotated[str, File(folder="models", suffixes=SUFFIXES)],
    name: Annotated[str, Text()] = "",
    activation: Literal["stored", "quick_gelu", "gelu"] = "stored",
    context: Context = INJECTED,
) -> Socket[ClipModel, "width positions text_width @clip"]:
    """Load both towers of a CLIP, strictly: OpenAI's, open_clip's or transformers' layout.

    Args:
        checkpoint: A file in one of these layouts.
        name: What its space is called, where neither the file nor its published size tells. Left empty, it is
            the published name (ViT-L/14 of OpenAI, ViT-H/14 ...).
        activation: Of the perceptrons; stored takes what the file or its layout tells. OpenAI's models compute
            with quick_gelu, also in LAION's layout, which does not tell.

    Returns: CLIP with embeddings of "width", texts of "positions" and states of "text_width".

    Raises: GlidewireError with the whole list of keys that do not fit.

    Source: Radford et al. 2021 (CLIP, 2103.00020), section 2.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    return clip_model.load_clip(path, clip=name, activation=_stated(activation), device=device, dtype=dtype)


def _stated(activation: str) -> str:
    return "" if activation == "stored" else activation


@node(category="clip", title="CLIP text embedding")
def clip_text_embedding(
    model: Socket[ClipModel, "width positions text_width @clip"],
    prompt: Annotated[str, Text(multiline=True)] = "",
    context: Context = INJECTED,
) -> EncodedText:
    """Embed a text with CLIP; the empty text is the unconditional one of priors, decoders and Paella v3.

    Args:
        model: CLIP.
        prompt: Any text; what does not fit into CLIP's positions is dropped (with a warning).

    Returns: embedding, "1 width", not normalised; text, the states of all tokens "1 positions text_width" with
        the embedding and the mask.

    Source: Radford et al. 2021 (CLIP), section 2.4.
    """
    found, dropped = model.encode_prompt(prompt)
    if dropped:
        context.warn(f"the prompt is longer than {model.spec.text.positions} tokens; dropped: {dropped!r}")
    states, embedding, mask = found["text_states"], found["text_embedding"], found["text_mask"]
    return EncodedText(Embedding(embedding, model.clip), ClipText(states, embedding, mask, model.clip))


@node(category="clip", title="CLIP image embedding")
def clip_image_embedding(
    model: Socket[ClipModel, "width _ _ @clip"],
    image: Socket[Image, "batch _ _ 3"],
) -> Socket[Embedding, "batch width @clip"]:
    """Embed pictures with CLIP: the middle square of each, resized to CLIP's size.

    Args:
        model: CLIP.
        image: "batch height width 3" in [0, 1], of any size.

    Returns: Embeddings "batch width", not normalised.

    Source: Radford et al. 2021 (CLIP), section 2.4.
    """
    return Embedding(model.encode_picture(image.movedim(-1, 1) * 2 - 1), model.clip)
