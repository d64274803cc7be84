"""Asyrp: directions in a U-Net's bottleneck, added asymmetrically in a part of a run, and boosted sampling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from ..diffusion import editing, schedules
from ..diffusion.denoiser import Denoiser
from ..diffusion.schedules import NoiseSchedule
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket, socket_type
from ..graph_runtime.widgets import File, Number, Slider, Text
from ..models.asyrp import edit as edits
from ..models.asyrp import pixel
from ..models.asyrp.edit import WeightedDirections
from . import bottleneck_runs, sampling
from .autoencoders import SUFFIXES
from .guidance import Fraction
from .sockets import PIXELS, Sample, Start
from .token_sockets import Embedding
from .unet_tags import of_unet

Checkpoint = Annotated[str, File(folder="models", suffixes=SUFFIXES)]
Scale = Annotated[float, Slider(min=-10.0, max=10.0, step=0.05)]
Timestep = Annotated[int, Number(min=0, max=1000)]

socket_type("H_DIRECTION", WeightedDirections, "Directions in a U-Net's bottleneck, with scales.", handle=True)


class LoadedPixelModel(NamedTuple):
    """An unconditional pixel diffusion model, and the noise schedule that it was trained with."""

    denoiser: Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"]
    schedule: Socket[NoiseSchedule, "steps"]


def _pixel_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    identity = pixel.identify_pixel(checkpoint)
    dims = {"channels": identity.dims["channels"], "space": PIXELS, "steps": 1000}
    return {**dims, **of_unet(identity.spec, 0)}


def _direction_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    dims = edits.identify_direction(checkpoint).dims
    tags = {"bottleneck": "bottleneck", "time_width": "time_embedding"}
    return {tag: str(dims[name]) for tag, name in tags.items() if name in dims}


@node(category="bottleneck", static_dims=_pixel_dims)
def load_pixel_denoiser(checkpoint: Checkpoint, context: Context = INJECTED) -> LoadedPixelModel:
    """Load an unconditional pixel diffusion model, strictly: DDPM's U-Net, or the ablated one (guided diffusion).

    Args:
        checkpoint: A file in a published layout or in diffusers'.

    Returns: denoiser, on "channels" of pixel space; schedule, "steps" of linear betas.

    Raises: GlidewireError with the whole list of keys that do not fit.

    Source: Ho et al. 2020 (DDPM, 2006.11239), appendix B; Dhariwal & Nichol 2021 (2105.05233).
    """
    path = context.folders.find("models", checkpoint)
    leaf = pixel.load_pixel(path, device=context.policy.torch_device, dtype=context.policy.torch_dtype)
    return LoadedPixelModel(leaf, schedules.linear())


@node(category="bottleneck", title="Load h-space direction", static_dims=_direction_dims)
def load_h_direction(
    checkpoint: Checkpoint,
    number: Annotated[int, Number(min=0, max=1000)] = 0,
    of_all_timesteps: bool = False,
    context: Context = INJECTED,
) -> Socket[WeightedDirections, "@bottleneck @time_width"]:
    """Load a direction in a bottleneck: a trained f_t in either published layout, or tensors by timestep.

    Args:
        checkpoint: A published file.
        number: Which direction, where a file holds several.
        of_all_timesteps: With tensors by timestep: take their mean, the global direction, at every step.

    Returns: The direction at scale 1, for U-Nets with "bottleneck" channels in their middle.

    Raises: GlidewireError with the whole list of keys that do not fit, or where there is no such direction.

    Source: Kwon et al. 2023 (Asyrp, 2210.10960), section 4.2 and figure 4.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    return edits.load_directions(path, number, of_all_timesteps=of_all_timesteps, device=device, dtype=dtype)


@node(category="bottleneck", title="Add h-space directions")
def add_h_directions(
    first: Socket[WeightedDirections, "@bottleneck @time_width"],
    second: Socket[WeightedDirections, "@bottleneck @time_width"] | None = None,
    third: Socket[WeightedDirections, "@bottleneck @time_width"] | None = None,
    first_scale: Scale = 1.0,
    second_scale: Scale = 1.0,
    third_scale: Scale = 1.0,
) -> Socket[WeightedDirections, "@bottleneck @time_width"]:
    """A linear combination of directions: sum of scale_i · direction_i, each divided by sqrt(number) when applied.

    Args:
        first: A direction, or a combination.
        second, third: More, if wired.
        first_scale, second_scale, third_scale: Below 0 goes the opposite way.

    Returns: The combination, for the same "bottleneck".

    Source: Kwon et al. 2023 (Asyrp, 2210.10960), section 5.2.
    """
    wired = ((first, first_scale), (second, second_scale), (third, third_scale))
    found = [direction.times(scale) for direction, scale in wired if direction is not None]
    return sum(found[1:], found[0])


