"""From scores to tokens: filters of logits, ways to draw a token, and corruption."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from ..errors import GlidewireError
from .identity import call_text, tensor_digest


@dataclass(frozen=True, eq=False)
class Filter:
    """What may be drawn, with its exact parameters.

    Args:
        name: Stable identity of the function.
        apply: Logits "... codes" to logits in which what may not be drawn is -infinity.
        parameters: All that decides its result.
    """

    name: str
    apply: Callable[[Tensor], Tensor]
    parameters: Mapping[str, float | str] = field(default_factory=dict)

    def signature(self) -> str:
        """Canonical text: equal text, equal filters."""
        return call_text(self.name, self.parameters)


@dataclass(frozen=True, eq=False)
class Draw:
    """How a token is chosen, with its exact parameters.

    Args:
        name: Stable identity of the function.
        apply: (logits "... codes" over the temperature, Gumbel noise of the same shape) -> tokens "...".
        parameters: All that decides its result.
    """

    name: str
    apply: Callable[[Tensor, Tensor], Tensor]
    parameters: Mapping[str, float | str] = field(default_factory=dict)

    def signature(self) -> str:
        """Canonical text: equal text, equal choices."""
        return call_text(self.name, self.parameters)


def typical_filter(logits: Tensor, mass: float = 0.2, min_tokens: int = 1) -> Tensor:
    """Keep the locally typical codes: those whose surprise |-log p - H| is smallest, until they hold `mass`.

    The code that reaches the mass is kept, and so are codes exactly as surprising as it.

    Args:
        logits: "... codes", any floating dtype; not changed.
        mass: Probability to keep, in [0, 1]; 1 keeps every possible code.
        min_tokens: How many of the most typical codes are kept in any case.

    Returns:
        The logits, with -infinity in place of the others.

    Raises:
        GlidewireError: A mass outside [0, 1], or fewer than one token.

    Source: Meister et al. 2022 (locally typical sampling), sec. 4; Rampas et al. 2022 (Paella), sec. 3.
    """
    if not 0 <= mass <= 1 or min_tokens < 1:
        raise GlidewireError(
            "typical_filter: impossible settings",
            expected="a mass in [0, 1] and at least 1 token",
            got=f"{mass} and {min_tokens}",
        )
    log_p = logits.log_softmax(dim=-1)
    p = log_p.exp()
    entropy = -torch.where(p > 0, p * log_p, 0).sum(dim=-1, keepdim=True)
    distance = (-log_p - entropy).abs()
    ordered, order = distance.sort(dim=-1)
    held = p.gather(-1, order).cumsum(dim=-1)
    # Rounding may leave the sum below the mass at the very end.
    last = (held < mass).sum(dim=-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    surprising = distance > ordered.gather(-1, last)
    surprising = surprising.scatter(-1, order[..., :min_tokens], False)
    return logits.masked_fill(surprising, -math.inf)


def typical(mass: float = 0.2, min_tokens: int = 1) -> Filter:
    """Locally typical filtering; see `typical_filter`, whose errors it raises when run."""
    parameters = {"mass": float(mass), "min_tokens": min_tokens}
    return Filter("typical", partial(typical_filter, mass=mass, min_tokens=min_tokens), parameters)


def gumbel_draw(logits: Tensor, gumbel: Tensor) -> Tensor:
    """argmax(logits + gumbel): a draw from softmax(logits), both "... codes", to tokens "...".

    Source: Gumbel 1954; Jang et al. 2017, eq. 1.
    """
    return (logits + gumbel).argmax(dim=-1)


def top_k_draw(logits: Tensor, gumbel: Tensor, k: int) -> Tensor:
    """A draw among the k likeliest codes; the noise goes by rank, likeliest first. Shapes as in `gumbel_draw`."""
    values, codes = logits.topk(min(k, logits.shape[-1]), dim=-1)
    rank = (values + gumbel[..., : values.shape[-1]]).argmax(dim=-1, keepdim=True)
    return codes.gather(-1, rank).squeeze(-1)


GUMBEL = Draw("gumbel", gumbel_draw)
"""A draw from the distribution: Paella's published mode "multinomial"."""

LIKELIEST = Draw("likeliest", lambda logits, gumbel: logits.argmax(dim=-1))
"""The likeliest code, without noise: Paella's published mode "argmax"."""


def mean_code(codebook: Tensor) -> Draw:
    """The code nearest to the mean code sum_k p_k e_k: Paella's published mode "quant".

    Args:
        codebook: "codes width".

    Source: Rampas et al. 2023 (Paella), as published.
    """

    def draw(logits: Tensor, gumbel: Tensor) -> Tensor:
        mean = logits.softmax(dim=-1) @ codebook.to(logits)
        distances = torch.cdist(mean.flatten(0, -2), codebook.to(logits))
        return distances.argmin(dim=-1).view(logits.shape[:-1])

    return Draw("mean_code", draw, {"codebook": tensor_digest(codebook)})


def corrupt(tokens: Tensor, replacement: Tensor, share: float, uniform: Tensor) -> Tensor:
    """Replace a share of the tokens: `replacement` where uniform < share.

    Args:
        tokens: "batch ...", int64.
        replacement: Shaped as `tokens`.
        share: Expected fraction that is replaced, in [0, 1].
        uniform: In [0, 1), shaped as `tokens`.

    Source: Rampas et al. 2022 (Paella), sec. 3.
    """
    return torch.where(uniform < share, replacement, tokens)


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """logits / temperature; at temperature 0 the likeliest code alone is possible. Shapes kept."""
    if temperature > 0:
        return logits / temperature
    likeliest = logits.argmax(dim=-1, keepdim=True)
    return torch.full_like(logits, -math.inf).scatter(-1, likeliest, 0.0)
