"""What is wrong with a graph: every problem in one pass, each naming node, title, input, expected and got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import GlidewireError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a graph.

    Args:
        kind: A stable word for programs: "unknown_node", "missing_input", "wrong_type", "wrong_dims",
            "out_of_range", "not_an_option", "cycle", "duplicate_id", "missing_node", "missing_output",
            "missing_file", "unknown_input", "bad_file", "bad_value", "no_effect", "malformed".
        message: One sentence.
        node: The node's id; "" where the problem is the document's.
        title: The node's title, or its type where it has none.
        input: The input concerned, or None.
        expected, got: In words or numbers.
        hint: What to do next, e.g. nodes that would fit.
        others: Ids of other nodes concerned (the other end of a wire, the rest of a cycle).
    """

    kind: str
    message: str
    node: str = ""
    title: str = ""
    input: str | None = None
    expected: str | None = None
    got: str | None = None
    hint: str | None = None
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"node {self.node}" if self.node else "workflow"
        if self.node and self.title:
            place += f" ({self.title})"
        if self.input:
            place += f", input {self.input}"
        text = f"{place}: {self.message}"
        if self.expected is not None:
            text += f"; expected {self.expected}"
        if self.got is not None:
            text += f"; got {self.got}"
        return f"{text}. {self.hint}" if self.hint else text

    def as_json(self) -> dict[str, Any]:
        """The problem as plain JSON, without its empty fields."""
        return {key: value for key, value in vars(self).items() if value not in (None, "", ())}


class GraphProblems(GlidewireError):
    """Raised where a graph with problems cannot be gone on with; carries them all."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in the workflow"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in self.problems)]))


@dataclass(frozen=True)
class NodeFailure:
    """An exception inside a node, as data.

    Args:
        node, title: Which node.
        error: The exception's own text.
        kind: The exception's class name.
        inputs: What came into each input: type, shape, dtype or the literal itself.
        traceback: For --debug; never shown otherwise.
    """

    node: str
    title: str
    error: str
    kind: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    traceback: str = ""

    def __str__(self) -> str:
        came = "".join(f"\n    {name} = {text}" for name, text in self.inputs.items())
        return f"node {self.node} ({self.title}) failed: {self.error}{came}"
