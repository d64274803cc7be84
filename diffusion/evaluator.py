"""The evaluator: one batched forward per network for a whole guidance expression."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Combination, Denoiser, Leaf, Network, Observed, fold, nodes, signature
from .prediction import Prediction, Progress, Step

_LeafKey = tuple[int, str]  # network identity, content of the condition


Watch = Callable[[Combination, Mapping[str, Prediction], Prediction, Tensor, Progress], None]
"""Told of each combination as it is evaluated: its inputs, what it made of them, x_t and the step."""


class Evaluator:
    """Evaluates guidance expressions over one sampling run.

    Equal leaves are evaluated once; all leaves of one network whose conditions have the same shapes share one
    forward; a condition is prepared once (keys and values of a fixed text), not once per step. Two views that
    add the same to one network are one network: their digests are equal. A leaf beside a view of it that adds nothing
    is not evaluated: they have one answer.

    Args:
        watch: Told of every combination, for inspection; None costs nothing.

    Attributes:
        forwards: Network calls made so far.
        rows: Items evaluated so far, over all calls.
        memory: What combinations carry from the last call to the next, by the text of what is active below them.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        self._watch = watch
        self.forwards = 0
        self.rows = 0
        self.memory: Mapping[str, Tensor] = {}
        self._digests: dict[int, str] = {}
        self._prepared: dict[_LeafKey, Mapping[str, Tensor]] = {}
        self._batches: dict[tuple[int, torch.device, tuple[_LeafKey, ...]], Mapping[str, Tensor]] = {}
        # Identities are only unique among living objects.
        self._networks: dict[int, Network] = {}
        self._equal: dict[int, int] = {}

    def __call__(self, denoiser: Denoiser, x_t: Tensor, step: Progress) -> Prediction:
        """Evaluate the expression active at a step.

        Args:
            denoiser: The expression.
            x_t: "batch ...", float32 or float64; or tokens, int64.
            step: Where in the run x_t is.

        Returns:
            The combined prediction; its tensors are shaped as x_t, or are logits "batch codes ...".

        Raises:
            GlidewireError: If a condition does not fit the batch, or a network's output does not fit x_t.
        """
        leaves: dict[_LeafKey, Leaf] = {}
        for node in nodes(denoiser, step.index, step.total):
            if isinstance(node, Leaf):
                leaves.setdefault(self._key(node), node)
        answers: dict[_LeafKey, Prediction] = {}
        twins = self._twins(leaves)
        for group in self._groups((leaf for key, leaf in leaves.items() if key not in twins), x_t):
            answers.update(self._forward(group, x_t, step))
        answers.update({key: answers[twin] for key, twin in twins.items()})
        memory: dict[str, Tensor] = {}

        def combined(node: Combination, inputs: Mapping[str, Prediction]) -> Prediction:
            # Only a combination of predictions that convert asks a step for more than its progress, and the
            # predictions of a run over tokens refuse to be converted.
            now = cast(Step, step)
            if node.remember is not None:
                text = signature(node, step.index, step.total, self._digests, with_progress=False)
                key = hashlib.sha256(text.encode()).hexdigest()
                memory[key] = node.remember(inputs, x_t, now, self.memory.get(key))
                inputs = {**inputs, "memory": Prediction(memory[key], "x_0")}
            made = node.combine(inputs, x_t, now)
            if self._watch is not None:
                self._watch(node, inputs, made, x_t, now)
            return made

        result = fold(denoiser, step.index, step.total, lambda leaf: answers[self._key(leaf)], combined)
        self.memory = memory
        return result

    def _twins(self, leaves: Mapping[_LeafKey, Leaf]) -> Mapping[_LeafKey, _LeafKey]:
        """Which leaves need no row of their own, and whose answer is theirs: that of a view that adds nothing."""
        found: dict[_LeafKey, _LeafKey] = {}
        for key, leaf in leaves.items():
            inner = leaf.same_as
            while inner is not None:
                if (twin := self._key(inner)) in leaves and twin != key:
                    found[twin] = key
                inner = inner.same_as
        for key, twin in found.items():
            while twin in found:
                twin = found[twin]
            found[key] = twin
        return found

    def _groups(self, leaves: Iterable[Leaf], x_t: Tensor) -> list[list[Leaf]]:
        """Leaves that can share a forward: one network, and conditions of equal names, shapes and dtypes."""
        groups: dict[tuple[object, ...], list[Leaf]] = {}
        for leaf in leaves:
            _check_batch(leaf, x_t.shape[0])
            prepared = self._prepare(leaf, x_t)
            shapes = tuple((name, value.shape[1:], value.dtype) for name, value in sorted(prepared.items()))
            groups.setdefault((self._one_of_equal(leaf.network), shapes), []).append(leaf)
        return list(groups.values())

    def _key(self, leaf: Leaf) -> _LeafKey:
        return self._one_of_equal(leaf.network), leaf.conditioning_digest

    def _one_of_equal(self, network: Network) -> int:
        """The identity of the first network that was met with this one's content."""
        if id(network) not in self._equal:
            others = [id(each) for each in self._networks.values() if type(each) is type(network)]
            # Digests may read every weight: only networks that could be equal are asked for theirs.
            same = (other for other in others if self._digest(other) == self._digest(id(network), network))
            self._equal[id(network)] = next(same, id(network))
            self._networks[id(network)] = network
        return self._equal[id(network)]

    def _digest(self, identity: int, network: Network | None = None) -> str:
        if identity not in self._digests:
            self._digests[identity] = (network or self._networks[identity]).digest()
        return self._digests[identity]

    def _prepare(self, leaf: Leaf, x_t: Tensor) -> Mapping[str, Tensor]:
        key = self._key(leaf)
        if key not in self._prepared:
            moved = {name: value.to(x_t.device) for name, value in leaf.conditioning.items()}
            self._prepared[key] = leaf.network.prepare(moved)
        return self._prepared[key]

    def _batch(self, group: Sequence[Leaf], x_t: Tensor) -> Mapping[str, Tensor]:
        """The prepared conditions of a group, "leaves·batch ...", assembled once per run."""
        count = x_t.shape[0]
        key = (count, x_t.device, tuple(map(self._key, group)))
        if key not in self._batches:
            prepared = [self._prepared[self._key(leaf)] for leaf in group]
            self._batches[key] = {
                name: torch.cat([each[name].expand(count, *each[name].shape[1:]) for each in prepared])
                for name in prepared[0]
            }
        return self._batches[key]

    def _forward(self, group: Sequence[Leaf], x_t: Tensor, step: Progress) -> dict[_LeafKey, Prediction]:
        network = group[0].network
        rows = x_t if len(group) == 1 else torch.cat([x_t] * len(group))
        kind = torch.long if isinstance(step.timestep, int) else torch.float32
        timesteps = torch.full((rows.shape[0],), step.timestep, dtype=kind, device=x_t.device)
        output = network(rows, timesteps, self._batch(group, x_t))
        seen: Mapping[str, Tensor] = {}
        if isinstance(output, Observed):
            output, seen = output.output, output.seen
        output = output.to(x_t.dtype) if x_t.is_floating_point() else output.float()
        self.forwards += 1
        self.rows += rows.shape[0]
        parts = 2 if network.learned_variance else 1
        if network.prediction == "logits":
            expected = [rows.shape[0], *output.shape[1:2], *rows.shape[1:]]
        else:
            expected = [rows.shape[0], parts * rows.shape[1], *rows.shape[2:]]
        if list(output.shape) != expected:
            raise GlidewireError(
                f"{type(network).__name__}: its output does not fit x_t", expected=expected, got=list(output.shape)
            )
        count, answers = x_t.shape[0], {}
        for place, (leaf, answer) in enumerate(zip(group, output.split(count), strict=True)):
            value, *variance = answer.chunk(parts, dim=1)
            observed = {name: each[place * count : (place + 1) * count] for name, each in seen.items()}
            answers[self._key(leaf)] = Prediction(
                value, network.prediction, variance[0] if variance else None, observed=observed
            )
        return answers


def _check_batch(leaf: Leaf, count: int) -> None:
    for name, value in leaf.conditioning.items():
        if value.ndim == 0 or value.shape[0] not in (1, count):
            raise GlidewireError(
                f"Condition {name!r} does not fit the batch",
                expected=f"a first dimension of 1 or {count}",
                got=f"shape {list(value.shape)}",
                hint="Start from as many items as the condition has (repeat start makes them of one noise).",
            )


def evaluate(denoiser: Denoiser, x_t: Tensor, step: Progress) -> Prediction:
    """Evaluate an expression once; arguments, result and errors as in `Evaluator`."""
    return Evaluator()(denoiser, x_t, step)
