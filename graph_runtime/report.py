"""The report of a check: every problem, the dims of every output, and which problems stand in the way of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .graph import Graph
from .problems import GraphProblems, Problem


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Args:
        problems: Everything that is wrong, in the order of the document.
        dims: The dims of each (node, output number) that carries any, sizes where they are known: "1 64 64 3".
        effects: The nodes that do something outside, for which a run runs.
        graph: What was checked.
        types: The ids of the socket types of each (node, output number), type variables settled where they can be.
    """

    problems: tuple[Problem, ...]
    dims: Mapping[tuple[str, int], str]
    effects: tuple[str, ...]
    graph: Graph = field(repr=False)
    types: Mapping[tuple[str, int], tuple[str, ...]] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether nothing at all is wrong."""
        return not self.problems

    def blocking(self, targets: Iterable[str] | None = None) -> tuple[Problem, ...]:
        """The problems that stand in the way of a run: those of the targets and of what they need.

        Args:
            targets: The nodes wanted; every effect node if left out (all problems stand in the way where there is
                none).
        """
        wanted = self.effects if targets is None else [node for node in targets if node in self.graph.calls]
        if targets is None and not wanted:
            return self.problems
        needed = self.graph.needed_by(wanted)
        return tuple(
            problem
            for problem in self.problems
            if problem.node in needed or (not problem.node and problem.kind != "no_effect")
        )

    def refuse(self, targets: Iterable[str] | None = None) -> None:
        """Raise GraphProblems where a run cannot go ahead; see `blocking`."""
        if found := self.blocking(targets):
            raise GraphProblems(found)
