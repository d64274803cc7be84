"""The guidance expression: leaves (a network under a condition) and combinations of their predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar

from torch import Tensor

from ..errors import GlidewireError
from .identity import call_text, tensors_digest
from .prediction import Kind, Prediction, Step


class Network(Protocol):
    """What a leaf evaluates. Every model room provides one."""

    @property
    def prediction(self) -> Kind:
        """The parametrisation of the output's first channels."""
        ...

    @property
    def learned_variance(self) -> bool:
        """Whether the output carries as many variance channels again, in dimension 1."""
        ...

    def digest(self) -> str:
        """Identity of all that decides the output: the weights' content, and the precision they run in."""
        ...

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What can be computed once per sampling, such as keys and values of a fixed text; batch first."""
        ...

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor | Observed:
        """The raw output for x_t "batch ...", timesteps "batch" (ids or times), prepared conditioning."""
        ...


@dataclass(frozen=True, eq=False)
class Observed:
    """A network's raw output, and what it shows of its inside.

    Args:
        output: As a network without observations returns it.
        seen: Named tensors, batch first, such as attention maps; predictions carry them.
    """

    output: Tensor
    seen: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Leaf:
    """A network under a condition.

    Args:
        network: Evaluated at x_t.
        conditioning: Named tensors whose first dimension is 1 (shared by the batch) or the batch.
        same_as: A leaf of the network that this one's is a view of, where the view adds nothing: both have one answer,
            and where both stand in an expression only this one is evaluated.
    """

    network: Network
    conditioning: Mapping[str, Tensor] = field(default_factory=dict)
    same_as: Leaf | None = None

    @cached_property
    def conditioning_digest(self) -> str:
        """sha256 of the condition's content."""
        return tensors_digest(self.conditioning)


Combine = Callable[[Mapping[str, Prediction], Tensor, Step], Prediction]
"""A pure function of the named predictions, x_t and the step."""

Remember = Callable[[Mapping[str, Prediction], Tensor, Step, Tensor | None], Tensor]
"""A pure function of the named predictions, x_t, the step and what it gave in the step before, if it ran there."""


Measure = Callable[[Prediction, Tensor, Step], Mapping[str, Tensor]]
"""Numbers about a combination's answer, x_t and the step, by name, "batch" each: a similarity that guidance climbs."""


def require_interval(start: float, end: float, name: str = "guidance") -> None:
    """Raise a GlidewireError where `start` to `end` is no part of a run, from 0 to 1."""
    if not 0 <= start <= end <= 1:
        raise GlidewireError(
            f"{name}: impossible interval of steps",
            expected="0 <= start <= end <= 1 (fractions of the run)",
            got=f"start {start} and end {end}",
        )


@dataclass(frozen=True, eq=False)
class Combination:
    """A pure function of other denoisers' predictions, active in an interval of the steps.

    Args:
        combine: The function. It must depend on nothing but its arguments and what `parameters` names.
        inputs: The denoisers it combines, by name; the first is evaluated first in the batch.
        name: Stable identity of the function.
        parameters: Exact numbers and texts (digests, for tensors) that decide its result.
        start: First fraction of the steps in which it is active (0 is the noisiest step).
        end: Fraction of the steps from which it is no longer active (1 includes the last step).
        fallback: The input that is passed through where it is not active; the first input if not named.
        reads_progress: Whether `combine` looks at step.index or step.total; if so, a cached part of a run
            serves only runs of the same length.
        remember: What it carries from step to step (momentum), as an x_0; `combine` is given it as one more
            prediction, "memory". Forgotten where a step leaves the combination out or changes what is active
            below it.
        otherwise: What stands in its place where it is not active, if that is none of its inputs (which are
            evaluated wherever it is active).
        measure: What it can say of a step to whoever inspects it; decides nothing, and is only called then.

    Raises:
        GlidewireError: If it has no input, the fallback is not an input, or the interval is not one.

    Source of intervals: Kynkäänniemi et al. 2024.
    """

    combine: Combine
    inputs: Mapping[str, Denoiser]
    name: str
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    start: float = 0.0
    end: float = 1.0
    fallback: str = ""
    reads_progress: bool = True
    remember: Remember | None = None
    otherwise: Denoiser | None = None
    measure: Measure | None = None

    def __post_init__(self) -> None:
        if not self.inputs:
            raise GlidewireError(f"{self.name}: needs at least one denoiser to combine")
        if not self.fallback:
            object.__setattr__(self, "fallback", next(iter(self.inputs)))
        if self.fallback not in self.inputs:
            raise GlidewireError(
                f"{self.name}: the fallback is not one of its inputs",
                expected=" or ".join(self.inputs),
                got=self.fallback,
            )
        require_interval(self.start, self.end, self.name)

    def active(self, index: int, total: int) -> bool:
        """Whether it is active in step `index` of `total`."""
        # The margin keeps 0.1 + 0.2 of ten steps at step 3.
        return self.start * total - 1e-9 <= index < self.end * total - 1e-9


Denoiser = Leaf | Combination
"""An expression over network evaluations; guidance, negative prompts and edits are built by wrapping."""

_Result = TypeVar("_Result")


def active(denoiser: Denoiser, index: int, total: int) -> Denoiser:
    """The expression with what stands in their place for inactive combinations at its root."""
    while isinstance(denoiser, Combination) and not denoiser.active(index, total):
        denoiser = denoiser.otherwise or denoiser.inputs[denoiser.fallback]
    return denoiser


def fold(
    denoiser: Denoiser,
    index: int,
    total: int,
    leaf: Callable[[Leaf], _Result],
    combination: Callable[[Combination, Mapping[str, _Result]], _Result],
) -> _Result:
    """Compute bottom-up over the expression active at a step; a shared sub-expression is computed once."""
    known: dict[int, _Result] = {}

    def visit(node: Denoiser) -> _Result:
        node = active(node, index, total)
        if id(node) not in known:
            if isinstance(node, Leaf):
                known[id(node)] = leaf(node)
            else:
                known[id(node)] = combination(node, {name: visit(child) for name, child in node.inputs.items()})
        return known[id(node)]

    return visit(denoiser)


def nodes(denoiser: Denoiser, index: int, total: int) -> Iterator[Denoiser]:
    """Every node of the expression active at a step, once each, children before parents."""
    found: list[Denoiser] = []
    fold(denoiser, index, total, found.append, lambda node, _: found.append(node))
    return iter(found)


def signature(
    denoiser: Denoiser,
    step_index: int,
    total: int,
    network_digests: dict[int, str] | None = None,
    *,
    with_progress: bool = True,
) -> str:
    """Canonical text of the expression active at a step: equal text, equal predictions.

    Args:
        denoiser: The expression.
        step_index: Steps before this one.
        total: Steps of the run.
        network_digests: What networks' `digest()` said before, by identity; filled here. A caller that asks
            for many steps gives the same dictionary each time, because a digest may read every weight.
        with_progress: Whether combinations that read the progress differ from step to step.

    Returns:
        Names, exact parameters, and the content of networks and conditions; nothing of inactive parts.
    """

    digests = {} if network_digests is None else network_digests

    def leaf_text(node: Leaf) -> str:
        if id(node.network) not in digests:
            digests[id(node.network)] = node.network.digest()
        return call_text("leaf", {"network": digests[id(node.network)], "condition": node.conditioning_digest})

    def combination_text(node: Combination, inputs: Mapping[str, str]) -> str:
        progress = {"step": step_index, "total": total} if node.reads_progress and with_progress else {}
        return call_text(node.name, {**node.parameters, **progress}, inputs)

    return fold(denoiser, step_index, total, leaf_text, combination_text)
