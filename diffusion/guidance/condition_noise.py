"""Condition-annealed sampling (CADS): conditions that are noise at first, for more variety."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from ...errors import GlidewireError
from ..denoiser import Denoiser, Leaf
from ..noise import Noise
from ..rewriting import within
from .scales import check_fraction


def require_annealing(clean_until: float, noise_from: float) -> None:
    """Raise a GlidewireError unless 0 <= clean_until <= noise_from <= 1."""
    check_fraction("condition_annealed", "clean_until", clean_until)
    check_fraction("condition_annealed", "noise_from", noise_from)
    if clean_until > noise_from:
        raise GlidewireError(
            "condition_annealed: the condition would be clean before it is noise",
            expected="clean_until <= noise_from (parts of the run, from its end)",
            got=f"{clean_until} and {noise_from}",
        )


def annealing(t: float, clean_until: float, noise_from: float) -> float:
    """gamma(t): 1 for t <= tau_1, 0 for t >= tau_2, and a straight line between them.

    Args:
        t: Where in the run: 1 at its start, 0 at its end.
        clean_until: tau_1.
        noise_from: tau_2.

    Source: Sadat et al. 2023 (CADS), the annealing schedule gamma.
    """
    if t <= clean_until:
        return 1.0
    return 0.0 if t >= noise_from else (noise_from - t) / (noise_from - clean_until)


def noised_condition(condition: Tensor, noise: Tensor, gamma: float, noise_scale: float, mixing: float) -> Tensor:
    """y' = sqrt(gamma) y + s sqrt(1 - gamma) noise, then psi (y' in the mean and deviation of y) + (1 - psi) y'.

    Args:
        condition: y, "batch ...".
        noise: Standard normal, shaped as y.
        gamma: 1 keeps the condition.
        noise_scale: s.
        mixing: psi in [0, 1].

    Returns:
        Shaped as y.

    Source: Sadat et al. 2023 (CADS), Alg. 1.
    """
    noised = math.sqrt(gamma) * condition + noise_scale * math.sqrt(1 - gamma) * noise
    others = tuple(range(1, condition.ndim))
    mean, deviation = noised.mean(others, keepdim=True), noised.std(others, keepdim=True)
    standard = (noised - mean) / deviation.where(deviation > 0, 1)
    restored = standard * condition.std(others, keepdim=True) + condition.mean(others, keepdim=True)
    return mixing * restored + (1 - mixing) * noised


def condition_annealed(
    conditional: Denoiser,
    noise: Noise,
    batch: int,
    levels: int,
    noise_scale: float = 0.25,
    clean_until: float = 0.6,
    noise_from: float = 0.9,
    mixing: float = 1.0,
    names: Sequence[str] | None = None,
) -> Denoiser:
    """CADS: the condition is noise at the start of a run and itself at the end; see `noised_condition`.

    Wrap the conditional with it, and guide the result. It is a chain of leaves, one a level, each active in its own
    interval, so that every sampler and every cached state knows it already.

    Args:
        conditional: A network under a condition.
        noise: Where each level's noise comes from (purpose "condition NAME"); another draw for every item.
        batch: Items of the run.
        levels: In how many equal parts the run is cut; as many as steps is the published form.
        noise_scale: s, the paper's initial noise; 0 returns `conditional` itself.
        clean_until: tau_1 in [0, 1], the part of the run, counted from its end, with the condition as it is.
        noise_from: tau_2, at least tau_1: before it the condition is nothing but noise.
        mixing: psi in [0, 1], how much of the condition's own mean and deviation is given back.
        names: Which tensors of the condition; None is all of floating point.

    Raises:
        GlidewireError: If `conditional` is not a network under a condition, a number is impossible, or the condition
            has no such tensor of floating point.

    Source: Sadat et al. 2023 (CADS: Unleashing the diversity of diffusion models), Alg. 1.
    """
    if not isinstance(conditional, Leaf):
        raise GlidewireError(
            "condition_annealed: only a network under a condition has a condition to anneal",
            expected="a denoiser straight from its model",
            got=f"a combination, {conditional.name}",
            hint="Anneal the conditional denoiser first, and guide the result.",
        )
    require_annealing(clean_until, noise_from)
    check_fraction("condition_annealed", "mixing", mixing)
    if levels < 1 or not 0 <= noise_scale < math.inf or batch < 1:
        raise GlidewireError(
            "condition_annealed: impossible numbers",
            expected="a finite noise_scale of 0 or more, and at least one level and item",
            got=f"{noise_scale}, {levels} levels and {batch} items",
        )
    chosen = _chosen(conditional.conditioning, names)
    result: Denoiser = conditional
    for level in range(levels if noise_scale > 0 else 0):
        gamma = annealing(1 - level / levels, clean_until, noise_from)
        if gamma == 1:
            break
        noised = dict(conditional.conditioning)
        for name in chosen:
            value = _rows(name, noised[name], batch)
            drawn = noise(level, value, f"condition {name}")
            noised[name] = noised_condition(value, drawn, gamma, noise_scale, mixing)
        result = within(Leaf(conditional.network, noised), result, level / levels, (level + 1) / levels)
    return result


def _chosen(conditioning: Mapping[str, Tensor], names: Sequence[str] | None) -> list[str]:
    known = [name for name, value in conditioning.items() if value.is_floating_point()]
    if names is None:
        names = known
    if not names or any(name not in known for name in names):
        raise GlidewireError(
            "condition_annealed: no such tensor of floating point in the condition",
            expected=" or ".join(known) or "a condition with one",
            got=", ".join(names) or "none",
        )
    return list(names)


def _rows(name: str, value: Tensor, batch: int) -> Tensor:
    if value.shape[0] not in (1, batch):
        raise GlidewireError(
            f"condition_annealed: condition {name!r} does not fit the batch",
            expected=f"a first dimension of 1 or {batch}",
            got=f"shape {list(value.shape)}",
        )
    return value.expand(batch, *value.shape[1:])
