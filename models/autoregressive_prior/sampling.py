"""Sampling the autoregressive prior: codes one after the other, and whole embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...diffusion.token_noise import TokenNoise
from ...diffusion.tokens import GUMBEL, Draw, Filter
from ...errors import GlidewireError
from .network import AutoregressivePrior

OnCode = Callable[[int, int], None]
"""Called with (codes drawn, codes in all) after every code; raising ends the run there."""


@torch.no_grad()
def sample_codes(
    prior: AutoregressivePrior,
    conditioning: Mapping[str, Tensor],
    noise: TokenNoise,
    *,
    unconditional: Mapping[str, Tensor] | None = None,
    guidance_scale: float = 1.0,
    temperature: float = 1.0,
    draw: Draw = GUMBEL,
    keep: Filter | None = None,
    on_code: OnCode | None = None,
) -> Tensor:
    """Draw the codes of embeddings, most telling first.

    logits = u + guidance_scale (c - u), over the temperature, filtered, then drawn.

    Args:
        prior: The network.
        conditioning: c, from `AutoregressivePrior.conditioning`.
        noise: Where Gumbel noise comes from; code i is step i.
        unconditional: u; needed unless guidance_scale is 1.
        guidance_scale: Strength of classifier-free guidance; 1 is the conditional model.
        temperature: Above 0.
        draw: How a code is chosen.
        keep: Which codes may be drawn; None for all.
        on_code: Called after every code.

    Returns:
        "batch kept" int64.

    Raises:
        GlidewireError: A temperature that is not above 0, or guidance without its other branch.

    Source: Ramesh et al. 2022, sec. 2.2; guidance: Ho & Salimans 2022, eq. 6.
    """
    if not 0 < temperature < float("inf"):
        raise GlidewireError("autoregressive prior: impossible temperature", expected="above 0", got=temperature)
    if guidance_scale != 1 and unconditional is None:
        raise GlidewireError("autoregressive prior: guidance needs the unconditional branch", got=guidance_scale)
    batch = len(conditioning["text_embedding"])
    given = dict(conditioning)
    if guidance_scale != 1 and unconditional is not None:
        given = {name: torch.cat([value, unconditional[name]]) for name, value in given.items()}
    repeats = len(given["text_embedding"]) // batch
    logits, cache = prior.start(given)
    drawn: list[Tensor] = []
    for index in range(prior.spec.kept):
        if index:
            logits, cache = prior.step(drawn[-1].repeat(repeats), cache)
        conditional, *others = logits.chunk(repeats)
        guided = others[0] + guidance_scale * (conditional - others[0]) if others else conditional
        scores = guided / temperature
        scores = keep.apply(scores) if keep is not None else scores
        drawn.append(draw.apply(scores, noise.gumbel(index, scores)))
        if on_code is not None:
            on_code(index + 1, prior.spec.kept)
    return torch.stack(drawn, dim=1)


def upper_dot_code(prior: AutoregressivePrior, like: Tensor, noise: TokenNoise) -> Tensor:
    """A code of the similarity for each item of `like` "batch ...", from the upper half of the training set's.

    Source: Ramesh et al. 2022, sec. 2.2.
    """
    buckets = prior.spec.dot_buckets
    lower = buckets // 2
    items = torch.empty(len(like), dtype=torch.long, device=like.device)
    return lower + noise.tokens(0, items, buckets - lower, "dot")


def sample_embedding(
    prior: AutoregressivePrior,
    text_embedding: Tensor,
    text_states: Tensor | None,
    noise: TokenNoise,
    *,
    dot_code: Tensor | None = None,
    guidance_scale: float = 1.0,
    temperature: float = 1.0,
    draw: Draw = GUMBEL,
    keep: Filter | None = None,
    on_code: OnCode | None = None,
) -> Tensor:
    """Embeddings of pictures "batch embedding_width" float32 for texts; arguments as `sample_codes`.

    Args:
        prior: The network.
        text_embedding: z_t "batch embedding_width".
        text_states: "batch positions text_width", or None.
        noise: One seed per item.
        dot_code: Code of the similarity "batch"; None draws it from the upper half, as the paper does.
        guidance_scale: See `sample_codes`.
        temperature: See `sample_codes`.
        draw: See `sample_codes`.
        keep: See `sample_codes`.
        on_code: See `sample_codes`.
    """
    if dot_code is None:
        dot_code = upper_dot_code(prior, text_embedding, noise)
    given = prior.conditioning(text_embedding, text_states, dot_code)
    dropped = prior.conditioning(text_embedding, text_states, dropped=True)
    codes = sample_codes(
        prior,
        given,
        noise,
        unconditional=dropped,
        guidance_scale=guidance_scale,
        temperature=temperature,
        draw=draw,
        keep=keep,
        on_code=on_code,
    )
    return prior.codec.decode(codes)
