"""A Gaussian mixture whose exact denoiser is known: the toy that teaches guidance, and judges it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Leaf
from .identity import call_text, tensors_digest
from .prediction import Step
from .schedules import NoiseSchedule


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """p(x_0 | y) = sum_m weights[y, m] N(means[y, m], covariances[y, m]); a `Network` with exact eps.

    At signal abar, p(x_t | y) has means sqrt(abar) mu and covariances abar C + (1 - abar) I, so
    eps = -sqrt(1 - abar) grad log p(x_t | y) has a closed form (Song et al. 2021, score-based models, eq. 29).

    Args:
        means: "classes components dimensions", float64.
        covariances: "classes components dimensions dimensions", float64.
        weights: "classes components", summing to 1 in each class, float64.
        class_prior: "classes", summing to 1, float64.
        schedule: Gives the alpha_bar of the timesteps it is asked at.
    """

    means: Tensor
    covariances: Tensor
    weights: Tensor
    class_prior: Tensor
    schedule: NoiseSchedule
    prediction: Literal["eps"] = "eps"
    learned_variance: bool = False

    def leaf(self, label: int | None) -> Leaf:
        """The denoiser of one class, or of the whole mixture for None.

        Raises:
            GlidewireError: If there is no such class.
        """
        if label is not None and not 0 <= label < len(self.class_prior):
            raise GlidewireError(
                "GaussianMixture: no such class", expected=f"0 to {len(self.class_prior) - 1}", got=label
            )
        return Leaf(self, {"label": torch.tensor([-1 if label is None else label])})

    def digest(self) -> str:
        """Identity of the mixture and its schedule."""
        parts = {"means": self.means, "covariances": self.covariances}
        parts |= {"weights": self.weights, "class_prior": self.class_prior}
        return call_text("mixture", {"tensors": tensors_digest(parts), "schedule": self.schedule.signature()})

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing to prepare."""
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """Exact eps of each item under its label ("batch", -1 for the whole mixture).

        Args:
            x_t: "batch dimensions".
            timesteps: "batch", ids of the schedule.
            conditioning: "label": "batch" integers.

        Returns:
            eps, "batch dimensions", in the dtype of x_t.

        Raises:
            GlidewireError: If a timestep is not of the schedule.
        """
        return self.eps(x_t, self._alpha_bar_at(timesteps), conditioning["label"])

    @cached_property
    def _ids(self) -> Tensor:
        return torch.tensor(self.schedule.timesteps)

    def _alpha_bar_at(self, timesteps: Tensor) -> Tensor:
        wanted = timesteps.cpu()
        entries = torch.searchsorted(self._ids, wanted).clamp(max=len(self._ids) - 1)
        if not torch.equal(self._ids[entries], wanted):
            raise GlidewireError("GaussianMixture: a timestep is not of its schedule", got=wanted.tolist())
        return self.schedule.alpha_bar[entries].to(timesteps.device)

    def eps(self, x_t: Tensor, alpha_bar: Tensor, labels: Tensor) -> Tensor:
        """-sqrt(1 - abar) grad log p(x_t | label), "batch dimensions"; arguments as in `score`."""
        noise = (1 - alpha_bar).sqrt()[:, None]
        return (-noise * self.score(x_t, alpha_bar, labels)).to(x_t.dtype)

    def score(self, x_t: Tensor, alpha_bar: Tensor, labels: Tensor) -> Tensor:
        """grad_x log p(x_t | label): responsibilities times each component's -covariance^-1 (x - mean).

        Args:
            x_t: "batch dimensions".
            alpha_bar: "batch", float64.
            labels: "batch" integers, -1 for the whole mixture.

        Returns:
            "batch dimensions", float64.
        """
        joint, pull = self._components(x_t, alpha_bar)
        allowed = (labels[:, None] < 0) | (labels[:, None] == torch.arange(joint.shape[1], device=labels.device))
        joint = joint.masked_fill(~allowed[..., None], -math.inf)
        responsibilities = joint.flatten(1).softmax(1).reshape(joint.shape)
        return -(responsibilities[..., None] * pull).sum((1, 2))

    def log_likelihood(self, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
        """log p(x_t | y) for every class, "batch classes"; arguments as in `score`."""
        joint, _ = self._components(x_t, alpha_bar)
        return joint.logsumexp(2) - self.class_prior.to(x_t.device).log()

    def log_density(self, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
        """log p(x_t), "batch"; arguments as in `score`."""
        return self._components(x_t, alpha_bar)[0].flatten(1).logsumexp(1)

    def posterior(self, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
        """p(y | x_t), "batch classes"; arguments as in `score`."""
        return self._components(x_t, alpha_bar)[0].logsumexp(2).softmax(1)

    def classifier_gradient(self, x_t: Tensor, alpha_bar: Tensor, labels: Tensor) -> Tensor:
        """grad_x log p(label | x_t) = score under the label - score of the mixture, "batch dimensions"."""
        return self.score(x_t, alpha_bar, labels) - self.score(x_t, alpha_bar, torch.full_like(labels, -1))

    def _components(self, x_t: Tensor, alpha_bar: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x_t, y, m), "batch classes components", and covariance^-1 (x_t - mean) with "dimensions" more."""
        x, device = x_t.double()[:, None, None], x_t.device
        signal = alpha_bar.double().to(device)[:, None, None, None]
        away = x - signal.sqrt() * self.means.to(device)
        size = x.shape[-1]
        identity = torch.eye(size, dtype=torch.float64, device=device)
        covariance = signal[..., None] * self.covariances.to(device) + (1 - signal[..., None]) * identity
        pull = torch.linalg.solve(covariance, away[..., None])[..., 0]
        normal = (away * pull).sum(-1) + torch.logdet(covariance) + size * math.log(2 * math.pi)
        prior = self.class_prior.to(device).log()[:, None] + self.weights.to(device).log()
        return prior - 0.5 * normal, pull


@dataclass(frozen=True, eq=False)
class ExactClassifier:
    """grad_x log p(label | x_t) of a mixture, as `guidance.gradient_guidance` wants it.

    Args:
        mixture: Where the classes come from.
        label: The class to guide towards.
    """

    mixture: GaussianMixture
    label: int

    def digest(self) -> str:
        """Identity of the mixture and the label."""
        return call_text("exact_classifier", {"mixture": self.mixture.digest(), "label": self.label})

    def __call__(self, x_t: Tensor, step: Step) -> Tensor:
        """The gradient at x_t "batch dimensions", shaped as x_t."""
        alpha_bar = torch.full((x_t.shape[0],), step.alpha_bar, dtype=torch.float64, device=x_t.device)
        labels = torch.full((x_t.shape[0],), self.label, device=x_t.device)
        return self.mixture.classifier_gradient(x_t, alpha_bar, labels).to(x_t.dtype)
