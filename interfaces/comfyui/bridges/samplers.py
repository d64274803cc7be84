"""Our solvers and our noise where the host's custom samplers take theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....diffusion.noise import SeededNoise
from ....diffusion.prediction import Prediction, Step
from ....diffusion.solvers import Solver
from .. import host
from . import noise_levels


@dataclass(frozen=True)
class HostNoise:
    """A NOISE: x_T as our own samplers start from, a function of (seed, item) alone.

    Args:
        seed: Of every item.
        first_item: The number of the first item.
    """

    seed: int
    first_item: int = 0

    def generate_noise(self, input_latent: Mapping[str, Any]) -> Tensor:
        """Standard normal noise shaped as the latents, in their batch's order where they tell one."""
        samples: Tensor = input_latent["samples"]
        numbers = input_latent.get("batch_index") or range(samples.shape[0])
        items = [SeededNoise((self.seed,), self.first_item + number) for number in numbers]
        return torch.cat([item.draw(tuple(samples.shape[1:]), purpose="x_T") for item in items])


def as_sampler(solver: Solver) -> Any:
    """A SAMPLER that walks any of the host's models by one of our solvers."""

    def walk(
        model: Any,
        x: Tensor,
        sigmas: Tensor,
        extra_args: Mapping[str, Any] | None = None,
        callback: Any = None,
        disable: bool | None = None,
    ) -> Tensor:
        options = dict(extra_args or {})
        sampling = model.inner_model.inner_model.model_sampling
        schedule = noise_levels.schedule_of(sampling, sigmas.cpu())
        noise = SeededNoise((int(options.get("seed") or 0),) * x.shape[0])
        scales = noise_levels.scale(sampling, sigmas).tolist()
        rows = x.new_ones(x.shape[0])
        for index in range(len(schedule)):
            step = Step.of(schedule, index)
            clean = model(x, sigmas[index] * rows, **options)
            if callback is not None:
                level = sigmas[index]
                callback({"x": x, "i": index, "sigma": level, "sigma_hat": level, "denoised": clean})
            x_t = (x / scales[index]).float()
            drawn = noise(index, x_t) if solver.stochastic and not step.last else None
            advanced, _ = solver.advance(x_t, Prediction(clean.float(), "x_0"), step, drawn)
            x = (advanced * scales[index + 1]).to(x.dtype)
        return x

    return host.require("comfy.samplers").KSAMPLER(walk)