@node(category="bottleneck", title="Edit h-space (Asyrp)")
def edit_h_space(
    denoiser: Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"],
    direction: Socket[WeightedDirections, "@bottleneck @time_width"],
    schedule: Socket[NoiseSchedule, "_"],
    strength: Scale = 1.0,
    t_edit: Timestep = 500,
    trained_steps: Annotated[int, Number(min=0, max=1000)] = 40,
    start: Fraction = 0.0,
    asymmetric: bool = True,
) -> Socket[Denoiser, "channels @space"]:
    """Edit what a denoiser predicts by its bottleneck: x_{t-1} = sqrt(abar') P_t(eps edited) + D_t(eps).

    One way down and two ways up per step. After t_edit, and before the start, it is the denoiser itself: an edit that
    starts late resumes from what is stored of the run without it. Edits of an edited denoiser add up, each with steps
    and strengths of its own.

    Args:
        denoiser: Any U-Net under a condition (GLIDE, an unCLIP decoder, a latent denoiser, IF, a pixel model), or
            guidance of some, on "channels @space".
        direction: A direction in its bottleneck, or a combination of some.
        schedule: What the sampler walks.
        strength: Of the edit; below 0 goes the opposite way, 0 changes nothing.
        t_edit: The last timestep that is edited: by the rule of edit timesteps, or by hand.
        trained_steps: Steps of the run that the direction was trained in: strengths are multiplied by trained steps
            over steps, and published ones took 40; 0 leaves them.
        start: The first part of the run, from 0 to 1, that is left as it is.
        asymmetric: Off edits both terms alike, which cancels out.

    Returns: The edited denoiser, on the same "channels @space". Sample it by DDIM, or boosted.

    Raises: GlidewireError for a direction of another width, naming its file, or an edit that ends before it starts.

    Source: Kwon et al. 2023 (Asyrp, 2210.10960), eq. 4 and section 5.2.
    """
    return edits.edited(denoiser, direction, schedule, strength, trained_steps, t_edit, start, asymmetric)


class EditTimesteps(NamedTuple):
    """Where an edit ends, and where boosting begins."""

    t_edit: int
    t_boost: int


def _predicted_is_table(predicted: str) -> None:
    bottleneck_runs.table(predicted)


def _noised_is_table(noised: str) -> None:
    bottleneck_runs.table(noised)


@node(category="bottleneck", validate=(_predicted_is_table, _noised_is_table))
def edit_timesteps(
    predicted: Annotated[str, Text(multiline=True)],
    noised: Annotated[str, Text(multiline=True)],
    source: Socket[Embedding, "1 width @clip"] | None = None,
    target: Socket[Embedding, "1 width @clip"] | None = None,
    cosine: Fraction = 0.9,
    edit_distance: Annotated[float, Slider(min=0.0, max=2.0, step=0.01)] = editing.EDIT_DISTANCE,
    boost_distance: Annotated[float, Slider(min=0.0, max=2.0, step=0.01)] = editing.BOOST_DISTANCE,
) -> EditTimesteps:
    """t_edit and t_boost by the published rules, from tables of perceptual distances.

    t_edit is the smallest t with LPIPS(x, P_t) >= 0.33 cos(source, target); t_boost that with LPIPS(x, x_t) >= 1.2.

    Args:
        predicted: Lines of a timestep and the mean distance between pictures and the clean sample predicted there.
        noised: Lines of a timestep and the mean distance between pictures and their noised form.
        source, target: CLIP's embeddings "1 width" of what pictures show and of what they shall show.
        cosine: Their similarity, where they are not wired.
        edit_distance: 0.33 was published.
        boost_distance: 1.2 was published.

    Returns: t_edit for edit h-space, and t_boost for the boosted sampler.

    Raises: GlidewireError for a line that is no pair of numbers, or a distance that nothing reaches.

    Source: Kwon et al. 2023 (Asyrp, 2210.10960), sections 4.3 and 4.4, appendix A.
    """
    similarity = bottleneck_runs.cosine(source, target, cosine)
    t_edit = editing.edit_timestep(*bottleneck_runs.table(predicted), similarity, edit_distance)
    return EditTimesteps(t_edit, editing.first_reaching(*bottleneck_runs.table(noised), boost_distance))


