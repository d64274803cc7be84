"""Guidance along the difference of two predictions: classifier-free, autoguidance, and CFG++."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from ..denoiser import Combination, Denoiser
from ..prediction import Prediction, Step
from .affine import affine
from .scales import Scale, ScaleSchedule, changes, check_finite, checked, scale_at, scale_parameters
from .scores import require_clean_samples

Pair = Callable[[Prediction, Prediction, Tensor, Step], Prediction]
"""What makes one prediction of a first and a second, the second in the parametrisation of the first."""


def of_pair(
    guide: Pair,
    name: str,
    pair: Mapping[str, Denoiser],
    parameters: Mapping[str, float | str],
    start: float,
    end: float,
    reads_progress: bool,
) -> Combination:
    """The combination of a pair by `guide`; the first stands alone outside the interval."""
    first, second = pair

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        c = inputs[first]
        return guide(c, inputs[second].to(c.kind, x_t, step), x_t, step)

    return Combination(combine, pair, name, parameters, start, end, first, reads_progress)


def classifier_free(
    conditional: Denoiser,
    unconditional: Denoiser,
    scale: Scale,
    start: float = 0.0,
    end: float = 1.0,
    final_scale: float | None = None,
) -> Denoiser:
    """Classifier-free guidance: eps = u + scale (c - u).

    GLIDE's convention: scale 1 is the conditional model, and returns it itself; the papers' w is scale - 1.
    The combination is affine, so it is the same in eps, x_0 and v; of tokens it combines logits. Variance
    channels are the conditional's.

    Args:
        conditional: c, under the wanted condition.
        unconditional: u, under the empty (or a negative) condition.
        scale: Strength; 0 gives u, above 1 extrapolates.
        start: First fraction of the steps that is guided; before it the conditional passes through.
        end: Fraction of the steps from which the conditional passes through again.
        final_scale: Strength at the run's last step, with `scale` at its first and a straight line between them;
            None is as `scale` says.

    Raises:
        GlidewireError: If a scale is not finite or the interval is not one.

    Source: Ho & Salimans 2022, eq. 6; GLIDE (Nichol et al. 2022), eq. 6; intervals: Kynkäänniemi et al. 2024.
    """
    if final_scale is not None and not isinstance(scale, ScaleSchedule):
        check_finite("classifier_free", scale, final_scale)
        scale = ScaleSchedule(scale, final_scale)
    return _guided("classifier_free", {"conditional": conditional, "unconditional": unconditional}, scale, start, end)


def autoguidance(good: Denoiser, bad: Denoiser, scale: Scale, start: float = 0.0, end: float = 1.0) -> Denoiser:
    """Guidance away from a worse version of the model under the same condition: eps = bad + scale (good - bad).

    Args:
        good: The model, under the wanted condition.
        bad: A smaller or less trained model of the same space, under the same condition.
        scale: Strength; 1 returns `good` itself, the paper's best are 1.4 to 2.9.
        start: First fraction of the steps that is guided; outside the interval `good` stands alone.
        end: Fraction of the steps from which it no longer is.

    Raises:
        GlidewireError: If a scale is not finite or the interval is not one.

    Source: Karras et al. 2024 (Guiding a diffusion model with a bad version of itself), eq. 3.
    """
    return _guided("autoguidance", {"good": good, "bad": bad}, scale, start, end)


def _guided(name: str, pair: Mapping[str, Denoiser], scale: Scale, start: float, end: float) -> Denoiser:
    scale = checked(name, scale)

    def guide(c: Prediction, u: Prediction, x_t: Tensor, step: Step) -> Prediction:
        return affine(c, u, [(scale_at(scale, step), c, u)])

    # Built first, so that a wrong interval is reported at every scale.
    combination = of_pair(guide, name, pair, scale_parameters(scale), start, end, changes(scale))
    return next(iter(pair.values())) if scale == 1 else combination


def classifier_free_plus_plus(
    conditional: Denoiser, unconditional: Denoiser, scale: Scale, start: float = 0.0, end: float = 1.0
) -> Denoiser:
    """CFG++: x_0 from u + scale (c - u), and noise again with u: x_{t-1} = sqrt(abar') x_0 + sqrt(1 - abar') u.

    Args:
        conditional: c, under the wanted condition.
        unconditional: u, under the empty (or a negative) condition.
        scale: lambda of the paper, most useful in [0, 1]: both ends stay on the data. Unlike in classifier-free
            guidance, 1 is not the conditional: only its clean sample is.
        start: First fraction of the steps that is guided; before it the conditional passes through.
        end: Fraction of the steps from which the conditional passes through again.

    Raises:
        GlidewireError: If a scale is not finite or the interval is not one; if a network scores tokens.

    Source: Chung et al. 2024 (CFG++), Alg. 2.
    """
    scale = checked("classifier_free_plus_plus", scale)
    require_clean_samples("classifier_free_plus_plus", conditional, unconditional)

    def guide(c: Prediction, u: Prediction, x_t: Tensor, step: Step) -> Prediction:
        renoise = u.eps(x_t, step) if u.renoise_eps is None else u.renoise_eps
        return replace(affine(c, u, [(scale_at(scale, step), c, u)]), renoise_eps=renoise)

    pair = {"conditional": conditional, "unconditional": unconditional}
    parameters = scale_parameters(scale)
    return of_pair(guide, "classifier_free_plus_plus", pair, parameters, start, end, changes(scale))
