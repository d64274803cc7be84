"""The loop that all samplers of tokens share: score, decide, store, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Denoiser
from .evaluator import Evaluator
from .prediction import Progress
from .token_noise import TokenNoise
from .trajectory import Keeper, OnKeys, Trajectory, boundaries, chained_keys, resume


@dataclass(frozen=True)
class TokenStep(Progress):
    """One step of a run over tokens.

    Args:
        temperature: Logits are divided by it before a token is drawn; 0 takes the likeliest.
    """

    temperature: float = 1.0

    def signature(self) -> str:
        """Exact text of all that the step tells a sampler: equal text, equal steps."""
        return repr(self)


@dataclass(frozen=True, eq=False)
class TokenRecord:
    """What happened in one step, for previews, inspection and progress.

    Args:
        step: The step.
        tokens: What the network saw, "batch ...".
        drawn: What was drawn at every position, before known tokens were pasted.
        next: What the next step sees; after the last step, the result.
        accepted: Where the sampler holds on to its tokens, if it does so; "batch ..." bool.
    """

    step: TokenStep
    tokens: Tensor
    drawn: Tensor
    next: Tensor
    accepted: Tensor | None = None


OnTokens = Callable[[TokenRecord], None]
"""Called after every step; raising ends the run there."""


class Rules(Protocol):
    """How a sampler turns scores into the next tokens; it keeps no state from step to step."""

    def signature(self) -> str:
        """Canonical text: equal text, equal steps from equal tokens."""
        ...

    def advance(self, logits: Tensor, tokens: Tensor, step: TokenStep, noise: TokenNoise) -> TokenRecord:
        """One step from logits "batch ... codes" and tokens "batch ..."."""
        ...


def walk(
    denoiser: Denoiser,
    steps: Sequence[TokenStep],
    start: Tensor,
    rules: Rules,
    noise: TokenNoise,
    *,
    on_step: OnTokens | None = None,
    trajectory: Trajectory | None = None,
    store_every: int = 10,
    evaluator: Evaluator | None = None,
    on_keys: OnKeys | None = None,
) -> Tensor:
    """Walk through a run's steps.

    Args:
        denoiser: The guidance expression, whose networks predict logits.
        steps: The steps to make, noisiest first.
        start: Tokens "batch ...", int64.
        rules: The sampler.
        noise: Where the random numbers come from.
        on_step: Called after every step that is computed (not for resumed ones); may raise to cancel, and then
            the state after that step is stored.
        trajectory: Stored states to resume from and add to; the result is the same as without.
        store_every: Steps between stored states; 0 stores only where guidance changes, and the end.
        evaluator: The evaluator to use (to count its forwards); a fresh one by default.
        on_keys: Told, before the first step, the key of the state after each step.

    Returns:
        Tokens, shaped as `start`.

    Raises:
        GlidewireError: As `evaluate_logits`, or noise that does not fit; and whatever `on_step` raises.
    """
    done, keeper, tokens = 0, Keeper(), start
    evaluator = evaluator or Evaluator()
    evaluator.memory = {}
    if trajectory is not None:
        texts = (TokenStep.signature, lambda step: noise.signature(step.index))
        keys = chained_keys(denoiser, steps, start, rules.signature(), *texts)
        if on_keys is not None:
            on_keys(keys[1:])
        done, tokens, evaluator.memory = resume(trajectory, keys, start)
        keeper = Keeper(trajectory, keys, boundaries(denoiser, steps, store_every))
    for count, step in enumerate(steps[done:], done + 1):
        logits = evaluate_logits(evaluator, denoiser, tokens, step)
        record = rules.advance(logits, tokens, step, noise)
        tokens = record.next
        keeper.step(count, tokens, evaluator.memory, partial(on_step, record) if on_step else None)
    return tokens if steps else start.clone()


@torch.no_grad()
def evaluate_logits(evaluator: Evaluator, denoiser: Denoiser, tokens: Tensor, step: TokenStep) -> Tensor:
    """A guidance expression's scores of every code at every position.

    Args:
        evaluator: The run's.
        denoiser: The expression; all of its networks predict logits.
        tokens: "batch ...", int64.
        step: Where in the run they are.

    Returns:
        "batch ... codes", float32.

    Raises:
        GlidewireError: The expression is not one of logits, guides by gradients, or its scores are no numbers.
    """
    prediction = evaluator(denoiser, tokens, step)
    if prediction.kind != "logits" or prediction.mean_shift is not None:
        raise GlidewireError(
            "a sampler of tokens cannot use this denoiser",
            expected="networks that score tokens, guided by combinations of their logits",
            got=prediction.kind if prediction.mean_shift is None else "guidance by a gradient",
        )
    logits = prediction.value.movedim(1, -1)
    if bool(logits.isnan().any()):
        raise GlidewireError(
            f"Sampling step {step.index} of {step.total}: the scores of tokens are not numbers",
            got=f"{int(logits.isnan().sum())} of {logits.numel()} values",
            hint="Use a higher precision or a lower guidance scale, or check the weights.",
        )
    return logits
