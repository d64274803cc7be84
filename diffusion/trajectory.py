"""Stored states of sampling runs: the keys they lie under, and where a run may resume."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from .denoiser import Combination, Denoiser, nodes, signature
from .identity import tensor_digest
from .noise import Noise
from .prediction import Progress, Step
from .solvers import Solver

_Step = TypeVar("_Step", bound=Progress)


class Trajectory(Protocol):
    """A store of sampler states under content keys; every door gives its own."""

    def load(self, key: str) -> Mapping[str, Tensor] | None:
        """The state under a key, or None."""
        ...

    def store(self, key: str, state: Mapping[str, Tensor], cost_seconds: float) -> None:
        """Keep a state; `cost_seconds` is the time since the previous kept state of this run."""
        ...


OnKeys = Callable[[Sequence[str]], None]
"""Called once, before the first step, with the key of the state after each step of a walk."""


@dataclass
class MemoryTrajectory:
    """A trajectory store in memory, for notebooks and tests; it keeps everything.

    Args:
        states: What is stored, by key.
    """

    states: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def load(self, key: str) -> Mapping[str, Tensor] | None:
        """The state under a key, or None."""
        return self.states.get(key)

    def store(self, key: str, state: Mapping[str, Tensor], cost_seconds: float) -> None:
        """Keep a copy of a state."""
        self.states[key] = {name: value.clone() for name, value in state.items()}


def state_keys(
    denoiser: Denoiser, steps: list[Step], x_start: Tensor, solver: Solver, noise: Noise | None
) -> list[str]:
    """A key for the state before the first step and after each: k_{i+1} = sha256(k_i, what step i depends on).

    Args:
        denoiser: The guidance expression.
        steps: The steps of the run, noisiest first.
        x_start: The state before the first, "batch ...".
        solver: What advances the state.
        noise: Where a stochastic solver's noise comes from.

    Returns:
        len(steps) + 1 keys. Two runs share a key exactly where their states are equal: a change that acts from
        step k on leaves the keys up to k as they were.
    """

    def drawn(step: Step) -> str:
        noisy = solver.stochastic and not step.last
        return noise.signature(step.index) if noisy and noise is not None else ""

    return chained_keys(denoiser, steps, x_start, solver.signature(), Step.signature, drawn)


def chained_keys(
    denoiser: Denoiser,
    steps: Sequence[_Step],
    x_start: Tensor,
    advance: str,
    step_text: Callable[[_Step], str],
    noise_text: Callable[[_Step], str],
) -> list[str]:
    """`state_keys` of any kind of step: exact texts of what advances the state, of a step, and of its noise."""
    environment = (torch.__version__, x_start.device.type, torch.are_deterministic_algorithms_enabled())
    keys = [_chained("sampler 1", str(environment), tensor_digest(x_start))]
    network_digests = dict[int, str]()
    for step in steps:
        expression = signature(denoiser, step.index, step.total, network_digests)
        keys.append(_chained(keys[-1], advance, step_text(step), expression, noise_text(step)))
    return keys


def _chained(*parts: str) -> str:
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def boundaries(denoiser: Denoiser, steps: Sequence[Progress], store_every: int) -> set[int]:
    """Counts of done steps after which to store: where the active combinations change, every n-th, and the end.

    Args:
        denoiser: The guidance expression.
        steps: The steps of the run, noisiest first.
        store_every: n; 0 for none in between.
    """

    def combinations(step: Progress) -> frozenset[int]:
        active = nodes(denoiser, step.index, step.total)
        return frozenset(id(node) for node in active if isinstance(node, Combination))

    sets = [combinations(step) for step in steps]
    changes = {done for done in range(1, len(steps)) if sets[done] != sets[done - 1]}
    regular = set(range(store_every, len(steps), store_every)) if store_every > 0 else set()
    return changes | regular | {len(steps)}


@dataclass
class Keeper:
    """Stores the states of one walk: at its boundaries, and the last one where its listener ends it.

    Args:
        trajectory: The store; without one nothing is kept.
        keys: Of the state before the first step and after each.
        store_after: Counts of done steps after which to store.
    """

    trajectory: Trajectory | None = None
    keys: Sequence[str] = ()
    store_after: Set[int] = frozenset()
    _kept_at: float = field(default_factory=time.monotonic)

    def step(self, done: int, x_t: Tensor, memory: Mapping[str, Tensor], tell: Callable[[], None] | None) -> None:
        """Keep the state after `done` steps where it is due, and tell of the step; where that raises, keep it too."""
        if done in self.store_after:
            self._keep(done, x_t, memory)
        if tell is not None:
            try:
                tell()
            except BaseException:
                if done not in self.store_after:
                    self._keep(done, x_t, memory)
                raise

    def _keep(self, done: int, x_t: Tensor, memory: Mapping[str, Tensor]) -> None:
        if self.trajectory is not None:
            self.trajectory.store(self.keys[done], stored_state(x_t, memory), time.monotonic() - self._kept_at)
            self._kept_at = time.monotonic()


_MEMORY = "memory/"


def stored_state(x_t: Tensor, memory: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is kept of a run between two steps: the state, and the evaluator's memory."""
    return {"x_t": x_t, **{_MEMORY + name: value for name, value in memory.items()}}


def resume(trajectory: Trajectory, keys: list[str], x_start: Tensor) -> tuple[int, Tensor, dict[str, Tensor]]:
    """The furthest stored state: steps done, the state and the evaluator's memory; (0, x_start, {}) if none.

    Tensors are on the device of `x_start`. A stored state of another shape or dtype is not trusted.
    """
    for done in range(len(keys) - 1, 0, -1):
        state = trajectory.load(keys[done]) or {}
        x_t = state.get("x_t")
        if x_t is not None and x_t.shape == x_start.shape and x_t.dtype == x_start.dtype:
            device, named = x_start.device, state.items()
            memory = {name.removeprefix(_MEMORY): value.to(device) for name, value in named if name.startswith(_MEMORY)}
            return done, x_t.to(device, copy=True), memory
    return 0, x_start, {}
