"""Directions with their strengths, on guidance expressions: added, asymmetric, and gathered into mean directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ...diffusion import editing
from ...diffusion.denoiser import Denoiser, Leaf
from ...diffusion.rewriting import leaves, with_leaves, within
from ...diffusion.schedules import NoiseSchedule
from ...errors import GlidewireError
from ..checkpoint import identify, load_identified, save_published
from ..hyper_parameters import SPEC, to_json
from ..registry import Identity
from ..view import free_name
from . import layout
from .spec import DeltaTensorSpec

if TYPE_CHECKING:
    from .directions import Directions
    from .view import BottleneckEdit


@dataclass(frozen=True)
class WeightedDirections:
    """Directions in a bottleneck, each with its scale.

    Attributes:
        parts: Networks or tensors of directions, and a scale for each direction in them.
        names: What they are called, for errors.
    """

    parts: tuple[tuple[Directions, tuple[float, ...]], ...]
    names: tuple[str, ...] = ()

    def digest(self) -> str:
        """Content identity of the numbers and scales, for cache keys."""
        return " ".join(f"{direction.digest()} {scales!r}" for direction, scales in self.parts)

    def nbytes(self) -> int:
        """Bytes that the weights take."""
        return sum(
            weight.numel() * weight.element_size() for direction, _ in self.parts for weight in direction.parameters()
        )

    @property
    def scales(self) -> tuple[float, ...]:
        """Of all directions, in their order."""
        return tuple(scale for _, scales in self.parts for scale in scales)

    def times(self, scale: float) -> WeightedDirections:
        """The same directions, each of whose scales is multiplied."""
        parts = tuple((direction, tuple(scale * each for each in scales)) for direction, scales in self.parts)
        return WeightedDirections(parts, self.names)

    def __add__(self, other: WeightedDirections) -> WeightedDirections:
        return WeightedDirections(self.parts + other.parts, self.names + other.names)


def edited(
    denoiser: Denoiser,
    directions: WeightedDirections,
    schedule: NoiseSchedule,
    strength: float,
    trained_steps: int,
    t_edit: float,
    start: float = 0.0,
    asymmetric: bool = True,
    shows: bool = False,
) -> Denoiser:
    """A guidance expression whose bottlenecks are edited down to t_edit.

    Outside of the edited steps it is the expression itself, so that runs share what is stored of them.

    Args:
        denoiser: A U-Net under a condition, a view of one, or guidance of some; it stays as it is.
        directions: What is added, each times strength · (trained steps / steps) · scale / sqrt(number).
        schedule: What the sampler walks.
        strength: Of the whole edit; below 0 goes the opposite way, 0 gives back the expression itself.
        trained_steps: Steps of the run that the directions were trained in; 0 leaves strengths as they are.
        t_edit: The last timestep that is edited.
        start: First fraction of the steps that is edited.
        asymmetric: Whether only the predicted sample is edited, and not the direction to x_t.
        shows: Whether predictions carry what is added, as `BottleneckEdit` says.

    Raises:
        GlidewireError: Directions of another bottleneck (with their names), a network without one, or an edit that
            ends before it starts.

    Source: Kwon et al. 2023, eq. 4 and section 5.2.
    """
    end = editing.edit_end(schedule, t_edit)
    if start > end:
        raise GlidewireError(
            "the edit ends before it starts",
            expected=f"a start of at most {end:.4g}, where timestep {t_edit:g} is reached",
            got=start,
        )
    if strength == 0 or start == end:
        return denoiser
    wanted = [strength * scale for scale in directions.scales]
    of_steps = (trained_steps, len(schedule)) if trained_steps else (1, 1)
    strengths = editing.direction_strengths(wanted, *of_steps)
    views: dict[int, BottleneckEdit] = {}

    def of(coefficients: Sequence[float]) -> Denoiser:
        def changed(leaf: Leaf) -> Leaf:
            view = views[id(leaf.network)]
            return Leaf(view, {**leaf.conditioning, **view.strengths(coefficients)})

        return with_leaves(denoiser, changed)

    for leaf in leaves(denoiser):
        views.setdefault(id(leaf.network), _view(leaf.network, directions, shows))
    moved = of(strengths)
    inside = editing.asymmetric(moved, of(())) if asymmetric else moved
    return within(inside, denoiser, start, end)


def _view(network: Any, directions: WeightedDirections, shows: bool) -> BottleneckEdit:
    from .view import BottleneckEdit

    if not hasattr(network, "way_down"):
        raise GlidewireError(
            "this network has no bottleneck that can be edited",
            expected="a U-Net: GLIDE, an unCLIP decoder, a latent denoiser, IF or a pixel model, or a view of one",
            got=type(network).__name__,
        )
    try:
        parts = [direction for direction, _ in directions.parts]
        return BottleneckEdit(network, parts, shows=shows, name=free_name(network, "h"))
    except GlidewireError as problem:
        named = f" ({', '.join(directions.names)})" if directions.names else ""
        raise GlidewireError(
            f"{problem.message}{named}", expected=problem.expected, got=problem.got, hint=problem.hint
        ) from problem


def identify_direction(path: str | Path) -> Identity:
    """The directions in a file; raises GlidewireError as `identify`."""
    return identify(path, component="direction")


def load_directions(
    path: str | Path,
    number: int = 0,
    *,
    of_all_timesteps: bool = False,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> WeightedDirections:
    """Load one direction of a file, strictly, at scale 1.

    Args:
        path: A published f_t, or tensors by timestep.
        number: Which one, where a file holds several.
        of_all_timesteps: Whether tensors by timestep are used at their mean, the global direction.
        device: Where the weights go.
        dtype: What floating-point weights become.

    Raises:
        GlidewireError: As `identify_direction` and `models.checkpoint.load`; or there is no such direction.
    """
    identity = identify_direction(path)
    if isinstance(identity.spec, DeltaTensorSpec) and of_all_timesteps:
        identity = identify(path, component="direction", stated={"ignore_timestep": True})
    elif of_all_timesteps:
        raise GlidewireError(
            f"{identity.header.name} computes its direction anew at each picture",
            expected="a file of tensors by timestep",
            got="a network f_t",
            hint="Take the mean of its directions over a run first.",
        )
    count = identity.spec.directions
    if not 0 <= number < count:
        raise GlidewireError(
            f"{identity.header.name} has no direction {number}", expected=f"0 to {count - 1}", got=number
        )
    network = cast("Directions", load_identified(identity, device=device, dtype=dtype))
    scales = tuple(float(index == number) for index in range(count))
    return WeightedDirections(((network, scales),), (identity.header.path.name,))


def save_direction(direction: WeightedDirections, path: str | Path) -> None:
    """Write a direction of tensors by timestep in their published layout; its scale is multiplied in.

    Args:
        direction: As `mean_directions` or `load_directions` of such a file gives it, at any scale.
        path: Where to; an existing file is replaced.

    Raises:
        GlidewireError: A network f_t or a sum of several; or the folder cannot be written to.

    Source: Kwon et al. 2023, section 5.3, for what such files hold.
    """
    from .directions import DeltaTensors

    networks = [network for network, _ in direction.parts]
    if len(networks) != 1 or not isinstance(networks[0], DeltaTensors):
        raise GlidewireError(
            "only one direction of tensors by timestep can be saved",
            expected="a mean direction",
            got=" and ".join(direction.names) or "a direction without a name",
            hint="Take the mean of what it adds over a run first (mean h direction).",
        )
    network, ((_, (scale,)),) = networks[0], direction.parts
    scaled = DeltaTensors(network.spec)
    with torch.no_grad():
        scaled.tensors.copy_(network.tensors * scale)
    save_published(
        scaled, layout.delta_tensor_key_map(network.spec), path, metadata={SPEC: to_json("asyrp", network.spec)}
    )


def mean_directions(found: Mapping[int, Tensor], name: str, *, of_all_timesteps: bool) -> WeightedDirections:
    """Directions of single pictures as one: the mean over pictures at each timestep, or over those too.

    Args:
        found: By timestep, "pictures channels height width".
        name: What it is called.
        of_all_timesteps: Whether one direction stands for all timesteps.

    Source: Kwon et al. 2023, section 5.3 and appendix C.
    """
    from .directions import DeltaTensors

    means = {timestep: deltas.float().mean(dim=0) for timestep, deltas in sorted(found.items())}
    if of_all_timesteps:
        means = {0: torch.stack([*means.values()]).mean(dim=0)}
    tensors = torch.stack([*means.values()])
    spec = DeltaTensorSpec(tuple(means), tuple(tensors.shape[1:]), of_all_timesteps, zero_is_mean=False)
    network = DeltaTensors(spec)
    with torch.no_grad():
        network.tensors.copy_(tensors.flatten(0, 1))
    return WeightedDirections(((network.eval().requires_grad_(False), (1.0,)),), (name,))
