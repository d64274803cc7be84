"""A denoiser of ours as a MODEL of the host: its samplers, schedulers and guiders walk our guidance expressions."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn

from ....diffusion.denoiser import Denoiser
from ....diffusion.evaluator import Evaluator
from ....diffusion.prediction import Prediction, Step
from ....diffusion.schedules import NoiseSchedule
from ....errors import GlidewireError
from ....models.first_stage.spec import PUBLISHED
from ....nodes.sampling import space_of
from ....nodes.sockets import PIXELS
from .. import host
from ..memory import network_patcher, networks_in
from . import noise_levels

_MEMORY_FACTOR = 2.0  # activations per cell, as the host's own networks of this kind state it


def as_model(denoiser: Denoiser, schedule: NoiseSchedule, scale: float = 0.0, *, clip: bool = True) -> Any:
    """A MODEL that denoises by an expression.

    Args:
        denoiser: The expression, its conditions included: the host's conditions say nothing to it.
        schedule: The levels that its networks were trained with.
        scale: Of its space's latents; 0 where the space's name tells.
        clip: Clip the clean samples of pixels to [-1, 1]; latents never are.

    Raises:
        GlidewireError: nothing tells the scale.
    """
    management = host.require("comfy.model_management")
    space = space_of(denoiser)[1]
    model = _model_class()(denoiser, schedule, latent_scale(space, scale), clip and space == PIXELS)
    return network_patcher(model, management.get_torch_device(), management.unet_offload_device())


def as_guider(model: Any) -> Any:
    """A GUIDER over such a MODEL: no condition, and no guidance but the expression's own."""
    guider = host.require("comfy.samplers").CFGGuider(model)
    guider.set_conds(nothing(), nothing())
    guider.set_cfg(1.0)
    return guider


def nothing() -> list[Any]:
    """A CONDITIONING that says nothing, where the host wants one."""
    return [[torch.zeros(1, 1, 1), {}]]


def latent_scale(space: str, stated: float = 0.0) -> float:
    """By what the host's latents of a space are multiplied before a denoiser sees them.

    Raises:
        GlidewireError: neither the name of the space nor the user tells.
    """
    name, told, factor = space.rpartition(" x ")
    if stated:
        return stated
    if space == PIXELS:
        return 1.0
    if space in PUBLISHED:
        return PUBLISHED[space].latent_scale
    if told and factor.replace(".", "", 1).isdecimal() and name:
        return float(factor)
    raise GlidewireError(
        f"nothing tells how latents of the space {space} are scaled",
        expected="a published autoencoder's space",
        got=space,
        hint="State the scale: that of the autoencoder.",
    )


def denoised(prediction: Prediction, x_t: Tensor, step: Step) -> Tensor:
    """The clean sample that a sampler in sigmas walks to: x_0 of eps - sqrt(1 - alpha_bar) · mean_shift.

    Raises:
        GlidewireError: the expression renoises with another eps than it denoises with (CFG++, Asyrp): a sampler
            in sigmas has one of both only.
    """
    if prediction.renoise_eps is not None:
        raise GlidewireError(
            "this guidance steps with another noise than it denoises with, which ComfyUI's samplers cannot do",
            expected="guidance with one prediction",
            got="a prediction and an eps to renoise with (CFG++, Asyrp)",
            hint="Sample it with one of the pack's own samplers.",
        )
    if prediction.mean_shift is None:
        return prediction.x_0(x_t, step)
    noise = math.sqrt(1 - step.alpha_bar)
    eps = prediction.eps(x_t, step) - noise * prediction.mean_shift
    return Prediction(eps, "eps").x_0(x_t, step)


def step_at(schedule: NoiseSchedule, sigma: float, visited: Tensor | None) -> Step:
    """The step of a run at a level, which need be none of the schedule's.

    Args:
        schedule: The levels that the networks know; the timestep is that of the nearest.
        sigma: The level.
        visited: The levels of the run, falling; None where the host does not say.
    """
    levels = [sigma, 0.0] if visited is None else [float(level) for level in visited]
    total = max(len(levels) - 1, 1)
    index = min(sum(level > sigma * (1 + 1e-6) for level in levels), total - 1)
    following = next((level for level in levels if level < sigma * (1 - 1e-6)), 0.0)
    alpha_bar, cleaner = 1 / (1 + sigma**2), 1 / (1 + following**2)
    beta = 1 - alpha_bar / cleaner
    variance = beta * (1 - cleaner) / (1 - alpha_bar)
    return Step(
        index=index,
        total=total,
        timestep=schedule.timesteps[noise_levels.nearest(schedule, sigma)],
        alpha_bar=alpha_bar,
        alpha_bar_previous=cleaner,
        alpha_bar_next=0.0 if index == 0 else 1 / (1 + levels[index - 1] ** 2),
        beta=beta,
        posterior_log_variance=math.log(max(variance, 1e-20)),
        posterior_mean_x_0=beta * math.sqrt(cleaner) / (1 - alpha_bar),
        posterior_mean_x_t=(1 - cleaner) * math.sqrt(1 - beta) / (1 - alpha_bar),
    )


@functools.cache
def _model_class() -> type:
    base, formats = host.require("comfy.model_base"), host.require("comfy.latent_formats")
    configurations = host.require("comfy.supported_models_base")

    class ExpressionModel(base.BaseModel):
        """A guidance expression where the host expects a network."""

        def __init__(self, denoiser: Denoiser, schedule: NoiseSchedule, scale: float, clip: bool) -> None:
            channels, space = space_of(denoiser)
            configuration = configurations.BASE({"disable_unet_model_creation": True})
            configuration.latent_format = _latent_format(formats, channels, space, scale)
            configuration.memory_usage_factor = _MEMORY_FACTOR
            super().__init__(configuration, device=None)
            self.diffusion_model = _Networks(denoiser)
            self.model_sampling.set_sigmas(noise_levels.levels_of(schedule))
            self.denoiser, self.schedule, self.clip = denoiser, schedule, clip
            self._evaluator, self._run = Evaluator(), None

        def get_dtype(self) -> torch.dtype:
            return torch.float32  # states; the networks hold theirs in what they were loaded in

        def apply_model(self, x: Tensor, t: Tensor, *args: Any, **options: Any) -> Tensor:
            """The host's question: the clean sample of a state x = x_0 + sigma · eps, "rows ...", at t = sigma."""
            visited = options.get("transformer_options", {}).get("sample_sigmas")
            if visited is not self._run:
                self._evaluator, self._run = Evaluator(), visited  # what guidance remembers belongs to one run
            with torch.inference_mode(False), torch.no_grad():
                state = (x.clone() if x.is_inference() else x).float()
                step = step_at(self.schedule, float(t.flatten()[0]), visited)
                x_t = state * math.sqrt(step.alpha_bar)
                clean = denoised(self._evaluator(self.denoiser, x_t, step), x_t, step)
                return (clean.clamp(-1, 1) if self.clip else clean).to(x.dtype)

    return ExpressionModel


class _Networks(nn.Module):
    """The networks of an expression, so that the host counts and moves their weights."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.dtype = torch.float32
        self.networks = nn.ModuleList(networks_in(denoiser))


def _latent_format(formats: Any, channels: int, space: str, scale: float) -> Any:
    made = formats.SD15(scale) if space == "kl-f8" else formats.LatentFormat()
    made.latent_channels, made.scale_factor = channels, scale
    made.glidewire_space = space
    if space == PIXELS:
        made.latent_rgb_factors = torch.eye(3).tolist()  # previews of pixels are these pixels
    return made
