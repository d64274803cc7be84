"""What latent denoisers are conditioned on: texts through CLIP or BERT, and classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import torch

from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import File, Number, Text
from ..models import checkpoint as checkpoints
from ..models.ldm import text as texts
from ..models.ldm.condition import ClassEmbedder
from ..models.ldm.text import TextEncoder
from .autoencoders import SUFFIXES
from .sockets import Condition


def _clip_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    return _text_dims(texts.identify_text_encoder(checkpoint, "clip_text"))


def _bert_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    return _text_dims(texts.identify_text_encoder(checkpoint, "ldm"))


def _text_dims(identity: checkpoints.Identity) -> Mapping[str, int | str]:
    return {"positions": identity.spec.positions, "width": identity.spec.width}


@node(category="latent diffusion", title="Load CLIP text encoder", static_dims=_clip_dims)
def load_clip_text_encoder(
    checkpoint: Annotated[str, File(folder="models", suffixes=SUFFIXES)],
    context: Context = INJECTED,
) -> Socket[TextEncoder, "positions width"]:
    """Load the CLIP text encoder of Stable Diffusion, strictly: from its own file, or out of a whole checkpoint.

    Args:
        checkpoint: A file in OpenAI's, open_clip's or transformers' layout, or a latent diffusion checkpoint.

    Returns: A text encoder of "positions" tokens and states of "width".

    Raises: GlidewireError with the whole list of keys that do not fit, or for another text encoder.

    Source: Radford et al. 2021 (CLIP, 2103.00020), section 2.4; Rombach et al. 2022.
    """
    path = context.folders.find("models", checkpoint)
    return texts.load_clip_text(path, device=context.policy.torch_device, dtype=context.policy.torch_dtype)


@node(category="latent diffusion", title="Load BERT text encoder", static_dims=_bert_dims)
def load_bert_text_encoder(
    checkpoint: Annotated[str, File(folder="models", suffixes=SUFFIXES)],
    vocabulary: Annotated[str, File(folder="models", suffixes=(".txt",))] = "vocab.txt",
    context: Context = INJECTED,
) -> Socket[TextEncoder, "positions width"]:
    """Load the transformer that latent diffusion's first text models were trained with, strictly.

    Args:
        checkpoint: A latent diffusion checkpoint (txt2img-1.4B, text2img256), or diffusers' file.
        vocabulary: BERT's vocab.txt ("bert-base-uncased"), one piece a line.

    Returns: A text encoder of "positions" tokens and states of "width".

    Raises: GlidewireError with the whole list of keys that do not fit, for another text encoder, or for a
        vocabulary of another size.

    Source: Rombach et al. 2022, section 4.3.1 and appendix E.2.1; Devlin et al. 2019 (1810.04805).
    """
    path, words = (context.folders.find("models", name) for name in (checkpoint, vocabulary))
    return texts.load_bert_text(path, words, device=context.policy.torch_device, dtype=context.policy.torch_dtype)


@node(category="latent diffusion")
def encode_prompt(
    encoder: Socket[TextEncoder, "positions width"],
    prompt: Annotated[str, Text(multiline=True)] = "",
    context: Context = INJECTED,
) -> Socket[Condition, "1 positions width"]:
    """Encode a prompt for latent diffusion; the empty prompt is the unconditional one.

    Args:
        encoder: The text encoder that the denoiser was trained with.
        prompt: Any text; what does not fit into the positions is dropped (with a warning).

    Returns: States "1 positions width", which a denoiser attends to.

    Source: Rombach et al. 2022, section 3.3.
    """
    tensors, dropped = encoder.encode_prompt(prompt)
    if dropped:
        context.warn(f"the prompt is longer than {encoder.network.spec.positions} tokens; dropped: {dropped!r}")
    return Condition(tensors)


def _class_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    dims = checkpoints.identify(checkpoint, component="class_embedder").dims
    return {"classes": dims["classes"], "width": dims["context_width"]}


@node(category="latent diffusion", static_dims=_class_dims)
def load_class_embedder(
    checkpoint: Annotated[str, File(folder="models", suffixes=SUFFIXES)],
    context: Context = INJECTED,
) -> Socket[ClassEmbedder, "classes width"]:
    """Load the class embedding of a class-conditional latent diffusion checkpoint (cin256-v2).

    Args:
        checkpoint: The whole checkpoint.

    Returns: A table of "classes" rows of "width", the last of which is no class.

    Raises: GlidewireError where the file has no class embedding.

    Source: Rombach et al. 2022, section 4.3.1 and appendix E.2.1.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    loaded: Any = checkpoints.load(path, component="class_embedder", device=device, dtype=dtype)
    return cast(ClassEmbedder, loaded)


@node(category="latent diffusion")
def class_condition(
    embedder: Socket[ClassEmbedder, "_ width"],
    label: Annotated[int, Number(min=-1, max=1_000_000)] = -1,
) -> Socket[Condition, "1 1 width"]:
    """A class as a condition.

    Args:
        embedder: The classes of the model.
        label: Which class, from 0 (of ImageNet's 1000); -1 is none, for guidance.

    Returns: A context of one position, "1 1 width".

    Raises: GlidewireError where there is no such class.

    Source: Rombach et al. 2022, section 4.3.1; Ho & Salimans 2022 (2207.12598).
    """
    chosen = embedder.no_class if label < 0 else label
    device = embedder.embedding.weight.device
    with torch.no_grad():
        return Condition({"context": embedder(torch.tensor([chosen], device=device))})
