"""What a network says about x_t, in any of its parametrisations, and the step it says it at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor

from ..errors import GlidewireError
from .schedules import NoiseSchedule

Kind = Literal["eps", "x_0", "v", "logits"]
"""The parametrisations: the noise, the clean sample, the velocity of Salimans & Ho 2022; and, where x_t is
tokens "batch ...", a score of every code "batch codes ..."."""


@dataclass(frozen=True)
class Progress:
    """Where in a sampling run a step is, whatever space the run is in.

    Args:
        index: Steps before this one, counted from the noisiest.
        total: Steps of the whole run.
        timestep: What the network is given: the original id (int), or a time (float).
    """

    index: int
    total: int
    timestep: float

    @property
    def last(self) -> bool:
        """Whether this step ends in a clean sample, so that no noise may be added."""
        return self.index == self.total - 1


@dataclass(frozen=True)
class Step(Progress):
    """One step of a sampling run: everything that a combiner or a solver may ask about it.

    Args:
        index: Steps before this one, counted from the noisiest entry of the schedule.
        total: Entries of the schedule.
        timestep: Original id or time, as given to the network.
        alpha_bar: Signal now.
        alpha_bar_previous: Signal of the next cleaner entry; the schedule's `clean_alpha_bar` on the last step.
        alpha_bar_next: Signal of the next noisier entry; 0 on the first step. Only inversion asks.
        beta: 1 - alpha_bar / alpha_bar_previous.
        posterior_log_variance: log beta~, clipped as in `NoiseSchedule.posterior_log_variance_clipped`.
        posterior_mean_x_0: Coefficient of x_0 in the posterior mean.
        posterior_mean_x_t: Coefficient of x_t in the posterior mean.
    """

    alpha_bar: float
    alpha_bar_previous: float
    alpha_bar_next: float
    beta: float
    posterior_log_variance: float
    posterior_mean_x_0: float
    posterior_mean_x_t: float

    @classmethod
    def of(cls, schedule: NoiseSchedule, index: int) -> Step:
        """Step `index` of a run down the whole schedule: index 0 is the noisiest entry.

        Raises:
            GlidewireError: If the schedule has no such step.
        """
        total = len(schedule)
        if not 0 <= index < total:
            raise GlidewireError("Sampling step out of range", expected=f"0 to {total - 1}", got=index)
        entry = total - 1 - index
        return cls(
            index=index,
            total=total,
            timestep=schedule.timesteps[entry],
            alpha_bar=schedule.alpha_bar[entry].item(),
            alpha_bar_previous=schedule.alpha_bar_previous[entry].item(),
            alpha_bar_next=schedule.alpha_bar[entry + 1].item() if index else 0.0,
            beta=schedule.betas[entry].item(),
            posterior_log_variance=schedule.posterior_log_variance_clipped[entry].item(),
            posterior_mean_x_0=schedule.posterior_mean_x_0[entry].item(),
            posterior_mean_x_t=schedule.posterior_mean_x_t[entry].item(),
        )

    @property
    def log_beta(self) -> float:
        """log beta."""
        return math.log(self.beta)

    def signature(self) -> str:
        """Exact text of the schedule entry a solver sees; says nothing about the length of the run."""
        numbers = (
            self.alpha_bar,
            self.alpha_bar_previous,
            self.beta,
            self.posterior_log_variance,
            self.posterior_mean_x_0,
            self.posterior_mean_x_t,
        )
        return f"{self.timestep}:" + ",".join(map(float.hex, numbers))


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's answer at (x_t, t) in one parametrisation, convertible exactly into the others.

    With x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps and
    v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans & Ho 2022, appendix D).

    Args:
        value: eps, x_0 or v, shaped as x_t; logits are "batch codes ..." and convert into nothing.
        kind: Which of them `value` is.
        variance: Raw learned-range variance channels, shaped as x_t, untouched by conversions and combiners;
            None where the network has none.
        renoise_eps: The noise to step towards x_{t-1} with, where it is not the noise implied by x_0
            (CFG++, Asyrp); shaped as x_t.
        mean_shift: A gradient g of a log probability at x_t; ancestral steps add variance · g to their mean,
            DDIM steps take sqrt(1 - alpha_bar) g from eps (Dhariwal & Nichol 2021, Alg. 1 and 2).
        observed: What the network showed of its inside, such as attention maps, by name; batch first.
    """

    value: Tensor
    kind: Kind
    variance: Tensor | None = None
    renoise_eps: Tensor | None = None
    mean_shift: Tensor | None = None
    observed: Mapping[str, Tensor] = field(default_factory=dict)

    def x_0(self, x_t: Tensor, step: Step) -> Tensor:
        """The clean sample that this prediction implies, shaped as x_t."""
        self._require_continuous()
        signal, noise = math.sqrt(step.alpha_bar), math.sqrt(1 - step.alpha_bar)
        if self.kind == "x_0":
            return self.value
        if self.kind == "v":
            return signal * x_t - noise * self.value
        return (1 / signal) * x_t - (noise / signal) * self.value if signal else self.value / 0

    def eps(self, x_t: Tensor, step: Step) -> Tensor:
        """The noise that this prediction implies, shaped as x_t."""
        self._require_continuous()
        signal, noise = math.sqrt(step.alpha_bar), math.sqrt(1 - step.alpha_bar)
        if self.kind == "eps":
            return self.value
        if self.kind == "v":
            return signal * self.value + noise * x_t
        return (x_t - signal * self.value) / noise

    def v(self, x_t: Tensor, step: Step) -> Tensor:
        """The velocity that this prediction implies, shaped as x_t."""
        if self.kind == "v":
            return self.value
        signal, noise = math.sqrt(step.alpha_bar), math.sqrt(1 - step.alpha_bar)
        return signal * self.eps(x_t, step) - noise * self.x_0(x_t, step)

    def to(self, kind: Kind, x_t: Tensor, step: Step) -> Prediction:
        """The same prediction in another parametrisation; everything it carries comes along.

        Raises:
            GlidewireError: If there is no such parametrisation, or this one is of tokens.
        """
        if kind == self.kind:
            return self
        if kind not in ("eps", "x_0", "v"):
            raise GlidewireError("Prediction: unknown parametrisation", expected="eps, x_0 or v", got=kind)
        convert = {"eps": self.eps, "x_0": self.x_0, "v": self.v}[kind]
        return replace(self, value=convert(x_t, step), kind=kind)

    def _require_continuous(self) -> None:
        if self.kind == "logits":
            raise GlidewireError(
                "Prediction: scores of tokens imply neither a noise nor a clean sample",
                expected="eps, x_0 or v",
                got="logits",
                hint="Use it with a sampler of tokens, and without guidance that needs a continuous space.",
            )

    def with_value(self, value: Tensor, kind: Kind | None = None) -> Prediction:
        """The prediction with another value (and kind); everything else it carries comes along."""
        return replace(self, value=value, kind=kind or self.kind)


def learned_range_log_variance(
    raw_variance: Tensor, log_minimum: Tensor | float, log_maximum: Tensor | float
) -> Tensor:
    """log variance = f log(beta) + (1 - f) log(beta~), with f = (v + 1) / 2.

    Args:
        raw_variance: The network's variance channels v, about [-1, 1], not clamped; any shape.
        log_minimum: log beta~ (the posterior's variance).
        log_maximum: log beta.

    Returns:
        Log variance, shaped as `raw_variance`.

    Source: Nichol & Dhariwal 2021, eq. 15.
    """
    fraction = (raw_variance + 1) / 2
    return fraction * log_maximum + (1 - fraction) * log_minimum
