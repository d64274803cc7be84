"""Imagen's line (DeepFloyd IF): T5's texts, the first stage, and upsamplers with noise-conditioning augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import torch

from ..diffusion.augmentation import conditioning_augmentation, noise_step
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.noise import SeededNoise
from ..diffusion.schedules import NoiseSchedule, squared_cosine
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket, socket_type
from ..graph_runtime.widgets import File, Number, Seed, Slider, Text, Wired
from ..models.imagen import model as stages
from ..models.imagen.model import ImagenModel, T5TextEncoder
from .autoencoders import SUFFIXES
from .sockets import PIXELS, Condition, Sample
from .unet_tags import of_unet

Checkpoint = Annotated[str, File(folder="models", suffixes=SUFFIXES)]

socket_type("T5", T5TextEncoder, "A T5 text encoder with its tokenizer.", handle=True)
socket_type("IMAGEN_MODEL", ImagenModel, "A stage of a cascade that T5's texts condition.", handle=True)


class LoadedStage(NamedTuple):
    """A stage of a cascade, and the noise schedule that it was trained with."""

    model: Socket[ImagenModel, "channels text_width @space @sides @context_width @bottleneck @time_width"]
    schedule: Socket[NoiseSchedule, "steps"]


def _text_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    dims = stages.identify_t5(checkpoint).dims
    return {"positions": dims["positions"], "text_width": dims["text_width"]}


def _stage_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    spec = stages.identify_stage(checkpoint).spec
    dims = {"channels": spec.channels, "text_width": spec.text_width, "space": PIXELS, "steps": 1000}
    return {**dims, **of_unet(spec, spec.context_width)}


@node(category="imagen", title="Load T5 text encoder", static_dims=_text_dims)
def load_t5_text_encoder(
    checkpoint: Checkpoint,
    vocabulary: Annotated[str, File(folder="models", suffixes=(".json", ".model"))] | None = None,
    context: Context = INJECTED,
) -> Socket[T5TextEncoder, "positions text_width"]:
    """Load a T5 encoder with its tokenizer, strictly, from local files.

    Args:
        checkpoint: A file of a T5 or of its encoder alone, such as a pipeline's text_encoder/model.safetensors.
        vocabulary: tokenizer.json or spiece.model; empty takes what the file carries, or else looks in the encoder's
            folder and in `tokenizer` beside it.

    Returns: A text encoder of "positions" tokens and states of "text_width".

    Raises: GlidewireError with the whole list of keys that do not fit, or where there is no tokenizer, or one with
        more tokens than the encoder has.

    Source: Raffel et al. 2020 (T5, 1910.10683); Saharia et al. 2022 (Imagen, 2205.11487), section 2.1.
    """
    path = context.folders.find("models", checkpoint)
    words = context.folders.find("models", vocabulary) if vocabulary else None
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    return stages.load_t5(path, words, device=device, dtype=dtype)


@node(category="imagen", title="T5 text")
def t5_text(
    encoder: Socket[T5TextEncoder, "positions text_width"],
    prompt: Annotated[str, Text(multiline=True)] = "",
    context: Context = INJECTED,
) -> Socket[Condition, "1 positions text_width"]:
    """Encode a prompt with T5; the empty prompt is the unconditional one.

    Args:
        encoder: T5.
        prompt: Any text; what does not fit into the positions is dropped (with a warning).

    Returns: States "1 positions text_width".

    Source: Saharia et al. 2022 (Imagen, 2205.11487), section 2.1.
    """
    tensors, dropped = encoder.encode_prompt(prompt)
    if dropped:
        context.warn(f"the prompt is longer than {encoder.network.spec.positions} tokens; dropped: {dropped!r}")
    return Condition(tensors)


@node(category="imagen", title="Load Imagen stage (IF)", static_dims=_stage_dims)
def load_imagen_stage(checkpoint: Checkpoint, context: Context = INJECTED) -> LoadedStage:
    """Load a stage of DeepFloyd IF, strictly: the first one, or an upsampler.

    Args:
        checkpoint: A file in the published layout or in diffusers' (of IF-I-XL, the unet's).

    Returns: model, of pictures with "channels" under texts of "text_width"; schedule, "steps".

    Raises: GlidewireError with the whole list of keys that do not fit.

    Source: Saharia et al. 2022 (Imagen, 2205.11487), sections 2.2 to 2.4; DeepFloyd IF (2023).
    """
    path = context.folders.find("models", checkpoint)
    model = stages.load_stage(path, device=context.policy.torch_device, dtype=context.policy.torch_dtype)
    return LoadedStage(model, squared_cosine(1000))


@node(category="imagen", title="Imagen denoiser")
def imagen_denoiser(
    model: Socket[ImagenModel, "channels text_width @space @sides @context_width @bottleneck @time_width"],
    text: Socket[Condition, "_ _ text_width"],
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """The first stage's prediction of eps and variance under a text, as a leaf of a guidance expression.

    IF guides it with 7 and bounds the clean sample by dynamic threshold: percentile 0.95, maximum 1.5.

    Args:
        model: A first stage.
        text: States of a T5 text, "1 positions text_width".

    Returns: A denoiser on "channels @space".

    Raises: GlidewireError for an upsampler, or a condition that is no T5 text.

    Source: Saharia et al. 2022 (Imagen), section 2.2.
    """
    _require(model, upsampler=False)
    return Leaf(model.network, _states(text))


@node(category="imagen", title="Imagen upsampler denoiser")
def imagen_upsampler_denoiser(
    model: Socket[ImagenModel, "channels text_width @space @sides @context_width @bottleneck @time_width"],
    text: Socket[Condition, "_ _ text_width"],
    sample: Socket[Sample, "batch channels _ _ @space"],
    width: Annotated[int, Number(min=8, max=4096, step=8)] = 256,
    height: Annotated[int, Number(min=8, max=4096, step=8)] = 256,
    level: Annotated[float, Slider(min=0.0, max=0.999, step=0.005)] = 0.25,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
    told: Annotated[float, Wired()] | None = None,
) -> Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]:
    """An upsampler that sees a small picture, enlarged and noised, and is told the noise's level.

    Noise-conditioning augmentation: sqrt(abar_s) resize(small) + sqrt(1 - abar_s) eps at s = int(level · 1000). More
    hides the first stage's mistakes and keeps less of the picture.

    Args:
        model: A later stage.
        text: States of a T5 text, "1 positions text_width".
        sample: The small pictures, "batch channels height width" in [-1, 1].
        width, height: The size of the large pictures, which noise start takes too.
        level: Of the noise; IF was published with 0.25. All branches of a guidance want the same.
        seed: The seed of every item's noise.
        first_item: The number of the first item, see noise_start.
        told: A level from 0 to below 1 that the upsampler is told in place of the noise's own, to see what it does
            with a wrong one.

    Returns: A denoiser on "channels @space".

    Raises: GlidewireError for a first stage, a sample of another space, a condition that is no T5 text, or a level
        that is none.

    Source: Saharia et al. 2022 (Imagen), section 2.4 and appendix A.1.
    """
    _require(model, upsampler=True)
    small = sample.tensor.float().clamp(-1, 1)
    if sample.space != PIXELS:
        raise GlidewireError("the small picture is no picture yet", expected=PIXELS, got=sample.space)
    seeds = SeededNoise((seed,) * len(small), first_item)
    noise = seeds.draw((small.shape[1], height, width), purpose="augmentation").to(small.device)
    noised, step = conditioning_augmentation(small, (height, width), level, noise)
    if told is not None:
        step = noise_step(told)
    noise_level = torch.full((len(small),), float(step), device=small.device)
    return Leaf(model.network, {**_states(text), "low_res": noised, "noise_level": noise_level})


def _require(model: ImagenModel, *, upsampler: bool) -> None:
    if model.spec.upsampler != upsampler:
        kinds = {False: "a first stage", True: "an upsampler"}
        raise GlidewireError(
            f"this stage is {kinds[not upsampler]}",
            expected=kinds[upsampler],
            got=kinds[not upsampler],
            hint="Use the other Imagen denoiser, or load the other stage.",
        )


def _states(text: Condition) -> Mapping[str, torch.Tensor]:
    if set(text.tensors) != {"text_states"}:
        raise GlidewireError(
            "the condition is no T5 text",
            expected="text_states",
            got=", ".join(sorted(text.tensors)) or "nothing",
            hint="Encode the prompt with T5 text.",
        )
    return text.tensors
