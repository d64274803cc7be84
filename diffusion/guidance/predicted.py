"""Guidance by what is thought of the predicted clean sample, for critics that know no noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from ..denoiser import Denoiser, Leaf, signature
from ..evaluator import Evaluator
from ..identity import call_text
from ..prediction import Prediction, Step
from ..rewriting import with_leaves


class Critic(Protocol):
    """log p(y | x_0) of clean samples, differentiable: an ordinary CLIP's similarity to a text, for one."""

    def digest(self) -> str:
        """Identity of all that decides it: weights, text, precision, random numbers."""
        ...

    def __call__(self, x_0: Tensor, step: Step) -> Tensor:
        """ "batch" for x_0 "batch channels height width"."""
        ...


class PredictedGradient:
    """A `LogGradient`: grad_{x_t} log p(y | x_0(x_t)) by a critic of the predicted x_0.

    Through the network, the gradient is exact and costs a forward and a backward more. Past it, the network's answer is
    held fixed, so that grad_{x_t} = grad_{x_0} / sqrt(alpha_bar) for eps: noisier early on, and without another
    evaluation where the denoiser itself is guided.

    Args:
        denoiser: Predicts x_0; usually what is guided.
        critic: Judges it.
        through_network: Which of the two.

    Source: Crowson 2021 (CLIP guided diffusion); Bansal et al. 2023 (Universal Guidance, 2302.07121), forward guidance.
    """

    def __init__(self, denoiser: Denoiser, critic: Critic, *, through_network: bool = True) -> None:
        self.critic, self.through_network, self.guided = critic, through_network, denoiser
        self.denoiser = with_leaves(denoiser, _without_inference) if through_network else denoiser

    def digest(self) -> str:
        """Identity of all that decides the gradient."""
        parameters = {"critic": self.critic.digest(), "through": self.through_network}
        return call_text("predicted", parameters, {"denoiser": _whole_text(self.denoiser, {})})

    def __call__(self, x_t: Tensor, step: Step) -> Tensor:
        """The gradient at x_t, shaped as it, without a graph."""
        # Samplers compute without gradients, perhaps in inference mode, whose tensors can never have any: hence copies.
        with torch.inference_mode(False), torch.enable_grad():
            x = x_t.detach().clone()
            if self.through_network:
                x.requires_grad_()
                x_0 = Evaluator()(self.denoiser, x, step).x_0(x, step)
                (gradient,) = torch.autograd.grad(self.critic(x_0, step).sum(), x)
                return gradient
            with torch.no_grad():
                predicted = Evaluator()(self.denoiser, x, step)
        return self._past(predicted, x_t, step)

    def of(self, denoiser: Denoiser, predicted: Prediction, x_t: Tensor, step: Step) -> Tensor:
        """The gradient at x_t where `denoiser` predicts `predicted`, which is not evaluated again if that is enough."""
        if self.through_network or denoiser is not self.guided:
            return self(x_t, step)
        return self._past(predicted, x_t, step)

    def _past(self, predicted: Prediction, x_t: Tensor, step: Step) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            x_0 = predicted.x_0(x_t, step).detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.critic(x_0, step).sum(), x_0)
        return gradient / math.sqrt(max(step.alpha_bar, 1e-8))

    def measure(self, made: Prediction, x_t: Tensor, step: Step) -> Mapping[str, Tensor]:
        """What the critic measures of the x_0 that a step ends with, if it measures anything: by name, "batch" each."""
        measure = getattr(self.critic, "measure", None)
        return measure(made, x_t, step) if measure is not None else {}


def _whole_text(denoiser: Denoiser, digests: dict[int, str]) -> str:
    """Canonical text of an expression with all that is active at any time, and when."""
    if isinstance(denoiser, Leaf):
        return signature(denoiser, 0, 1, digests)
    parts = {**denoiser.inputs, **({"otherwise": denoiser.otherwise} if denoiser.otherwise else {})}
    texts = {f"input {name}": _whole_text(part, digests) for name, part in parts.items()}
    when = {"start": float(denoiser.start), "end": float(denoiser.end), "fallback": denoiser.fallback}
    return call_text(denoiser.name, {**denoiser.parameters, **when}, texts)


def _without_inference(leaf: Leaf) -> Leaf:
    with torch.inference_mode(False):
        conditioning: Mapping[str, Tensor] = {name: value.clone() for name, value in leaf.conditioning.items()}
    return Leaf(leaf.network, conditioning)
