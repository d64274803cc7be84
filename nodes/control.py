"""Control networks: ControlNet by a picture, Prompt Diffusion by an example pair and a query."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch

from ..diffusion.denoiser import Denoiser
from ..diffusion.rewriting import within
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Choice, File, Slider, Text
from ..models.controlnet import model as controls
from ..models.controlnet.model import TASKS
from . import inpainting
from .adapter_sockets import ControlModel
from .autoencoders import SUFFIXES
from .guidance import Fraction, interval
from .sockets import Image
from .unet_tags import of_unet

Strength = Annotated[float, Slider(min=-2.0, max=2.0, step=0.05)]
WRONG_SIDE = (
    "the query looks like the pair's target, not like its source: Prompt Diffusion does to the query what was done "
    "to the source. Exchange source and target, or take another query."
)


def _dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    spec = controls.identify_control(checkpoint).spec
    return {"channels": spec.in_channels, "query": spec.query_channels, **of_unet(spec, spec.context_width)}


@node(category="control", static_dims=_dims)
def load_control_network(
    checkpoint: Annotated[str, File(folder="models", suffixes=SUFFIXES)],
    context: Context = INJECTED,
) -> Socket[ControlModel, "channels query @context_width @bottleneck @time_width"]:
    """Load a ControlNet or Prompt Diffusion's control network, strictly, also out of a whole checkpoint.

    Args:
        checkpoint: A file in the published layout or in diffusers'.

    Returns: A control network for denoisers of "channels"; "query" is 0 for a ControlNet, and 3 for Prompt Diffusion.

    Raises: GlidewireError with the whole list of keys that do not fit.

    Source: Zhang et al. 2023 (ControlNet, 2302.05543), section 3; Wang et al. 2023 (Prompt Diffusion, 2305.01115).
    """
    path = context.folders.find("models", checkpoint)
    model = controls.load_control(path, device=context.policy.torch_device, dtype=context.policy.torch_dtype)
    for remark in model.remarks:
        context.warn(remark)
    return model


def _are_factors(by_residual: str) -> None:
    controls.read_factors(by_residual)


@node(category="control", title="Apply ControlNet", validate=(interval, _are_factors))
def apply_control_net(
    denoiser: Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"],
    control: Socket[ControlModel, "channels 0 @context_width @bottleneck @time_width"],
    hint: Socket[Image, "_ _ _ 3"],
    strength: Strength = 1.0,
    by_residual: Annotated[str, Text()] = "",
    start: Fraction = 0.0,
    end: Fraction = 1.0,
) -> Socket[Denoiser, "channels @space"]:
    """Control a denoiser by a picture of edges, depth, poses ...: skip_i + strength_i · residual_i.

    Apply it to the conditional and the unconditional alike (or after guidance): both share one forward.

    Args:
        denoiser: A text-conditional latent denoiser on "channels @space", or guidance of some.
        control: A ControlNet that was trained for it.
        hint: "1 or batch, height, width, 3" in [0, 1], as large as what the latents decode to.
        strength: Of all residuals; 0 changes nothing, bit for bit.
        by_residual: Factors of it, one for each skip on the way down and the middle, such as "0.5, 1, ..."; guess for
            those of a run without text; empty for all 1.
        start, end: The part of the sampling steps, from 0 to 1, that is controlled.

    Returns: The controlled denoiser, on the same "channels @space".

    Raises: GlidewireError for a control network of another denoiser, for strengths that are out of range or too few,
        and for a hint of another size (when run).

    Source: Zhang et al. 2023 (ControlNet, 2302.05543), section 3.2 and 3.4.
    """
    strengths = control.strengths(strength, by_residual)
    inside = control.controlling(denoiser, {"hint": hint.movedim(-1, 1).contiguous()}, strengths)
    return within(inside, denoiser, start, end)


@node(category="control", title="Apply Prompt Diffusion", validate=(interval, _are_factors))
def apply_prompt_diffusion(
    denoiser: Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"],
    control: Socket[ControlModel, "channels 3 @context_width @bottleneck @time_width"],
    source: Socket[Image, "_ height width 3"],
    target: Socket[Image, "_ height width 3"],
    query: Socket[Image, "_ height width 3"],
    strength: Strength = 1.0,
    by_residual: Annotated[str, Text()] = "",
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    context: Context = INJECTED,
) -> Socket[Denoiser, "channels @space"]:
    """Do to a query what an example shows: source is to target as query is to the sample.

    Args:
        denoiser: The published model's own latent denoiser under a task's text, on "channels @space", or guidance of
            it by the empty text (with the same pair and query).
        control: Prompt Diffusion's control network.
        source, target: The example pair, "1 or batch, height, width, 3" in [0, 1]: a depth map and its picture, say.
        query: Of the source's kind, "1 or batch, height, width, 3" in [0, 1].
        strength: Of all residuals; 0 changes nothing, bit for bit.
        by_residual: Factors of it, one for each skip on the way down and the middle; empty for all 1.
        start, end: The part of the sampling steps, from 0 to 1, that is controlled.

    Returns: The controlled denoiser, on the same "channels @space". Warns where the query looks like the target.

    Raises: GlidewireError for a control network of another denoiser, for pictures of different or other sizes, and
        for strengths that are out of range or too few.

    Source: Wang et al. 2023 (Prompt Diffusion, 2305.01115).
    """
    pictures = [inpainting.to_pixels(image) for image in (source, target, query)]
    if controls.looks_like_target(*pictures):
        context.warn(WRONG_SIDE)
    pair = torch.cat(torch.broadcast_tensors(*pictures[:2]), dim=1)
    hints = {"example_pair": pair, "query": pictures[2].expand(max(len(pair), len(pictures[2])), -1, -1, -1)}
    hints["example_pair"] = pair.expand(len(hints["query"]), -1, -1, -1)
    inside = control.controlling(denoiser, hints, control.strengths(strength, by_residual))
    return within(inside, denoiser, start, end)


@node(category="control", title="Prompt Diffusion task", by_value=True)
def prompt_diffusion_task(
    task: Annotated[str, Choice(options=tuple(TASKS))] = "depth to image",
    caption: Annotated[str, Text(multiline=True)] = "",
) -> str:
    """The text of one of the six tasks that Prompt Diffusion was trained on.

    Args:
        task: Which one; source and query are of its first kind, target and sample of its second.
        caption: What the sample shall show, for the tasks that make an image; the others say what they make instead.

    Returns: The prompt for the text encoder.

    Source: Wang et al. 2023 (Prompt Diffusion, 2305.01115).
    """
    return TASKS[task] or caption
