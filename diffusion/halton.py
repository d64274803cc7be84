"""Halton-ordered MaskGIT: tokens are decided in a fixed order that spreads them evenly over the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Denoiser
from .evaluator import Evaluator
from .identity import call_text, tensor_digest
from .token_noise import TokenNoise
from .token_run import OnTokens, TokenRecord, TokenStep, walk
from .tokens import gumbel_draw, tempered, top_k_draw
from .trajectory import OnKeys, Trajectory

_BASES = (2, 3)


def radical_inverse(number: int, base: int) -> tuple[int, int]:
    """The digits of a number mirrored at the point, as numerator and denominator: 6 = 110 in base 2 is 3/8.

    Source: Halton 1960.
    """
    numerator, denominator = 0, 1
    while number:
        number, digit = divmod(number, base)
        numerator, denominator = numerator * base + digit, denominator * base
    return numerator, denominator


def halton_order(rows: int, columns: int) -> Tensor:
    """Every position of a grid in the order in which the Halton points 1, 2, 3, ... first fall into it.

    Args:
        rows: Height of the grid; its coordinate comes from base 2.
        columns: Width; from base 3.

    Returns:
        int64 "rows*columns 2": row and column.

    Raises:
        GlidewireError: A grid without positions.

    Source: Besnier et al. 2025 (Halton scheduler for masked generative image transformers, arXiv 2503.17076).
    """
    if rows < 1 or columns < 1:
        raise GlidewireError(
            "halton_order: a grid has rows and columns", expected="1 or more", got=f"{rows} x {columns}"
        )
    found: dict[tuple[int, int], None] = {}
    number = 0
    # Every cell holds a box of the sequence, so that this ends (Halton 1960).
    while len(found) < rows * columns:
        number += 1
        (p, q), (r, s) = (radical_inverse(number, base) for base in _BASES)
        found.setdefault((p * rows // q, r * columns // s))
    return torch.tensor(list(found))


@dataclass(frozen=True)
class HaltonStep(TokenStep):
    """One step of the Halton sampler."""

    def decided(self, count: int) -> int:
        """How many of `count` positions are decided after the step: (1 - arccos(r) / (pi / 2)) of them.

        r is the fraction of the steps that are done.

        Source: Besnier et al. 2025, the published sampler, which rounds down in float32.
        """
        share = 1 - torch.arccos(torch.tensor((self.index + 1) / self.total)) / (math.pi * 0.5)
        return min(max(self.index + 1, int(share * count)), count)

    def decided_before(self, count: int) -> int:
        """How many of them were decided before it."""
        return replace(self, index=self.index - 1).decided(count) if self.index else 0


def halton_steps(
    total: int = 32,
    *,
    inverse_temperature: tuple[float, float] = (1.0, 1.0),
    power: float = 1.0,
    warmup: int = 0,
) -> tuple[HaltonStep, ...]:
    """The Halton sampler's steps; its published temperature multiplies logits, and so is an inverse one.

    Args:
        total: Steps of the run.
        inverse_temperature: What logits are multiplied by at the first and the last step, linear between them.
        power: Exponent of that.
        warmup: In how many of the first steps it is halved.

    Raises:
        GlidewireError: Impossible numbers of steps or temperatures.

    Source: Besnier et al. 2025, the published sampler.
    """
    if total < 1 or warmup < 0 or not all(0 < end < math.inf for end in inverse_temperature):
        raise GlidewireError(
            "halton_steps: impossible settings",
            expected="1 step or more, a warm-up of 0 or more, temperatures above 0",
            got=f"{total} steps, {warmup}, {inverse_temperature}",
        )
    factors = torch.linspace(*inverse_temperature, total).pow(power)
    factors[:warmup] *= 0.5
    temperatures = (1 / factors.double()).tolist()
    return tuple(HaltonStep(i, total, total - 1 - i, temperatures[i]) for i in range(total))


def sample_in_order(
    denoiser: Denoiser,
    steps: Sequence[HaltonStep],
    start: Tensor,
    order: Tensor,
    noise: TokenNoise,
    *,
    top_k: int = 0,
    on_step: OnTokens | None = None,
    trajectory: Trajectory | None = None,
    store_every: int = 10,
    evaluator: Evaluator | None = None,
    on_keys: OnKeys | None = None,
) -> Tensor:
    """Decide the tokens of a grid in a given order, more of them at every step.

    Args:
        denoiser: The guidance expression, whose networks predict logits.
        steps: The steps to make.
        start: Tokens "batch height width", int64, all of them the network's mask token.
        order: "batch positions" or "positions", int64: flat positions, first to be decided first.
        noise: Where the random numbers come from.
        top_k: Draw among as many of the likeliest codes; 0 draws among all.
        on_step: See `token_run.walk`, as the following; `accepted` is what the step decided.
        trajectory: Stored states.
        store_every: Steps between stored states.
        evaluator: The evaluator to use.
        on_keys: Told the keys of the states.

    Returns:
        Tokens, shaped as `start`.

    Raises:
        GlidewireError: An order that is not one of the grid's positions, noise that does not fit, or scores that
            are no numbers; and what `on_step` raises.

    Source: Besnier et al. 2025 (arXiv 2503.17076).
    """
    batch, count = start.shape[0], start[0].numel()
    order = order.to(start.device).expand(batch, -1) if order.ndim == 1 else order.to(start.device)
    expected = torch.arange(count, device=start.device).expand(batch, -1)
    if order.shape != expected.shape or not torch.equal(order.sort(dim=1).values, expected):
        raise GlidewireError(
            "sample_in_order: the order does not fit the grid",
            expected=f"each of {count} positions once, for a batch of {batch}",
            got=f"shape {list(order.shape)}",
        )
    rules = _Rules(order, top_k)
    settings = {"on_step": on_step, "trajectory": trajectory, "store_every": store_every, "evaluator": evaluator}
    return walk(denoiser, steps, start, rules, noise, on_keys=on_keys, **settings)


@dataclass(frozen=True, eq=False)
class _Rules:
    """What a step does beside the scores; arguments of `sample_in_order`."""

    order: Tensor
    top_k: int

    def advance(self, logits: Tensor, tokens: Tensor, step: TokenStep, noise: TokenNoise) -> TokenRecord:
        assert isinstance(step, HaltonStep)
        draw = partial(top_k_draw, k=self.top_k) if self.top_k > 0 else gumbel_draw
        drawn = draw(tempered(logits, step.temperature), noise.gumbel(step.index, logits))
        count = tokens[0].numel()
        places = self.order[:, step.decided_before(count) : step.decided(count)]
        accepted = torch.zeros_like(self.order, dtype=torch.bool).scatter(1, places, True).view_as(tokens)
        return TokenRecord(step, tokens, drawn, torch.where(accepted, drawn, tokens), accepted)

    def signature(self) -> str:
        return call_text("in_order", {"order": tensor_digest(self.order), "top_k": self.top_k})