@node(category="sampling", title="Boosted DDIM sampler (Asyrp)", memo=sampling.MEMO)
def boosted_sampler(
    denoiser: Socket[Denoiser, "channels @space"],
    schedule: Socket[NoiseSchedule, "_"],
    start: Socket[Start, "batch channels height width @space"],
    t_boost: Timestep = 200,
    clip: bool = True,
    context: Context = INJECTED,
) -> Socket[Sample, "batch channels height width @space"]:
    """DDIM that is deterministic down to t_boost, and adds the noise of ancestral sampling (eta 1) below it.

    Args:
        denoiser: What predicts eps, x_0 or v, edited or not.
        schedule: The timesteps to visit.
        start: x_T or x_t, "batch channels height width", and the seeds of the noise.
        t_boost: The last deterministic timestep; 0 is DDIM.
        clip: Clip the predicted x_0 to [-1, 1].

    Returns: x_0, "batch channels height width".

    Raises: GlidewireError where a step yields NaN or infinity, naming the step.

    Source: Kwon et al. 2023 (Asyrp, 2210.10960), section 4.4.
    """
    return sampling.run(denoiser, schedule, start, editing.boosted_ddim(float(t_boost), clip=clip), context)


@node(category="bottleneck", title="Mean h-space direction")
def mean_h_direction(
    denoiser: Socket[Denoiser, "channels @space @sides @context_width @bottleneck @time_width"],
    direction: Socket[WeightedDirections, "@bottleneck @time_width"],
    schedule: Socket[NoiseSchedule, "_"],
    start: Socket[Start, "_ channels _ _ @space"],
    strength: Scale = 1.0,
    t_edit: Timestep = 500,
    of_all_timesteps: bool = False,
    clip: bool = True,
    context: Context = INJECTED,
) -> Socket[WeightedDirections, "@bottleneck @time_width"]:
    """The mean of what f_t adds, over the pictures of a run: at each of its timesteps, or over these too (global).

    Args:
        denoiser: What is edited, on "channels @space".
        direction: A trained f_t, or a combination of some.
        schedule: The timesteps to visit.
        start: The pictures' beginnings, "batch channels height width".
        strength: At which the pictures are edited; the mean is of that strength 1.
        t_edit: The last timestep that is edited.
        of_all_timesteps: One direction for all timesteps.
        clip: Clip the predicted x_0 to [-1, 1], as pixel models want and latents do not.

    Returns: The mean direction, for the same "bottleneck"; apply it with trained steps as many as this run's.

    Raises: GlidewireError as edit h-space.

    Source: Kwon et al. 2023 (Asyrp, 2210.10960), section 5.3 and appendix C.
    """
    settings = bottleneck_runs.Settings(strength, t_edit, of_all_timesteps, clip)
    return bottleneck_runs.mean_direction(denoiser, direction, schedule, start, settings, context)


@node(category="bottleneck", title="Save h-space direction", effect=True)
def save_h_direction(
    direction: Socket[WeightedDirections, "@bottleneck @time_width"],
    prefix: Annotated[str, Text(cosmetic=True)] = "h-direction",
    context: Context = INJECTED,
) -> None:
    """Save a mean direction as tensors by timestep, which load h direction takes, without the f_t that it was taken of.

    Args:
        direction: Of mean h direction, or loaded from such a file; its scale is multiplied in.
        prefix: The file is called `<prefix>_00001.safetensors`, with the next free number, in the output folder.

    Raises: GlidewireError for an f_t or a sum of several directions, or where the prefix leads out of the output
        folder or the file cannot be written.

    Source: Kwon et al. 2023 (Asyrp, 2210.10960), section 5.3.
    """
    path = context.folders.next_destination(prefix, ".safetensors")
    edits.save_direction(direction, path)
    context.show(text=[path.relative_to(context.folders.output.resolve()).as_posix()])
