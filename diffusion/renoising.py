"""Paella's sampler: predict every token, then replace a shrinking random share of them by noise again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Denoiser
from .evaluator import Evaluator
from .identity import call_text, tensors_digest
from .token_noise import TokenNoise
from .token_run import OnTokens, TokenRecord, TokenStep, walk
from .tokens import GUMBEL, Draw, Filter, corrupt, tempered
from .trajectory import OnKeys, Trajectory

Renoise = Literal["start", "previous", "fresh"]
"""What a renoised position becomes: the noise that the run started from, its token before the step, or new noise."""


@dataclass(frozen=True)
class RenoiseStep(TokenStep):
    """One step of Paella's sampler.

    Args:
        share: Fraction of the tokens that is replaced after the step; 0 keeps them.
    """

    share: float = 0.0


def cosine_share(r: float) -> float:
    """gamma(r) = cos(pi r / 2): the share of noise at Paella v1's time r; r = 0 is pure noise.

    Source: Rampas et al. 2022 (Paella v1), sec. 3.
    """
    return math.cos(math.pi / 2 * r)


def cosine_steps(
    total: int = 12,
    *,
    start: int = 0,
    temperature: tuple[float, float] = (1.0, 1.0),
    renoise_steps: int | None = None,
) -> tuple[RenoiseStep, ...]:
    """The steps of Paella v1: times r_i = i / total, and a share cos(pi r_{i+1} / 2) renoised after each.

    Args:
        total: Steps of a whole run.
        start: Steps to leave out, for a run from tokens that are noised with the share cos(pi r_start / 2).
        temperature: At the first and at the last step of a whole run, with a straight line between them.
        renoise_steps: After how many of the steps noise is added; None after all but the last.

    Raises:
        GlidewireError: Impossible numbers of steps or temperatures.

    Source: Rampas et al. 2022 (Paella v1), sec. 3 and Alg. 1.
    """
    times = torch.linspace(0, 1, total + 1).tolist() if total > 0 else []
    steps = _steps(times, [cosine_share(r) for r in times], temperature, renoise_steps)
    if not 0 <= start <= total:
        raise GlidewireError("cosine_steps: impossible start", expected=f"0 to {total}", got=start)
    return steps[start:]


def linear_steps(
    total: int = 12,
    *,
    noisiest: float = 1.0,
    cleanest: float = 0.0,
    temperature: tuple[float, float] = (1.0, 0.2),
    renoise_steps: int | None = None,
) -> tuple[RenoiseStep, ...]:
    """The steps of Paella v3: times t evenly from `noisiest` to `cleanest`, and a share t_{i+1} renoised after each.

    Args:
        total: Steps of the run.
        noisiest: Time of the first step; 1 is pure noise.
        cleanest: Time after the last step.
        temperature: At the first and at the last step, with a straight line between them.
        renoise_steps: After how many of the steps noise is added; None after all but the last.

    Raises:
        GlidewireError: Impossible numbers of steps, times or temperatures.

    Source: Rampas et al. 2023 (arXiv 2211.07292v2), sec. 3.
    """
    if not 1 >= noisiest >= cleanest >= 0:
        raise GlidewireError(
            "linear_steps: impossible times", expected="1 >= noisiest >= cleanest >= 0", got=f"{noisiest} to {cleanest}"
        )
    times = torch.linspace(noisiest, cleanest, total + 1).tolist() if total > 0 else []
    return _steps(times, times, temperature, renoise_steps)


def _steps(
    times: Sequence[float], shares: Sequence[float], temperature: tuple[float, float], renoise_steps: int | None
) -> tuple[RenoiseStep, ...]:
    total = len(times) - 1
    renoised = total - 1 if renoise_steps is None else renoise_steps
    if total < 1 or not 0 <= renoised <= total or not all(0 <= end < math.inf for end in temperature):
        raise GlidewireError(
            "Paella's steps: impossible settings",
            expected="1 step or more, noise after 0 to all of them, temperatures from 0 up",
            got=f"{max(total, 0)} steps, noise after {renoised}, temperatures {temperature}",
        )
    temperatures = torch.linspace(*temperature, total).tolist()
    return tuple(
        RenoiseStep(i, total, times[i], temperatures[i], shares[i + 1] if i < renoised else 0.0) for i in range(total)
    )


def sample_renoising(
    denoiser: Denoiser,
    steps: Sequence[RenoiseStep],
    start: Tensor,
    noise: TokenNoise,
    *,
    renoise: Renoise = "start",
    source: Tensor | None = None,
    generate: Tensor | None = None,
    keep: Filter | None = None,
    draw: Draw = GUMBEL,
    on_step: OnTokens | None = None,
    trajectory: Trajectory | None = None,
    store_every: int = 10,
    evaluator: Evaluator | None = None,
    on_keys: OnKeys | None = None,
) -> Tensor:
    """Walk from noise tokens to a picture's tokens.

    Each step scores every position, draws a token for each, pastes what is known, and replaces a share by noise.

    Args:
        denoiser: The guidance expression, whose networks predict logits.
        steps: The steps to make, noisiest first.
        start: Tokens "batch height width", int64: uniform noise; or, to edit, tokens that are noised with the
            share of the first step; or, to inpaint, `paste(noise, known, generate)`.
        noise: Where the random numbers come from.
        renoise: What a renoised position becomes.
        source: For "start", the noise to take; None takes `start` (whose known positions then stay).
        generate: Where tokens are made, bool, broadcastable to `start`; elsewhere `start` is kept. None is
            everywhere.
        keep: Filter of the logits, before the temperature, such as `typical()`.
        draw: How a token is chosen.
        on_step: See `token_run.walk`, as the following.
        trajectory: Stored states.
        store_every: Steps between stored states.
        evaluator: The evaluator to use.
        on_keys: Told the keys of the states.

    Returns:
        Tokens, shaped as `start`.

    Raises:
        GlidewireError: Tokens or noise that do not fit, or scores that are no numbers; and what `on_step` raises.

    Source: Rampas et al. 2022 (Paella), sec. 3 and Alg. 1.
    """
    if renoise not in get_args(Renoise):
        raise GlidewireError("sample_renoising: unknown renoise", expected=get_args(Renoise), got=renoise)
    rules = _Rules(
        renoise,
        start,
        start if source is None else source.to(start.device),
        None if generate is None else generate.to(start.device),
        keep,
        draw,
    )
    settings = {"on_step": on_step, "trajectory": trajectory, "store_every": store_every, "evaluator": evaluator}
    return walk(denoiser, steps, start, rules, noise, on_keys=on_keys, **settings)


@dataclass(frozen=True, eq=False)
class _Rules:
    """What a step does beside the scores; arguments of `sample_renoising`."""

    renoise: Renoise
    start: Tensor
    source: Tensor
    generate: Tensor | None
    keep: Filter | None
    draw: Draw

    def advance(self, logits: Tensor, tokens: Tensor, step: TokenStep, noise: TokenNoise) -> TokenRecord:
        codes = logits.shape[-1]
        logits = tempered(logits if self.keep is None else self.keep.apply(logits), step.temperature)
        drawn = self.draw.apply(logits, noise.gumbel(step.index, logits))
        after = drawn if self.generate is None else paste(drawn, self.start, self.generate)
        if isinstance(step, RenoiseStep) and step.share > 0:
            if self.renoise == "fresh":
                replacement = noise.tokens(step.index, tokens, codes)
            else:
                replacement = tokens if self.renoise == "previous" else self.source
            after = corrupt(after, replacement, step.share, noise.uniform(step.index, tokens))
        return TokenRecord(step, tokens, drawn, after)

    def signature(self) -> str:
        given = {"source": self.source} | ({} if self.generate is None else {"generate": self.generate})
        keep = "" if self.keep is None else self.keep.signature()
        named = {"renoise": self.renoise, "keep": keep, "draw": self.draw.signature(), "given": tensors_digest(given)}
        return call_text("renoising", named)


def paste(made: Tensor, known: Tensor, generate: Tensor) -> Tensor:
    """`made` where `generate` (bool), else `known`; all broadcastable to "batch height width".

    Raises:
        GlidewireError: Shapes that do not broadcast to `made`, or a mask that is not bool.
    """
    if generate.dtype != torch.bool:
        raise GlidewireError(
            "where to make tokens is told by a mask of truth values", expected="bool", got=generate.dtype
        )
    for name, value in (("the known tokens", known), ("the mask", generate)):
        try:
            value.expand_as(made)
        except RuntimeError as problem:
            raise GlidewireError(
                f"{name} do not fit the token grid", expected=list(made.shape), got=list(value.shape)
            ) from problem
    return torch.where(generate, made, known)
