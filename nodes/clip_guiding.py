"""Guidance by gradients beside noised CLIP's own: an ordinary CLIP on the predicted x_0 and its score, a classifier."""

from __future__ import annotations

from typing import Annotated

import torch

from ..diffusion import guidance
from ..diffusion.denoiser import Denoiser
from ..diffusion.guidance import PredictedGradient, ScaleSchedule
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Seed, Slider, Text
from ..models.clip.model import ClipModel
from ..models.noised_clip.model import NoisedClip
from . import sampling
from .embedding_sampling import require_clip
from .guidance import Fraction, Strength, chosen, interval
from .sockets import PIXELS
from .token_sockets import Embedding


@node(category="guidance", title="CLIP guidance (predicted x0)", validate=interval)
def clip_guidance(
    denoiser: Socket[Denoiser, "3 @space"],
    model: Socket[ClipModel, "width _ _ @clip"],
    text: Socket[Embedding, "_ width @clip"],
    scale: Annotated[float, Number(min=-1e6, max=1e6, step=10)] = 1000.0,
    cutouts: Annotated[int, Number(min=1, max=256)] = 16,
    power: Annotated[float, Slider(min=0.0, max=4.0, step=0.05)] = 1.0,
    through_network: bool = True,
    seed: Annotated[int, Seed()] = 0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
) -> Socket[Denoiser, "3 @space"]:
    """Guide by an ordinary CLIP, which never saw noise, on cutouts of the predicted x_0.

    mean + variance · scale · grad_{x_t} (-mean over cutouts of 2 arcsin(|z_i - z_t| / 2)^2).

    Args:
        denoiser: What is guided, on 3 channels of pixel space.
        model: CLIP.
        text: Where to: the embedding of a text (or of a picture) by the same CLIP, "1 width".
        scale: 0 is no guidance, below 0 leads away from the text.
        cutouts: Random squares of each step, the same for the whole batch.
        power: Sizes of the squares: above 1 favours small ones.
        through_network: Whether the gradient goes through the denoiser, exactly and at about three times the cost;
            otherwise the denoiser's answer is held fixed.
        seed: Of the squares.
        start, end: The part of the sampling steps, from 0 (first) to 1 (last), in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "3 @space".

    Raises: GlidewireError for an embedding of another CLIP, or a denoiser of latents.

    Source: Crowson et al. 2022 (VQGAN-CLIP, 2204.08583), section 3; compared in Nichol et al. 2021 (GLIDE), section 5.
    """
    from ..models.clip.guidance import CutoutCritic

    require_clip("the embedding", text.clip, model.clip)
    sampling.require_space(denoiser, PIXELS)
    critic = CutoutCritic(model.network, text.tensor, cutouts, power, seed)
    gradient = PredictedGradient(denoiser, critic, through_network=through_network)
    return guidance.gradient_guidance(denoiser, gradient, chosen(scale, schedule), start, end)


@node(category="guidance", title="Watch the CLIP score")
def watch_clip_score(
    denoiser: Socket[Denoiser, "3 @space"],
    model: Socket[ClipModel, "width _ _ @clip"],
    text: Socket[Embedding, "_ width @clip"],
) -> Socket[Denoiser, "3 @space"]:
    """Show in the step inspector how well each step fits a text: cos(z_image(x_0), z_text) of the predicted x_0.

    What is sampled stays the same.

    Args:
        denoiser: What is watched, on 3 channels of pixel space.
        model: CLIP.
        text: The embedding of a text by the same CLIP, "1 width".

    Returns: The same denoiser, watched.

    Raises: GlidewireError for an embedding of another CLIP, or a denoiser of latents.

    Source: Hessel et al. 2021 (CLIPScore, 2104.08718), section 3.
    """
    from ..models.clip.guidance import ClipScore

    require_clip("the embedding", text.clip, model.clip)
    sampling.require_space(denoiser, PIXELS)
    score = ClipScore(model.network, text.tensor)
    return guidance.watched(denoiser, score.measure, score.digest())


def _names(classes: str) -> list[str]:
    return [line.strip() for line in classes.splitlines() if line.strip()]


def _is_a_class(classes: str, label: int) -> None:
    from ..models.noised_clip.network import require_class

    require_class(len(_names(classes)), label)


@node(category="guidance", validate=(interval, _is_a_class))
def classifier_guidance(
    denoiser: Socket[Denoiser, "3 @space"],
    model: Socket[NoisedClip, "_ _ @space"],
    classes: Annotated[str, Text(multiline=True)],
    label: Annotated[int, Number(min=0, max=100_000)] = 0,
    scale: Strength = 1.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    schedule: Socket[ScaleSchedule, "_"] | None = None,
    context: Context = INJECTED,
) -> Socket[Denoiser, "3 @space"]:
    """Guide by a classifier of noised pictures: mean + variance · scale · grad_{x_t} log p(class | x_t, t).

    The classifier is noised CLIP over texts: p = softmax(100 cos(z_image(x_t, t), z_class)).

    Args:
        denoiser: What is guided, on 3 channels of pixel space.
        model: Noised CLIP, for the size that is sampled.
        classes: One class a line, as a text.
        label: The number of the line that is wanted, from 0.
        scale: 0 is no guidance, below 0 leads away from the class.
        start, end: The part of the sampling steps, from 0 (first) to 1 (last), in which guidance acts.
        schedule: A scale that changes over the run, in the place of `scale`.

    Returns: The guided denoiser, on the same "3 @space".

    Raises: GlidewireError for fewer than two classes, or no such class.

    Source: Dhariwal & Nichol 2021 (2105.05233), algorithms 1 and 2; classes as texts: Radford et al. 2021 (CLIP).
    """
    _is_a_class(classes, label)
    found = []
    for name in _names(classes):
        embedding, dropped = model.encode_prompt(name)
        found.append(embedding)
        if dropped:
            context.warn(f"class {name!r} is longer than {model.text.spec.context} tokens; dropped: {dropped!r}")
    gradient = model.classifying(torch.cat(found), label)
    return guidance.gradient_guidance(denoiser, gradient, chosen(scale, schedule), start, end)
