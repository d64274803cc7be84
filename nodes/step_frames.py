"""What a sampler leaves of each step for the step inspector: pictures, norms, what each combination changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from torch import Tensor

from ..diffusion.denoiser import Combination
from ..diffusion.evaluator import Evaluator
from ..diffusion.prediction import Prediction, Progress, Step
from ..diffusion.samplers import StepRecord
from ..diffusion.token_run import TokenRecord
from ..graph_runtime.frames import Frame, Frames
from . import glimpses


class StepFrames:
    """Turns the records of a walk into frames, at no cost where nobody wants them.

    Args:
        frames: Where they go.
        space: What is sampled, as `glimpses.of_batch` takes it.

    Attributes:
        evaluator: For the walk: it tells of every combination where that is wanted.
        on_keys: For the walk, or None.
    """

    def __init__(self, frames: Frames, space: str = "") -> None:
        self._frames, self._space = frames, space
        self._facts: dict[str, float] = {}
        self._names: Sequence[str] = ()
        self.evaluator = Evaluator(self._combined if frames.wanted else None)
        self.on_keys: Callable[[Sequence[str]], None] | None = self._begin if frames.wanted else None

    def step(self, record: StepRecord) -> None:
        """Keep the frame of a step of diffusion."""
        if self._frames.wanted:
            facts = {"alpha_bar": record.step.alpha_bar}
            facts |= {f"rms of {name}": _mean(value) for name, value in record.norms().items()}
            pictures = {"x_t": record.x_t, "x_0": record.x_0} if record.x_t.ndim == 4 else {}
            self._keep(
                record.step, facts, {name: glimpses.of_batch(one, self._space) for name, one in pictures.items()}
            )

    def tokens(self, record: TokenRecord) -> None:
        """Keep the frame of a step over tokens."""
        if self._frames.wanted:
            facts = {"temperature": record.step.temperature, "changed tokens": _share(record.tokens, record.next)}
            if record.accepted is not None:
                facts["accepted tokens"] = record.accepted.float().mean().item()
            pictures = {"tokens": record.tokens, "drawn": record.drawn} if record.tokens.ndim == 3 else {}
            self._keep(record.step, facts, {name: glimpses.of_tokens(one) for name, one in pictures.items()})

    def _begin(self, keys: Sequence[str]) -> None:
        self._names = keys
        self._frames.begin(keys)

    def _keep(self, step: Progress, facts: Mapping[str, float], pictures: Mapping[str, Tensor]) -> None:
        # A walk may begin in the middle of its schedule, and ends with it.
        place = step.index - (step.total - len(self._names))
        told = {"step": float(step.index), "timestep": float(step.timestep), **facts, **self._facts}
        self._frames.keep(place, Frame(told, pictures))
        self._facts = {}

    def _combined(
        self, node: Combination, inputs: Mapping[str, Prediction], made: Prediction, x_t: Tensor, step: Progress
    ) -> None:
        name, count = node.name, 2
        while f"guidance: {name}" in self._facts:
            name, count = f"{node.name} {count}", count + 1
        self._facts[f"guidance: {name}"] = _changed(inputs[node.fallback], made, x_t, step)
        if node.measure is not None:
            measured = node.measure(made, x_t, cast(Step, step))
            self._facts |= {label: _mean(value) for label, value in measured.items()}


def _changed(before: Prediction, after: Prediction, x_t: Tensor, step: Progress) -> float:
    """Root mean square of what a combination added: to eps (a shift of the mean counted in it), or to the logits."""
    if "logits" in (before.kind, after.kind):
        return _norm(after.value - before.value)
    now = cast(Step, step)
    change = after.eps(x_t, now) - before.eps(x_t, now)
    for prediction, sign in ((after, -1.0), (before, 1.0)):
        if prediction.mean_shift is not None:
            change = change + sign * (1 - now.alpha_bar) ** 0.5 * prediction.mean_shift
    return _norm(change)


def _norm(value: Tensor) -> float:
    return value.double().square().mean().sqrt().item()


def _mean(value: Tensor) -> float:
    return value.double().mean().item()


def _share(before: Tensor, after: Tensor) -> float:
    return (before != after).float().mean().item()
