"""Noised CLIP, which reads pictures at any timestep: its checkpoints, its text tower, and guidance by its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from torch import Tensor

from ..diffusion import guidance
from ..diffusion.denoiser import Denoiser
from ..diffusion.guidance import ScaleSchedule
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import File, Text
from ..models.noised_clip import model as noised_clip_model
from ..models.noised_clip.model import NoisedClip
from .guidance import Fraction, Strength, chosen, interval
from .sockets import PIXELS, Condition

_SUFFIXES = (".safetensors", ".pt")
_EMBEDDING = "noised_clip_text"


def _header_dims(image_encoder: Path, text_encoder: Path, **_: object) -> Mapping[str, int | str]:
    image, _text = noised_clip_model.identify_towers(image_encoder, text_encoder)
    return {"size": image.spec.image_size, "width": image.spec.embedding_width, "space": PIXELS}


@node(category="glide", title="Load noised CLIP", static_dims=_header_dims)
def load_noised_clip(
    image_encoder: Annotated[str, File(folder="models", suffixes=_SUFFIXES)] = "clip_image_enc.pt",
    text_encoder: Annotated[str, File(folder="models", suffixes=_SUFFIXES)] = "clip_text_enc.pt",
    context: Context = INJECTED,
) -> Socket[NoisedClip, "size width @space"]:
    """Load both towers of the CLIP that GLIDE trained on noised pictures, strictly.

    Args:
        image_encoder: The tower of pictures (clip_image_enc.pt).
        text_encoder: The tower of texts (clip_text_enc.pt).

    Returns: Both, for pictures of side "size" in pixel space and embeddings of "width".

    Raises: GlidewireError for other files, and for towers that were not trained together.

    Source: Nichol et al. 2021 (GLIDE, 2112.10741), section 4.4.
    """
    image, text = (context.folders.find("models", name) for name in (image_encoder, text_encoder))
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    return noised_clip_model.load_noised_clip(image, text, device=device, dtype=dtype)


@node(category="glide", title="Noised CLIP text encoder")
def noised_clip_text_encoder(
    model: Socket[NoisedClip, "_ width @space"],
    prompt: Annotated[str, Text(multiline=True)] = "",
    context: Context = INJECTED,
) -> Socket[Condition, "1 width"]:
    """Encode a prompt with noised CLIP's text tower.

    Args:
        model: Noised CLIP.
        prompt: Any text; what does not fit into the context is dropped (with a warning).

    Returns: The text's embedding "1 width".

    Source: Nichol et al. 2021 (GLIDE), section 4.4.
    """
    embedding, dropped = model.encode_prompt(prompt)
    if dropped:
        context.warn(f"the prompt is longer than {model.text.spec.context} tokens; dropped: {dropped!r}")
    return Condition({_EMBEDDING: embedding})


@node(category="guidance", title="Noised CLIP guidance", validate=interval)
def noised_clip_guidance(
    denoiser: Socket[Denoiser, "3 @space"],
    model: Socket[NoisedClip, "_ width @space"],
    text: Socket[Condition, "_ width"],
    scale: Strength = 3.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "3 @space"]:
    """Guide by noised CLIP: mean + variance · scale · grad_{x_t} (100 cos(z_image(x_t, t), z_text)).

    Args:
        denoiser: What is guided, on 3 channels of pixel space; usually of an empty text.
        model: Noised CLIP, for the size that is sampled.
        text: Where to: an embedding "1 width" of the same model.
        scale: 0 is no guidance, below 0 leads away from the text; 3 was published.
        start, end: The part of the sampling steps, from 0 (first) to 1 (last), in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "3 @space".

    Raises: GlidewireError for a text of another model.

    Source: Nichol et al. 2021 (GLIDE), eq. 8; Dhariwal & Nichol 2021 (2105.05233), algorithms 1 and 2.
    """
    towards = model.towards(embedding_of(text))
    return guidance.gradient_guidance(denoiser, towards, chosen(scale, schedule), start, end)


def embedding_of(text: Condition) -> Tensor:
    """The embedding "1 width" of a text by noised CLIP; raises a GlidewireError for a text of another model."""
    embedding = text.tensors.get(_EMBEDDING)
    if embedding is None:
        raise GlidewireError(
            "the text is no embedding of noised CLIP",
            expected=_EMBEDDING,
            got=", ".join(sorted(text.tensors)) or "nothing",
            hint="Encode it with the noised CLIP text encoder.",
        )
    return embedding
