"""What the nodes of bottlenecks compute on the way: similarities, tables as users write them, and mean directions."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion import samplers, solvers
from ..diffusion.denoiser import Denoiser
from ..diffusion.noise import SeededNoise
from ..diffusion.samplers import StepRecord
from ..diffusion.schedules import NoiseSchedule
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..models.asyrp import edit as edits
from ..models.asyrp.edit import WeightedDirections
from .embeddings import tensors_of
from .sampling import require_space, start_index
from .sockets import Start
from .token_sockets import Embedding


def cosine(source: Embedding | None, target: Embedding | None, otherwise: float) -> float:
    """Similarity of two texts' embeddings, or a number where they are not given.

    Raises:
        GlidewireError: One alone is given, or they are in different spaces.
    """
    if source is None and target is None:
        return otherwise
    if source is None or target is None:
        raise GlidewireError(
            "the similarity of texts needs both", expected="source and target, or neither", got="one of them"
        )
    a, b = tensors_of(source, target)
    return float(F.cosine_similarity(a, b, dim=-1).mean())


def table(text: str) -> tuple[Tensor, Tensor]:
    """Timesteps int64 and distances float32 from lines of two numbers; raises GlidewireError for any other line."""
    rows: list[tuple[int, float]] = []
    for line in filter(str.strip, text.splitlines()):
        try:
            timestep, distance = re.split(r"[,;:\s]+", line.strip())
            rows.append((int(timestep), float(distance)))
        except ValueError:
            raise GlidewireError(
                "a table of distances cannot be read", expected='lines such as "500 0.31"', got=repr(line)
            ) from None
    return torch.tensor([t for t, _ in rows], dtype=torch.long), torch.tensor([d for _, d in rows])


@dataclass(frozen=True)
class Settings:
    """How a mean direction is gathered: see `nodes.bottleneck.mean_h_direction`."""

    strength: float
    t_edit: float
    of_all_timesteps: bool
    clip: bool


@torch.no_grad()
def mean_direction(
    denoiser: Denoiser,
    direction: WeightedDirections,
    schedule: NoiseSchedule,
    start: Start,
    settings: Settings,
    context: Context,
) -> WeightedDirections:
    """What a direction adds, averaged over a run's pictures."""
    require_space(denoiser, start.space)
    if settings.strength == 0:
        raise GlidewireError("a mean direction needs an edit", expected="a strength other than 0", got=0)
    edited = edits.edited(denoiser, direction, schedule, settings.strength, 0, settings.t_edit, shows=True)
    found: dict[int, Tensor] = {}

    def gather(record: StepRecord) -> None:
        context.progress(record.index + 1, record.total)
        if "delta_h" in record.prediction.observed:
            found[int(record.timestep)] = record.prediction.observed["delta_h"].cpu() / settings.strength

    x_t = start.tensor.to(context.policy.torch_device)
    samplers.sample(
        edited,
        schedule,
        x_t,
        solvers.ddim(0.0, clip=settings.clip),
        SeededNoise(start.seeds, start.first_item),
        start_index=start_index(start, schedule),
        on_step=gather,
    )
    if not found:
        raise GlidewireError(
            "no step of the run was edited",
            expected=f"a timestep of {settings.t_edit:g} or more",
            got=f"{max(schedule.timesteps)} at most",
        )
    name = f"mean of {', '.join(direction.names) or 'a direction'}"
    made = edits.mean_directions(found, name, of_all_timesteps=settings.of_all_timesteps)
    for network, _ in made.parts:
        network.to(context.policy.torch_device)
    return made
