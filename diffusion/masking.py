"""MaskGIT's sampler: predict every masked token, then mask the least confident ones again, fewer each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Denoiser
from .evaluator import Evaluator
from .token_noise import TokenNoise
from .token_run import OnTokens, TokenRecord, TokenStep, walk
from .tokens import gumbel_draw, tempered
from .trajectory import OnKeys, Trajectory

Share = Callable[[float, int], float]
"""(fraction of the steps that are done, number of tokens) -> fraction of the tokens that stay masked."""


def _power(exponent: float, ratio: float, count: int) -> float:
    return 1 - ratio**exponent


# Chang et al. 2022 (MaskGIT), sec. 3.3 and the published code.
SHARES: Mapping[str, Share] = {
    "uniform": lambda ratio, count: 1 - ratio,
    "cosine": lambda ratio, count: math.cos(math.pi / 2 * ratio),
    "log": lambda ratio, count: -math.log2(ratio) / math.log2(count) if count > 1 and ratio > 0 else 1.0,
    "exp": lambda ratio, count: 1 - 2 ** (-math.log2(max(count, 1)) * (1 - ratio)),
}
"""Schedules of masks by name; `mask_share` also knows "pow2.5" and any other exponent."""
_SHARE_BOUNDS = (1e-6, 1.0)


def mask_share(name: str, ratio: float, count: int) -> float:
    """The fraction of tokens that stay masked: gamma(ratio), bounded to [1e-6, 1].

    uniform: 1 - r. cosine: cos(pi r / 2). powN: 1 - r^N. log: -log2(r) / log2(count).
    exp: 1 - 2^(-log2(count) (1 - r)).

    Args:
        name: Which schedule.
        ratio: Fraction of the steps that are done, in [0, 1].
        count: Number of tokens.

    Raises:
        GlidewireError: An unknown name.

    Source: Chang et al. 2022 (MaskGIT), sec. 3.3.
    """
    low, high = _SHARE_BOUNDS
    return min(max(_share(name)(ratio, count), low), high)


def _share(name: str) -> Share:
    if name in SHARES:
        return SHARES[name]
    try:
        exponent = float(name.removeprefix("pow"))
        known = name.startswith("pow") and math.isfinite(exponent) and exponent > 0
    except ValueError:
        known, exponent = False, 1.0
    if not known:
        raise GlidewireError("unknown schedule of masks", expected=f"{', '.join(SHARES)} or pow2.5", got=name)
    return partial(_power, exponent)


@dataclass(frozen=True)
class OfUnknown:
    """floor(unknown · gamma(ratio)) tokens are masked, of those that were unknown when the run began."""

    schedule: str
    ratio: float

    def __call__(self, unknown: int, count: int) -> int:
        """How many to mask of `count` tokens, of which `unknown` were masked when the run began."""
        return math.floor(unknown * mask_share(self.schedule, self.ratio, unknown))


@dataclass(frozen=True)
class OfAll:
    """floor(tokens · share) tokens are masked; in float32, where a whole number may fall one below itself."""

    share: float

    def __call__(self, unknown: int, count: int) -> int:
        """How many to mask of `count` tokens."""
        return int((count * torch.tensor(self.share)).floor())


@dataclass(frozen=True)
class MaskStep(TokenStep):
    """One step of MaskGIT's sampler.

    Args:
        choice_temperature: Scale of the Gumbel noise on the confidences.
        masked: (tokens that were unknown when the run began, tokens) -> tokens to mask after the step.
    """

    choice_temperature: float = 0.0
    masked: OfUnknown | OfAll = OfAll(0.0)


def maskgit_steps(
    total: int = 12, *, choice_temperature: float = 4.5, schedule: str = "cosine"
) -> tuple[MaskStep, ...]:
    """MaskGIT's own steps: after step k, with r = (k + 1) / total, floor(unknown · gamma(r)) tokens are masked.

    The noise on confidences is choice_temperature · (1 - r); `unknown` counts what was masked when the run began.

    Raises:
        GlidewireError: No step, a negative temperature, or an unknown schedule.

    Source: Chang et al. 2022 (MaskGIT), sec. 3.2, and its published decoder.
    """
    _check(total, (choice_temperature,))
    _share(schedule)
    steps = []
    for index in range(total):
        ratio = (index + 1) / total
        masked = OfUnknown(schedule, ratio)
        steps.append(MaskStep(index, total, total - 1 - index, 1.0, choice_temperature * (1 - ratio), masked))
    return tuple(steps)


def amused_steps(
    total: int = 12,
    *,
    choice_temperatures: tuple[float, float] = (2.0, 0.0),
    schedule: str = "cosine",
    masked_at_start: float = 1.0,
) -> tuple[MaskStep, ...]:
    """aMUSEd's steps: after step k, with r = (k + 1) / total, floor(tokens · masked_at_start · gamma(r)) are masked.

    Args:
        total: Steps of the run.
        choice_temperatures: Scale of the noise on confidences at the first and the last step, linear between.
        schedule: "cosine" or "linear".
        masked_at_start: Fraction of the tokens that was masked when the run began (less than 1 to inpaint).

    Raises:
        GlidewireError: No step, a negative temperature, another schedule, or a fraction outside [0, 1].

    Source: Patil et al. 2024 (aMUSEd), sec. 3, and its published scheduler.
    """
    _check(total, choice_temperatures)
    if schedule not in ("cosine", "linear") or not 0 <= masked_at_start <= 1:
        raise GlidewireError(
            "amused_steps: impossible settings",
            expected="cosine or linear, and a fraction in [0, 1]",
            got=f"{schedule} and {masked_at_start}",
        )
    temperatures = torch.linspace(*choice_temperatures, total).tolist()
    # float32, as published.
    ratios = torch.arange(1, total + 1) / total
    shares = masked_at_start * (torch.cos(ratios * math.pi / 2) if schedule == "cosine" else 1 - ratios)
    return tuple(MaskStep(i, total, total - 1 - i, 1.0, temperatures[i], OfAll(shares[i].item())) for i in range(total))


def _check(total: int, temperatures: Iterable[float]) -> None:
    if total < 1 or not all(0 <= value < math.inf for value in temperatures):
        raise GlidewireError(
            "MaskGIT's steps: impossible settings",
            expected="1 step or more, and temperatures from 0 up",
            got=f"{total} steps, temperatures {tuple(temperatures)}",
        )


def mask_again(complete: Tensor, unknown: Tensor, confidence: Tensor, masked: Tensor, mask_id: int) -> Tensor:
    """Mask the least confident of the tokens that a step has just drawn: those below the masked-th smallest.

    Args:
        complete: Tokens "batch positions".
        unknown: Which of them were masked before the step, bool.
        confidence: "batch positions", any scale.
        masked: How many to mask, "batch" int64; at least 1, and at most one less than were unknown.
        mask_id: The token that stands for a masked one.

    Returns:
        Tokens "batch positions".

    Source: Chang et al. 2022 (MaskGIT), sec. 3.2.
    """
    confidence = confidence.masked_fill(~unknown, math.inf)
    at_most = unknown.sum(dim=1) - 1
    rank = torch.minimum(masked.to(at_most), at_most).clamp(1, max(complete.shape[1] - 1, 1))
    ordered = confidence.sort(dim=1).values
    threshold = ordered.gather(1, rank[:, None].clamp(max=complete.shape[1] - 1))
    return torch.where(confidence < threshold, mask_id, complete)


def sample_masked(
    denoiser: Denoiser,
    steps: Sequence[MaskStep],
    start: Tensor,
    mask_id: int,
    noise: TokenNoise,
    *,
    on_step: OnTokens | None = None,
    trajectory: Trajectory | None = None,
    store_every: int = 10,
    evaluator: Evaluator | None = None,
    on_keys: OnKeys | None = None,
) -> Tensor:
    """Fill in masked tokens: each step draws all that are masked and masks the least confident again.

    A token that survives a step is never drawn again.

    Args:
        denoiser: The guidance expression, whose networks predict logits; none of them of `mask_id`.
        steps: The steps to make, most masked first.
        start: Tokens "batch ...", int64, in which `mask_id` stands for what is to be made.
        mask_id: That token.
        noise: Where the random numbers come from (purposes "token" and "confidence").
        on_step: See `token_run.walk`, as the following; `drawn` is complete.
        trajectory: Stored states.
        store_every: Steps between stored states.
        evaluator: The evaluator to use.
        on_keys: Told the keys of the states.

    Returns:
        Tokens, shaped as `start`; after the run's last step, without masks.

    Raises:
        GlidewireError: Noise that does not fit, or scores that are no numbers; and what `on_step` raises.

    Source: Chang et al. 2022 (MaskGIT), sec. 3.2.
    """
    rules = _Rules(mask_id, tuple((start == mask_id).flatten(1).sum(dim=1).tolist()))
    settings = {"on_step": on_step, "trajectory": trajectory, "store_every": store_every, "evaluator": evaluator}
    return walk(denoiser, steps, start, rules, noise, on_keys=on_keys, **settings)


@dataclass(frozen=True)
class _Rules:
    """What a step does beside the scores: the mask's token, and how many each item had when the run began."""

    mask_id: int
    unknown_at_start: tuple[int, ...]

    def advance(self, logits: Tensor, tokens: Tensor, step: TokenStep, noise: TokenNoise) -> TokenRecord:
        unknown = tokens == self.mask_id
        drawn = gumbel_draw(tempered(logits, step.temperature), noise.gumbel(step.index, logits))
        complete = after = torch.where(unknown, drawn, tokens)
        if isinstance(step, MaskStep) and not step.last:
            chosen = logits.log_softmax(dim=-1).gather(-1, drawn[..., None]).squeeze(-1)
            confidence = chosen + step.choice_temperature * noise.gumbel(step.index, chosen, "confidence")
            count = tokens[0].numel()
            masked = torch.tensor([step.masked(each, count) for each in self.unknown_at_start], device=tokens.device)
            flat = (complete.flatten(1), unknown.flatten(1), confidence.flatten(1), masked)
            after = mask_again(*flat, self.mask_id).view_as(tokens)
        return TokenRecord(step, tokens, complete, after, after != self.mask_id)

    def signature(self) -> str:
        return f"masking({self!r})"
