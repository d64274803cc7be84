"""How the nodes of other priors meet the runtime: texts of one CLIP, draws with seeds and progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoiser
from ..diffusion.noise import SeededNoise
from ..diffusion.samplers import StepRecord
from ..diffusion.schedules import NoiseSchedule
from ..diffusion.token_noise import SeededTokenNoise
from ..graph_runtime.context import Context
from ..models.autoregressive_prior.model import AutoregressivePriorModel
from ..models.dalle2_pytorch.model import LaionPriorModel
from .clip_sockets import ClipText
from .embedding_sampling import require_clip, require_embeddings
from .token_sockets import Embedding


@dataclass(frozen=True)
class Drawing:
    """How many embeddings are drawn, the number of the first, and the seed of all."""

    count: int
    first_item: int
    seed: int

    @property
    def seeds(self) -> tuple[int, ...]:
        """One for each."""
        return (self.seed,) * self.count


def _states(text: ClipText) -> Tensor:
    """States "1 positions width", zeros where there is no token."""
    return text.tensor * text.mask[..., None]


@torch.no_grad()
def autoregressive(
    model: AutoregressivePriorModel,
    text: ClipText,
    drawing: Drawing,
    scale: float,
    temperature: float,
    context: Context,
) -> Embedding:
    """Draw embeddings code by code."""
    from ..models.autoregressive_prior.sampling import sample_embedding

    require_clip("the text", text.clip, model.clip)
    network = model.network
    device = next(network.parameters()).device
    positions = network.spec.text_positions
    embedding, states = (
        value.expand(drawing.count, *value.shape[1:]).to(device)
        for value in (text.embedding, _states(text)[:, :positions])
    )
    context.check_cancelled()
    found = sample_embedding(
        network,
        embedding,
        states,
        SeededTokenNoise(drawing.seeds, drawing.first_item),
        guidance_scale=scale,
        temperature=temperature,
        on_code=context.progress,
    )
    return Embedding(found.float().cpu(), model.clip)


@torch.no_grad()
def laion_condition(model: LaionPriorModel, text: ClipText | None) -> Mapping[str, Tensor]:
    """What LAION's prior takes of a text; its learned unconditional branch without one."""
    network = model.network
    device = next(network.parameters()).device
    if text is None:
        return network.conditioning(torch.zeros(1, network.spec.width, device=device), dropped=True)
    require_clip("the text", text.clip, model.clip)
    unit = torch.nn.functional.normalize(text.embedding, dim=-1)
    return network.conditioning(unit.to(device), _states(text).to(device))


@torch.no_grad()
def laion(
    model: LaionPriorModel,
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    drawing: Drawing,
    walk: tuple[int, float],
    context: Context,
) -> Embedding:
    """Walk as DALLE2-pytorch does; `walk` is the number of times and eta."""
    from ..models.dalle2_pytorch.sampling import sample_embedding

    spec = model.network.spec
    require_embeddings(denoiser, spec.width, model.clip)
    context.check_cancelled()

    def report(record: StepRecord) -> None:
        context.progress(record.index + 1, record.total)

    noise = SeededNoise(drawing.seeds, drawing.first_item)
    x_T = noise.draw((spec.width,), purpose="x_T").to(context.policy.torch_device)
    steps, eta = walk
    found = sample_embedding(denoiser, schedule, x_T, noise, spec.length, steps=steps, eta=eta, on_step=report)
    return Embedding(found.float().cpu(), model.clip)
