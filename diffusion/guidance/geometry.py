"""Lengths and angles of what a guidance combines, for plots and studies."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..prediction import Prediction, Step
from .rows import dot, norm
from .scores import centred


def lengths(inputs: Mapping[str, Prediction], made: Prediction, x_t: Tensor, step: Step) -> dict[str, float]:
    """Root mean squares, averaged over the batch: of predictions, of differences to the first one, and of the result.

    Args:
        inputs: What is combined, by name; all are compared in the parametrisation of the first, scores centred.
        made: What the combination made of them.
        x_t: "batch ...".
        step: Where in the run it is.
    """
    values = _values(inputs, made, x_t, step)
    first = next(iter(inputs))
    found = {name: _rms(value) for name, value in values.items()}
    others = (name for name in inputs if name != first)
    return {**found, **{f"{first} - {name}": _rms(values[first] - values[name]) for name in others}}


def angles(inputs: Mapping[str, Prediction], made: Prediction, x_t: Tensor, step: Step) -> dict[str, float]:
    """Angles to the first prediction in degrees, averaged over the batch: of the others, the result, and a difference.

    The difference is that of the first two. Arguments as `lengths`; an angle to nothing is 0.
    """
    values = _values(inputs, made, x_t, step)
    first, *others = inputs
    found = {f"{name} to {first}": _angle(values[name], values[first]) for name in (*others, "result")}
    for name in others[:1]:
        found[f"{first} - {name} to {first}"] = _angle(values[first] - values[name], values[first])
    return found


def _values(inputs: Mapping[str, Prediction], made: Prediction, x_t: Tensor, step: Step) -> dict[str, Tensor]:
    kind = next(iter(inputs.values())).kind
    every = {**inputs, "result": made}
    return {name: centred(each.to(kind, x_t, step)).value for name, each in every.items()}


def _rms(value: Tensor) -> float:
    return float((norm(value).flatten() / math.sqrt(value[0].numel())).mean())


def _angle(a: Tensor, b: Tensor) -> float:
    both = norm(a) * norm(b)
    cosine = torch.where(both > 0, dot(a, b) / both.where(both > 0, 1), 1.0)
    return float(torch.rad2deg(torch.acos(cosine.clamp(-1, 1))).mean())
