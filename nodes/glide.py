"""GLIDE's components: the checkpoint, its text encoder, its denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.schedules import SCHEDULES, NoiseSchedule
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import File, Text
from ..models.checkpoint import identify
from ..models.glide.checkpoint import COMPONENT
from ..models.glide.model import GlideModel, load_model
from .sockets import PIXELS, Condition
from .unet_tags import of_unet


class LoadedGlide(NamedTuple):
    """A GLIDE checkpoint: the model, and the noise schedule that it was trained with."""

    model: Socket[GlideModel, "channels context width @space @sides @context_width @bottleneck @time_width"]
    schedule: Socket[NoiseSchedule, "steps"]


def _header_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    spec = identify(checkpoint, component=COMPONENT).spec
    return {
        "channels": 3,
        "context": spec.text_context,
        "width": spec.text_width,
        "steps": len(SCHEDULES[spec.schedule]()),
        "space": PIXELS,
        **of_unet(spec, spec.text_width),
    }


@node(category="glide", title="Load GLIDE", static_dims=_header_dims)
def load_glide(
    checkpoint: Annotated[str, File(folder="models", suffixes=(".safetensors", ".pt"))] = "mini-glide-base.safetensors",
    context: Context = INJECTED,
) -> LoadedGlide:
    """Load a GLIDE model from a checkpoint in the published layout, strictly: every key must be there and fit.

    Args:
        checkpoint: A published file (base.pt ...), one fine-tuned from it, or a mini that comes with the pack.

    Returns: model, its text "context" positions of "width", its pictures of "channels" in pixel space;
        schedule, "steps".

    Raises: GlidewireError with the whole list of missing, unexpected and misshapen keys.

    Source: Nichol et al. 2021 (GLIDE, 2112.10741), section 4.1.
    """
    path = context.folders.find("models", checkpoint)
    model = load_model(path, device=context.policy.torch_device, dtype=context.policy.torch_dtype)
    return LoadedGlide(model, SCHEDULES[model.spec.schedule]())


@node(category="glide", title="GLIDE text encoder")
def glide_text_encoder(
    model: Socket[GlideModel, "_ context width @space"],
    prompt: Annotated[str, Text(multiline=True)] = "",
    context: Context = INJECTED,
) -> Socket[Condition, "1 context width"]:
    """Encode a prompt with GLIDE's text transformer; the empty prompt is the unconditional one.

    Args:
        model: A GLIDE model.
        prompt: Any text; it is put into lower case, and what does not fit into the context is dropped (with a
            warning).

    Returns: Text states "1 context width", and the text embedding that is added to the time embedding.

    Source: Nichol et al. 2021 (GLIDE), section 4.1.
    """
    tensors, dropped = model.encode_prompt(prompt)
    if dropped:
        context.warn(f"the prompt is longer than {model.spec.text_context} tokens; dropped: {dropped!r}")
    return Condition(tensors)


@node(category="glide", title="GLIDE empty text")
def glide_empty_text(model: Socket[GlideModel, "_ context width @space"]) -> Socket[Condition, "1 context width"]:
    """The condition that says nothing: the empty prompt, on which GLIDE was fine-tuned to be unconditional.

    Args:
        model: A GLIDE model.

    Returns: Text states "1 context width" of padding alone, and the text embedding.

    Source: Nichol et al. 2021 (GLIDE), section 2.3 and 4.2.
    """
    return Condition(model.encode_prompt("")[0])


@node(category="glide", title="GLIDE denoiser")
def glide_denoiser(
    model: Socket[GlideModel, "channels context width @space @sides @context_width @bottleneck @time_width"],
    text: Socket[Condition, "_ context width"],
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """GLIDE's prediction of eps and variance under a text, as a leaf of a guidance expression.

    Args:
        model: A GLIDE model on "channels" of pixel space.
        text: Text encoded by the same model, "batch context width".

    Returns: A denoiser on "channels @space".

    Source: Nichol et al. 2021 (GLIDE), section 4.1.
    """
    return Leaf(model.network, text.tensors)
