"""A U-Net's prediction for a picture that is blurred where its own attention looks (self-attention guidance)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.denoiser import Leaf
from ...diffusion.prediction import Prediction, Step
from ...diffusion.schedules import NoiseSchedule
from ...errors import GlidewireError
from ..additions import NOTHING, Additions, Attended, AttentionAddition, grid_of, layers_at
from ..shared_rows import mark, of_rows, shared
from .perturbed import gaussian_blur

# Of the published blur.
_WINDOW = 9


class Degraded:
    """A denoiser some rows of whose batch are evaluated at a degraded x_t; the others are the denoiser.

    A `Network` for the guidance expression. Its conditioning is the denoiser's and `degraded.rows` "batch 1": 1 for
    degraded, 0 as it is. With A the middle layer's attention, summed over queries and averaged over heads:
    x_t' = sqrt(abar) (m blur(x_0) + (1 - m) x_0) + sqrt(1 - abar) eps, where m is [A > threshold] enlarged, and x_0
    and eps are the denoiser's own prediction. Rows of one condition share the first evaluation.

    Args:
        base: The denoiser, or a view of it.
        schedule: Gives abar of every timestep that is visited: the model's own, or what the sampler walks.
        sigma: Of the blur over a window of 9 pixels of x_0.
        threshold: Of a position's attention over the mean position's; 1 was published.
        place: Which attention is looked at; see `additions.attention_places`.

    Raises:
        GlidewireError: There is no attention of the picture to itself there, or sigma is not above 0.

    Source: Hong et al. 2022 (self-attention guidance).
    """

    name = "degraded"

    def __init__(
        self, base: Any, schedule: NoiseSchedule, sigma: float = 1.0, threshold: float = 1.0, place: str = "middle"
    ) -> None:
        if not sigma > 0:
            raise GlidewireError("self-attention guidance: impossible sigma", expected="a number above 0", got=sigma)
        self.base, self.sigma, self.threshold = base, sigma, threshold
        self.layer = layers_at(base.unet, place, ("self", "joint"))[-1]
        self.schedule = schedule
        self.steps = {Step.of(schedule, index).timestep: index for index in range(len(schedule))}
        self.prediction, self.learned_variance = base.prediction, base.learned_variance
        self.channels, self.space = base.channels, base.space

    @property
    def rows(self) -> str:
        """The name of the condition that marks rows."""
        return f"{self.name}.rows"

    @property
    def _mark(self) -> str:
        return f"{self.name}.condition"

    def leaf(self, leaf: Leaf, worse: bool) -> Leaf:
        """A leaf of the base as one of this network, degraded or as it is."""
        rows = torch.full((1, 1), float(worse))
        return Leaf(self, {**leaf.conditioning, self.rows: rows}, same_as=None if worse else leaf)

    def digest(self) -> str:
        """Content identity of the denoiser and of all that degrades."""
        numbers = (self.layer, self.sigma, self.threshold, self.schedule.timesteps)
        table = hashlib.sha256(self.schedule.alpha_bar.numpy().tobytes()).hexdigest()
        return hashlib.sha256(f"degraded 1 {self.base.digest()} {numbers!r} {table}".encode()).hexdigest()

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The denoiser's own preparation, and a mark by which equal conditions are known."""
        return {**self.base.prepare(conditioning), self._mark: mark(conditioning, (self.rows,))}

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """One batched evaluation, and another of the degraded rows; see the denoiser's own.

        Raises:
            GlidewireError: A timestep that the schedule does not visit.
        """
        worse = conditioning[self.rows].expand(len(x_t), 1)
        firsts, places = shared(x_t, timesteps, conditioning[self._mark].expand(len(x_t), 1), worse)
        found = _Found(self.layer, [])
        output = self.base(x_t[firsts], timesteps[firsts], of_rows(conditioning, firsts), Additions((found,)))[places]
        marked = (worse[:, 0] > 0).nonzero().flatten()
        if not len(marked):
            return output
        parts = 2 if self.learned_variance else 1
        masks = self._mask(found.maps[0][places[marked]], (x_t.shape[-2], x_t.shape[-1]))
        degraded = self._degraded(x_t[marked], timesteps[marked], output[marked].chunk(parts, dim=1)[0], masks)
        again = self.base(degraded, timesteps[marked], of_rows(conditioning, marked), NOTHING)
        return output.index_copy(0, marked, again)

    def _mask(self, looked: Tensor, size: tuple[int, int]) -> Tensor:
        """[A > threshold], "rows 1 height width"."""
        salient = (looked > self.threshold).unflatten(-1, grid_of(looked.shape[-1], size))
        return F.interpolate(salient[:, None].float(), size)

    def _degraded(self, x_t: Tensor, timesteps: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        step = self._step(float(timesteps[0]))
        prediction = Prediction(value, self.prediction)
        x_0, eps = prediction.x_0(x_t, step), prediction.eps(x_t, step)
        x_0 = torch.lerp(x_0, gaussian_blur(x_0, self.sigma, _WINDOW), mask.to(x_0))
        return math.sqrt(step.alpha_bar) * x_0 + math.sqrt(1 - step.alpha_bar) * eps

    def _step(self, timestep: float) -> Step:
        index = self.steps.get(timestep)
        if index is None:
            raise GlidewireError(
                "self-attention guidance does not know the noise at this timestep",
                expected=f"one of the schedule's {len(self.schedule)} timesteps",
                got=timestep,
                hint="Wire the schedule that the sampler walks, or the model's own, into the guidance.",
            )
        return Step.of(self.schedule, index)


class _Found(AttentionAddition):
    """Keeps how much each position of one layer is looked at, over the mean: "rows positions"."""

    def __init__(self, layer: int, maps: list[Tensor]) -> None:
        self.layer, self.maps = layer, maps

    def replaced(self, attended: Attended) -> Tensor | None:
        if attended.layer == self.layer:
            maps = attended.maps()[..., attended.context :]
            maps = maps / maps.sum(dim=-1, keepdim=True)
            self.maps.append(maps.mean(dim=1).sum(dim=1))
        return None


def degrading(leaf: Leaf, schedule: NoiseSchedule, sigma: float, threshold: float, place: str = "middle") -> Degraded:
    """The network of a leaf with degraded rows; arguments and errors as `Degraded`."""
    if not hasattr(leaf.network, "way_down"):
        raise GlidewireError(
            "this network's attention cannot be looked at",
            expected="a U-Net: GLIDE, an unCLIP decoder, a latent denoiser or IF, or a view of one",
            got=type(leaf.network).__name__,
        )
    return Degraded(leaf.network, schedule, sigma, threshold, place)
