"""Solvers: one pure function from (x_t, prediction, step, noise) to the next, cleaner sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from ..errors import GlidewireError
from .identity import call_text
from .prediction import Prediction, Step, learned_range_log_variance

Clip = bool | float
"""Bound of |x_0|: True is 1, False is none, a number is itself."""


def _clipped(x_0: Tensor, clip: Clip) -> Tensor:
    bound = 1.0 if clip is True else float(clip)
    return x_0 if clip is False else x_0.clamp(-bound, bound)


def _implied_eps(x_t: Tensor, x_0: Tensor, step: Step) -> Tensor:
    """The noise between x_t and a (clipped) x_0."""
    return (x_t - math.sqrt(step.alpha_bar) * x_0) / math.sqrt(1 - step.alpha_bar)


def ancestral_step(
    x_t: Tensor, prediction: Prediction, step: Step, noise: Tensor | None, clip: Clip = True
) -> tuple[Tensor, Tensor]:
    """Draw x_{t-1} from the posterior: mean(x_0, x_t) + variance · g + exp(log variance / 2) · noise.

    The variance is the learned one (Nichol & Dhariwal 2021, eq. 15), else beta~. g is the prediction's
    mean_shift. No noise is added on the last step.

    Args:
        x_t: "batch ...", float32 or float64.
        prediction: The denoiser's, shaped as x_t.
        step: The schedule entry of x_t.
        noise: Standard normal, shaped as x_t; None only on the last step.
        clip: Bound of |x_0|.

    Returns:
        x_{t-1} and the (clipped) x_0 used in it, both shaped as x_t.

    Source: Ho et al. 2020, Alg. 2 and eq. 7; the shift: Dhariwal & Nichol 2021, Alg. 1.
    """
    x_0 = _clipped(prediction.x_0(x_t, step), clip)
    log_variance: Tensor | float = step.posterior_log_variance
    if prediction.variance is not None:
        log_variance = learned_range_log_variance(prediction.variance, log_variance, step.log_beta)
    deviation = math.exp(0.5 * log_variance) if isinstance(log_variance, float) else (0.5 * log_variance).exp()
    if prediction.renoise_eps is None:
        mean = step.posterior_mean_x_0 * x_0 + step.posterior_mean_x_t * x_t
    else:
        # The posterior mean in its DDIM form, eta = 1 (Song et al. 2021, eq. 12): there the noise is explicit.
        variance = step.beta * (1 - step.alpha_bar_previous) / (1 - step.alpha_bar)
        direction = math.sqrt(max(1 - step.alpha_bar_previous - variance, 0.0))
        mean = math.sqrt(step.alpha_bar_previous) * x_0 + direction * prediction.renoise_eps
    if prediction.mean_shift is not None:
        mean = mean + deviation * deviation * prediction.mean_shift
    return (mean if step.last else mean + deviation * _required(noise, step)), x_0


def ddim_step(
    x_t: Tensor,
    prediction: Prediction,
    step: Step,
    noise: Tensor | None = None,
    eta: float = 0.0,
    clip: Clip = True,
) -> tuple[Tensor, Tensor]:
    """x_{t-1} = sqrt(abar') x_0 + sqrt(1 - abar' - sigma^2) eps + sigma · noise, abar' = alpha_bar_previous.

    sigma = eta sqrt((1 - abar') / (1 - abar)) sqrt(1 - abar / abar'). eps belongs to the clipped x_0; with a
    mean_shift g, eps becomes eps - sqrt(1 - abar) g and x_0 follows it, not clipped again.

    Args:
        x_t: "batch ...", float32 or float64.
        prediction: The denoiser's, shaped as x_t.
        step: The schedule entry of x_t.
        noise: Standard normal, shaped as x_t; may be None where eta is 0 and on the last step.
        eta: 0 is deterministic, 1 has the noise of ancestral sampling.
        clip: Bound of |x_0|.

    Returns:
        x_{t-1} and the x_0 used in it, both shaped as x_t.

    Source: Song et al. 2021 (DDIM), eq. 12 and 16; the shift: Dhariwal & Nichol 2021, Alg. 2.
    """
    x_0, eps = _ddim_estimate(x_t, prediction, step, clip)
    before, now = step.alpha_bar_previous, step.alpha_bar
    sigma = eta * math.sqrt((1 - before) / (1 - now)) * math.sqrt(1 - now / before)
    direction = prediction.renoise_eps if prediction.renoise_eps is not None else eps
    x_next = math.sqrt(before) * x_0 + math.sqrt(max(1 - before - sigma**2, 0.0)) * direction
    if sigma > 0 and not step.last:
        x_next = x_next + sigma * _required(noise, step)
    return x_next, x_0


def _ddim_estimate(x_t: Tensor, prediction: Prediction, step: Step, clip: Clip) -> tuple[Tensor, Tensor]:
    """x_0 and eps, consistent with each other at x_t."""
    x_0 = _clipped(prediction.x_0(x_t, step), clip)
    eps = prediction.eps(x_t, step) if clip is False else _implied_eps(x_t, x_0, step)
    if prediction.mean_shift is not None:
        eps = eps - math.sqrt(1 - step.alpha_bar) * prediction.mean_shift
        x_0 = replace(prediction, value=eps, kind="eps").x_0(x_t, step)
    return x_0, eps


def ddim_inverse_step(
    x_t: Tensor, prediction: Prediction, step: Step, noise: Tensor | None = None, clip: Clip = False
) -> tuple[Tensor, Tensor]:
    """One deterministic step towards the noise: x_{t+1} = sqrt(abar'') x_0 + sqrt(1 - abar'') eps.

    Args:
        x_t: "batch ...", float32 or float64.
        prediction: The denoiser's at x_t.
        step: The schedule entry of x_t; abar'' is its alpha_bar_next.
        noise: Not used.
        clip: Bound of |x_0|; inversion is only the inverse of unclipped sampling.

    Returns:
        x_{t+1} and the x_0 used in it, both shaped as x_t.

    Source: Song et al. 2021 (DDIM), section 4.3; Dhariwal & Nichol 2021, appendix F.
    """
    x_0, eps = _ddim_estimate(x_t, prediction, step, clip)
    after = step.alpha_bar_next
    direction = prediction.renoise_eps if prediction.renoise_eps is not None else eps
    return math.sqrt(after) * x_0 + math.sqrt(1 - after) * direction, x_0


def _required(noise: Tensor | None, step: Step) -> Tensor:
    if noise is None:
        raise GlidewireError(
            f"Sampling step {step.index} of {step.total} adds noise, and none was given",
            hint="Give the sampler a noise source, such as SeededNoise.",
        )
    return noise


Advance = Callable[[Tensor, Prediction, Step, Tensor | None], tuple[Tensor, Tensor]]
"""(x_t, prediction, step, noise) -> (x_{t-1}, x_0)."""


@dataclass(frozen=True, eq=False)
class Solver:
    """A step function with its parameters filled in, and their exact names.

    Args:
        name: Stable identity of the function.
        advance: The step.
        stochastic: Whether it uses noise.
        parameters: All that decides its result.
        corrects_start: Whether a run's first step is made twice, the second time along the mean of the predictions
            at both of its ends (Heun); it knows no earlier ones.
    """

    name: str
    advance: Advance
    stochastic: bool
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    corrects_start: bool = False

    def signature(self) -> str:
        """Canonical text: equal text, equal steps."""
        return call_text(self.name, self.parameters)


def _check_clip(name: str, clip: Clip) -> None:
    if clip is not False and not (math.isfinite(clip) and clip > 0):
        raise GlidewireError(f"{name}: impossible clip", expected="true, false or a number above 0", got=clip)


def ancestral(clip: Clip = True) -> Solver:
    """Ancestral sampling; see `ancestral_step`.

    Raises:
        GlidewireError: If `clip` is not above 0.
    """
    _check_clip("ancestral", clip)
    return Solver("ancestral", partial(ancestral_step, clip=clip), True, {"clip": float(clip)})


def ddim(eta: float = 0.0, clip: Clip = True) -> Solver:
    """DDIM; see `ddim_step`.

    Raises:
        GlidewireError: If eta is outside [0, 1] or `clip` is not above 0.
    """
    _check_clip("ddim", clip)
    if not 0 <= eta <= 1:
        raise GlidewireError("ddim: impossible eta", expected="0 to 1", got=eta)
    parameters = {"eta": float(eta), "clip": float(clip)}
    return Solver("ddim", partial(ddim_step, eta=eta, clip=clip), eta > 0, parameters)


def plms(clip: Clip = False) -> Solver:
    """PLMS, over an expression in `multistep.linear_multistep`: DDIM's step along its mean, and Heun's to begin with.

    Raises:
        GlidewireError: If `clip` is not above 0.

    Source: Liu et al. 2022 (2202.09778), eq. 11 and 12.
    """
    _check_clip("plms", clip)
    return Solver("plms", partial(ddim_step, clip=clip), False, {"clip": float(clip)}, corrects_start=True)


SOLVERS: Mapping[str, Callable[..., Solver]] = {"ancestral": ancestral, "ddim": ddim}
"""Solvers by name."""
